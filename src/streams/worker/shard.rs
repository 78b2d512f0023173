//! One shard, from the taking of its lease to its end: read, handed on, renewed, checkpointed.
//!
//! ```text
//!           ┌──────────────── one task ────────────────┐
//! GetRecords ─▶ page ─▶ book (numbers) ─▶ feed ─▶ handler, or the stream
//!           │             │ watermark ◀── done ────────┼──────┘
//!           │           hold ─▶ renew, checkpoint, finish, let go ─▶ lease row
//!           └──────────────────────────────────────────┘
//! ```
//!
//! The same task writes the lease, one request at a time, so that a renewal and a checkpoint never
//! race for the row's counter. If the lease lapses, the handler's work for the shard stops; the
//! task continues only after a write that shows that no other worker has taken the lease.

mod barrier;
mod position;
mod reading;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture};
use tokio::sync::{mpsc, oneshot, watch};

use super::super::book::Book;
use super::super::feed::{Feed, FeedEvent};
use super::super::gap::GapCause;
use super::super::lease::{Change, Checkpoint, Hold, LeaseRow};
use super::super::page::Page;
use super::super::poll::Poll;
use super::super::read::ReadFailure;
use super::super::shared::{Destination, HOSTS_APART, Order, Shared};
use super::super::{SequenceNumber, ShardId, StreamsError};
use crate::retry::{Retries, ServiceError};
use barrier::Barrier;
use position::Position;

/// The delay before a shard whose records were dropped unacknowledged is read again.
const REDELIVERY: Duration = Duration::from_secs(1);
/// The bytes from which a page counts as full, by size: `GetRecords` answers with 1 MB at most.
const FULL_PAGE: usize = 900_000;
/// The number of writes by which a lapsed lease is tried before it counts as lost.
const LAPSED_WRITES: u32 = 3;
/// The retention of a stream, in milliseconds: 24 hours (DynamoDB Developer Guide, streams).
const KEPT: u64 = 24 * 60 * 60 * 1000;
/// The assumed size of a record before any has been read, in bytes.
const TYPICAL_RECORD: usize = 2_048;

/// A worker's instruction to the task of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) order: Order,
    /// Set where another worker has asked for the lease, as the table was last seen.
    pub(super) asked_for: bool,
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
    /// The shard has been read to its end: its children are wanted.
    Closed(ShardId),
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
    hold: Hold,
    phase: Phase,
    instructions: watch::Receiver<Instruction>,
    /// Set where the last instruction asked for the lease on behalf of another worker.
    asked_for: bool,
    events: mpsc::UnboundedSender<Event>,
    rng: fastrand::Rng,

    destination: Destination,
    book: Arc<Book>,
    feed: Feed,
    /// The record up to which everything is done.
    done: Option<SequenceNumber>,

    position: Position,
    /// The time from which records are wanted, in milliseconds since 1970.
    from_time: Option<u64>,
    /// Set once the shard has been read to its end.
    closed: bool,
    poll: Poll,
    record_bytes: usize,
    read: Option<BoxFuture<'static, ReadEnd>>,
    reads: Retries,

    barrier: Barrier,
    /// The answer to a rescan that is not stored yet.
    rescan: Option<oneshot::Receiver<()>>,

    write: Option<BoxFuture<'static, WriteEnd>>,
}

/// The progress of the task in giving its lease up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The lease is kept.
    Working,
    /// The task waits for the records that are out, until this time.
    Draining { until: Duration },
    /// Work on records that are out was aborted: another worker may have the lease once it ends.
    Stopping { until: Duration },
    /// The next write gives it up.
    LettingGo,
}

struct ReadEnd {
    sent: Duration,
    limit: usize,
    result: Result<(Page, usize), ReadFailure>,
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
        let mut hold = Hold::new(
            shared.leases.me(),
            &row,
            taken,
            settings.get_failover(),
            settings.get_checkpoint_interval(),
        );
        if shared.leases.is_in_memory() {
            hold = hold.lasting();
        }
        let from_time = if row.checkpoint == Checkpoint::Latest {
            let since = row.created.unwrap_or_else(|| {
                let now = shared.time.earliest();
                // Another library's row: its next reader needs the time to read from.
                hold.note_taken(now);
                now
            });
            Some(since.saturating_sub(HOSTS_APART))
        } else {
            row.from_time
        };
        let (interval, idle_interval, idle_after) = settings.get_poll();
        let book = Arc::new(Book::new(shared.clock));
        book.valid_until(hold.valid_until());
        let feed = shared.feed(&destination, &row.shard, &book, &mut rng);
        let reads = shared.retries(&mut rng);
        shared.counters.begins(&row.shard);
        Self {
            hold,
            phase: Phase::Working,
            instructions,
            asked_for: false,
            events,
            rng,
            destination,
            book,
            feed,
            done: None,
            position: Position::new(&row, pinned, shared.is_local(), shared.time.earliest()),
            from_time,
            closed: false,
            poll: Poll::new(interval, idle_interval, idle_after),
            record_bytes: TYPICAL_RECORD,
            read: None,
            reads,
            barrier: Barrier::new(shared.junction.barrier()),
            rescan: None,
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
        self.book.revoke();
        self.feed.stop().await;
        if matches!(ended, Ended::Lost) {
            self.shared.counters.lease_lost();
            tracing::warn!(shard = %self.shard(), "the lease was lost");
        }
        self.shared.counters.ends(self.shard());
        self.shared.troubles.forget(self.shard());
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
            if now >= self.hold.valid_until() {
                match self.lapsed().await? {
                    Some(ended) => return Ok(ended),
                    None => {
                        wake = clock.now();
                        continue;
                    }
                }
            }
            self.obey(now);
            self.take_stock(now);
            if self.phase == Phase::Working {
                self.feed.start(now)?;
            }
            if self.write.is_none() && self.hold.due() <= now {
                self.start_write(now);
            }
            if self.may_read() && self.poll.due() <= now {
                self.start_read(now);
            }
            wake = self.wake(now);
            // These futures resolve at once where nothing is left to wait for: they would spin.
            let below = self.shared.part() / 2;
            let ending = self.closed || self.phase != Phase::Working || self.barrier.is_up();
            let waits_for_end = ending && !self.book.is_settled();
            let waits_for_room = !ending && self.book.bytes() >= below && !self.book.is_empty();

            tokio::select! {
                Some(end) = OptionFuture::from(self.write.as_mut()) => {
                    self.write = None;
                    if let Some(ended) = self.written(end)? {
                        return Ok(ended);
                    }
                }
                Some(end) = OptionFuture::from(self.read.as_mut()) => {
                    self.read = None;
                    self.page(end)?;
                }
                event = self.feed.event() => self.heard(event, now)?,
                () = self.book.settled(), if waits_for_end => {}
                () = self.book.room(below), if waits_for_room => {}
                () = self.barrier.changed() => {}
                Some(noted) = OptionFuture::from(self.rescan.as_mut()) => {
                    self.rescan = None;
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
            && read.is_some_and(|read| now.saturating_sub(read) > KEPT)
    }

    /// Returns when there is something to do, if no event comes before.
    fn wake(&self, now: Duration) -> Duration {
        let mut wake = self.hold.valid_until();
        if self.write.is_none() {
            wake = wake.min(self.hold.due());
        }
        if self.may_read() {
            wake = wake.min(self.poll.due());
        }
        match self.phase {
            Phase::Working => self.feed.due().map_or(wake, |due| wake.min(due)),
            // A time that has passed needs no timer.
            Phase::Draining { until } | Phase::Stopping { until } if until > now => wake.min(until),
            Phase::Draining { .. } | Phase::Stopping { .. } | Phase::LettingGo => wake,
        }
    }

    fn heard(&mut self, event: FeedEvent, now: Duration) -> Result<(), StreamsError> {
        match event {
            FeedEvent::Moved => Ok(()),
            FeedEvent::Closed => {
                self.leave(now);
                Ok(())
            }
            FeedEvent::Failed(error) => Err(error),
        }
    }

    /// Handles a lease that was not renewed in time. Another worker may have it by now, and only
    /// the row shows that, so the finished work is written to it. Returns `None` where the lease is
    /// still this worker's.
    async fn lapsed(&mut self) -> Result<Option<Ended>, StreamsError> {
        let clock = self.shared.clock;
        // Finished work counts, of handlers that ended just now too. The rest may be another's.
        while let Some(event) = self.feed.event().now_or_never() {
            self.heard(event, clock.now())?;
        }
        self.note_done();
        self.book.revoke();
        self.feed.stop().await;
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
            if clock.now() < self.hold.valid_until() {
                break;
            }
        }
        let now = clock.now();
        if now >= self.hold.valid_until() {
            return Ok(Some(Ended::Lost));
        }
        self.read_again(now);
        Ok(None)
    }

    /// Follows the worker's instruction.
    fn obey(&mut self, now: Duration) {
        let Instruction { order, asked_for } = *self.instructions.borrow_and_update();
        // Only once: a write of the lease may have found since that the request was withdrawn.
        let asked_before = std::mem::replace(&mut self.asked_for, asked_for);
        if asked_for && !asked_before && self.phase == Phase::Working {
            self.hold.hand_over();
            self.leave(now);
        }
        if order == Order::Close {
            self.leave(now);
        }
    }

    fn leave(&mut self, now: Duration) {
        if self.phase == Phase::Working {
            let drain = self.shared.settings.get_drain_timeout();
            self.feed.leave();
            self.phase = Phase::Draining { until: now + drain };
        }
    }

    /// Resumes the work on the shard: the worker that asked for it has withdrawn.
    fn stay(&mut self) {
        let closing = self.instructions.borrow().order == Order::Close;
        if matches!(self.phase, Phase::Draining { .. }) && !closing {
            self.phase = Phase::Working;
        }
    }

    fn note_done(&mut self) {
        if let Some(sequence) = self.book.take_watermark() {
            self.done = Some(sequence);
            self.hold.reach(sequence);
        }
    }

    /// Notes the finished work, and moves to the next phase where that was all.
    fn take_stock(&mut self, now: Duration) {
        self.note_done();
        if self.book.is_dropped() && self.phase == Phase::Working {
            tracing::warn!(shard = %self.shard(), "records were dropped unacknowledged: they are read again");
            self.read_again(now);
            self.poll.pause_until(now + REDELIVERY);
        }
        self.meet_barrier();
        if self.closed && self.book.is_empty() && self.rescan.is_none() {
            let graph = self.shared.graph();
            self.hold
                .finish(graph.children(self.shard()).cloned().collect());
            return;
        }
        if let Phase::Draining { until } = self.phase
            && (now >= until || self.feed.is_quiet(&self.book))
        {
            // No work on the shard may continue once another worker can have it.
            self.book.revoke();
            self.feed.abort();
            let write = self.shared.settings.lease_timeout();
            let until = self.hold.valid_until().saturating_sub(write).max(now);
            self.phase = Phase::Stopping { until };
        }
        if let Phase::Stopping { until } = self.phase
            && (now >= until || self.feed.is_stopped())
        {
            self.hold.let_go();
            self.phase = Phase::LettingGo;
        }
    }

    /// Reports to a snapshot that nothing of the shard is out, and later that it is checkpointed.
    fn meet_barrier(&mut self) {
        self.feed.flush(self.closed || self.barrier.is_up());
        // A stream delivers in turn: these records come before the snapshot's.
        let in_turn = matches!(self.destination, Destination::Channel(_)) || self.book.is_empty();
        let quiet = self.read.is_none() && self.feed.has_room() && in_turn;
        self.barrier.meet(
            &self.shared.junction,
            &self.row.shard,
            quiet.then(|| self.position.after()),
            self.hold.stored(),
        );
    }

    /// Goes back to the last record with everything up to it done.
    fn read_again(&mut self, now: Duration) {
        self.book.revoke();
        self.book = Arc::new(Book::new(self.shared.clock));
        self.book.valid_until(self.hold.valid_until());
        self.feed = self.shared.feed(
            &self.destination,
            &self.row.shard,
            &self.book,
            &mut self.rng,
        );
        self.position.rewind(self.done);
        self.read = None;
        self.closed = false;
        self.poll.pause_until(now);
        if self.phase != Phase::Working {
            self.feed.leave();
        }
    }
}
