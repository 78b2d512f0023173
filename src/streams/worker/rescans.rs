//! Requests for a rescan, repeated until they are stored.
//!
//! Whatever lies behind a gap waits for that: the checkpoint of the shard, and the rows of new shards.
//! After a crash the gap is found again.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::super::StreamsError;
use super::super::snapshot::{SnapshotTable, Snapshots};
use super::Worker;
use crate::gap::GapPolicy;
use crate::retry::{Retries, ServiceError};

/// The consecutive failures to store a request after which opening fails. A source that runs goes on.
const MAX_FAILURES: u32 = 10;

/// The name under which failures to store a request are reported.
const REQUEST: &str = "UpdateItem of the snapshot's table";

pub(super) struct Rescans {
    /// Requests that no write covers, each with the channel that receives the answer.
    waiting: Vec<oneshot::Sender<()>>,
    write: Option<Write>,
    due: Duration,
    retries: Retries,
}

struct Write {
    under_way: BoxFuture<'static, Result<(), ServiceError>>,
    /// The requests from before its start: it covers no gap that was found since.
    covers: Vec<oneshot::Sender<()>>,
}

/// The result of a write, with the requests that it covers.
pub(super) struct Requested(Result<(), ServiceError>, Vec<oneshot::Sender<()>>);

impl Rescans {
    pub(super) fn new(retries: Retries) -> Self {
        Self {
            waiting: Vec::new(),
            write: None,
            due: Duration::ZERO,
            retries,
        }
    }

    /// Returns whether a request is not stored yet.
    pub(super) fn is_pending(&self) -> bool {
        self.write.is_some() || !self.waiting.is_empty()
    }

    /// Returns when the next write is due; `None` where there is nothing to store, or one is under way.
    pub(super) fn due(&self) -> Option<Duration> {
        (self.write.is_none() && !self.waiting.is_empty()).then_some(self.due)
    }

    fn start(&mut self, table: SnapshotTable) {
        self.write = Some(Write {
            under_way: Box::pin(async move { table.rescan().await }),
            covers: std::mem::take(&mut self.waiting),
        });
    }

    /// Waits for the write that is under way. Returns `None` if there is none.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Requested> {
        let result = (&mut self.write.as_mut()?.under_way).await;
        let write = self.write.take()?;
        Some(Requested(result, write.covers))
    }
}

impl Worker {
    /// Returns the table of the snapshots, where gaps are closed by one.
    fn rescans_by(&self) -> Option<&Snapshots> {
        let rescans = self.shared.settings.get_on_gap() == GapPolicy::Rescan;
        let watch = self.watch.as_ref().filter(|_| rescans);
        watch.map(|watch| &*watch.snapshots)
    }

    /// Requests a rescan, where gaps are closed by one, and answers once the request is stored.
    pub(super) fn request_rescan(&mut self, stored: oneshot::Sender<()>) {
        if self.rescans_by().is_some() {
            self.rescans.waiting.push(stored);
        } else {
            // The task that asked may be gone.
            let _ = stored.send(());
        }
    }

    /// Requests a rescan for a gap between shards: no row is made before the request is stored.
    pub(super) fn rescan_before_rows(&mut self) {
        let (stored, noted) = oneshot::channel();
        self.request_rescan(stored);
        self.making.wait_for(noted);
    }

    pub(super) fn start_rescan(&mut self, now: Duration) {
        let table = self.rescans_by().map(|snapshots| snapshots.table.clone());
        if self.rescans.due().is_some_and(|due| due <= now)
            && let Some(table) = table
        {
            self.rescans.start(table);
        }
    }

    /// Processes the result of a write.
    ///
    /// # Errors
    ///
    /// An error against which time alone does not help: missing rights or names.
    pub(super) fn rescan_requested(&mut self, requested: Requested) -> Result<(), StreamsError> {
        let Requested(result, covers) = requested;
        let failure_log = &self.shared.failure_log;
        if let Err(error) = result {
            if error.is_fatal() {
                let name = self
                    .rescans_by()
                    .map(|snapshots| snapshots.table.leases.name());
                let name = name.unwrap_or_default();
                return Err(StreamsError::service("UpdateItem", name, error));
            }
            failure_log.failed(REQUEST, None, &error);
            self.rescans.waiting.extend(covers);
            self.rescans.due = self.shared.clock.now() + self.rescans.retries.failed();
            return Ok(());
        }
        failure_log.succeeded(REQUEST, None);
        self.rescans.retries.succeeded();
        self.rescans.due = Duration::ZERO;
        // Before the answers: what lies behind the gap must not become part of that snapshot.
        self.snapshot_is_outdated();
        for stored in covers {
            // The task that asked may be gone.
            let _ = stored.send(());
        }
        Ok(())
    }

    /// Stores the requests of opening.
    ///
    /// # Errors
    ///
    /// The service's last error, after [`MAX_FAILURES`] in a row.
    pub(super) async fn request_rescans(&mut self) -> Result<(), StreamsError> {
        while let Some(due) = self.rescans.due() {
            self.shared.clock.until(due).await;
            self.start_rescan(self.shared.clock.now());
            let Some(Requested(result, covers)) = self.rescans.next().await else {
                return Ok(());
            };
            if let Err(error) = &result
                && self.rescans.retries.failures() + 1 >= MAX_FAILURES
            {
                let name = self
                    .rescans_by()
                    .map(|snapshots| snapshots.table.leases.name());
                let name = name.unwrap_or_default();
                return Err(StreamsError::service("UpdateItem", name, error.clone()));
            }
            self.rescan_requested(Requested(result, covers))?;
        }
        Ok(())
    }
}
