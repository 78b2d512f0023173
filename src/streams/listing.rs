//! A stream's shards, as `DescribeStream` lists them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::ShardId;
use super::graph::{Inconsistent, ListedShard, ShardGraph};
use super::shared::Stream;
use crate::clock::Clock;
use crate::retry::{Backoff, Decision, Retries, RetryPolicy, ServiceError};
use crate::transport::Operation;

/// The least time between two requests of one worker. An account may call `DescribeStream` about
/// ten times a second, all its workers and streams together (DynamoDB Developer Guide, quotas).
const PACE: Duration = Duration::from_millis(200);

/// The number of times that a page is asked for again before the listing is given up.
const MAX_PAGE_RETRIES: u32 = 8;

/// The result of a listing.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) graph: ShardGraph,
    /// Set if the stream was switched off: no more shards will be added.
    pub(crate) disabled: bool,
    /// Set if records hold only the keys of their items.
    pub(crate) keys_only: bool,
}

/// The reason why a listing failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListingError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Inconsistent(#[from] Inconsistent),
}

impl ListingError {
    /// Returns whether the same listing may succeed later.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Service(error) => error.is_retryable(),
            Self::Inconsistent(_) => true,
        }
    }
}

/// A reader of a stream's shards that stays within the account's request quota.
#[derive(Debug)]
pub(crate) struct Lister {
    stream: Arc<Stream>,
    clock: Clock,
    retries: Retries,
    /// The earliest time of the next request.
    next: Duration,
}

impl Lister {
    pub(crate) fn new(stream: Arc<Stream>, clock: Clock, rng: fastrand::Rng) -> Self {
        Self {
            stream,
            clock,
            retries: Retries::new(Backoff::new(&RetryPolicy::default()), rng),
            next: Duration::ZERO,
        }
    }

    /// Reads all pages of one listing.
    pub(crate) async fn list(&mut self) -> Result<Listing, ListingError> {
        let mut listing = Listing {
            graph: ShardGraph::default(),
            disabled: false,
            keys_only: false,
        };
        let mut after: Option<String> = None;
        loop {
            let mut request = json!({"StreamArn": self.stream.arn, "Limit": 100});
            if let Some(after) = &after {
                request["ExclusiveStartShardId"] = json!(after);
            }
            let body = self.page(Bytes::from(request.to_string())).await?;
            let answer: Answer = serde_json::from_slice(&body)
                .map_err(|_| ServiceError::garbled("the stream's description can't be read"))?;
            let description = answer.description;
            listing.keys_only = matches!(description.view.as_deref(), Some("KEYS_ONLY"));
            listing.disabled = matches!(description.status.as_deref(), Some("DISABLED"));
            listing
                .graph
                .merge(description.shards.into_iter().map(|shard| ListedShard {
                    id: ShardId::new(&shard.id),
                    parent: shard.parent.as_deref().map(ShardId::new),
                    first: shard.numbers.first.and_then(|first| first.parse().ok()),
                    closed: shard.numbers.last.is_some(),
                }))?;
            match description.last {
                // A page that ends where it began would be read for ever.
                Some(last) if after.as_ref() != Some(&last) => after = Some(last),
                _ => return Ok(listing),
            }
        }
    }
}

impl Lister {
    /// Reads one page, and retries where that may help, so that a long listing is not restarted for
    /// one page.
    async fn page(&mut self, request: Bytes) -> Result<Bytes, ServiceError> {
        let (clock, transport, next) = (self.clock, &self.stream.transport, &mut self.next);
        let paced = || {
            let at = clock.now().max(*next);
            // Reserved before the wait: a listing that is dropped during it costs one slot.
            *next = at + PACE;
            let request = request.clone();
            async move {
                if clock.now() < at {
                    clock.until(at).await;
                }
                let called = transport.call(Operation::DescribeStream, request);
                called.await
            }
        };
        let decide = |error: ServiceError, failures| {
            if error.is_retryable() && failures <= MAX_PAGE_RETRIES {
                Decision::Retry
            } else {
                Decision::GiveUp(error)
            }
        };
        self.retries.call(paced, decide).await
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "StreamDescription")]
    description: Description,
}

#[derive(Deserialize)]
struct Description {
    #[serde(rename = "StreamStatus", default)]
    status: Option<String>,
    #[serde(rename = "StreamViewType", default)]
    view: Option<String>,
    #[serde(rename = "Shards", default)]
    shards: Vec<Shard>,
    #[serde(rename = "LastEvaluatedShardId", default)]
    last: Option<String>,
}

#[derive(Deserialize)]
struct Shard {
    #[serde(rename = "ShardId")]
    id: String,
    #[serde(rename = "ParentShardId", default)]
    parent: Option<String>,
    #[serde(rename = "SequenceNumberRange", default)]
    numbers: Numbers,
}

#[derive(Default, Deserialize)]
struct Numbers {
    #[serde(rename = "StartingSequenceNumber", default)]
    first: Option<String>,
    #[serde(rename = "EndingSequenceNumber", default)]
    last: Option<String>,
}
