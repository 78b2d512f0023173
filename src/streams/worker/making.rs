//! The rows that are to be made for shards that have none.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::oneshot;

use super::super::graph::ShardGraph;
use super::super::lease::{Checkpoint, LeaseRow};
use super::super::read::{ReadFrom, iterator};
use super::super::shared::Shared;
use super::super::{ShardId, StreamsError};
use super::{AT_ONCE, Worker};
use crate::retry::{Retries, ServiceError};

/// The consecutive passes without a single row made after which opening fails. With the delays between
/// them, about half a minute. A source that runs goes on.
const MAX_FAILURES: u32 = 12;

/// The rows still to be made, each after those of its ancestors.
pub(super) struct Making {
    rows: Vec<LeaseRow>,
    due: Duration,
    /// The time since which rows are lacking.
    since: Duration,
    /// Consecutive passes that made none.
    failures: Retries,
    is_opening: bool,
    /// Set where another worker has made a row of a first start that this one had planned.
    is_refused: bool,
    /// The answer to a request for a rescan, where a gap lies before the rows.
    waits: Option<oneshot::Receiver<()>>,
    /// Iterators at LATEST, each obtained just before the row of its shard was made.
    pinned: HashMap<ShardId, String>,
}

struct Made {
    row: LeaseRow,
    sent: Duration,
    /// An iterator at LATEST, obtained before the row was made.
    pinned: Option<String>,
    result: Result<bool, ServiceError>,
}

impl Making {
    pub(super) fn new(failures: Retries) -> Self {
        Self {
            rows: Vec::new(),
            due: Duration::ZERO,
            since: Duration::ZERO,
            failures,
            is_opening: true,
            is_refused: false,
            waits: None,
            pinned: HashMap::new(),
        }
    }

    /// Notes that the source is open.
    pub(super) fn opened(&mut self) {
        self.is_opening = false;
    }

    /// Returns the shards that lack their rows.
    pub(super) fn shards(&self) -> impl Iterator<Item = &ShardId> {
        self.rows.iter().map(|row| &row.shard)
    }

    /// Returns whether no shard lacks its row.
    pub(super) fn is_complete(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns when to continue; `None` where nothing is to be made, or a rescan is to be requested before.
    pub(super) fn due(&mut self) -> Option<Duration> {
        if let Some(noted) = &mut self.waits
            && noted.try_recv().is_ok()
        {
            self.waits = None;
        }
        (self.waits.is_none() && !self.rows.is_empty()).then_some(self.due)
    }

    /// Makes no row until this answer comes. It covers those that were waited for before.
    pub(super) fn wait_for(&mut self, noted: oneshot::Receiver<()>) {
        self.waits = Some(noted);
    }

    /// Returns whether another worker has made a row that was planned, in a first start at LATEST:
    /// the plan was out of date, and another listing is needed.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Takes the iterator at LATEST of a shard, if this worker made its row.
    pub(super) fn take_pinned(&mut self, shard: &ShardId) -> Option<String> {
        self.pinned.remove(shard)
    }

    /// Starts over for another stream.
    pub(super) fn replaced(&mut self, now: Duration) {
        self.set(Vec::new(), now);
        self.pinned.clear();
    }

    /// Returns since when rows are lacking.
    pub(super) fn since(&self) -> Duration {
        self.since
    }

    /// Stores the rows that a listing calls for, in place of those before.
    pub(super) fn set(&mut self, rows: Vec<LeaseRow>, now: Duration) {
        if self.rows.is_empty() {
            self.since = now;
        }
        self.rows = rows;
        self.due = Duration::ZERO;
        self.is_refused = false;
    }

    /// Takes the rows that may be made at once: those with the fewest ancestors. A child's row
    /// without its parent's would show that the parent is finished.
    fn take_oldest(&mut self, graph: &ShardGraph) -> Vec<LeaseRow> {
        let generation = |row: &LeaseRow| graph.ancestors(&row.shard).count();
        let Some(oldest) = self.rows.iter().map(generation).min() else {
            return Vec::new();
        };
        let (now, later) = std::mem::take(&mut self.rows)
            .into_iter()
            .partition(|row| generation(row) == oldest);
        self.rows = later;
        now
    }
}

impl Worker {
    /// Makes rows until all are there or the table takes no more for now. The rest is then due
    /// later, without another listing.
    pub(super) async fn make(&mut self) -> Result<(), StreamsError> {
        let graph = self.shared.graph();
        if self.making.due().is_none() {
            return Ok(());
        }
        loop {
            let rows = self.making.take_oldest(&graph);
            if rows.is_empty() {
                self.shared.failure_log.succeeded("PutItem", None);
                return Ok(());
            }
            if let Some(error) = self.make_all(rows).await? {
                let pause = self.making.failures.failed();
                let failures = self.making.failures.failures();
                if self.making.is_opening && failures >= MAX_FAILURES {
                    let table = self.shared.leases.name();
                    return Err(StreamsError::service("PutItem", table, error));
                }
                self.shared.failure_log.failed("PutItem", None, &error);
                self.making.due = self.shared.clock.now() + pause;
                if !self.making.is_refused {
                    return Ok(());
                }
            }
            if self.making.is_refused {
                // The rest was planned without the rows that another worker has made.
                self.making.rows.clear();
                self.discovery.list_soon(self.shared.clock.now());
                return Ok(());
            }
        }
    }

    /// Makes these rows. Keeps those that could not be made for later, and returns the reason.
    async fn make_all(
        &mut self,
        rows: Vec<LeaseRow>,
    ) -> Result<Option<ServiceError>, StreamsError> {
        let shared = Arc::clone(&self.shared);
        let mut waiting = rows.into_iter();
        let mut under_way = FuturesUnordered::new();
        let mut failure = None;
        loop {
            while failure.is_none()
                && under_way.len() < AT_ONCE
                && let Some(row) = waiting.next()
            {
                under_way.push(make(&shared, row));
            }
            let Some(made) = under_way.next().await else {
                break;
            };
            let Made {
                row, sent, pinned, ..
            } = made;
            match made.result {
                Ok(true) => {
                    self.making.failures.succeeded();
                    tracing::info!(shard = %row.shard, checkpoint = row.checkpoint.text(), "a new shard");
                    self.making
                        .pinned
                        .extend(pinned.map(|iterator| (row.shard.clone(), iterator)));
                    self.looks.observed.saw(row, sent);
                    self.look_soon(sent);
                }
                // Another worker made it: the next look shows it.
                Ok(false) => {
                    self.making.failures.succeeded();
                    self.making.is_refused |= self.discovery.is_first_start_at_latest();
                    self.look_soon(sent);
                }
                Err(error) if error.is_fatal() => {
                    let table = self.shared.leases.name();
                    return Err(StreamsError::service("PutItem", table, error));
                }
                Err(error) => {
                    failure = Some(error);
                    self.making.rows.push(row);
                }
            }
        }
        drop(under_way);
        self.making.rows.extend(waiting);
        Ok(failure)
    }
}

async fn make(shared: &Shared, mut row: LeaseRow) -> Made {
    let stream = shared.stream();
    row.created = Some(shared.time.earliest());
    row.stream = Some(stream.arn.clone());
    // Before the row exists, so that the iterator gives every change that comes after the row.
    let pinned = match row.checkpoint {
        Checkpoint::Latest => iterator(&stream, &row.shard, &ReadFrom::Latest).await.ok(),
        _ => None,
    };
    let sent = shared.clock.now();
    let result = shared.leases.create(&row).await;
    Made {
        row,
        sent,
        pinned,
        result,
    }
}
