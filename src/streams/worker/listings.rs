//! Listings of the stream's shards, and the changes that follow from them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};

use super::super::StreamsError;
use super::super::graph::{Inconsistent, LISTINGS_NEEDED};
use super::super::lease::LookError;
use super::super::listing::{Lister, Listing, ListingError};
use super::super::read::{ReadFrom, iterator};
use super::discovery::Origin;
use super::{AT_ONCE, Worker};
use crate::gap::{Gap, GapCause};
use crate::retry::{Retries, ServiceError};

/// The attempts of opening to list the stream, and to scan the lease table, before it fails. Shards
/// whose parents are not listed have three times as many listings.
const OPENING_ATTEMPTS: u32 = 10;
/// The longest wait of opening before it lists again shards that are not believed yet.
const OPENING_WAIT: Duration = Duration::from_secs(2);
/// The longest wait of opening at LATEST for a first shard to be listed. While a stream is being
/// switched on it lists none: that takes seconds, and the service gives no bound.
const FIRST_SHARD: Duration = Duration::from_secs(120);

/// The listings of the stream, one at a time.
pub(super) struct Listings {
    /// The lister, while no listing is under way.
    lister: Option<Lister>,
    under_way: Option<BoxFuture<'static, (Lister, Listed)>>,
    pub(super) retries: Retries,
    /// Set once the log has a warning of the stream's view.
    is_warned: bool,
}

type Listed = Result<Listing, ListingError>;

impl Listings {
    pub(super) fn new(lister: Lister, retries: Retries) -> Self {
        Self {
            lister: Some(lister),
            under_way: None,
            retries,
            is_warned: false,
        }
    }

    pub(super) fn are_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Starts a listing, unless one is under way.
    pub(super) fn start(&mut self) {
        if let Some(mut lister) = self.lister.take() {
            self.under_way = Some(Box::pin(async move {
                let listed = lister.list().await;
                (lister, listed)
            }));
        }
    }

    /// Waits for the listing that is under way. Returns `None` if there is none.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Listed> {
        let (lister, listed) = self.under_way.as_mut()?.await;
        (self.lister, self.under_way) = (Some(lister), None);
        Some(listed)
    }

    /// Lists another stream from now on.
    pub(super) fn replace(&mut self, lister: Lister) {
        (self.lister, self.under_way) = (Some(lister), None);
    }
}

impl Worker {
    /// Ensures that every shard has its row, so that no change is missed from here on.
    pub(crate) async fn prepare(&mut self) -> Result<(), StreamsError> {
        let clock = self.shared.clock;
        let since = clock.now();
        let mut rounds = 0;
        while !self.opening_round(rounds).await? {
            let waits = self.discovery.waits_for_first_shard();
            rounds += u32::from(!waits);
            if waits && clock.now().saturating_sub(since) >= FIRST_SHARD {
                return Err(self.not_listed("no shard is listed"));
            }
            if rounds >= OPENING_ATTEMPTS * 3 {
                return Err(self.not_listed("shards are named as parents and not listed"));
            }
            // Usually the shards only have to be listed `LISTINGS_NEEDED` times to be believed.
            let wait = if !waits && rounds < LISTINGS_NEEDED {
                Duration::ZERO
            } else {
                OPENING_WAIT
            };
            let latest = clock.now() + wait;
            clock.until(self.discovery.next().min(latest)).await;
        }
        self.making.opened();
        Ok(())
    }

    /// Lists the stream and makes the rows that it calls for. Returns whether every shard has its row.
    async fn opening_round(&mut self, rounds: u32) -> Result<bool, StreamsError> {
        let listing = self.first_listing().await?;
        if listing.keys_only && !std::mem::replace(&mut self.listings.is_warned, true) {
            let table = &self.shared.table;
            tracing::warn!(
                table,
                "the stream's view is KEYS_ONLY: `new` and `old` of every change are empty"
            );
        }
        // After the listing, so that rows which another worker made during it are seen.
        self.first_look().await?;
        self.note_snapshot().await?;
        let complete = self.discover(&listing).await?;
        self.request_rescans().await?;
        while let Some(due) = self.making.due() {
            self.shared.clock.until(due).await;
            self.make().await?;
        }
        // Listings may be behind what another worker saw, but not for long.
        let rows = self.looks.observed.rows();
        let may_grow = rounds < OPENING_ATTEMPTS && self.discovery.lacks_children(rows);
        Ok(complete && !self.making.is_refused() && !may_grow)
    }

    async fn first_listing(&mut self) -> Result<Listing, StreamsError> {
        loop {
            self.listings.start();
            let Some(listed) = self.listings.next().await else {
                return Err(StreamsError::Panicked);
            };
            let retries = &mut self.listings.retries;
            match listed {
                Ok(listing) => {
                    retries.succeeded();
                    return Ok(listing);
                }
                Err(error)
                    if !error.is_retryable() || retries.failures() + 1 >= OPENING_ATTEMPTS =>
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
                    self.looks.retries.succeeded();
                    self.saw_all(rows);
                    return Ok(());
                }
                Err(error) => error,
            };
            let retryable = matches!(&error, LookError::Service(error) if error.is_retryable());
            let pause = self.looks.retries.failed();
            if !retryable || self.looks.retries.failures() >= OPENING_ATTEMPTS {
                return Err(self.look_error(error));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Makes and deletes rows by a listing. Returns whether the listing sufficed for every shard.
    pub(super) async fn discover(&mut self, listing: &Listing) -> Result<bool, StreamsError> {
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.now();
        self.listings.retries.succeeded();
        shared.failure_log.succeeded("DescribeStream", None);
        let shows = self.discovery.listed(listing, now);
        let shows = shows.map_err(|problem| self.inconsistent(&problem))?;
        shared.set_graph(Arc::new(self.discovery.graph().clone()));
        if !shows {
            return Ok(!self.discovery.waits_for_first_shard());
        }
        let interval = shared.settings.get_discovery_interval();
        match self
            .discovery
            .compare(self.looks.observed.rows(), &shared.stream().arn)
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
            Origin::Earlier => self.stream_replaced()?,
        }
        let graph = shared.graph();
        let is_deleted = |shard| graph.contains(shard) && self.looks.observed.row(shard).is_none();
        let failover = shared.settings.get_failover();
        if self.tasks.shards().any(is_deleted) || self.looks.observed.awaits_deleted(now, failover)
        {
            // Its reader makes the row again at its position. The children's rows must come later.
            self.discovery.again(now, interval);
            return Ok(false);
        }
        let mut missing = self.discovery.missing(self.looks.observed.rows());
        if !missing.is_all {
            self.ask_for_parents().await;
            missing = self.discovery.missing(self.looks.observed.rows());
        }
        for shard in missing.unseen {
            shared.gap(Gap::new(Some(shard.name()), None, GapCause::ShardLost))?;
            self.rescan_before_rows();
        }
        self.making.set(missing.rows, now);
        self.make().await?;
        self.delete_outdated().await;
        let workers = self
            .looks
            .observed
            .workers(shared.leases.me(), now, failover);
        let spread = self.rng.f64() + 0.5;
        let now = shared.clock.now();
        let complete = missing.is_all && !self.making.is_refused();
        self.discovery
            .settle(complete, now, interval, (workers, spread));
        Ok(complete)
    }

    /// Asks the service for shards that are named as parents and not listed. A listing may leave a
    /// shard out; an answer that it does not exist is proof.
    async fn ask_for_parents(&mut self) {
        let stream = self.shared.stream();
        let questions = self.discovery.questions(self.looks.observed.rows());
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
        let mut old = self.discovery.outdated(self.looks.observed.rows());
        // The worker waits for these: the rest is for the next listings.
        old.truncate(AT_ONCE);
        let mut deleting = stream::iter(old)
            .map(|shard| async move { (leases.delete(&shard).await, shard) })
            .buffer_unordered(AT_ONCE);
        while let Some((deleted, shard)) = deleting.next().await {
            match deleted {
                Ok(()) => self.looks.observed.forget(&shard),
                Err(error) => tracing::debug!(%shard, %error, "a finished lease was not deleted"),
            }
        }
    }

    /// Counts a failed listing and returns the delay before the next.
    pub(super) fn listing_failed(&mut self, error: ListingError) -> Result<Duration, StreamsError> {
        let pause = self.listings.retries.failed();
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
        self.not_listed(&problem.to_string())
    }

    fn not_listed(&self, problem: &str) -> StreamsError {
        StreamsError::InconsistentShards {
            table: self.shared.table.clone(),
            problem: problem.to_owned(),
        }
    }
}
