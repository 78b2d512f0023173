//! Rounds in which the contenders take turns, each second rotation backwards, so that a server or a
//! machine that changes its speed changes it for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::BoxFuture;

use crate::rig::records::BATCH;
use crate::rig::times::Times;
use crate::rig::{Failure, clock};

/// Set by an interrupt: no more batches are handed out. What is under way has its outcome still,
/// lest it lands after the table was cleared.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// How much is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Volume {
    /// Of each contender, at each concurrency.
    pub(crate) rounds: usize,
    /// In a round.
    pub(crate) batches: usize,
}

/// What one contender did in one round.
pub(crate) struct Round {
    /// Items a second.
    pub(crate) rate: f64,
    /// Of each item.
    pub(crate) latencies: Times,
}

/// The batches of a round, handed out one after the other to whoever has a request to spare.
#[derive(Clone)]
pub(crate) struct Batches {
    next: Arc<AtomicUsize>,
    count: usize,
}

pub(crate) trait Contender {
    fn name(&self) -> &'static str;

    /// Writes all batches, each acknowledged in full, and returns the latency of each item.
    /// Also where it fails, nothing is under way any more when it returns.
    fn write(&self, batches: Batches) -> BoxFuture<'_, Result<Times, Failure>>;
}

impl Volume {
    pub(crate) fn new(quick: bool) -> Self {
        let (rounds, batches) = if quick { (4, 128) } else { (15, 512) };
        Self { rounds, batches }
    }
}

impl Iterator for Batches {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        (next < self.count && !INTERRUPTED.load(Ordering::Relaxed)).then_some(next)
    }
}

/// Ends the measurement when the user wants that: in order, or at once where asked again.
pub(crate) async fn heed_interrupts() {
    if tokio::signal::ctrl_c().await.is_ok() {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(130);
    }
}

/// The rounds by contender, after some to warm up.
pub(crate) async fn rotate(
    contenders: &[&dyn Contender],
    volume: Volume,
) -> Result<Vec<Vec<Round>>, Failure> {
    const WARM_UP: usize = 2;
    let mut rounds: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
    for rotation in 0..WARM_UP + volume.rounds {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if !rotation.is_multiple_of(2) {
            order.reverse();
        }
        for contender in order {
            let round = round(contenders[contender], volume.batches).await?;
            if rotation >= WARM_UP {
                rounds[contender].push(round);
            }
        }
    }
    Ok(rounds)
}

async fn round(contender: &dyn Contender, batches: usize) -> Result<Round, Failure> {
    let began = clock::instant();
    let latencies = contender
        .write(Batches {
            next: Arc::default(),
            count: batches,
        })
        .await?;
    if INTERRUPTED.load(Ordering::Relaxed) {
        return Err("interrupted".into());
    }
    Ok(Round {
        rate: (batches * BATCH) as f64 / began.elapsed().as_secs_f64(),
        latencies,
    })
}
