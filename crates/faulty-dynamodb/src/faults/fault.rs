//! Faults as tests write them: what strikes which request, how often.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::effects::{Delivery, Effects};
use super::plan::{KeyPredicate, Selection};
use crate::item::error::Refusal;
use crate::item::throttle::Throttle;
use crate::store::operation::Operation;

/// Something that goes wrong with a request.
///
/// Made by one of the constructors, narrowed by [`on`](Self::on), [`table`](Self::table),
/// [`on_key`](Self::on_key) and [`skip`](Self::skip), repeated by [`times`](Self::times) or
/// [`always`](Self::always), and handed to
/// [`FaultyDynamoDb::inject`](crate::FaultyDynamoDb::inject). Without any of these it strikes the
/// next request, whatever it is, once. [`poison`](Self::poison) alone strikes every time by default.
///
/// ```
/// use std::time::Duration;
/// use faulty_dynamodb::{Fault, Operation, Throttle};
///
/// // The second and third batch written to "decisions" are refused for want of capacity.
/// let fault = Fault::throttled(Throttle::ProvisionedThroughput)
///     .reason("TableWriteProvisionedThroughputExceeded", "decisions")
///     .on(Operation::BatchWriteItem)
///     .table("decisions")
///     .skip(1)
///     .times(2);
/// # drop(fault);
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) filter: Filter,
    pub(crate) effects: Effects,
    pub(crate) skip: usize,
    /// None: for ever.
    pub(crate) times: Option<usize>,
    throttle: Option<Throttle>,
}

#[derive(Clone, Default)]
pub(super) struct Filter {
    pub(super) operation: Option<Operation>,
    pub(super) table: Option<String>,
    pub(super) key: Option<KeyPredicate>,
    pub(super) shard: Option<String>,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("operation", &self.operation)
            .field("table", &self.table)
            .field("key", &self.key.is_some())
            .field("shard", &self.shard)
            .finish()
    }
}

/// A load balancer's words for an unreachable service.
const BAD_GATEWAY: &str = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad \
    Gateway</h1></center></body></html>";

impl Fault {
    fn new(name: &'static str) -> Self {
        let effects = Effects {
            name: Some(name),
            ..Effects::default()
        };
        Self {
            filter: Filter::default(),
            effects,
            skip: 0,
            times: Some(1),
            throttle: None,
        }
    }

    fn refusing(name: &'static str, refusal: Refusal) -> Self {
        let mut fault = Self::new(name);
        fault.effects.refuse = Some(refusal);
        fault
    }

    fn leaving(selection: Selection) -> Self {
        let mut fault = Self::new("unprocessed");
        fault.effects.leave = Some(selection);
        fault.on(Operation::BatchWriteItem)
    }

    fn delivering(name: &'static str, delivery: Delivery, applies: bool) -> Self {
        let mut fault = Self::new(name);
        fault.effects.delivery = delivery;
        fault.effects.applies = applies;
        fault
    }

    /// All writes, or keys to read, of a batch come back unprocessed.
    pub fn unprocessed_all() -> Self {
        Self::leaving(Selection::All)
    }

    /// This many writes, or keys to read, of a batch, chosen by the seed, come back unprocessed.
    pub fn unprocessed_count(count: usize) -> Self {
        Self::leaving(Selection::Count(count))
    }

    /// Each write, or key to read, of a batch comes back unprocessed with this probability (0 to 1).
    pub fn unprocessed_ratio(ratio: f64) -> Self {
        Self::leaving(Selection::Ratio(ratio))
    }

    /// The writes, or keys to read, of a batch whose key satisfies the predicate come back unprocessed.
    pub fn unprocessed_keys(
        predicate: impl Fn(&HashMap<String, AttributeValue>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::leaving(Selection::Keys(std::sync::Arc::new(predicate)))
    }

    /// The request is refused for want of capacity, without a reason until [`reason`](Self::reason)
    /// adds one.
    pub fn throttled(throttle: Throttle) -> Self {
        let refusal = throttle.refusal();
        let mut fault = Self::refusing(throttle.code(), refusal);
        fault.throttle = Some(throttle);
        fault
    }

    /// Adds an entry to the `ThrottlingReasons` of a [`throttled`](Self::throttled) request, such as
    /// `TableWriteProvisionedThroughputExceeded`. Without effect on other faults.
    #[must_use]
    pub fn reason(mut self, reason: &str, resource: &str) -> Self {
        if let (Some(throttle), Some(refusal)) = (self.throttle, &mut self.effects.refuse) {
            throttle.add_reason(refusal, reason, resource);
        }
        self
    }

    /// `InternalServerError`, HTTP 500.
    pub fn internal_error() -> Self {
        let code = "InternalServerError";
        Self::refusing(code, Refusal::new(500, code, "Internal server error"))
    }

    /// `ServiceUnavailable`, HTTP 503.
    pub fn service_unavailable() -> Self {
        let code = "ServiceUnavailable";
        Self::refusing(
            code,
            Refusal::new(503, code, "Service Unavailable. Please try again later."),
        )
    }

    /// `ReplicatedWriteConflictException`.
    pub fn replicated_write_conflict() -> Self {
        let code = "ReplicatedWriteConflictException";
        Self::refusing(
            code,
            Refusal::new(
                400,
                code,
                "One or more items in this request are being modified by a request in another Region.",
            ),
        )
    }

    /// `TransactionConflictException`: a single write met a transaction.
    pub fn transaction_conflict() -> Self {
        let code = "TransactionConflictException";
        let message = "Transaction is ongoing for the item";
        Self::refusing(code, Refusal::new(400, code, message))
    }

    /// `TransactionInProgressException`: the transaction with this token is still being carried out.
    pub fn transaction_in_progress() -> Self {
        let code = "TransactionInProgressException";
        let message = "The transaction with the given request token is already in progress.";
        Self::refusing(code, Refusal::new(400, code, message))
    }

    /// `LimitExceededException`, as for a shard with too many readers.
    pub fn limit_exceeded() -> Self {
        let code = "LimitExceededException";
        Self::refusing(code, Refusal::new(400, code, "Rate exceeded for shard"))
    }

    /// `ExpiredIteratorException`.
    pub fn expired_iterator() -> Self {
        let code = "ExpiredIteratorException";
        Self::refusing(code, Refusal::new(400, code, "Shard iterator has expired"))
    }

    /// `TrimmedDataAccessException`.
    pub fn trimmed_data() -> Self {
        let code = "TrimmedDataAccessException";
        let message = "The operation attempted to read past the oldest stream record in a shard";
        Self::refusing(code, Refusal::new(400, code, message))
    }

    /// `ResourceNotFoundException`.
    pub fn resource_not_found() -> Self {
        let code = "ResourceNotFoundException";
        Self::refusing(
            code,
            Refusal::new(400, code, "Requested resource not found"),
        )
    }

    /// `ExpiredTokenException`.
    pub fn expired_token() -> Self {
        let code = "ExpiredTokenException";
        let message = "The security token included in the request is expired";
        Self::refusing(code, Refusal::new(400, code, message))
    }

    /// `UnrecognizedClientException`.
    pub fn unrecognized_client() -> Self {
        let code = "UnrecognizedClientException";
        let message = "The security token included in the request is invalid.";
        Self::refusing(code, Refusal::new(400, code, message))
    }

    /// `AccessDeniedException`.
    pub fn access_denied() -> Self {
        let code = "AccessDeniedException";
        let message = "User: arn:aws:iam::000000000000:user/fake is not authorized to perform this \
                       operation because no identity-based policy allows it";
        Self::refusing(code, Refusal::new(400, code, message))
    }

    /// `InvalidSignatureException`, as for a clock that is wrong. The `Date` header of the answer is
    /// the fake's clock, which [`set_clock`](crate::FaultyDynamoDb::set_clock_ahead) moves.
    pub fn invalid_signature() -> Self {
        let code = "InvalidSignatureException";
        let message = "Signature expired: the request's time is outside of the allowed window";
        Self::refusing(code, Refusal::new(400, code, message))
    }

    /// `RequestTimeTooSkewed`.
    pub fn request_time_too_skewed() -> Self {
        let code = "RequestTimeTooSkewed";
        let message = "The difference between the request time and the current time is too large.";
        Self::refusing(code, Refusal::new(403, code, message))
    }

    /// `ValidationException` with this message, whatever the request.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::refusing("ValidationException", Refusal::validation(message))
    }

    /// `ValidationException` for every request that holds a key satisfying the predicate, for ever:
    /// one such item fails the whole batch around it.
    pub fn poison(
        predicate: impl Fn(&HashMap<String, AttributeValue>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::refusing("poison", Refusal::invalid_values("The item is poison"))
            .on_key(predicate)
            .always()
    }

    /// Any error: an HTTP status, an exception's name and a message.
    pub fn error(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::refusing("error", Refusal::new(status, code, message))
    }

    /// The answer is slow: this much time passes before the request is applied. A sender that gives
    /// up before that has prevented it.
    pub fn delay_before(delay: Duration) -> Self {
        let mut fault = Self::new("delay before");
        fault.effects.before = delay;
        fault
    }

    /// The answer is slow: the request is applied at once and answered after this much time.
    pub fn delay_after(delay: Duration) -> Self {
        let mut fault = Self::new("delay after");
        fault.effects.after = delay;
        fault
    }

    /// The request is applied after this much time even if its sender has given it up by then.
    pub fn apply_late(delay: Duration) -> Self {
        let mut fault = Self::new("apply late");
        fault.effects.late = Some(delay);
        fault
    }

    /// The connection is closed; the request is not applied.
    pub fn close_before() -> Self {
        Self::delivering("close before", Delivery::Close, false)
    }

    /// The request is applied and the connection closed without an answer.
    pub fn close_after() -> Self {
        Self::delivering("close after", Delivery::Close, true)
    }

    /// The request is neither applied nor answered: its sender has to time out.
    pub fn never_answer() -> Self {
        Self::delivering("never answer", Delivery::Never, false)
    }

    /// The request is applied and answered 200 with a body that is no JSON.
    pub fn garbage_body() -> Self {
        Self::delivering("garbage body", Delivery::Garbage, true)
    }

    /// The request is applied and the answer breaks off in the middle. Over HTTP its
    /// `Content-Length` promises more than is sent.
    pub fn truncated_body() -> Self {
        Self::delivering("truncated body", Delivery::Truncated, true)
    }

    /// This status and body, whatever is asked, as a proxy, a health page or another service answers. The request
    /// is not applied.
    pub fn answer(status: u16, body: &'static str) -> Self {
        Self::delivering("answer", Delivery::Bare(status, body), false)
    }

    /// HTTP 413 with `{"Message":""}` and no `__type`, as for a body over 16 MB.
    pub fn too_large() -> Self {
        Self::delivering("too large", Delivery::Bare(413, r#"{"Message":""}"#), false)
    }

    /// HTTP 502 with a load balancer's HTML page.
    pub fn bad_gateway() -> Self {
        Self::delivering("bad gateway", Delivery::Bare(502, BAD_GATEWAY), false)
    }

    /// Applies the request although it is answered with an error, closed or never answered.
    #[must_use]
    pub fn after_applying(mut self) -> Self {
        self.effects.applies = true;
        self
    }

    /// Adds time before the request is looked at.
    #[must_use]
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.effects.before += delay;
        self
    }
}
