//! The task that takes a snapshot, while it has the snapshot's lease.
//!
//! **A circle.** `scanning` and `writing` are parts of [`SnapshotTask`], in files of their own with
//! the state that only they change.

mod scanning;
mod writing;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{BoxFuture, OptionFuture};
use tokio::sync::watch;

use super::Snapshots;
use super::coordinator::Epoch;
use super::merge::{Cursor, Ripe};
use super::store::SnapshotTable;
use crate::progress::Acknowledge as _;
use crate::streams::StreamsError;
use crate::streams::dispatcher::{Destination, DispatcherEvent, Handout};
use crate::streams::events::Progress;
use crate::streams::lease::{HeldLease, LeaseRow};
use crate::streams::record::Record;
use crate::streams::shared::{Order, Shared};
use scanning::Scans;
use writing::{Saves, WriteEnd};

/// The delay before records that were dropped unacknowledged are scanned again.
const REDELIVERY: Duration = Duration::from_secs(1);

/// The end of a snapshot task.
#[derive(Debug)]
pub(crate) enum SnapshotEnd {
    /// Every item has been given, and the lease's row shows it.
    Finished,
    /// The lease was given up.
    LetGo,
    /// Another worker has the lease, or may have it, or another snapshot is wanted.
    Lost,
    Failed(StreamsError),
}

/// The stage of the pages that may be handed out.
enum Phase {
    /// The pages are on hold.
    Gathering,
    /// The pages wait until no shard has anything out.
    Quieting(Epoch),
    /// The pages are being handed out and handled.
    Giving(Epoch, VecDeque<Ripe<Record>>),
}

/// A page that was handed out.
struct Out {
    segment: usize,
    cursor: Cursor,
    /// The number after that of its last record.
    end: u64,
    epoch: Epoch,
}

pub(crate) struct SnapshotTask {
    shared: Arc<Shared>,
    snapshots: Arc<Snapshots>,
    lease: HeldLease,
    orders: watch::Receiver<Order>,
    handout: Handout,
    scans: Scans,
    saves: Saves,
    phase: Phase,
    out: VecDeque<Out>,
    /// The write of the lease that is under way.
    write: Option<BoxFuture<'static, WriteEnd>>,
    /// The time until which records that are out are waited for, where the lease is to be given up.
    leaving: Option<Duration>,
}

impl Drop for SnapshotTask {
    fn drop(&mut self) {
        // Shards are released however the task ended.
        self.shared.coordinator.deactivate();
        self.handout.acks.revoke();
    }
}

/// Takes a snapshot until its lease is given up or lost. `row` is the lease as it is after a write
/// sent at `taken`.
pub(crate) async fn take_snapshot(
    shared: Arc<Shared>,
    snapshots: Arc<Snapshots>,
    destination: Destination,
    row: LeaseRow,
    taken: Duration,
    orders: watch::Receiver<Order>,
    mut rng: fastrand::Rng,
) -> SnapshotEnd {
    let settings = shared.settings.get_snapshot();
    let stored = match snapshots.table.load(settings.get_segments()).await {
        Ok(stored) => stored,
        Err(error) if error.is_fatal() => {
            let target = snapshots.table.leases.name();
            return SnapshotEnd::Failed(StreamsError::service("GetItem", target, error));
        }
        // A worker takes the snapshot again when this lease has lapsed.
        Err(error) => {
            let shard = SnapshotTable::shard();
            shared.failure_log.failed("GetItem", Some(&shard), &error);
            return SnapshotEnd::Lost;
        }
    };
    let (failover, interval) = (
        shared.settings.get_failover(),
        shared.settings.get_checkpoint_interval(),
    );
    let lease = HeldLease::new(shared.leases.me(), &row, taken, failover, interval);
    let shard = SnapshotTable::shard();
    let valid_until = lease.valid_until();
    let handout = Handout::new(&shared, destination, &shard, valid_until, rng.fork());
    shared.failure_log.succeeded("GetItem", Some(&shard));
    shared.coordinator.activate();
    let mut task = SnapshotTask {
        lease,
        orders,
        handout,
        scans: Scans::new(settings.get_read_units(), shared.retries(&mut rng)),
        saves: Saves::new(stored),
        phase: Phase::Gathering,
        out: VecDeque::new(),
        write: None,
        leaving: None,
        snapshots,
        shared,
    };
    task.begin(Duration::ZERO);
    match task.work().await {
        Ok(end) => end,
        Err(error) => SnapshotEnd::Failed(error),
    }
}

impl SnapshotTask {
    /// Restarts the scan from the positions up to which everything is done.
    fn begin(&mut self, not_before: Duration) {
        self.scans.begin(&self.saves.stored.segments, not_before);
        self.shared.coordinator.forget();
        self.out.clear();
    }

    async fn work(&mut self) -> Result<SnapshotEnd, StreamsError> {
        let shared = Arc::clone(&self.shared);
        let (clock, coordinator) = (shared.clock, &shared.coordinator);
        loop {
            let now = clock.now();
            if now >= self.lease.valid_until() {
                return Ok(SnapshotEnd::Lost);
            }
            let order = *self.orders.borrow_and_update();
            if order.closes() {
                let drain = match order {
                    Order::CloseNow => Duration::ZERO,
                    _ => shared.settings.get_drain_timeout(),
                };
                let until = self.leaving.get_or_insert(now + drain);
                *until = (*until).min(now + drain);
            }
            if self.handout.acks.is_dropped() {
                self.give_again(now);
            }
            self.advance(now)?;
            self.take_stock(now);
            if self.leaving.is_none() {
                self.handout.dispatcher.start(now)?;
            }
            if self.write.is_none() && self.lease.due() <= now {
                self.start_write(now);
            }
            if self.saves.under_way.is_none() && self.saves.is_due && self.save_due() <= now {
                self.start_save(now);
            }
            self.start_scans(now);

            let wake = self.wake(now);
            let (waits, below) = (!self.handout.acks.is_empty(), self.handout.acks.bytes());
            tokio::select! {
                Some(end) = self.scans.under_way.next(), if !self.scans.under_way.is_empty() => self.scanned(end)?,
                Some(end) = OptionFuture::from(self.write.as_mut()) => {
                    self.write = None;
                    if let Some(end) = self.written(end)? {
                        return Ok(end);
                    }
                }
                Some(saved) = OptionFuture::from(self.saves.under_way.as_mut()) => {
                    if let Some(end) = self.saved(saved) {
                        return Ok(end);
                    }
                }
                event = self.handout.dispatcher.event() => match event {
                    DispatcherEvent::Moved => {}
                    DispatcherEvent::Closed => self.lease.let_go(),
                    DispatcherEvent::Failed(error) => return Err(error),
                },
                () = self.handout.acks.room(below), if waits => {}
                () = coordinator.changed() => {}
                changed = self.orders.changed() => if changed.is_err() {
                    return Ok(SnapshotEnd::Lost);
                },
                () = clock.until(wake) => {}
            }
        }
    }

    /// Returns when there is something to do, if no event comes before.
    fn wake(&self, now: Duration) -> Duration {
        let mut wake = self.lease.valid_until();
        if self.write.is_none() {
            wake = wake.min(self.lease.due());
        }
        if self.saves.under_way.is_none() && self.saves.is_due {
            wake = wake.min(self.save_due());
        }
        if let Some(due) = self.scan_due() {
            wake = wake.min(due);
        }
        match self.leaving {
            Some(until) if until > now => wake.min(until),
            Some(_) => wake,
            None => {
                let due = self.handout.dispatcher.due();
                due.map_or(wake, |due| wake.min(due))
            }
        }
    }

    /// Moves from one phase to the next, where that is possible.
    ///
    /// # Errors
    ///
    /// If the user's filter panicked.
    fn advance(&mut self, now: Duration) -> Result<(), StreamsError> {
        let settling = self.shared.settings.get_snapshot().get_settling();
        let coordinator = &self.shared.coordinator;
        if matches!(self.phase, Phase::Gathering)
            && self.leaving.is_none()
            && (coordinator.is_ripe(settling)
                || self
                    .out
                    .front()
                    .is_some_and(|page| coordinator.is_unmet(page.epoch)))
        {
            self.phase = Phase::Quieting(coordinator.raise());
        }
        if let Phase::Quieting(epoch) = self.phase {
            if self.leaving.is_some() {
                coordinator.lower();
                self.phase = Phase::Gathering;
            } else if let Some(pages) = coordinator.release(epoch, settling) {
                self.phase = Phase::Giving(epoch, pages.into());
            }
        }
        if let Phase::Giving(epoch, pages) = &mut self.phase {
            while self.handout.dispatcher.has_room()
                && let Some(page) = pages.pop_front()
            {
                let no_numbers = std::iter::repeat_n(None, page.items.len());
                let first = self.handout.acks.push_page(no_numbers, page.bytes);
                let end = first + page.items.len() as u64;
                self.out.push_back(Out {
                    segment: page.segment,
                    cursor: page.cursor,
                    end,
                    epoch: *epoch,
                });
                let mut wanted = Vec::with_capacity(page.items.len());
                for (record, number) in page.items.into_iter().zip(first..) {
                    if self.shared.accepts(&record)? {
                        wanted.push((Ok(record), number));
                    } else {
                        self.handout.acks.done(number);
                    }
                }
                self.handout
                    .dispatcher
                    .push(&self.handout.acks, wanted, Progress::default(), now);
            }
            // A channel delivers these records before those that the shards give next. Handlers of
            // shards run concurrently, so the shards wait until these records are done.
            let given = pages.is_empty()
                && if self.handout.is_in_turn() {
                    self.handout.dispatcher.has_room()
                } else {
                    self.handout.acks.is_empty()
                };
            self.handout.dispatcher.flush(true);
            if given {
                coordinator.lower();
                self.phase = Phase::Gathering;
            }
        }
        Ok(())
    }

    /// Advances the positions past pages that are done. Finishes or gives up the lease where due.
    fn take_stock(&mut self, now: Duration) {
        let coordinator = &self.shared.coordinator;
        while let Some(page) = self.out.front()
            && self.handout.acks.is_done_up_to(page.end)
            && coordinator.is_settled(page.epoch)
            && let Some(page) = self.out.pop_front()
        {
            if page.cursor == Cursor::End {
                self.shared.counters.snapshot_segment();
            }
            self.saves.reach(page.segment, page.cursor);
        }
        if self.is_complete() && self.saves.are_stored() {
            self.lease.finish(std::collections::BTreeSet::new());
        } else if let Some(until) = self.leaving
            && (now >= until || self.handout.dispatcher.is_quiet(&self.handout.acks))
            && (now >= until || self.saves.are_stored())
        {
            self.lease.let_go();
        }
    }

    /// Scans again the records that were dropped unacknowledged, and all after them.
    fn give_again(&mut self, now: Duration) {
        tracing::warn!("records of the snapshot were dropped unacknowledged: they are read again");
        let valid_until = self.lease.valid_until();
        self.handout.restart(&self.shared, valid_until);
        self.shared.coordinator.lower();
        self.phase = Phase::Gathering;
        self.begin(now + REDELIVERY);
    }

    /// Returns whether every item has been given and is done.
    fn is_complete(&self) -> bool {
        let mut segments = self.saves.stored.segments.iter();
        segments.all(|cursor| *cursor == Cursor::End)
    }
}
