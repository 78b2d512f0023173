//! The end of a task's hold on its shard: handed over, given up, or lapsed.

use std::time::Duration;

use futures::FutureExt as _;

use super::super::super::StreamsError;
use super::super::super::shared::Order;
use super::{Ended, ShardTask};

/// The number of writes by which a lapsed lease is tried before it counts as lost.
const LAPSED_WRITES: u32 = 3;

/// The progress of the task in giving its lease up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The lease is kept.
    Working,
    /// The task waits for the records that are out, until this time.
    Draining { until: Duration },
    /// Work on records that are out was aborted: another worker may have the lease once it ends.
    Stopping { until: Duration },
    /// The next write gives it up.
    LettingGo,
}

impl Phase {
    pub(super) fn is_working(self) -> bool {
        match self {
            Self::Working => true,
            Self::Draining { .. } | Self::Stopping { .. } | Self::LettingGo => false,
        }
    }
}

impl ShardTask {
    /// Handles a lease that was not renewed in time. Another worker may have it by now, and only
    /// the row shows that, so the finished work is written to it. Returns `None` where the lease is
    /// still this worker's.
    pub(super) async fn lapsed(&mut self) -> Result<Option<Ended>, StreamsError> {
        let clock = self.shared.clock;
        // Finished work counts, of handlers that ended just now too. The rest may be another's.
        while let Some(event) = self.handout.dispatcher.event().now_or_never() {
            self.heard(event, clock.now())?;
        }
        self.note_done();
        self.handout.acks.revoke();
        self.handout.dispatcher.stop().await;
        tracing::warn!(shard = %self.shard(), "the lease was not renewed in time");
        // An answer may be that of an earlier write, and tells the counter to write on.
        for _ in 0..LAPSED_WRITES {
            if self.write.is_none() {
                self.start_write(clock.now());
            }
            if let Some(write) = self.write.take()
                && let Some(ended) = self.written(write.await)?
            {
                return Ok(Some(ended));
            }
            if clock.now() < self.lease.valid_until() {
                break;
            }
        }
        let now = clock.now();
        if now >= self.lease.valid_until() {
            return Ok(Some(Ended::Lost));
        }
        self.read_again(now);
        Ok(None)
    }

    /// Follows the worker's instruction.
    pub(super) fn follow_instruction(&mut self, now: Duration) {
        let instruction = *self.instructions.borrow_and_update();
        let before = std::mem::replace(&mut self.followed, instruction);
        // Only once: a write of the lease may have found since that the request was withdrawn.
        if instruction.asked_for && !before.asked_for && self.phase.is_working() {
            self.lease.hand_over();
            self.leave(now);
        }
        // Only once: the row is made again by then, and the worker's next look shows it.
        if instruction.is_deleted && !before.is_deleted {
            self.lease.doubt(now);
        }
        match instruction.order {
            Order::Close => self.leave(now),
            Order::CloseNow => {
                self.leave(now);
                if let Phase::Draining { until } = &mut self.phase {
                    *until = now;
                }
            }
            Order::Run | Order::Pause => {}
        }
    }

    pub(super) fn leave(&mut self, now: Duration) {
        match self.phase {
            Phase::Working => {
                let drain = self.shared.settings.get_drain_timeout();
                self.handout.dispatcher.leave();
                self.phase = Phase::Draining { until: now + drain };
            }
            Phase::Draining { .. } | Phase::Stopping { .. } | Phase::LettingGo => {}
        }
    }

    /// Resumes the work on the shard: the worker that asked for it has withdrawn.
    pub(super) fn stay(&mut self) {
        let closing = self.instructions.borrow().order.closes();
        match self.phase {
            Phase::Draining { .. } if !closing => {
                self.phase = Phase::Working;
                self.handout.dispatcher.stay();
                // It is opened anew, so that it is idle anew.
                self.reading.is_idle = false;
            }
            // Work was aborted: the shard is let go, and any worker may take it.
            Phase::Draining { .. } | Phase::Stopping { .. } | Phase::LettingGo | Phase::Working => {
            }
        }
    }

    /// Moves to the next phase of giving the lease up, where the one before is over.
    pub(super) fn move_on(&mut self, now: Duration) {
        loop {
            self.phase = match self.phase {
                Phase::Draining { until }
                    if now >= until || self.handout.dispatcher.is_quiet(&self.handout.acks) =>
                {
                    // No work on the shard may continue once another worker can have it.
                    self.handout.acks.revoke();
                    self.handout.dispatcher.abort();
                    let write = self.shared.settings.lease_timeout();
                    let until = self.lease.valid_until().saturating_sub(write).max(now);
                    Phase::Stopping { until }
                }
                Phase::Stopping { until }
                    if now >= until || self.handout.dispatcher.is_stopped() =>
                {
                    self.lease.let_go();
                    Phase::LettingGo
                }
                Phase::Working
                | Phase::Draining { .. }
                | Phase::Stopping { .. }
                | Phase::LettingGo => return,
            }
        }
    }
}
