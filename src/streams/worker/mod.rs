//! The task that shares the stream's shards with other workers, and the tasks of its own shards.
//!
//! ```text
//!  look (each tenth of the failover time or sooner, and when a lease lapses) ─▶ take ─▶ a task for each shard
//!  list (at intervals, when a shard ends or a row is gone) ─▶ make rows for new shards, delete those of old ones
//! ```
//!
//! **A circle.** `following`, `listings`, `look`, `making`, `rescans` and `snapshots` are parts of
//! the [`Worker`], in files of their own.

mod course;
mod discovery;
mod following;
mod listings;
mod look;
mod making;
mod rescans;
mod shard;
mod snapshots;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::dispatcher::Destination;
use super::lease::{Begin, Checkpoint, LeaseRow};
use super::listing::Lister;
use super::shared::{Order, Shared};
use super::snapshot::{SnapshotEnd, SnapshotTable, Snapshots};
use super::{ShardId, StreamsError};
use course::Course;
use discovery::Discovery;
use following::Following;
use listings::Listings;
use look::{Looks, renounce};
use making::Making;
use rescans::Rescans;
use shard::{Begun, Ended, Event, Instruction, ShardTask};
use snapshots::Watch;
use tasks::{ShardTasks, TaskNews};

/// The most requests of a kind that a worker has under way at once, beside its tasks' renewals.
const AT_ONCE: usize = 16;

pub(crate) struct Worker {
    shared: Arc<Shared>,
    destination: Destination,
    rng: fastrand::Rng,
    course: Course,
    looks: Looks,
    discovery: Discovery,
    listings: Listings,
    making: Making,
    following: Following,
    rescans: Rescans,
    tasks: ShardTasks,
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
        let [lists, looks, makes] = std::array::from_fn(|_| shared.retries(&mut rng));
        Self {
            destination,
            course: Course::new(),
            following: Following::new(lists.clone()),
            listings: Listings::new(lister, lists),
            rescans: Rescans::new(makes.clone()),
            looks: Looks::new(&shared.stream().arn, looks),
            discovery: Discovery::new(begin),
            making: Making::new(makes),
            tasks: ShardTasks::new(),
            watch: None,
            rng,
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
            self.course.follow(*orders.borrow_and_update());
            self.pass_orders_on().await;
            if self.course.order().closes() && self.tasks.is_empty() && !self.takes_snapshot() {
                let (me, now) = (self.shared.leases.me(), clock.now());
                let rng = self.rng.fork();
                let tasks = &self.tasks;
                renounce(&self.shared, rng, |row| {
                    row.owner.as_deref() == Some(me) || tasks.may_hand_on(row, me, now)
                })
                .await;
                return self.course.end();
            }
            if self.course.runs() && self.making.due().is_some_and(|due| due <= clock.now()) {
                let made = self.make().await;
                self.course.note(made);
                continue;
            }
            let wake = self.start_requests(clock.now());
            tokio::select! {
                news = self.tasks.news() => self.note_news(news),
                Some(joined) = next_snapshot(&mut self.watch) => match joined {
                    Ok(end) => self.snapshot_ended(end),
                    Err(error) if error.is_panic() => self.course.fail(StreamsError::Panicked),
                    Err(_) => {
                        self.shared.failure_log.forget(&SnapshotTable::shard());
                        self.looks.next = clock.now();
                    }
                },
                Some(requested) = self.rescans.next() => {
                    let done = self.rescan_requested(requested);
                    self.course.note(done);
                }
                Some(described) = self.following.next() => {
                    let done = self.described(described);
                    self.course.note(done);
                }
                Some(listed) = self.listings.next() => {
                    let done = match listed {
                        Ok(listing) => self.discover(&listing).await.map(drop),
                        Err(error) => self.listing_failed(error).map(|pause| {
                            self.discovery.list_at(clock.now() + pause);
                        }),
                    };
                    self.course.note(done);
                }
                changed = orders.changed() => if changed.is_err() {
                    // The source was dropped. The shards' tasks are dropped with this one.
                    return Ok(());
                },
                () = clock.until(wake) => {
                    if self.looks.next <= clock.now() {
                        let looked = self.look().await;
                        self.course.note(looked);
                    }
                }
            }
        }
    }

    /// Passes the order on to the tasks of shards and of a snapshot.
    async fn pass_orders_on(&mut self) {
        let order = if self.stands_back() {
            Order::Close
        } else {
            self.course.order()
        };
        self.instruct(order);
        if self.course.leaves(order.closes()) {
            // Leases must not be handed over to a worker that reads no more.
            let rng = self.rng.fork();
            let me = self.shared.leases.me();
            renounce(&self.shared, rng, |row| {
                row.owner.as_deref() == Some(me) && row.checkpoint_owner.is_some()
            })
            .await;
        }
        self.tell_snapshot();
    }

    /// Starts the requests that are due. Returns when there is something to do, if no event comes
    /// before.
    fn start_requests(&mut self, now: Duration) -> Duration {
        let mut wake = self.looks.next;
        self.start_rescan(now);
        wake = self.rescans.due().map_or(wake, |due| wake.min(due));
        if !self.course.runs() {
            return wake;
        }
        if self.is_over()
            && let Some(due) = self.following.due()
        {
            if due <= now {
                self.following.start(&self.shared);
            } else {
                wake = wake.min(due);
            }
        }
        if self.listings.are_idle() {
            if !self.making.is_complete() {
                wake = self.making.due().map_or(wake, |due| wake.min(due));
            } else if self.discovery.next() <= now {
                self.listings.start();
            } else {
                wake = wake.min(self.discovery.next());
            }
        }
        wake
    }

    /// Sends the tasks of shards their instructions.
    fn instruct(&self, order: Order) {
        let me = self.shared.leases.me();
        let observed = &self.looks.observed;
        self.tasks.instruct(|shard| {
            let row = observed.row(shard);
            let asked_for = row.is_some_and(|row| {
                row.checkpoint_owner.as_deref() == Some(me) && row.owner.as_deref() != Some(me)
            });
            Instruction {
                order,
                asked_for,
                is_deleted: row.is_none(),
            }
        });
    }

    fn start(&mut self, row: LeaseRow, taken: Duration) {
        tracing::info!(shard = %row.shard, checkpoint = row.checkpoint.text(), "reading a shard");
        self.discovery.begins();
        let instruction = Instruction {
            order: self.course.order(),
            asked_for: false,
            is_deleted: false,
        };
        let instructions = self.tasks.hold(&row.shard, instruction);
        self.note_held();
        self.shared.coordinator.begins(&row.shard);
        let begun = Begun {
            pinned: self.making.take_pinned(&row.shard),
            row,
            taken,
            instructions,
            events: self.tasks.sender(),
            rng: self.rng.fork(),
        };
        let (shared, destination) = (Arc::clone(&self.shared), self.destination.clone());
        self.tasks.run(ShardTask::new(shared, destination, begun));
    }

    fn note_lost(&mut self, shard: &ShardId, now: Duration) {
        let failover = self.shared.settings.get_failover();
        self.tasks.lose(shard, now, now + failover);
    }

    fn note_held(&self) {
        let held = self.tasks.count();
        self.shared.held.store(held, Ordering::Relaxed);
    }

    fn note_news(&mut self, news: TaskNews) {
        match news {
            TaskNews::Ended(shard, ended) => self.ended(&shard, ended),
            TaskNews::Event(Event::Closed(shard)) => {
                self.discovery.closed(&shard, self.shared.clock.now());
            }
            TaskNews::Event(Event::Reopened(shard)) => self.discovery.reopened(&shard),
            TaskNews::Event(Event::Rescan(stored)) => self.request_rescan(stored),
            TaskNews::Panicked => self.course.fail(StreamsError::Panicked),
        }
    }

    fn ended(&mut self, shard: &ShardId, ended: Ended) {
        self.tasks.release(shard);
        self.shared.coordinator.ends(shard);
        self.note_held();
        // Its children may be taken now, and so may a lease that this worker has given up.
        let now = self.shared.clock.now();
        self.look_soon(now);
        match ended {
            Ended::Finished => {
                // The task's own event may still be in the channel.
                self.discovery.closed(shard, now);
                tracing::info!(%shard, "a shard was read to its end");
                if let Some(row) = self.looks.observed.row(shard) {
                    let mut row = row.clone();
                    (row.owner, row.checkpoint) = (None, Checkpoint::ShardEnd);
                    self.looks.observed.saw(row, now);
                }
            }
            Ended::LetGo => {}
            Ended::Lost => self.note_lost(shard, now),
            Ended::Failed(error) => {
                self.note_lost(shard, now);
                self.course.fail(error);
            }
        }
    }
}

async fn next_snapshot(
    watch: &mut Option<Watch>,
) -> Option<Result<SnapshotEnd, tokio::task::JoinError>> {
    watch.as_mut()?.tasks.join_next().await
}
