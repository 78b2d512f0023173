//! What follows from a listing of the stream's shards: rows to make, rows to delete, gaps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};

use super::super::StreamsError;
use super::super::gap::{Gap, GapCause};
use super::super::graph::{SURELY, ShardGraph};
use super::super::lease::{Checkpoint, LeaseRow, Missing, missing, outdated};
use super::super::listing::{Listing, ListingError};
use super::super::read::{ReadFrom, iterator};
use super::{AT_ONCE, CHILD_WAIT, Worker};
use crate::retry::ErrorClass;

impl Worker {
    /// Makes and deletes rows as a listing says. Whether every shard has its row now.
    pub(super) async fn listed(&mut self, listing: Listing) -> Result<bool, StreamsError> {
        let shared = Arc::clone(&self.shared);
        let clock = shared.clock;
        if let Err(contradiction) = self.lineage.listed(&listing.graph) {
            tracing::debug!(%contradiction, "a listing of shards");
            self.next_list = clock.now() + CHILD_WAIT;
            return Ok(false);
        }
        let graph = Arc::new(self.lineage.graph().clone());
        shared.set_graph(Arc::clone(&graph));
        self.disabled = listing.disabled;
        if !self.compare(&graph).await? {
            self.next_list = clock.now();
            return Ok(false);
        }
        if self
            .held
            .keys()
            .any(|shard| graph.contains(shard) && self.observed.row(shard).is_none())
        {
            // Its row was deleted. Whoever reads it makes it again where it is; those of its children come after it.
            self.next_list = clock.now() + CHILD_WAIT;
            return Ok(false);
        }
        let missing = missing(
            &graph,
            self.observed.rows(),
            (!self.begun).then_some(self.begin),
            |shard| self.lineage.is_root(shard),
            shared.millis(),
        );
        for shard in &missing.unseen {
            shared.gap(Gap {
                shard: Some(shard.clone()),
                after: None,
                cause: GapCause::ShardLost,
            })?;
            self.rescan().await?;
        }
        let complete = self.make(&graph, missing).await?;
        let old = outdated(&graph, self.observed.rows(), self.lineage.is_whole());
        let leases = &shared.leases;
        let mut deleting = stream::iter(old)
            .map(|shard| async move { (leases.delete(&shard).await, shard) })
            .buffer_unordered(AT_ONCE);
        while let Some((deleted, shard)) = deleting.next().await {
            match deleted {
                Ok(()) => self.observed.forget(&shard),
                Err(error) => tracing::debug!(%shard, %error, "a finished lease was not deleted"),
            }
        }
        let disabled = listing.disabled;
        self.childless
            .retain(|shard| !disabled && graph.contains(shard) && graph.is_leaf(shard));
        let discovery = shared.settings.get_discovery_interval();
        let now = clock.now();
        self.next_list = if !complete {
            now
        } else if self.childless.is_empty() {
            self.lists.succeeded();
            self.child_wait = CHILD_WAIT;
            // Together the workers list about once an interval.
            let failover = shared.settings.get_failover();
            let workers = self.observed.workers(shared.leases.me(), now, failover);
            let workers = u32::try_from(workers).unwrap_or(u32::MAX);
            let spread = self.rng.f64() + 0.5;
            now + discovery.saturating_mul(workers).mul_f64(spread)
        } else {
            let wait = self.child_wait;
            self.child_wait = (wait * 2).min(discovery);
            now + wait
        };
        Ok(complete)
    }

    /// Looks whether what has been read belongs to this stream at all. Whether that is known: a listing may leave out what is there.
    async fn compare(&mut self, graph: &ShardGraph) -> Result<bool, StreamsError> {
        let rows = self.observed.rows();
        let known = |row: &LeaseRow| {
            graph.contains(&row.shard) || graph.children(&row.shard).next().is_some()
        };
        // A stream that is being switched on may list nothing yet, which tells nothing.
        if self.compared || graph.is_empty() {
            return Ok(true);
        }
        self.compared = rows.is_empty() || rows.values().any(known);
        if self.compared {
            return Ok(true);
        }
        self.strange += 1;
        if self.strange < SURELY {
            return Ok(false);
        }
        self.compared = true;
        self.shared.gap(Gap {
            shard: None,
            after: None,
            cause: GapCause::StreamReplaced,
        })?;
        self.rescan().await?;
        Ok(true)
    }

    /// Makes rows, those of parents before those of children: a child's row without its parent's says that the parent is finished. Whether
    /// all are there now.
    async fn make(&mut self, graph: &ShardGraph, missing: Missing) -> Result<bool, StreamsError> {
        let shared = Arc::clone(&self.shared);
        let Missing { rows, is_all, .. } = missing;
        let mut generations: BTreeMap<usize, Vec<LeaseRow>> = BTreeMap::new();
        for row in rows {
            let generation = graph.ancestors(&row.shard).count();
            generations.entry(generation).or_default().push(row);
        }
        for rows in generations.into_values() {
            let making = stream::iter(rows).map(|row| {
                let shared = Arc::clone(&shared);
                async move {
                    // Before the row is there, so that what comes after the row is in what it gives.
                    let pinned = match row.checkpoint {
                        Checkpoint::Latest => {
                            let from = ReadFrom::Latest;
                            let arn = &shared.stream_arn;
                            iterator(&shared.streams, arn, &row.shard, &from).await.ok()
                        }
                        _ => None,
                    };
                    let sent = shared.clock.now();
                    let made = shared.leases.create(&row).await;
                    (row, pinned, sent, made)
                }
            });
            let mut making = making.buffer_unordered(AT_ONCE);
            let mut complete = true;
            while let Some((row, pinned, sent, made)) = making.next().await {
                match made {
                    Ok(true) => {
                        tracing::info!(shard = %row.shard, checkpoint = row.checkpoint.text(), "a new shard");
                        self.pinned
                            .extend(pinned.map(|iterator| (row.shard.clone(), iterator)));
                        self.observed.saw(row, sent);
                        self.look_soon(sent);
                    }
                    // Another worker made it: the next look shows it.
                    Ok(false) => self.look_soon(sent),
                    Err(error) if error.class() == ErrorClass::Fatal => {
                        return Err(StreamsError::service(
                            "PutItem",
                            shared.leases.name(),
                            error,
                        ));
                    }
                    Err(error) => {
                        tracing::debug!(shard = %row.shard, %error, "a lease could not be made");
                        complete = false;
                    }
                }
            }
            if !complete {
                return Ok(false);
            }
        }
        Ok(is_all)
    }

    /// Counts a failed listing and returns the delay before the next.
    pub(super) fn listing_failed(
        &mut self,
        error: &ListingError,
    ) -> Result<Duration, StreamsError> {
        if let ListingError::Service(error) = error
            && !error.is_retryable()
        {
            return Err(self.unlisted(ListingError::Service(error.clone())));
        }
        let pause = self.lists.failed();
        let attempts = self.lists.failures();
        tracing::debug!(%error, attempts, "the stream's shards could not be listed");
        Ok(pause)
    }

    pub(super) fn unlisted(&self, error: ListingError) -> StreamsError {
        match error {
            ListingError::Service(error) => {
                StreamsError::service("DescribeStream", &self.shared.stream_arn, error)
            }
            ListingError::Inconsistent(problem) => StreamsError::InconsistentShards {
                table: self.shared.table.clone(),
                problem: problem.to_string(),
            },
        }
    }
}
