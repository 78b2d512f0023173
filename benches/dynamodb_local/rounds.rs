//! Rounds in which the contenders take turns, each second pair the other way round, so that a
//! server or a machine that changes its speed changes it for both.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;

use crate::rig::records::BATCH;
use crate::rig::{Failure, clock};

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
    /// Milliseconds of each item.
    pub(crate) latencies: Vec<f64>,
}

/// The batches of a round, handed out one after the other to whoever has a request to spare.
#[derive(Clone)]
pub(crate) struct Batches {
    next: Arc<AtomicUsize>,
    count: usize,
}

pub(crate) trait Contender {
    /// Writes all batches, each acknowledged in full, and gives the milliseconds of each item.
    fn write(&self, batches: Batches) -> BoxFuture<'_, Result<Vec<f64>, Failure>>;
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
        (next < self.count).then_some(next)
    }
}

/// The rounds of the one, and of the other.
pub(crate) async fn alternate(
    one: &dyn Contender,
    other: &dyn Contender,
    volume: Volume,
) -> Result<(Vec<Round>, Vec<Round>), Failure> {
    const WARM_UP: usize = 2;
    let (mut of_one, mut of_other) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + volume.rounds {
        let (first, second) = if number.is_multiple_of(2) {
            (one, other)
        } else {
            (other, one)
        };
        let first = round(first, volume.batches).await?;
        let second = round(second, volume.batches).await?;
        if number < WARM_UP {
            continue;
        }
        let (ours, theirs) = if number.is_multiple_of(2) {
            (first, second)
        } else {
            (second, first)
        };
        of_one.push(ours);
        of_other.push(theirs);
    }
    Ok((of_one, of_other))
}

async fn round(contender: &dyn Contender, batches: usize) -> Result<Round, Failure> {
    let began = clock::instant();
    let latencies = contender
        .write(Batches {
            next: Arc::default(),
            count: batches,
        })
        .await?;
    Ok(Round {
        rate: (batches * BATCH) as f64 / began.elapsed().as_secs_f64(),
        latencies,
    })
}
