//! Listings of the stream's shards, and the changes that follow from them.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};

use super::super::StreamsError;
use super::super::graph::{Inconsistent, LISTINGS_NEEDED};
use super::super::lease::LookError;
use super::super::listing::{Lister, Listing, ListingError};
use super::super::read::{ReadFrom, iterator};
use super::super::shared::{HOSTS_APART, Stream};
use super::discovery::Origin;
use super::{AT_ONCE, Worker};
use crate::gap::{Gap, GapCause};
use crate::retry::ServiceError;

/// The attempts of opening to list the stream, and to scan the lease table, before it fails. Shards
/// whose parents are not listed have three times as many listings.
const OPENING_ATTEMPTS: u32 = 10;
/// The longest wait of opening before it lists again shards that are not believed yet.
const OPENING_WAIT: Duration = Duration::from_secs(2);
/// The most attempts to describe the table once its stream has ended.
const MAX_DESCRIBE_ATTEMPTS: u32 = 6;

impl Worker {
    /// Ensures that every shard has its row, so that no change is missed from here on.
    pub(crate) async fn prepare(&mut self) -> Result<(), StreamsError> {
        let clock = self.shared.clock;
        let mut rounds = 0;
        loop {
            let listing = self.first_listing().await?;
            if rounds == 0 && listing.keys_only {
                let table = &self.shared.table;
                tracing::warn!(
                    table,
                    "the stream's view is KEYS_ONLY: `new` and `old` of every change are empty"
                );
            }
            if rounds == 0 {
                self.opened = self.shared.time.earliest().saturating_sub(HOSTS_APART);
            }
            // After the listing, so that rows which another worker made during it are seen.
            self.first_look().await?;
            self.note_snapshot().await?;
            let complete = self.discover(&listing).await?;
            while let Some(due) = self.making.due() {
                clock.until(due).await;
                self.make().await?;
            }
            if complete {
                self.making.opened();
                return Ok(());
            }
            rounds += 1;
            if rounds >= OPENING_ATTEMPTS * 3 {
                return Err(StreamsError::InconsistentShards {
                    table: self.shared.table.clone(),
                    problem: "shards are named as parents and not listed".to_owned(),
                });
            }
            // Usually the shards only have to be listed `LISTINGS_NEEDED` times to be believed.
            let wait = if rounds < LISTINGS_NEEDED {
                Duration::ZERO
            } else {
                OPENING_WAIT
            };
            let latest = clock.now() + wait;
            clock.until(self.discovery.next().min(latest)).await;
        }
    }

    async fn first_listing(&mut self) -> Result<Listing, StreamsError> {
        loop {
            let Some(lister) = &mut self.lister else {
                return Err(StreamsError::Panicked);
            };
            match lister.list().await {
                Ok(listing) => {
                    self.lists.succeeded();
                    return Ok(listing);
                }
                Err(error)
                    if !error.is_retryable() || self.lists.failures() + 1 >= OPENING_ATTEMPTS =>
                {
                    return Err(self.unlisted(error));
                }
                Err(error) => {
                    let pause = self.listing_failed(error)?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn first_look(&mut self) -> Result<(), StreamsError> {
        loop {
            let error = match self.shared.leases.scan().await {
                Ok(rows) => {
                    self.looks.succeeded();
                    self.saw_all(rows);
                    return Ok(());
                }
                Err(error) => error,
            };
            let retryable = matches!(&error, LookError::Service(error) if error.is_retryable());
            let pause = self.looks.failed();
            if !retryable || self.looks.failures() >= OPENING_ATTEMPTS {
                return Err(self.look_error(error));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Makes and deletes rows by a listing. Returns whether the listing sufficed for every shard.
    pub(super) async fn discover(&mut self, listing: &Listing) -> Result<bool, StreamsError> {
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.now();
        self.lists.succeeded();
        shared.failure_log.succeeded("DescribeStream", None);
        let shows = self.discovery.listed(listing, self.opened, now);
        let shows = shows.map_err(|problem| self.inconsistent(&problem))?;
        shared.set_graph(Arc::new(self.discovery.graph().clone()));
        if !shows {
            return Ok(true);
        }
        let interval = shared.settings.get_discovery_interval();
        match self
            .discovery
            .compare(self.observed.rows(), &shared.stream().arn)
        {
            Origin::Same => {}
            Origin::Unknown => {
                self.discovery.again(now, interval);
                return Ok(false);
            }
            Origin::Other(stream) => {
                return Err(StreamsError::ForeignLeases {
                    lease_table: shared.leases.name().to_owned(),
                    stream,
                });
            }
            Origin::Earlier => self.stream_replaced().await?,
        }
        let graph = shared.graph();
        let is_deleted = |shard| graph.contains(shard) && self.observed.row(shard).is_none();
        if self.held.keys().any(is_deleted) {
            // Its reader makes the row again at its position. The children's rows must come later.
            self.discovery.again(now, interval);
            return Ok(false);
        }
        let mut missing = self.discovery.missing(self.observed.rows());
        if !missing.is_all {
            self.ask_for_parents().await;
            missing = self.discovery.missing(self.observed.rows());
        }
        for shard in missing.unseen {
            shared.gap(Gap::new(Some(shard.name()), None, GapCause::ShardLost))?;
            self.rescan().await?;
        }
        self.making.set(missing.rows, now);
        self.make().await?;
        self.delete_outdated().await;
        let failover = shared.settings.get_failover();
        let workers = self.observed.workers(shared.leases.me(), now, failover);
        let spread = self.rng.f64() + 0.5;
        let now = shared.clock.now();
        self.discovery
            .settle(missing.is_all, now, interval, (workers, spread));
        Ok(missing.is_all)
    }

    /// Asks the service for shards that are named as parents and not listed. A listing may leave a
    /// shard out; an answer that it does not exist is proof.
    async fn ask_for_parents(&mut self) {
        let stream = self.shared.stream();
        let questions = self.discovery.questions(self.observed.rows());
        let mut asking = stream::iter(questions)
            .map(|parent| {
                let stream = Arc::clone(&stream);
                async move {
                    let asked = iterator(&stream, &parent, &ReadFrom::TrimHorizon).await;
                    (parent, asked)
                }
            })
            .buffer_unordered(AT_ONCE);
        while let Some((parent, asked)) = asking.next().await {
            match asked {
                Err(error) if error.is_missing() => self.discovery.is_gone(parent),
                Err(error) => tracing::debug!(%parent, %error, "a parent could not be asked for"),
                Ok(_) => tracing::debug!(%parent, "a parent is there and not listed"),
            }
        }
    }

    async fn delete_outdated(&mut self) {
        let leases = &self.shared.leases;
        let mut old = self.discovery.outdated(self.observed.rows());
        // The worker waits for these: the rest is for the next listings.
        old.truncate(AT_ONCE);
        let mut deleting = stream::iter(old)
            .map(|shard| async move { (leases.delete(&shard).await, shard) })
            .buffer_unordered(AT_ONCE);
        while let Some((deleted, shard)) = deleting.next().await {
            match deleted {
                Ok(()) => self.observed.forget(&shard),
                Err(error) => tracing::debug!(%shard, %error, "a finished lease was not deleted"),
            }
        }
    }

    /// Continues with the table's next stream, where there is one: this one was switched off and
    /// has been read to its end.
    pub(super) async fn follow_stream(&mut self) -> Result<(), StreamsError> {
        let shared = Arc::clone(&self.shared);
        let table = shared.table.clone();
        let mut retries = shared.retries(&mut self.rng);
        let described = shared
            .source
            .describe_patiently(MAX_DESCRIBE_ATTEMPTS, &mut retries)
            .await;
        let described = match described {
            Ok(described) => described,
            Err(error) if error.is_missing() => return Err(StreamsError::TableDeleted { table }),
            Err(error) if error.is_fatal() => {
                return Err(StreamsError::service("DescribeTable", &table, error));
            }
            // It is asked again after the next look.
            Err(error) => {
                shared.failure_log.failed("DescribeTable", None, &error);
                return Ok(());
            }
        };
        shared.failure_log.succeeded("DescribeTable", None);
        let ended = shared.stream();
        let Some(arn) = described.stream_arn.filter(|arn| *arn != ended.arn) else {
            return Err(StreamsError::StreamDisabled { table });
        };
        self.stream_replaced().await?;
        tracing::info!(table, stream = arn, "the table has another stream");
        let transport = ended.transport.to(&arn);
        shared.set_stream(Stream { arn, transport });
        let rng = self.rng.fork();
        self.lister = Some(Lister::new(shared.stream(), shared.clock, rng));
        self.listing = None;
        self.observed.follow(&shared.stream().arn);
        self.making.set(Vec::new(), shared.clock.now());
        self.pinned.clear();
        self.discovery.replaced(shared.clock.now());
        Ok(())
    }

    /// Reports that the stream was replaced: changes between the two were recorded nowhere.
    async fn stream_replaced(&mut self) -> Result<(), StreamsError> {
        self.shared
            .gap(Gap::new(None, None, GapCause::StreamReplaced))?;
        self.rescan().await
    }

    /// Counts a failed listing and returns the delay before the next.
    pub(super) fn listing_failed(&mut self, error: ListingError) -> Result<Duration, StreamsError> {
        let pause = self.lists.failed();
        match error {
            ListingError::Service(error) if error.is_fatal() => {
                return Err(self.unlistable(error));
            }
            ListingError::Service(error) => {
                self.shared
                    .failure_log
                    .failed("DescribeStream", None, &error);
            }
            ListingError::Inconsistent(problem) => {
                let counted = self.discovery.contradicted(Some(problem));
                counted.map_err(|problem| self.inconsistent(&problem))?;
            }
        }
        Ok(pause)
    }

    fn unlisted(&self, error: ListingError) -> StreamsError {
        match error {
            ListingError::Service(error) => self.unlistable(error),
            ListingError::Inconsistent(problem) => self.inconsistent(&problem),
        }
    }

    fn unlistable(&self, error: ServiceError) -> StreamsError {
        StreamsError::service("DescribeStream", &self.shared.stream().arn, error)
    }

    fn inconsistent(&self, problem: &Inconsistent) -> StreamsError {
        StreamsError::InconsistentShards {
            table: self.shared.table.clone(),
            problem: problem.to_string(),
        }
    }
}
