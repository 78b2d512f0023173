//! The task that shares the stream's shards with other workers, and the tasks of its own shards.
//!
//! ```text
//!  look (each tenth of the failover time or sooner, and when a lease lapses) ─▶ take ─▶ a task for each shard
//!  list (at intervals, and when a shard ends) ─▶ make rows for new shards, delete those of old ones
//! ```

mod discovery;
mod listings;
mod look;
mod making;
mod shard;
mod snapshots;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::{BoxFuture, OptionFuture};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::dispatcher::Destination;
use super::lease::{Begin, Checkpoint, LeaseRow, Observed};
use super::listing::{Lister, Listing, ListingError};
use super::shared::{Order, Shared};
use super::snapshot::{SnapshotEnd, SnapshotTable, Snapshots};
use super::{ShardId, StreamsError};
use crate::retry::Retries;
use discovery::Discovery;
use look::renounce;
use making::Making;
use shard::{Begun, Ended, Event, Instruction, ShardTask};
use snapshots::Watch;

/// The most requests of a kind that a worker has under way at once, beside its tasks' renewals.
const AT_ONCE: usize = 16;
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

    /// Runs until an order to close, or an error that ends the source.
    pub(crate) async fn run(self, orders: watch::Receiver<Order>) -> Result<(), StreamsError> {
        let failure_log = Arc::clone(&self.shared.failure_log);
        let ended = self.work(orders).await;
        if let Err(error) = &ended {
            failure_log.ended(error);
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
            if order.closes() && !std::mem::replace(&mut self.leaving, true) {
                // Leases must not be handed over to a worker that reads no more.
                let rng = self.rng.fork();
                renounce(&self.shared, rng, |row| row.checkpoint_owner.is_some()).await;
            }
            self.leaving &= order.closes();
            self.tell_snapshot();
            if self.order.closes() && self.tasks.is_empty() && !self.takes_snapshot() {
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
                    Event::Reopened(shard) => self.discovery.reopened(&shard),
                    Event::Rescan(noted) => match self.rescan().await {
                        // The task that asked may be gone.
                        Ok(()) => drop(noted.send(())),
                        Err(error) => self.fail(error),
                    },
                },
                Some(joined) = next_snapshot(&mut self.watch) => match joined {
                    Ok(end) => self.snapshot_ended(end),
                    Err(error) if error.is_panic() => self.fail(StreamsError::Panicked),
                    Err(_) => {
                        self.shared.failure_log.forget(&SnapshotTable::shard());
                        self.next_look = clock.now();
                    }
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
        self.shared.coordinator.begins(&row.shard);
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
        self.shared.coordinator.ends(shard);
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
}

async fn next_snapshot(
    watch: &mut Option<Watch>,
) -> Option<Result<SnapshotEnd, tokio::task::JoinError>> {
    watch.as_mut()?.tasks.join_next().await
}
