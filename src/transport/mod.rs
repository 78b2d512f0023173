//! One request to DynamoDB and its answer.
//!
//! **Problem.** The sink encodes a record once, to the JSON that DynamoDB takes, and wants that
//! very buffer on the wire. The AWS SDK takes trees of `AttributeValue`, serializes them itself,
//! and costs more than all the rest of a batch. Yet it is the SDK that knows everything about
//! *where* and *as whom* to send: endpoints, regions, FIPS, dual stack, account ids, credentials
//! and their rotation, timeouts, the HTTP client, the user agent.
//!
//! **Choice.** Two ways out, one contract for both, one test suite over both:
//!
//! ```text
//!                                 ┌─▶ direct: identity ─▶ signer ────▶ the SDK's HTTP client ─┐
//! call(operation, body) ─▶ Way ───┤      ▲ captured: components, URI, headers, connector      ├─▶ settle
//!                                 │      │                                                    │
//!                                 └─▶ sdk: the orchestrator, our body swapped in at its ──────┘
//!                                        serializer, the raw answer tapped after it
//! ```
//!
//! The first call of a [`Transport`] goes through the SDK's orchestrator. An interceptor of ours
//! keeps what the SDK resolved ([`capture`]). From then on the *direct* way signs and sends without
//! the orchestrator. The capture is proven before it is used: it signs the SDK's own request again
//! and must come to the same signature.
//!
//! The *sdk* way stays for clients with interceptors or auth schemes of their own, which the
//! direct way would pass by.
//!
//! | file | owns |
//! |---|---|
//! | `operation` | the operations, their services and targets |
//! | `client` | the SDK's clients: one for each service, alike in all but their types |
//! | `direct` | the direct way: sign and send |
//! | `sdk` | the SDK's way, and the decision on the way of later requests |
//! | `tap` | the interceptor: swaps the body in, keeps the answer, captures what was resolved |
//! | `elided_answer` | items kept from the SDK's deserializers |
//! | `capture` | what the SDK resolved, and its proof |
//! | `identities` | the identities that requests are signed as |
//! | `signer` | signatures with all that stays the same worked out once |
//! | `signature` | a signature by `aws-sigv4`, which the other two are measured by |
//! | `clock` | the skew between this clock and the service's |
//! | `service_clock` | the service's time, for what is compared with it |
//! | `answer_limit` | the most bytes that an answer may have |
//! | `failure` | every failure as one error |
//! | `members` | the members of a JSON object, each read by itself |
//! | `answer`, `describe` | the answers of writes, and of `DescribeTable` |
//!
//! Imports go one way: `sdk` and `client` ─▶ `tap` ─▶ `capture` ─▶ `signer` ─▶ `signature`, and
//! `direct` ─▶ `capture` ─▶ `identities`. All of them see the transport's shared state, which stands here.
//!
//! **Rejected.** Reading the parts from `Config`: `credentials_provider()` is `None` in 1.136, and
//! endpoint rules can't be run from outside. Building requests from `AttributeValue` trees: three
//! times the CPU. An HTTP client of our own: users have configured theirs.
//!
//! DynamoDB Streams differs in the types of its SDK alone: a transport is made over a client of one
//! service and calls the operations of that. Pages of records are another reason for raw bodies:
//! the SDK is kept from making trees of them.
//!
//! Neither way ever sends a request twice: retries belong to the caller. Both turn every failure
//! into one [`ServiceError`] whose class says whether the request may have been applied.

mod answer;
mod answer_limit;
#[cfg(feature = "pipeline")]
mod batch_get;
mod capture;
mod client;
mod clock;
mod describe;
mod direct;
mod elided_answer;
mod failure;
mod identities;
mod members;
mod operation;
mod sdk;
#[cfg(feature = "streams")]
mod service_clock;
mod signature;
mod signer;
mod tap;
#[cfg(test)]
mod tests;

pub(crate) use answer::{Consumed, parse_batch, parse_single};
#[cfg(feature = "pipeline")]
pub(crate) use batch_get::MAX_KEYS;
#[cfg(any(test, fuzzing))]
pub(crate) use describe::parse_describe;
pub(crate) use describe::{Billing, TableDescription};
pub(crate) use operation::Operation;
#[cfg(any(test, fuzzing))]
pub(crate) use {answer::UnprocessedKind, failure::settle};

use crate::retry::ServiceError;
#[cfg(feature = "streams")]
use aws_smithy_runtime_api::http::Headers;
use bytes::Bytes;
use capture::Captured;
use client::Client;
use clock::Skew;
#[cfg(feature = "streams")]
pub(crate) use service_clock::ServiceClock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
/// The way that requests go out.
///
/// Both ways honour the client's configuration: endpoint, region, FIPS, dual stack, account id,
/// credentials and their rotation, timeouts, HTTP client, app name, clock skew. Its retries are
/// off either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportKind {
    /// [`Sdk`](Self::Sdk) if the client has interceptors or auth schemes of its own, or sets
    /// headers that [`Direct`](Self::Direct) would not send; else `Direct`. The default.
    #[default]
    Auto,
    /// Sign and send without the SDK's orchestrator: less than half of its CPU. Interceptors of the
    /// client see only the first request. A client that does not sign with plain `SigV4` goes by
    /// [`Sdk`](Self::Sdk) all the same.
    Direct,
    /// Through the SDK's orchestrator: interceptors run and custom auth signs. Their *input* names
    /// the table or stream and holds no items; the *request* and the *response* they see are those
    /// that are sent and received. The *output* of a read (`GetRecords`, `GetItem`, `BatchGetItem`,
    /// `Scan`, `Query`) is empty: its items are never made into the SDK's types.
    Sdk,
}

/// The way to one table, or to one stream. Cheap to clone: clones share the capture and the clock's
/// skew.
#[derive(Clone, Debug)]
pub(crate) struct Transport(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    kind: TransportKind,
    /// The table's name or ARN, or the stream's ARN.
    resource: String,
    attempt_timeout: Duration,
    way: RwLock<Way>,
    skew: Skew,
    /// The service's time, where it is kept.
    #[cfg(feature = "streams")]
    time: Option<Arc<ServiceClock>>,
    /// Set where errors show the service's messages whatever they may quote.
    show_messages: AtomicBool,
}

/// The way out, as far as it is known.
#[derive(Clone, Debug)]
enum Way {
    /// Nothing captured yet: by the orchestrator, capturing.
    Unknown,
    /// By the orchestrator, for good.
    Sdk,
    Direct(Arc<Captured>),
}

impl Transport {
    /// Returns a way to `table`, a name or an ARN, through a client's configuration. An attempt
    /// ends after `attempt_timeout`, or earlier where the client's own timeouts say so.
    pub(crate) fn new(
        client: &aws_sdk_dynamodb::Client,
        kind: TransportKind,
        table: &str,
        attempt_timeout: Duration,
    ) -> Self {
        Self(Arc::new(Shared::new(
            Client::DynamoDb(client.clone()),
            kind,
            table,
            attempt_timeout,
        )))
    }

    /// Returns a way to the stream of that ARN, through a client's configuration. An attempt ends
    /// after `attempt_timeout`, or earlier where the client's own timeouts say so. Its answers tell
    /// `time`.
    #[cfg(feature = "streams")]
    pub(crate) fn streams(
        client: &aws_sdk_dynamodbstreams::Client,
        kind: TransportKind,
        stream_arn: &str,
        attempt_timeout: Duration,
        time: &Arc<ServiceClock>,
    ) -> Self {
        Self(Arc::new(Shared {
            time: Some(Arc::clone(time)),
            ..Shared::new(
                Client::Streams(client.clone()),
                kind,
                stream_arn,
                attempt_timeout,
            )
        }))
    }

    /// Returns the way to another table or stream, as this one goes to its own.
    #[cfg(feature = "streams")]
    pub(crate) fn to(&self, resource: &str) -> Self {
        let this = &self.0;
        let shared = Shared::new(
            this.client.clone(),
            this.kind,
            resource,
            this.attempt_timeout,
        );
        Self(Arc::new(Shared {
            time: this.time.clone(),
            ..shared
        }))
    }

    /// Sends one request, once, and gives the body of its answer if that is a success (HTTP 200).
    ///
    /// `body` is the request's DynamoDB JSON and is sent as it is.
    ///
    /// # Errors
    ///
    /// Fails where no success is known; [`ServiceError::class`] says what to do. An
    /// operation of the other service is `ClientMisconfigured`, and nothing is sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up: it may have been applied, if it writes.
    pub(crate) async fn call(
        &self,
        operation: Operation,
        body: Bytes,
    ) -> Result<Bytes, ServiceError> {
        let show = self.0.show_messages.load(Ordering::Relaxed);
        let result = self.send(operation, body).await;
        result.map_err(|error| if show { error.show_message() } else { error })
    }

    /// Lets errors show the service's messages whatever they may quote.
    pub(crate) fn show_messages(&self, show: bool) {
        self.0.show_messages.store(show, Ordering::Relaxed);
    }

    async fn send(&self, operation: Operation, body: Bytes) -> Result<Bytes, ServiceError> {
        if operation.service() != self.0.client.service() {
            return Err(client::foreign(operation));
        }
        match self.0.way() {
            Way::Direct(captured) => match direct::call(&captured, &self.0, operation, &body).await
            {
                direct::Outcome::Settled(result) => result,
                direct::Outcome::AccountChanged => {
                    self.0.set_way(Way::Unknown);
                    Box::pin(sdk::call(&self.0, operation, body, true)).await
                }
            },
            Way::Unknown => Box::pin(sdk::call(&self.0, operation, body, true)).await,
            Way::Sdk => Box::pin(sdk::call(&self.0, operation, body, false)).await,
        }
    }
}

impl Shared {
    fn new(client: Client, kind: TransportKind, resource: &str, attempt_timeout: Duration) -> Self {
        let way = match kind {
            TransportKind::Sdk => Way::Sdk,
            TransportKind::Auto if client.is_customised() => Way::Sdk,
            TransportKind::Auto | TransportKind::Direct => Way::Unknown,
        };
        Self {
            skew: Skew::new(client.corrects_skew()),
            client,
            kind,
            resource: resource.to_owned(),
            attempt_timeout,
            way: RwLock::new(way),
            #[cfg(feature = "streams")]
            time: None,
            show_messages: AtomicBool::new(false),
        }
    }

    /// Returns the moment at which a request is sent, for [`date`](Self::date).
    #[cfg(feature = "streams")]
    fn sending(&self) -> Duration {
        let time = self.time.as_ref();
        time.map_or(Duration::ZERO, |time| time.monotonic())
    }

    /// Takes in the date of an answer to a request sent at `sent`.
    #[cfg(feature = "streams")]
    fn date(&self, headers: &Headers, sent: Duration) {
        // A proxy has a clock of its own.
        if let Some(time) = &self.time
            && headers.contains_key("x-amzn-requestid")
        {
            time.answered(headers.get("date"), sent);
        }
    }

    fn way(&self) -> Way {
        self.way.read().clone()
    }

    fn set_way(&self, way: Way) {
        *self.way.write() = way;
    }
}
