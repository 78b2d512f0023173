//! The task that shares the stream's shards with other workers, and the tasks of its own shards.
//!
//! ```text
//!  look (each tenth of the failover time or sooner, and when a lease lapses) ─▶ take ─▶ a task for each shard
//!  list (at intervals, and when a shard ends) ─▶ make rows for new shards, delete those of old ones
//! ```

mod discovery;
mod listings;
mod making;
mod shard;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::{BoxFuture, OptionFuture};
use futures::{StreamExt as _, stream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::lease::{Begin, Checkpoint, LeaseRow, LookError, Manner, Observed};
use super::listing::{Lister, Listing, ListingError};
use super::shared::{Destination, Order, Shared};
use super::snapshot::{SnapshotEnd, Snapshots};
use super::{ShardId, StreamsError};
use crate::retry::{Decision, ErrorClass, Retries};
use discovery::Discovery;
use making::Making;
use shard::{Begun, Ended, Event, Instruction, ShardTask};
use snapshots::Watch;

/// The most requests of a kind that a worker has under way at once, beside its tasks' renewals.
const AT_ONCE: usize = 16;
/// The most leases that a worker takes in one look, before it handles anything else.
const TAKEN_AT_ONCE: usize = 128;

pub(crate) struct Worker {
    shared: Arc<Shared>,
    destination: Destination,
    rng: fastrand::Rng,
    order: Order,
    failure: Option<StreamsError>,

    /// The lease table as it was last seen.
    observed: Observed,
    next_look: Duration,
    looked: Duration,
    looks: Retries,
    /// The number of workers of another library that the log has a warning of.
    strangers: usize,
    /// Set once the leases that were asked for have been given back.
    leaving: bool,

    discovery: Discovery,
    lister: Option<Lister>,
    listing: Option<BoxFuture<'static, (Lister, Result<Listing, ListingError>)>>,
    lists: Retries,
    /// The service's time when the source was opened, in milliseconds since 1970.
    opened: u64,
    making: Making,
    /// Iterators at LATEST, each obtained just before the row of its shard was made.
    pinned: HashMap<ShardId, String>,

    tasks: JoinSet<(ShardId, Ended)>,
    held: BTreeMap<ShardId, watch::Sender<Instruction>>,
    events: mpsc::UnboundedReceiver<Event>,
    tell: mpsc::UnboundedSender<Event>,

    /// The snapshots, where any may be taken.
    watch: Option<Watch>,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        destination: Destination,
        begin: Begin,
        lister: Lister,
        mut rng: fastrand::Rng,
    ) -> Self {
        let (tell, events) = mpsc::unbounded_channel();
        let mut observed = Observed::default();
        observed.follow(&shared.stream().arn);
        let [lists, looks, makes] = std::array::from_fn(|_| shared.retries(&mut rng));
        Self {
            destination,
            rng,
            order: Order::Run,
            failure: None,
            observed,
            next_look: Duration::ZERO,
            looked: Duration::ZERO,
            looks,
            strangers: 0,
            leaving: false,
            discovery: Discovery::new(begin),
            lister: Some(lister),
            listing: None,
            lists,
            opened: 0,
            making: Making::new(makes),
            pinned: HashMap::new(),
            tasks: JoinSet::new(),
            held: BTreeMap::new(),
            events,
            tell,
            watch: None,
            shared,
        }
    }

    /// Adds snapshots. With `first`, a fresh application begins with one.
    pub(crate) fn with_snapshots(mut self, snapshots: Snapshots, first: bool) -> Self {
        self.watch = Some(Watch::new(snapshots, first));
        self
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn set_destination(&mut self, destination: Destination) {
        self.destination = destination;
    }

    fn saw_all(&mut self, rows: Vec<LeaseRow>) {
        let seen = self.shared.clock.now();
        self.looked = seen;
        self.observed.scanned(rows, seen);
        self.discovery.saw(self.observed.rows());
        let strangers = self.observed.strangers();
        if strangers.len() > self.strangers {
            self.strangers = strangers.len();
            let table = self.shared.leases.name();
            tracing::warn!(
                table,
                ?strangers,
                "workers of the Kinesis Client Library live beside this one: stop them first, or shards may be read twice"
            );
        }
    }

    /// Runs until an order to close, or an error that ends the source.
    pub(crate) async fn run(self, orders: watch::Receiver<Order>) -> Result<(), StreamsError> {
        let troubles = Arc::clone(&self.shared.troubles);
        let ended = self.work(orders).await;
        if let Err(error) = &ended {
            troubles.ended(error);
        }
        ended
    }

    async fn work(mut self, mut orders: watch::Receiver<Order>) -> Result<(), StreamsError> {
        let clock = self.shared.clock;
        loop {
            self.order = if self.failure.is_some() {
                Order::Close
            } else {
                *orders.borrow_and_update()
            };
            let order = if self.stands_back() {
                Order::Close
            } else {
                self.order
            };
            self.instruct(order);
            if order == Order::Close && !std::mem::replace(&mut self.leaving, true) {
                // Leases must not be handed over to a worker that reads no more.
                let rng = self.rng.fork();
                renounce(&self.shared, rng, |row| row.checkpoint_owner.is_some()).await;
            }
            self.leaving &= order == Order::Close;
            self.tell_snapshot();
            if self.order == Order::Close && self.tasks.is_empty() && !self.takes_snapshot() {
                renounce(&self.shared, self.rng.fork(), |_| true).await;
                return self.failure.map_or(Ok(()), Err);
            }
            if self.is_over()
                && let Err(error) = self.follow_stream().await
            {
                self.fail(error);
                continue;
            }
            let now = clock.now();
            let runs = self.order == Order::Run;
            if runs && self.making.due().is_some_and(|due| due <= now) {
                if let Err(error) = self.make().await {
                    self.fail(error);
                }
                continue;
            }
            let lists = runs && self.listing.is_none() && self.making.due().is_none();
            if lists && self.discovery.next() <= now {
                self.listing = self.lister.take().map(|mut lister| {
                    let listing = async move {
                        let listed = lister.list().await;
                        (lister, listed)
                    };
                    Box::pin(listing) as BoxFuture<'static, _>
                });
            }
            let mut wake = self.next_look;
            if runs && self.listing.is_none() {
                wake = wake.min(self.making.due().unwrap_or_else(|| self.discovery.next()));
            }
            tokio::select! {
                Some(joined) = self.tasks.join_next() => match joined {
                    Ok((shard, ended)) => self.ended(&shard, ended),
                    Err(error) if error.is_panic() => self.fail(StreamsError::Panicked),
                    Err(_) => {}
                },
                Some(event) = self.events.recv() => match event {
                    Event::Closed(shard) => self.discovery.closed(&shard, clock.now()),
                    Event::Rescan(noted) => match self.rescan().await {
                        // The task that asked may be gone.
                        Ok(()) => drop(noted.send(())),
                        Err(error) => self.fail(error),
                    },
                },
                Some(joined) = next_snapshot(&mut self.watch) => match joined {
                    Ok(end) => self.snapshot_ended(end),
                    Err(error) if error.is_panic() => self.fail(StreamsError::Panicked),
                    Err(_) => self.next_look = clock.now(),
                },
                changed = orders.changed() => if changed.is_err() {
                    // The source was dropped. The shards' tasks are dropped with this one.
                    return Ok(());
                },
                Some((lister, listed)) = OptionFuture::from(self.listing.as_mut()) => {
                    self.listing = None;
                    self.lister = Some(lister);
                    let done = match listed {
                        Ok(listing) => self.discover(&listing).await.map(drop),
                        Err(error) => {
                            let pause = self.listing_failed(error);
                            pause.map(|pause| self.discovery.list_at(clock.now() + pause))
                        }
                    };
                    if let Err(error) = done {
                        self.fail(error);
                    }
                },
                () = clock.until(wake) => {
                    if self.next_look <= clock.now() && let Err(error) = self.look().await {
                        self.fail(error);
                    }
                }
            }
        }
    }

    /// Sends the tasks of shards their instructions.
    fn instruct(&self, order: Order) {
        let me = self.shared.leases.me();
        for (shard, held) in &self.held {
            let row = self.observed.row(shard);
            let asked_for = row.is_some_and(|row| {
                row.checkpoint_owner.as_deref() == Some(me) && row.owner.as_deref() != Some(me)
            });
            let instruction = Instruction { order, asked_for };
            held.send_if_modified(|known| std::mem::replace(known, instruction) != instruction);
        }
    }

    fn fail(&mut self, error: StreamsError) {
        self.failure.get_or_insert(error);
    }

    /// Returns whether the stream was switched off and nothing of it is left.
    fn is_over(&self) -> bool {
        let rows = self.observed.rows();
        let mut of_stream = rows.values().filter(|row| self.observed.is_of_stream(row));
        self.discovery.is_disabled()
            && self.order == Order::Run
            && !self.is_snapshot_due()
            && self.tasks.is_empty()
            && !self.discovery.is_childless()
            && self.making.due().is_none()
            && of_stream.all(LeaseRow::is_finished)
            && self.discovery.missing(rows).is_all
    }

    /// Reads the lease table and takes this worker's part of the leases.
    async fn look(&mut self) -> Result<(), StreamsError> {
        let shared = Arc::clone(&self.shared);
        let (clock, failover) = (shared.clock, shared.settings.get_failover());
        // Also on errors: a worker that has failed keeps this pace while its other tasks finish.
        self.next_look = clock.now() + failover / 10;
        shared.troubles.advance();
        let rows = match shared.leases.scan().await {
            Ok(rows) => rows,
            Err(LookError::Service(error)) if error.class() != ErrorClass::Fatal => {
                let pause = self.looks.failed();
                shared.troubles.failed("Scan", None, &error);
                self.next_look = clock.now() + pause.min(failover / 10);
                return Ok(());
            }
            Err(error) => return Err(self.look_error(error)),
        };
        self.looks.succeeded();
        // Leases that could not be taken may be others' by now, which is no failure.
        for operation in ["Scan", "UpdateItem"] {
            shared.troubles.succeeded(operation, None);
        }
        self.saw_all(rows);
        self.look_at_snapshot().await?;
        let more = self.order == Order::Run && self.may_take() && self.take().await?;
        let now = clock.now();
        // A lease that is handed over is not read until this worker sees it: look twice as often.
        let often = if self.observed.is_waiting(shared.leases.me()) {
            20
        } else {
            10
        };
        let next = now + failover / often;
        self.next_look = match self.observed.next_lapse(shared.leases.me(), failover) {
            _ if more => now,
            Some(lapse) if lapse > now => next.min(lapse),
            _ => next,
        };
        Ok(())
    }

    /// Schedules a look at once, but not within a hundredth of the failover time after the last:
    /// many shards may end together, and a look reads the whole table.
    fn look_soon(&mut self, now: Duration) {
        let pause = self.shared.settings.get_failover() / 100;
        self.next_look = self.next_look.min(now.max(self.looked + pause));
    }

    /// Takes leases, and returns whether there are more to take.
    async fn take(&mut self) -> Result<bool, StreamsError> {
        let shared = Arc::clone(&self.shared);
        let held: BTreeSet<ShardId> = self.held.keys().cloned().collect();
        let mut takes = self.observed.plan(
            shared.leases.me(),
            &held,
            self.discovery.lineage(),
            shared.clock.now(),
            shared.settings.get_failover(),
            &mut self.rng,
        );
        let more = takes.len() > TAKEN_AT_ONCE;
        takes.truncate(TAKEN_AT_ONCE);
        let leases = shared.leases.clone();
        let clock = shared.clock;
        let mut taking = stream::iter(takes)
            .map(|take| {
                let leases = &leases;
                async move {
                    let sent = clock.now();
                    let taken = leases.take(&take).await;
                    (take, sent, taken)
                }
            })
            .buffer_unordered(AT_ONCE);
        // Each is started as soon as it is taken: only its own task renews the lease.
        while let Some((take, sent, taken)) = taking.next().await {
            match taken {
                Ok(Some(row)) => {
                    shared.troubles.succeeded("UpdateItem", None);
                    self.observed.saw(row.clone(), sent);
                    if take.manner != Manner::HandOver {
                        self.start(row, sent);
                    }
                }
                Ok(None) => {}
                Err(error) if !error.is_retryable() => {
                    return Err(StreamsError::service("UpdateItem", leases.name(), error));
                }
                // If it was applied, the next look shows it. The others would most likely fail too.
                Err(error) => {
                    self.shared.troubles.failed("UpdateItem", None, &error);
                    return Ok(false);
                }
            }
        }
        Ok(more)
    }

    fn start(&mut self, row: LeaseRow, taken: Duration) {
        tracing::info!(shard = %row.shard, checkpoint = row.checkpoint.text(), "reading a shard");
        self.discovery.begins();
        let instruction = Instruction {
            order: self.order,
            asked_for: false,
        };
        let (instruct, instructions) = watch::channel(instruction);
        self.held.insert(row.shard.clone(), instruct);
        self.shared.held.store(self.held.len(), Ordering::Relaxed);
        self.shared.junction.begins(&row.shard);
        let begun = Begun {
            pinned: self.pinned.remove(&row.shard),
            row,
            taken,
            instructions,
            events: self.tell.clone(),
            rng: self.rng.fork(),
        };
        let (shared, destination) = (Arc::clone(&self.shared), self.destination.clone());
        let task = ShardTask::new(shared, destination, begun);
        self.tasks.spawn(task.run());
    }

    fn ended(&mut self, shard: &ShardId, ended: Ended) {
        self.held.remove(shard);
        self.shared.junction.ends(shard);
        self.shared.held.store(self.held.len(), Ordering::Relaxed);
        // Its children may be taken now, and so may a lease that this worker has given up.
        let now = self.shared.clock.now();
        self.look_soon(now);
        match ended {
            Ended::Finished => {
                // The task's own event may still be in the channel.
                self.discovery.closed(shard, now);
                tracing::info!(%shard, "a shard was read to its end");
                if let Some(row) = self.observed.row(shard) {
                    let mut row = row.clone();
                    (row.owner, row.checkpoint) = (None, Checkpoint::ShardEnd);
                    self.observed.saw(row, now);
                }
            }
            Ended::LetGo | Ended::Lost => {}
            Ended::Failed(error) => self.fail(error),
        }
    }

    fn look_error(&self, error: LookError) -> StreamsError {
        let table = self.shared.leases.name();
        match error {
            LookError::Service(error) => StreamsError::service("Scan", table, error),
            LookError::Malformed(row) => StreamsError::malformed_lease(table, row),
        }
    }
}

async fn next_snapshot(
    watch: &mut Option<Watch>,
) -> Option<Result<SnapshotEnd, tokio::task::JoinError>> {
    watch.as_mut()?.tasks.join_next().await
}

/// The number of times that the lease table is scanned for leases to give back.
const RENOUNCE_ATTEMPTS: u32 = 3;

/// Gives back leases that name this worker and that it has not begun: no other worker takes them before they lapse.
async fn renounce(shared: &Shared, rng: fastrand::Rng, which: impl Fn(&LeaseRow) -> bool) {
    let leases = &shared.leases;
    let mut retries = Retries::new(shared.backoff.clone(), rng);
    let decide = |error, failures| {
        if failures < RENOUNCE_ATTEMPTS {
            Decision::Retry
        } else {
            Decision::GiveUp(error)
        }
    };
    let rows = match retries.call(|| leases.scan(), decide).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(%error, "leases that were asked for could not be given back: they lapse");
            return;
        }
    };
    let named = rows
        .into_iter()
        .filter(|row| row.owner.as_deref() == Some(leases.me()) && which(row));
    stream::iter(named)
        .for_each_concurrent(AT_ONCE, |row| async move {
            if let Err(error) = leases.renounce(&row).await {
                tracing::debug!(shard = %row.shard, %error, "a lease could not be given up");
            }
        })
        .await;
}
