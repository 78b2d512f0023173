//! One shard, from when its lease was taken to when it is given up: read, handed on, renewed, checkpointed.
//!
//! ```text
//!           ┌──────────────── one task ────────────────┐
//! GetRecords ─▶ page ─▶ book (numbers) ─▶ feed ─▶ handler, or the stream
//!           │             │ watermark ◀── done ────────┼──────┘
//!           │           hold ─▶ renew, checkpoint, finish, let go ─▶ lease row
//!           └──────────────────────────────────────────┘
//! ```
//!
//! The lease's writes are made here too, one at a time, so that a renewal and a checkpoint never race for the row's counter. When the lease
//! can no longer be this worker's, the task ends, and with it whatever the handler was doing for the shard.

mod reading;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, OptionFuture};
use tokio::sync::{mpsc, oneshot, watch};

use super::super::book::Book;
use super::super::feed::{Feed, FeedEvent};
use super::super::gap::GapCause;
use super::super::lease::{Change, Checkpoint, Hold, LeaseRow};
use super::super::page::Page;
use super::super::poll::Poll;
use super::super::read::{ReadFailure, ReadFrom};
use super::super::snapshot::Epoch;
use super::super::{SequenceNumber, ShardId, StreamsError};
use super::shared::{Destination, Shared};
use crate::retry::{Retries, ServiceError};

/// How much earlier than the row of a shard that begins at LATEST its records may have been made, by the clocks of two machines. Matters only
/// where a worker takes such a shard over before any of it was checkpointed: records from before the start may be given then, but none
/// after it is missed.
///
/// Requests that are signed more than 15 minutes off are refused, so that no clock that works is further off.
pub(crate) const CLOCKS_APART: u64 = 15 * 60 * 1000;
/// How long a stream keeps a change: 24 hours (DynamoDB Developer Guide, streams), in milliseconds.
const KEPT: u64 = 24 * 60 * 60 * 1000;
/// How often a read may be refused with no better word before the source ends.
const MOST_REFUSALS: u32 = 5;
/// How long a shard whose records were dropped with no word on them waits before it is read again.
const REDELIVERY: Duration = Duration::from_secs(1);
/// Pages of at least this many bytes hold no more, whatever their number of records: `GetRecords` answers with 1 MB at most.
const FULL_PAGE: usize = 900_000;
/// What a record is taken for before any has been read, in bytes.
const TYPICAL_RECORD: usize = 2_048;
/// How often a shard must be said to be gone before it is believed: a listing or an iterator may be behind.
const SURELY_GONE: u32 = 3;

/// What a worker tells the task of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Run,
    /// Read no more; the rest goes on.
    Pause,
    /// Give the lease up as soon as what was handed out is done, or the drain timeout is over.
    Close,
}

/// How the task of a shard ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The shard has been worked through, and says so in its row.
    Finished,
    /// The lease was given up, with its checkpoint.
    LetGo,
    /// The lease is somebody else's, or may be.
    Lost,
    /// The source can't go on.
    Failed(StreamsError),
}

/// What the task of a shard tells its worker while it goes on.
#[derive(Debug)]
pub(crate) enum Event {
    /// The shard has been read to its end: its children are wanted.
    Closed(ShardId),
    /// Changes were lost, and the table is to be scanned for what became of them. Answered once that is noted: before, no
    /// checkpoint may pass the gap.
    Rescan(oneshot::Sender<()>),
}

pub(crate) struct ShardTask {
    shared: Arc<Shared>,
    shard: ShardId,
    hold: Hold,
    begin: ReadFrom,
    /// Records made before this time, in milliseconds since 1970, are not wanted.
    from_time: Option<u64>,
    /// When the row was made.
    created: Option<u64>,
    /// Nothing has been passed, and what came first may be gone.
    overdue: bool,
    orders: watch::Receiver<Order>,
    events: mpsc::UnboundedSender<Event>,
    rng: fastrand::Rng,

    destination: Destination,
    book: Arc<Book>,
    feed: Feed,
    /// Everything up to here is done.
    done: Option<SequenceNumber>,

    poll: Poll,
    from: ReadFrom,
    iterator: Option<String>,
    record_bytes: usize,
    read: Option<BoxFuture<'static, ReadEnd>>,
    reads: Retries,
    gone: u32,
    refusals: u32,
    /// The shard has been read to its end.
    closed: bool,

    /// Held up by a snapshot that hands its pages out.
    barrier: watch::Receiver<Option<Epoch>>,
    /// The checkpoint that tells a snapshot that this barrier is passed.
    settling: Option<(Epoch, Option<SequenceNumber>)>,
    quiet: Option<Epoch>,
    /// A rescan that is not noted yet.
    rescan: Option<oneshot::Receiver<()>>,

    write: Option<BoxFuture<'static, WriteEnd>>,
    /// Until when what is out is waited for.
    leaving: Option<Duration>,
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

/// What a write of the lease came to.
enum Wrote {
    Changed(Change),
    Refused(Option<Box<LeaseRow>>),
    MadeAgain,
    TakenMeanwhile,
}

impl ShardTask {
    /// `row` is as it is after a write sent at `taken`. `pinned` is an iterator at LATEST, from when this worker made the row.
    #[expect(
        clippy::too_many_arguments,
        reason = "it is what a shard's task begins with"
    )]
    pub(crate) fn new(
        shared: Arc<Shared>,
        destination: Destination,
        row: &LeaseRow,
        taken: Duration,
        pinned: Option<String>,
        orders: watch::Receiver<Order>,
        events: mpsc::UnboundedSender<Event>,
        mut rng: fastrand::Rng,
    ) -> Self {
        let settings = &shared.settings;
        let hold = Hold::new(
            shared.leases.me(),
            row,
            taken,
            settings.get_failover(),
            settings.get_checkpoint_interval(),
        );
        let hold = if shared.leases.is_in_memory() {
            hold.lasting()
        } else {
            hold
        };
        let mut from_time = row.from_time;
        // Until then nothing came that was to be handled, or all of it would have been checkpointed.
        let read = row.created.max(row.read);
        let now = shared.millis();
        let overdue =
            row.checkpoint.is_start() && read.is_some_and(|read| now.saturating_sub(read) > KEPT);
        let begin = match &row.checkpoint {
            Checkpoint::After(sequence) => ReadFrom::After(*sequence),
            Checkpoint::Latest if pinned.is_some() => ReadFrom::Latest,
            Checkpoint::Latest => {
                // What came since the row was made must not be passed over; a row that this crate did not make says nothing of when that
                // was. Not since it was last read: a page may be empty before those that are not.
                match row.created.or(row.read) {
                    Some(since) => {
                        from_time = Some(since.saturating_sub(CLOCKS_APART));
                        ReadFrom::TrimHorizon
                    }
                    None => ReadFrom::Latest,
                }
            }
            Checkpoint::TrimHorizon | Checkpoint::AtTimestamp | Checkpoint::ShardEnd => {
                ReadFrom::TrimHorizon
            }
        };
        let (interval, idle_interval, idle_after) = settings.get_poll();
        let book = Arc::new(Book::new());
        let feed = shared.feed(&destination, &row.shard, &book, &mut rng);
        let reads = shared.retries(&mut rng);
        shared.counters.begins(&row.shard);
        Self {
            shard: row.shard.clone(),
            hold,
            from: begin.clone(),
            begin,
            from_time,
            created: row.created,
            overdue,
            orders,
            events,
            rng,
            destination,
            book,
            feed,
            done: None,
            poll: Poll::new(interval, idle_interval, idle_after),
            iterator: pinned.filter(|_| row.checkpoint == Checkpoint::Latest),
            record_bytes: TYPICAL_RECORD,
            read: None,
            reads,
            gone: 0,
            refusals: 0,
            closed: false,
            barrier: shared.junction.barrier(),
            settling: None,
            quiet: None,
            rescan: None,
            write: None,
            leaving: None,
            shared,
        }
    }

    /// Runs until the lease is given up or lost.
    pub(crate) async fn run(mut self) -> (ShardId, Ended) {
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
            tracing::warn!(shard = %self.shard, "the lease was lost");
        }
        self.shared.counters.ends(&self.shard);
        (self.shard, ended)
    }

    async fn work(&mut self) -> Result<Ended, StreamsError> {
        if self.overdue {
            self.gap(GapCause::Trimmed)?;
        }
        loop {
            let clock = self.shared.clock;
            let now = clock.now();
            if now >= self.hold.valid_until() {
                return Ok(Ended::Lost);
            }
            self.obey(now);
            self.take_stock(now);
            if self.leaving.is_none() {
                self.feed.start(now)?;
            }
            if self.write.is_none() && self.hold.due() <= now {
                self.start_write(now);
            }
            if self.may_read() && self.poll.due() <= now {
                self.start_read(now);
            }

            let mut wake = self.hold.valid_until();
            if self.write.is_none() {
                wake = wake.min(self.hold.due());
            }
            if self.may_read() {
                wake = wake.min(self.poll.due());
            }
            match self.leaving {
                Some(until) if until > now => wake = wake.min(until),
                Some(_) => {}
                None => wake = self.feed.due().map_or(wake, |due| wake.min(due)),
            }
            // A book in which nothing can change has nothing to say.
            let below = self.shared.part() / 2;
            let ending = self.closed || self.leaving.is_some() || self.barrier.borrow().is_some();
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
                event = self.feed.event() => match event {
                    FeedEvent::Moved => {}
                    FeedEvent::Closed => self.leave(now),
                    FeedEvent::Failed(error) => return Err(error),
                },
                () = self.book.settled(), if waits_for_end => {}
                () = self.book.room(below), if waits_for_room => {}
                Ok(()) = self.barrier.changed() => {}
                Some(noted) = OptionFuture::from(self.rescan.as_mut()) => {
                    self.rescan = None;
                    if noted.is_err() {
                        // It was not noted: the row stays before the gap, which is found again.
                        return Ok(Ended::Lost);
                    }
                }
                changed = self.orders.changed() => if changed.is_err() {
                    // The worker is gone, and nobody waits for what is left.
                    return Ok(Ended::Lost);
                },
                () = clock.until(wake) => {}
            }
        }
    }

    /// Follows the worker's order.
    fn obey(&mut self, now: Duration) {
        if *self.orders.borrow_and_update() == Order::Close {
            self.leave(now);
        }
    }

    fn leave(&mut self, now: Duration) {
        let drain = self.shared.settings.get_drain_timeout();
        self.feed.leave();
        self.leaving.get_or_insert(now + drain);
    }

    /// Looks what is done, and whether that was all.
    fn take_stock(&mut self, now: Duration) {
        if let Some(sequence) = self.book.take_watermark() {
            self.done = Some(sequence);
            self.hold.reach(sequence);
        }
        if self.book.is_dropped() && self.leaving.is_none() {
            self.read_again(now);
        }
        self.meet_barrier();
        if self.closed && self.book.is_empty() && self.rescan.is_none() {
            let children = self.shared.graph().children(&self.shard).cloned().collect();
            self.hold.finish(children);
        } else if let Some(until) = self.leaving
            && (now >= until || self.feed.is_quiet(&self.book))
        {
            // Nothing may go on for the shard once another worker can have it.
            self.book.revoke();
            self.feed.abort();
            self.hold.let_go();
        }
    }

    /// Tells a snapshot when nothing of the shard is out, and later when its checkpoint has passed what was read by then.
    fn meet_barrier(&mut self) {
        let junction = &self.shared.junction;
        let barrier = *self.barrier.borrow_and_update();
        self.feed.flush(self.closed || barrier.is_some());
        if let Some(epoch) = barrier
            && self.quiet != Some(epoch)
            && self.read.is_none()
            && self.feed.has_room()
            // Whoever takes records one after the other has these before the snapshot's.
            && (matches!(self.destination, Destination::Channel(_)) || self.book.is_empty())
        {
            let target = match &self.from {
                ReadFrom::After(sequence) => Some(*sequence),
                _ => None,
            };
            self.quiet = Some(epoch);
            self.settling = Some((epoch, target));
            junction.quiet(&self.shard, epoch);
        }
        if let Some((epoch, target)) = &self.settling {
            let settled = match (target, self.hold.stored()) {
                (None, _) | (_, Checkpoint::ShardEnd) => true,
                (Some(target), Checkpoint::After(stored)) => stored >= target,
                (Some(_), _) => false,
            };
            if settled {
                junction.settled(&self.shard, *epoch);
                self.settling = None;
            }
        }
    }

    /// Goes back to where everything is done.
    fn read_again(&mut self, now: Duration) {
        tracing::warn!(shard = %self.shard, "records were dropped unacknowledged: they are read again");
        self.book.revoke();
        self.book = Arc::new(Book::new());
        self.feed = self
            .shared
            .feed(&self.destination, &self.shard, &self.book, &mut self.rng);
        self.from = match &self.done {
            Some(done) => ReadFrom::After(*done),
            None => self.begin.clone(),
        };
        self.iterator = None;
        self.read = None;
        self.closed = false;
        self.poll.pause_until(now + REDELIVERY);
    }
}
