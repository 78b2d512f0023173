//! A worker's part in snapshots: which worker takes one, and which stand back for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::StreamsError;
use super::super::graph::Lineage;
use super::super::lease::{LeaseRow, LookError, Manner, Observed};
use super::super::shared::Order;
use super::super::snapshot::{SnapshotEnd, SnapshotTable, Snapshots, take_snapshot};
use super::Worker;
use crate::gap::GapPolicy;
use crate::retry::{Decision, ServiceError};

/// The number of times that opening tries to store whether a snapshot is wanted.
const MAX_NOTE_ATTEMPTS: u32 = 10;

/// The name under which failures to read the snapshot's own table are reported.
const SCAN_OF_LEASES: &str = "Scan of the snapshot's table";

pub(super) struct Watch {
    pub(super) snapshots: Arc<Snapshots>,
    /// Set where a fresh application begins with a snapshot.
    first: bool,
    observed: Observed,
    /// Set while a snapshot is being taken or is due; `None` until the table has been read.
    under_way: Option<bool>,
    pub(super) tasks: JoinSet<SnapshotEnd>,
    orders: watch::Sender<Order>,
}

impl Watch {
    pub(super) fn new(snapshots: Snapshots, first: bool) -> Self {
        Self {
            snapshots: Arc::new(snapshots),
            first,
            observed: Observed::default(),
            under_way: None,
            tasks: JoinSet::new(),
            orders: watch::channel(Order::Run).0,
        }
    }
}

impl Worker {
    /// Notes whether a snapshot is wanted, before the first lease is made: afterwards it would be
    /// unknown that the application was fresh.
    pub(super) async fn note_snapshot(&mut self) -> Result<(), StreamsError> {
        let Some(watch) = &mut self.watch else {
            return Ok(());
        };
        let table = &watch.snapshots.table;
        table.leases.ensure().await?;
        let fresh = self.looks.observed.rows().is_empty();
        let first = watch.first && fresh;
        let decide = |error: ServiceError, failures| {
            if failures < MAX_NOTE_ATTEMPTS && error.is_retryable() {
                return Decision::Retry;
            }
            Decision::GiveUp(StreamsError::service("PutItem", table.leases.name(), error))
        };
        let mut retries = self.shared.retries(&mut self.rng);
        retries.call(|| table.note(first), decide).await?;
        Ok(())
    }

    /// Returns whether this worker may take shards.
    pub(super) fn may_take(&self) -> bool {
        self.watch
            .as_ref()
            .is_none_or(|watch| watch.under_way == Some(false) || !watch.tasks.is_empty())
    }

    /// Returns whether another worker takes a snapshot, which needs all shards.
    pub(super) fn stands_back(&self) -> bool {
        let me = self.shared.leases.me();
        self.watch.as_ref().is_some_and(|watch| {
            let row = watch.observed.row(&SnapshotTable::shard());
            let other = row
                .and_then(LeaseRow::reader)
                .is_some_and(|owner| owner != me);
            watch.under_way == Some(true) && watch.tasks.is_empty() && other
        })
    }

    pub(super) fn takes_snapshot(&self) -> bool {
        let watch = self.watch.as_ref();
        watch.is_some_and(|watch| !watch.tasks.is_empty())
    }

    pub(super) fn is_snapshot_due(&self) -> bool {
        let watch = self.watch.as_ref();
        let is_due = |watch: &Watch| watch.under_way != Some(false) || !watch.tasks.is_empty();
        self.rescans.is_pending() || watch.is_some_and(is_due)
    }

    /// Passes a running snapshot its order, and whether this worker has every unfinished shard.
    pub(super) fn tell_snapshot(&self) {
        let Some(watch) = &self.watch else {
            return;
        };
        let course = self.course.order();
        watch
            .orders
            .send_if_modified(|order| std::mem::replace(order, course) != course);
        if watch.tasks.is_empty() {
            return;
        }
        let rows = self.looks.observed.rows();
        let graph = self.discovery.graph();
        // The shards are unknown until a listing has shown some.
        let covered = (self.discovery.is_disabled() || !graph.is_empty())
            && !self.discovery.is_childless()
            && self.making.is_complete()
            && rows
                .values()
                .all(|row| row.is_finished() || self.tasks.holds(&row.shard))
            && self.has_all_rows();
        self.shared.coordinator.set_covered(covered);
    }

    /// Returns whether every listed shard that needs a row has one.
    pub(super) fn has_all_rows(&self) -> bool {
        let missing = self.discovery.missing(self.looks.observed.rows());
        missing.is_all && missing.rows.is_empty()
    }

    /// Reads which worker takes a snapshot, and takes it where none does.
    pub(super) async fn look_at_snapshot(&mut self) -> Result<(), StreamsError> {
        let shared = Arc::clone(&self.shared);
        let Some(watch) = &mut self.watch else {
            return Ok(());
        };
        // After the first snapshot there is no other, unless gaps are closed by one.
        let is_last = shared.settings.get_on_gap() != GapPolicy::Rescan;
        if watch.under_way == Some(false) && is_last && watch.tasks.is_empty() {
            return Ok(());
        }
        let (clock, failover) = (shared.clock, shared.settings.get_failover());
        let table = &watch.snapshots.table;
        let rows = match table.leases.scan().await {
            Ok(rows) => rows,
            Err(LookError::Service(error)) if !error.is_fatal() => {
                let shard = SnapshotTable::shard();
                shared
                    .failure_log
                    .failed(SCAN_OF_LEASES, Some(&shard), &error);
                return Ok(());
            }
            Err(LookError::Service(error)) => {
                let name = table.leases.name();
                return Err(StreamsError::service("Scan", name, error));
            }
            Err(LookError::Malformed(row)) => {
                return Err(StreamsError::malformed_lease(table.leases.name(), row));
            }
        };
        watch.observed.scanned(rows, clock.now());
        let shard = SnapshotTable::shard();
        shared.failure_log.succeeded(SCAN_OF_LEASES, Some(&shard));
        let row = watch.observed.row(&shard);
        watch.under_way = Some(row.is_some_and(|row| !row.is_finished()));
        if !watch.tasks.is_empty() || !self.course.runs() {
            return Ok(());
        }
        let now = clock.now();
        let me = shared.leases.me();
        let takes = watch.observed.plan(
            me,
            &BTreeSet::new(),
            &Lineage::default(),
            now,
            failover,
            &mut self.rng,
        );
        // A lease that names this worker is left from a task of its own that has ended.
        let take = takes
            .into_iter()
            .find(|take| take.manner != Manner::HandOver);
        let Some(take) = take else {
            return Ok(());
        };
        let sent = clock.now();
        match table.leases.take(&take).await {
            Ok(Some(row)) => {
                tracing::info!(table = shared.table, "taking a snapshot");
                watch.observed.saw(row.clone(), sent);
                self.start_snapshot(row, sent);
            }
            Ok(None) => shared.failure_log.succeeded("UpdateItem", Some(&shard)),
            Err(error) => {
                shared
                    .failure_log
                    .failed("UpdateItem", Some(&shard), &error);
            }
        }
        Ok(())
    }

    fn start_snapshot(&mut self, row: LeaseRow, taken: Duration) {
        if let Some(watch) = &mut self.watch {
            self.looks.next = self.shared.clock.now();
            watch.tasks.spawn(take_snapshot(
                Arc::clone(&self.shared),
                Arc::clone(&watch.snapshots),
                self.destination.clone(),
                row,
                taken,
                watch.orders.subscribe(),
                self.rng.fork(),
            ));
        }
    }

    pub(super) fn snapshot_ended(&mut self, end: SnapshotEnd) {
        self.shared.failure_log.forget(&SnapshotTable::shard());
        let Some(watch) = &mut self.watch else {
            return;
        };
        match end {
            SnapshotEnd::Finished => {
                self.looks.next = self.shared.clock.now();
                tracing::info!(table = self.shared.table, "the snapshot is complete");
                watch.under_way = Some(false);
            }
            SnapshotEnd::LetGo | SnapshotEnd::Lost => watch.under_way = Some(true),
            SnapshotEnd::Failed(error) => self.course.fail(error),
        }
    }

    /// Notes that another snapshot was requested. One that this worker is taking is from before the gap.
    pub(super) fn snapshot_is_outdated(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.under_way = Some(true);
            watch.tasks.abort_all();
            self.looks.next = self.shared.clock.now();
        }
    }
}
