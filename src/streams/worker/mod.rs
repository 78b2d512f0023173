//! The task that shares the stream's shards with other workers, and the tasks of the shards it has.
//!
//! ```text
//!  look (each tenth of the failover time, and when a lease lapses) ─▶ take ─▶ a task for each shard
//!  list (at intervals, and when a shard ends) ─▶ make rows for new shards, delete those of old ones
//! ```

mod listings;
mod shard;
mod shared;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::{BoxFuture, OptionFuture};
use futures::{StreamExt as _, stream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::graph::Lineage;
use super::lease::{Begin, Checkpoint, LeaseRow, LookError, Manner, Observed, has_begun};
use super::listing::{Lister, Listing, ListingError};
use super::snapshot::{SnapshotEnd, Snapshots};
use super::{ShardId, StreamsError};
use crate::retry::{ErrorClass, Retries};
pub(crate) use shard::{CLOCKS_APART, Order};
use shard::{Ended, Event, ShardTask};
pub(crate) use shared::{Destination, FilterFn, GapFn, Shared, millis};
use snapshots::Watch;

/// How many requests to the lease table a worker has under way at once, beside the renewals.
const AT_ONCE: usize = 16;
/// How many leases a worker takes in one look, before it looks after anything else again.
const TAKEN_AT_ONCE: usize = 128;
/// How often opening lists a stream that can't be listed, or whose leases can't be made.
const OPENING_ATTEMPTS: u32 = 10;
/// How soon a stream is listed again whose closed shard shows no child yet; doubles up to the discovery interval.
const CHILD_WAIT: Duration = Duration::from_millis(250);

pub(crate) struct Worker {
    shared: Arc<Shared>,
    destination: Destination,
    begin: Begin,
    observed: Observed,
    rng: fastrand::Rng,
    /// Iterators at LATEST, from when the rows of their shards were made.
    pinned: HashMap<ShardId, String>,

    tasks: JoinSet<(ShardId, Ended)>,
    held: BTreeMap<ShardId, watch::Sender<Order>>,
    events: mpsc::UnboundedReceiver<Event>,
    tell: mpsc::UnboundedSender<Event>,
    order: Order,

    lineage: Lineage,
    /// Whether any lease of the application has ever been taken.
    begun: bool,
    lister: Option<Lister>,
    listing: Option<BoxFuture<'static, (Lister, Result<Listing, ListingError>)>>,
    next_list: Duration,
    lists: Retries,
    /// Closed shards whose children have not been listed yet.
    childless: BTreeSet<ShardId>,
    child_wait: Duration,
    disabled: bool,
    /// Whether what has been read belongs to this stream, and how many listings have shown nothing of it.
    compared: bool,
    strange: u32,

    next_look: Duration,
    looked: Duration,
    looks: Retries,
    failure: Option<StreamsError>,

    /// Snapshots, where there may be any.
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
        let (lists, looks) = (shared.retries(&mut rng), shared.retries(&mut rng));
        Self {
            shared,
            destination,
            begin,
            observed: Observed::default(),
            rng,
            pinned: HashMap::new(),
            tasks: JoinSet::new(),
            held: BTreeMap::new(),
            events,
            tell,
            order: Order::Run,
            lineage: Lineage::default(),
            begun: false,
            lister: Some(lister),
            listing: None,
            next_list: Duration::ZERO,
            lists,
            childless: BTreeSet::new(),
            child_wait: CHILD_WAIT,
            disabled: false,
            compared: false,
            strange: 0,
            next_look: Duration::ZERO,
            looked: Duration::ZERO,
            looks,
            failure: None,
            watch: None,
        }
    }

    /// Snapshots may have to be taken; `first`: a fresh application begins with one.
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

    /// Makes sure that every shard has its row, so that from here on nothing is missed.
    pub(crate) async fn prepare(&mut self) -> Result<(), StreamsError> {
        while let Some(mut lister) = self.lister.take() {
            let listed = lister.list().await;
            self.lister = Some(lister);
            match listed {
                Ok(listing) => {
                    // After the listing, so that rows which another worker makes meanwhile are seen.
                    match self.shared.leases.scan().await {
                        Ok(rows) => self.saw_all(rows),
                        Err(LookError::Service(error))
                            if error.is_retryable() && self.lists.failures() < OPENING_ATTEMPTS =>
                        {
                            tokio::time::sleep(self.lists.failed()).await;
                            continue;
                        }
                        Err(error) => return Err(self.look_error(error)),
                    }
                    self.note_snapshot().await?;
                    if self.listed(listing).await? {
                        break;
                    }
                    // Most often it is only to be listed again, to be believed: at once.
                    self.lists.count_failure();
                    if self.lists.failures() >= OPENING_ATTEMPTS * 3 {
                        return Err(StreamsError::InconsistentShards {
                            table: self.shared.table.clone(),
                            problem: "not every shard could be given a lease".to_owned(),
                        });
                    }
                }
                Err(error) => {
                    let pause = self.listing_failed(&error)?;
                    if self.lists.failures() >= OPENING_ATTEMPTS {
                        return Err(self.unlisted(error));
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
        self.lists.succeeded();
        Ok(())
    }

    fn saw_all(&mut self, rows: Vec<LeaseRow>) {
        let seen = self.shared.clock.now();
        self.looked = seen;
        self.observed.scanned(rows, seen);
        self.begun |= has_begun(self.observed.rows());
    }

    /// Works until it is told to close, or can't go on.
    pub(crate) async fn run(
        mut self,
        mut orders: watch::Receiver<Order>,
    ) -> Result<(), StreamsError> {
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
            for held in self.held.values() {
                held.send_if_modified(|known| std::mem::replace(known, order) != order);
            }
            self.tell_snapshot();
            if self.order == Order::Close && self.tasks.is_empty() && !self.takes_snapshot() {
                renounce_named(Arc::clone(&self.shared)).await;
                return self.failure.map_or(Ok(()), Err);
            }
            if self.is_over() {
                return Err(StreamsError::StreamDisabled {
                    table: self.shared.table.clone(),
                });
            }
            let now = clock.now();
            if self.listing.is_none() && self.next_list <= now && self.order == Order::Run {
                self.listing = self.lister.take().map(|mut lister| {
                    let listing = async move {
                        let listed = lister.list().await;
                        (lister, listed)
                    };
                    Box::pin(listing) as BoxFuture<'static, _>
                });
            }
            let mut wake = self.next_look;
            if self.listing.is_none() && self.order == Order::Run {
                wake = wake.min(self.next_list);
            }
            tokio::select! {
                Some(joined) = self.tasks.join_next() => match joined {
                    Ok((shard, ended)) => self.ended(&shard, ended),
                    Err(error) if error.is_panic() => self.fail(StreamsError::Panicked),
                    Err(_) => {}
                },
                Some(event) = self.events.recv() => match event {
                    Event::Closed(shard) => {
                        self.childless.insert(shard);
                        self.child_wait = CHILD_WAIT;
                        self.next_list = clock.now();
                    }
                    Event::Rescan(noted) => match self.rescan().await {
                        // Whoever asked may be gone.
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
                    // The source was dropped: so are the shards' tasks, with this one.
                    return Ok(());
                },
                Some((lister, listed)) = OptionFuture::from(self.listing.as_mut()) => {
                    self.listing = None;
                    self.lister = Some(lister);
                    let done = match listed {
                        Ok(listing) => self.listed(listing).await.map(|_| ()),
                        Err(error) => {
                            let pause = self.listing_failed(&error);
                            pause.map(|pause| self.next_list = clock.now() + pause)
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

    fn fail(&mut self, error: StreamsError) {
        self.failure.get_or_insert(error);
    }

    /// Whether the stream was switched off and nothing of it is left.
    fn is_over(&self) -> bool {
        let rows = self.observed.rows();
        self.disabled
            && self.order == Order::Run
            && !self.is_snapshot_due()
            && self.tasks.is_empty()
            && self.childless.is_empty()
            && rows.values().all(LeaseRow::is_finished)
    }

    /// Looks at the lease table and takes what is this worker's part.
    async fn look(&mut self) -> Result<(), StreamsError> {
        let shared = Arc::clone(&self.shared);
        let (clock, failover) = (shared.clock, shared.settings.get_failover());
        // However this ends: a worker that fails looks on at this pace while others of its tasks finish.
        self.next_look = clock.now() + failover / 10;
        let rows = match shared.leases.scan().await {
            Ok(rows) => rows,
            Err(LookError::Service(error)) if error.class() != ErrorClass::Fatal => {
                let pause = self.looks.failed();
                tracing::debug!(%error, "the lease table could not be read");
                self.next_look = clock.now() + pause.min(failover / 10);
                return Ok(());
            }
            Err(error) => return Err(self.look_error(error)),
        };
        self.looks.succeeded();
        self.saw_all(rows);
        self.look_at_snapshot().await?;
        let more = self.order == Order::Run && self.may_take() && self.take().await?;
        let now = clock.now();
        let next = now + failover / 10;
        self.next_look = match self.observed.next_lapse(shared.leases.me(), failover) {
            _ if more => now,
            Some(lapse) if lapse > now => next.min(lapse),
            _ => next,
        };
        Ok(())
    }

    /// Looks at once, but not for each of many shards that end together: a look reads the whole table.
    fn look_soon(&mut self, now: Duration) {
        let pause = self.shared.settings.get_failover() / 100;
        self.next_look = self.next_look.min(now.max(self.looked + pause));
    }

    /// Whether there is more to take.
    async fn take(&mut self) -> Result<bool, StreamsError> {
        let shared = Arc::clone(&self.shared);
        let held: BTreeSet<ShardId> = self.held.keys().cloned().collect();
        let mut takes = self.observed.plan(
            shared.leases.me(),
            &held,
            self.lineage.graph(),
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
        // Each is started as soon as it is taken: a lease lapses that nobody renews.
        while let Some((take, sent, taken)) = taking.next().await {
            match taken {
                Ok(Some(row)) => {
                    self.observed.saw(row.clone(), sent);
                    if take.manner != Manner::HandOver {
                        self.start(&row, sent);
                    }
                }
                Ok(None) => {}
                Err(error) if !error.is_retryable() => {
                    return Err(StreamsError::service("UpdateItem", leases.name(), error));
                }
                // Where it was applied after all, the next look shows it. There is little sense in trying the others now.
                Err(error) => {
                    tracing::debug!(shard = %take.row.shard, %error, "a lease could not be taken");
                    return Ok(false);
                }
            }
        }
        Ok(more)
    }

    fn start(&mut self, row: &LeaseRow, taken: Duration) {
        tracing::info!(shard = %row.shard, checkpoint = row.checkpoint.text(), "reading a shard");
        let (orders, obey) = watch::channel(self.order);
        let task = ShardTask::new(
            Arc::clone(&self.shared),
            self.destination.clone(),
            row,
            taken,
            self.pinned.remove(&row.shard),
            obey,
            self.tell.clone(),
            self.rng.fork(),
        );
        self.held.insert(row.shard.clone(), orders);
        self.shared.held.store(self.held.len(), Ordering::Relaxed);
        self.shared.junction.begins(&row.shard);
        self.tasks.spawn(task.run());
    }

    fn ended(&mut self, shard: &ShardId, ended: Ended) {
        self.held.remove(shard);
        self.shared.junction.ends(shard);
        if matches!(ended, Ended::Finished) && self.shared.graph().is_leaf(shard) {
            // As the task has said too, but perhaps not been heard yet.
            self.childless.insert(shard.clone());
        }
        self.shared.held.store(self.held.len(), Ordering::Relaxed);
        // Its children may be taken now, and whatever this worker has no longer.
        let now = self.shared.clock.now();
        self.look_soon(now);
        match ended {
            Ended::Finished => {
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

/// Renounces leases that name this worker and that it has not begun: no other worker would take them before they lapse.
async fn renounce_named(shared: Arc<Shared>) {
    let leases = &shared.leases;
    let Ok(rows) = leases.scan().await else {
        return;
    };
    let named = rows
        .into_iter()
        .filter(|row| row.owner.as_deref() == Some(leases.me()));
    stream::iter(named)
        .for_each_concurrent(AT_ONCE, |row| async move {
            if let Err(error) = leases.renounce(&row).await {
                tracing::debug!(shard = %row.shard, %error, "a lease could not be given up");
            }
        })
        .await;
}
