//! Rounds.
//!
//! CPU time is the client process's, user and system, so it holds whatever a contender does on
//! other threads too. All contenders run in one process in rotation, each second rotation
//! backwards, so that a machine that changes its speed changes it for all of them; a ratio is
//! taken within a rotation, and the median of these is reported.

use std::sync::Arc;

use crate::contender::Contender;
use crate::rig::Failure;
use crate::rig::clock::{cpu_time, instant};
use crate::rig::server::NullServer;

/// Requests in flight.
pub(crate) const LANES: usize = 16;

/// What one contender did in one round, a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) cpu_us: f64,
    /// The share of the time that the client's core was busy. Well below 1, waiting is measured.
    pub(crate) busy: f64,
    pub(crate) requests: f64,
    pub(crate) kilobytes: f64,
}

/// Runs every contender `rotations` times after a warm-up; the rounds are by contender.
pub(crate) async fn rotate(
    contenders: &[Arc<dyn Contender>],
    server: &NullServer,
    rotations: usize,
    batches: usize,
) -> Result<Vec<Vec<Round>>, Failure> {
    const WARM_UP: usize = 2;
    let mut rounds = vec![Vec::with_capacity(rotations); contenders.len()];
    for rotation in 0..WARM_UP + rotations {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if rotation % 2 == 1 {
            order.reverse();
        }
        for contender in order {
            let round = round(&contenders[contender], server, batches).await?;
            if rotation >= WARM_UP {
                rounds[contender].push(round);
            }
        }
    }
    Ok(rounds)
}

async fn round(
    contender: &Arc<dyn Contender>,
    server: &NullServer,
    batches: usize,
) -> Result<Round, Failure> {
    let arrived = server.arrived()?;
    let (began, cpu) = (instant(), cpu_time());
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| tokio::spawn(Arc::clone(contender).lane(lane, batches)))
        .collect();
    for lane in lanes {
        lane.await??;
    }
    let cpu = (cpu_time() - cpu).as_secs_f64();
    let elapsed = began.elapsed().as_secs_f64();
    let after = server.arrived()?;
    let per_batch = 1.0 / (LANES * batches) as f64;
    Ok(Round {
        cpu_us: cpu * 1e6 * per_batch,
        busy: cpu / elapsed,
        requests: f64::from(after.requests - arrived.requests) * per_batch,
        kilobytes: (after.bytes - arrived.bytes) as f64 / 1e3 * per_batch,
    })
}
