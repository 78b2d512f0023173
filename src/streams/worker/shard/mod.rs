//! One shard, from the taking of its lease to its end: read, handed on, renewed, checkpointed.
//!
//! ```text
//!           ┌──────────────── one task ────────────────┐
//! GetRecords ─▶ page ─▶ acks (numbers) ─▶ dispatcher ─▶ handler, or the stream
//!           │             │ watermark ◀── done ────────┼──────┘
//!           │           lease ─▶ renew, checkpoint, finish, let go ─▶ lease row
//!           └──────────────────────────────────────────┘
//! ```
//!
//! The same task writes the lease, one request at a time, so that a renewal and a checkpoint never
//! race for the row's counter. If the lease lapses, the handler's work for the shard stops; the
//! task continues only after a write that shows that no other worker has taken the lease.
//!
//! **A circle.** `reading`, `leaving` and `writing` are parts of [`ShardTask`], in files of their own
//! with the state that only they change.

mod barrier;
mod end;
mod leaving;
mod position;
mod reading;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, OptionFuture};
use tokio::sync::{mpsc, oneshot, watch};

use super::super::dispatcher::{Destination, DispatcherEvent, Handout};
use super::super::lease::{Change, Checkpoint, HeldLease, LeaseRow};
use super::super::shared::{HOSTS_APART, Order, Shared};
use super::super::{SequenceNumber, ShardId, StreamsError};
use crate::gap::GapCause;
use crate::retry::ServiceError;
use barrier::Barrier;
use end::EndOfShard;
use leaving::Phase;
use position::RETENTION_MS;
use reading::Reading;

/// The delay before a shard whose records were dropped unacknowledged is read again.
const REDELIVERY: Duration = Duration::from_secs(1);
/// A worker's instruction to the task of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) order: Order,
    /// Set where another worker has asked for the lease, as the table was last seen.
    pub(super) asked_for: bool,
    /// Set where the lease's row was not in the table, as that was last seen.
    pub(super) is_deleted: bool,
}

/// The end of the task of a shard.
#[derive(Debug)]
pub(super) enum Ended {
    /// The shard has been worked through, and its row shows that.
    Finished,
    /// The lease was given up, with its checkpoint.
    LetGo,
    /// The lease is another worker's, or may be.
    Lost,
    /// The source ends with this error.
    Failed(StreamsError),
}

/// A message from the running task of a shard to its worker.
#[derive(Debug)]
pub(super) enum Event {
    /// The shard has been read to its end, it seems: its children are wanted.
    Closed(ShardId),
    /// It was not its end.
    Reopened(ShardId),
    /// Changes were lost, and the table is to be scanned for their results. Answered once that is
    /// stored; before, no checkpoint may pass the gap.
    Rescan(oneshot::Sender<()>),
}

/// The state that a task begins with.
pub(super) struct Begun {
    /// The row as it stands after a write sent at `taken`.
    pub(super) row: LeaseRow,
    pub(super) taken: Duration,
    /// An iterator at LATEST, obtained when this worker made the row.
    pub(super) pinned: Option<String>,
    pub(super) instructions: watch::Receiver<Instruction>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) rng: fastrand::Rng,
}

pub(super) struct ShardTask {
    shared: Arc<Shared>,
    /// The row as it was when the lease was taken.
    row: LeaseRow,
    lease: HeldLease,
    phase: Phase,
    instructions: watch::Receiver<Instruction>,
    /// The last instruction that was followed.
    followed: Instruction,
    events: mpsc::UnboundedSender<Event>,

    handout: Handout,
    /// The record up to which everything is done.
    done: Option<SequenceNumber>,

    reading: Reading,

    barrier: Barrier,
    write: Option<BoxFuture<'static, WriteEnd>>,
}

struct WriteEnd {
    sent: Duration,
    result: Result<Wrote, ServiceError>,
}

/// The result of a write of the lease.
enum Wrote {
    Changed(Change),
    Refused(Option<Box<LeaseRow>>),
    MadeAgain,
    TakenMeanwhile,
}

impl ShardTask {
    pub(super) fn new(shared: Arc<Shared>, destination: Destination, begun: Begun) -> Self {
        let Begun {
            row,
            taken,
            pinned,
            instructions,
            events,
            mut rng,
        } = begun;
        let settings = &shared.settings;
        let mut lease = HeldLease::new(
            shared.leases.me(),
            &row,
            taken,
            settings.get_failover(),
            settings.get_checkpoint_interval(),
        );
        if shared.leases.is_in_memory() {
            lease = lease.lasting();
        }
        let from_time = if row.checkpoint == Checkpoint::Latest {
            let since = row.created.unwrap_or_else(|| {
                let now = shared.time.earliest();
                // Another library's row: its next reader needs the time to read from.
                lease.note_taken(now);
                now
            });
            Some(since.saturating_sub(HOSTS_APART))
        } else {
            row.from_time
        };
        let valid_until = lease.valid_until();
        let handout = Handout::new(&shared, destination, &row.shard, valid_until, rng.fork());
        let retries = shared.retries(&mut rng);
        let reading = Reading::new(&shared, &row, pinned, from_time, retries);
        let followed = *instructions.borrow();
        Self {
            lease,
            phase: Phase::Working,
            instructions,
            followed,
            events,
            handout,
            done: None,
            reading,
            barrier: Barrier::new(shared.coordinator.barrier()),
            write: None,
            row,
            shared,
        }
    }

    fn shard(&self) -> &ShardId {
        &self.row.shard
    }

    /// Runs until the lease is given up or lost.
    pub(super) async fn run(mut self) -> (ShardId, Ended) {
        let ended = match self.work().await {
            Ok(ended) => ended,
            Err(error) => {
                self.give_up().await;
                Ended::Failed(error)
            }
        };
        self.handout.acks.revoke();
        self.handout.dispatcher.stop().await;
        if matches!(ended, Ended::Lost) {
            self.shared.counters.lease_lost();
            tracing::warn!(shard = %self.shard(), "the lease was lost");
        }
        self.shared.failure_log.forget(self.shard());
        (self.row.shard, ended)
    }

    async fn work(&mut self) -> Result<Ended, StreamsError> {
        let clock = self.shared.clock;
        if self.is_overdue() {
            self.gap(GapCause::PossiblyTrimmed, None)?;
        }
        let mut wake = clock.now();
        loop {
            let now = clock.now();
            self.shared.woken(self.shard(), now.saturating_sub(wake));
            if now >= self.lease.valid_until() {
                match self.lapsed().await? {
                    Some(ended) => return Ok(ended),
                    None => {
                        wake = clock.now();
                        continue;
                    }
                }
            }
            self.believe_end();
            self.follow_instruction(now);
            let was_settled = self.handout.acks.is_settled();
            self.take_stock(now);
            if self.phase.is_working() {
                self.handout.dispatcher.start(now)?;
            }
            if self.write.is_none() && self.lease.due() <= now {
                self.start_write(now);
            }
            if self.may_read() && self.reading.poll.due() <= now {
                self.start_read(now);
            }
            // The last record or guard may have ended since stock was taken, and wakes nothing then.
            if !was_settled && self.handout.acks.is_settled() {
                wake = now;
                continue;
            }
            wake = self.wake(now);
            // These futures resolve at once where nothing is left to wait for: they would spin.
            let below = self.shared.read_below();
            let ending =
                self.reading.end.is_reached() || !self.phase.is_working() || self.barrier.is_up();
            let waits_for_end = ending && !self.handout.acks.is_settled();
            // The listing was asked for when the end was read first. It may show the shard as open.
            let waits_for_listing = self.reading.end.waits_for_listing();
            let waits_for_room =
                !ending && self.handout.acks.bytes() >= below && !self.handout.acks.is_empty();

            tokio::select! {
                Some(end) = OptionFuture::from(self.write.as_mut()) => {
                    self.write = None;
                    if let Some(ended) = self.written(end)? {
                        return Ok(ended);
                    }
                }
                Some(end) = OptionFuture::from(self.reading.read.as_mut()) => {
                    self.reading.read = None;
                    self.page(end)?;
                }
                event = self.handout.dispatcher.event() => self.heard(event, now)?,
                () = self.handout.acks.settled(), if waits_for_end => {}
                () = self.handout.acks.room(below), if waits_for_room => {}
                () = self.barrier.changed() => {}
                Ok(()) = self.reading.listings.changed(), if waits_for_listing => {}
                Some(noted) = OptionFuture::from(self.reading.rescan.as_mut()) => {
                    self.reading.rescan = None;
                    if noted.is_err() {
                        // It was not stored: the row stays before the gap, which is found again.
                        return Ok(Ended::Lost);
                    }
                }
                changed = self.instructions.changed() => if changed.is_err() {
                    // The worker is gone: nothing waits for the rest of this task.
                    return Ok(Ended::Lost);
                },
                () = clock.until(wake) => {}
            }
        }
    }

    /// Returns whether a shard at LATEST was unread for longer than the stream keeps changes.
    fn is_overdue(&self) -> bool {
        let read = self.row.read.max(self.row.created);
        let now = self.shared.time.earliest();
        self.row.checkpoint == Checkpoint::Latest
            && read.is_some_and(|read| now.saturating_sub(read) > RETENTION_MS)
    }

    /// Returns when there is something to do, if no event comes before.
    fn wake(&self, now: Duration) -> Duration {
        let mut wake = self.lease.valid_until();
        if self.write.is_none() {
            wake = wake.min(self.lease.due());
        }
        if self.may_read() {
            wake = wake.min(self.reading.poll.due());
        }
        if let Some(until) = self.reading.end.finish_by().filter(|until| *until > now) {
            wake = wake.min(until);
        }
        let due = match self.phase {
            Phase::Working => self.handout.dispatcher.due(),
            // A time that has passed needs no timer.
            Phase::Draining { until } | Phase::Stopping { until } => {
                Some(until).filter(|until| *until > now)
            }
            Phase::LettingGo => None,
        };
        due.map_or(wake, |due| wake.min(due))
    }

    fn heard(&mut self, event: DispatcherEvent, now: Duration) -> Result<(), StreamsError> {
        match event {
            DispatcherEvent::Moved => Ok(()),
            DispatcherEvent::Closed => {
                self.leave(now);
                Ok(())
            }
            DispatcherEvent::Failed(error) => Err(error),
        }
    }

    fn note_done(&mut self) {
        if let Some(sequence) = self.handout.acks.take_watermark() {
            self.done = Some(sequence);
            self.lease.reach(sequence);
        }
    }

    /// Notes the finished work, and moves to the next phase where that was all.
    fn take_stock(&mut self, now: Duration) {
        self.note_done();
        if self.handout.acks.is_dropped() && self.phase.is_working() {
            tracing::warn!(shard = %self.shard(), "records were dropped unacknowledged: they are read again");
            self.read_again(now);
            self.reading.poll.pause_until(now + REDELIVERY);
        }
        self.meet_barrier();
        if self.reading.end.is_reached()
            && self.handout.acks.is_empty()
            && self.reading.rescan.is_none()
        {
            // The caller of a stream may have something to finish beside the records.
            self.handout.dispatcher.leave();
            let drain = self.shared.settings.get_drain_timeout();
            let until = self.reading.end.finish_within(now, drain);
            if self.handout.acks.is_settled() || now >= until {
                let graph = self.shared.graph();
                self.lease
                    .finish(graph.children(self.shard()).cloned().collect());
                return;
            }
        }
        self.move_on(now);
    }

    /// Reports to a snapshot that nothing of the shard is out, and later that it is checkpointed.
    fn meet_barrier(&mut self) {
        self.handout
            .dispatcher
            .flush(self.reading.end.is_reached() || self.barrier.is_up());
        // A stream delivers in turn: these records come before the snapshot's.
        let in_turn = self.handout.is_in_turn() || self.handout.acks.is_empty();
        let quiet = self.reading.read.is_none() && self.handout.dispatcher.has_room() && in_turn;
        self.barrier.meet(
            &self.shared.coordinator,
            &self.row.shard,
            quiet.then(|| self.reading.position.after()),
            self.lease.stored(),
        );
    }

    /// Goes back to the last record with everything up to it done.
    fn read_again(&mut self, now: Duration) {
        self.handout.restart(&self.shared, self.lease.valid_until());
        self.reading.position.rewind(self.done);
        self.reading.read = None;
        self.reading.end = EndOfShard::default();
        self.reading.is_idle = false;
        self.reading.poll.pause_until(now);
        if !self.phase.is_working() {
            self.handout.dispatcher.leave();
        }
    }
}
