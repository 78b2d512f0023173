//! The one error of a request, whichever way it went out and wherever it failed.

use super::message;
use super::{ErrorClass, ThrottlingReason, is_action_code, is_clock_code, is_identity_code};
use crate::error::ErrorKind;
use bytes::Bytes;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Our own words, next to the service's codes, for failures that bear no code.
pub(crate) mod code {
    /// No connection could be made: nothing was sent.
    pub(crate) const CONNECT_FAILED: &str = "ConnectFailed";
    /// The connection broke after the request was under way.
    pub(crate) const CONNECTION_CLOSED: &str = "ConnectionClosed";
    /// No answer within the time an attempt may take.
    pub(crate) const ATTEMPT_TIMEOUT: &str = "AttemptTimeout";
    /// No answer within the HTTP client's read timeout.
    pub(crate) const READ_TIMEOUT: &str = "ReadTimeout";
    /// An answer that can't be what the service sent.
    pub(crate) const GARBLED_ANSWER: &str = "GarbledAnswer";
    /// The credentials provider failed or took too long: nothing was sent.
    pub(crate) const CREDENTIALS_UNAVAILABLE: &str = "CredentialsUnavailable";
    /// The client's configuration does not allow a request to be made.
    pub(crate) const CLIENT_MISCONFIGURED: &str = "ClientMisconfigured";
    /// The table has other keys than it had.
    pub(crate) const KEYS_CHANGED: &str = "TableKeysChanged";
    /// The state of the sink itself is broken.
    pub(crate) const INTERNAL: &str = "ConnectorInternalError";
    /// HTTP 413 without a code of the service.
    pub(crate) const REQUEST_TOO_LARGE: &str = "RequestEntityTooLarge";
    /// An HTTP status that bears no code.
    pub(crate) const BARE_STATUS: &str = "HttpStatus";
}

/// A failed request to DynamoDB or to DynamoDB Streams: what went wrong and what to do about it.
///
/// Cheap to clone. Neither `Display` nor `Debug` shows anything of an item: of the service's own
/// messages those appear that name expressions, placeholders, attributes, rights and limits alone. Of
/// any other they say that it is withheld. [`service_message`] gives the message whatever it is.
///
/// [`service_message`]: Self::service_message
#[derive(Clone)]
pub struct ServiceError(Arc<Failure>);

/// What a [`ServiceError`] is made of.
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    pub(crate) code: Cow<'static, str>,
    pub(crate) status: Option<u16>,
    pub(crate) request_id: Option<Box<str>>,
    pub(crate) message: Option<Box<str>>,
    /// Set where messages are shown whatever they may quote.
    pub(crate) show_message: bool,
    /// What the network or the credentials provider said; never anything of an item.
    pub(crate) detail: Option<Box<str>>,
    pub(crate) credentials: bool,
    pub(crate) throttling: Vec<ThrottlingReason>,
    pub(crate) item: Option<Box<[u8]>>,
    pub(crate) cancellation: Vec<CancellationReason>,
}

impl Failure {
    pub(crate) fn new(class: ErrorClass, code: impl Into<Cow<'static, str>>) -> Self {
        Self {
            class,
            code: code.into(),
            status: None,
            request_id: None,
            message: None,
            show_message: false,
            detail: None,
            credentials: false,
            throttling: Vec::new(),
            item: None,
            cancellation: Vec::new(),
        }
    }

    pub(crate) fn is_failed_condition(&self) -> bool {
        let mut reasons = self.cancellation.iter();
        self.code == "ConditionalCheckFailedException"
            || reasons.any(|reason| reason.code() == "ConditionalCheckFailed")
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

impl From<Failure> for ServiceError {
    fn from(failure: Failure) -> Self {
        Self(Arc::new(failure))
    }
}

impl ServiceError {
    /// An answer that can't be what the service sent: what became of the request nobody knows.
    pub(crate) fn garbled(detail: &str) -> Self {
        Failure::new(ErrorClass::Ambiguous, code::GARBLED_ANSWER)
            .with_detail(detail)
            .into()
    }

    /// What was to send the request, or to take its answer, panicked.
    pub(crate) fn lost() -> Self {
        Failure::new(ErrorClass::Ambiguous, code::CONNECTION_CLOSED)
            .with_detail("what sends requests panicked")
            .into()
    }

    /// The table's keys are no longer those it was opened with.
    pub(crate) fn keys_changed() -> Self {
        Failure::new(ErrorClass::Fatal, code::KEYS_CHANGED)
            .with_detail("the table's keys are not those that it was opened with")
            .into()
    }

    /// Returns the error of a table whose own state is one that cannot be.
    pub(crate) fn internal(fault: &str) -> Self {
        let detail = format!("a defect of the sink, please report it: {fault}");
        Failure::new(ErrorClass::Fatal, code::INTERNAL)
            .with_detail(detail)
            .into()
    }

    /// Returns whether one action was refused, and others may be allowed: its caller lacks the right,
    /// or the server does not have it.
    pub(crate) fn is_for_action(&self) -> bool {
        let mut reasons = self.cancellation_reasons().iter();
        is_action_code(self.code()) || reasons.any(|reason| reason.code() == "AccessDenied")
    }

    /// Returns whether the service answered, or took too long to: it has more to do than it can.
    pub(crate) fn is_of_service(&self) -> bool {
        self.class() == ErrorClass::Throttled
            || self.code() == code::ATTEMPT_TIMEOUT
            || self.status().is_some_and(|status| status >= 500)
    }

    /// Returns whether no credentials are to be had, or those that were sent are refused.
    pub(crate) fn is_identity(&self) -> bool {
        self.is_credentials() || is_identity_code(self.code())
    }

    /// Returns whether this machine's clock is the cause.
    pub(crate) fn is_clock(&self) -> bool {
        let message = self.service_message().unwrap_or_default();
        is_clock_code(self.code())
            || message.starts_with("Signature expired: ")
            || message.starts_with("Signature not yet current: ")
    }

    /// Returns whether nothing could be reached at the endpoint, or what answers is not DynamoDB.
    pub(crate) fn is_endpoint(&self) -> bool {
        matches!(
            self.code(),
            code::CONNECT_FAILED
                | code::CONNECTION_CLOSED
                | code::GARBLED_ANSWER
                | code::BARE_STATUS
                | "InvalidEndpointException"
        )
    }

    /// Returns whether the answer bears no code: it is not the service's, or cut short.
    pub(crate) fn is_bare(&self) -> bool {
        self.code() == code::BARE_STATUS
    }

    /// Returns whether the cause is the client's own configuration, which no time changes.
    pub(crate) fn is_misconfigured(&self) -> bool {
        self.code() == code::CLIENT_MISCONFIGURED
    }

    /// Whether what was asked for has left the stream for good: records beyond its 24 hours. Read on from the oldest.
    #[cfg(feature = "streams")]
    pub(crate) fn is_trimmed(&self) -> bool {
        self.code() == "TrimmedDataAccessException"
    }

    /// Whether the shard iterator has outlived its 15 minutes: a new one, from the same place, will do.
    #[cfg(feature = "streams")]
    pub(crate) fn is_expired_iterator(&self) -> bool {
        self.code() == "ExpiredIteratorException"
    }

    /// Whether the table, the stream or the shard is not there, or not any more. [`Fatal`](ErrorClass::Fatal) by class,
    /// yet a shard that has vanished is no fault of the stream's.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(
            self.code(),
            "ResourceNotFoundException" | "TableNotFoundException"
        )
    }

    /// Returns whether a condition did not hold: an answer, not a failure.
    pub(crate) fn is_failed_condition(&self) -> bool {
        self.0.is_failed_condition()
    }

    /// If a condition did not hold: the item that was found in place, where there was one.
    pub(crate) fn failed_condition(&self) -> Option<Option<Bytes>> {
        if self.code() == "ConditionalCheckFailedException" {
            return Some(self.existing_item().map(Bytes::copy_from_slice));
        }
        // One condition is enough to cancel a transaction, whatever else speaks against it.
        self.cancellation_reasons()
            .iter()
            .find(|reason| reason.code() == "ConditionalCheckFailed")
            .map(|reason| reason.existing_item().map(Bytes::copy_from_slice))
    }

    /// Returns the kind of error. [`class`](Self::class) says whether to send again.
    pub fn kind(&self) -> ErrorKind {
        match self.class() {
            ErrorClass::Throttled => ErrorKind::Capacity,
            ErrorClass::Permanent if self.is_failed_condition() => ErrorKind::Condition,
            ErrorClass::Permanent | ErrorClass::Invalid => ErrorKind::Invalid,
            _ if self.is_identity() || self.is_for_action() => ErrorKind::Denied,
            _ if self.is_missing() || self.code() == code::KEYS_CHANGED => ErrorKind::NotFound,
            ErrorClass::Fatal
                if self.is_misconfigured() || self.is_endpoint() || is_clock_code(self.code()) =>
            {
                ErrorKind::Config
            }
            _ => ErrorKind::Unavailable,
        }
    }

    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        self.0.class
    }

    /// The service's code, such as `ValidationException`, or for failures without one:
    /// `ConnectFailed`, `ConnectionClosed`, `AttemptTimeout`, `ReadTimeout`, `GarbledAnswer`,
    /// `CredentialsUnavailable`, `ClientMisconfigured`, `TableKeysChanged`, `HttpStatus`.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The HTTP status of the answer, where there was one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The service's id of the request, where there was an answer: what AWS support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Why the request was throttled, as far as the service tells.
    pub fn throttling_reasons(&self) -> &[ThrottlingReason] {
        &self.0.throttling
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self.0.class {
            ErrorClass::Throttled
            | ErrorClass::Transient
            | ErrorClass::Ambiguous
            | ErrorClass::Refused => true,
            ErrorClass::Invalid | ErrorClass::Permanent | ErrorClass::Fatal => false,
        }
    }

    /// Whether the request may have been applied all the same: by its class, whatever the request. One that reads
    /// applies nothing.
    pub fn may_have_applied(&self) -> bool {
        self.0.class == ErrorClass::Ambiguous
    }

    /// Whether the credentials are the cause: expired, or not to be had from their provider.
    pub fn is_credentials(&self) -> bool {
        self.0.credentials
    }

    /// The item that was found in place when a condition failed, as DynamoDB JSON, where the
    /// request asked for it.
    pub fn existing_item(&self) -> Option<&[u8]> {
        self.0.item.as_deref()
    }

    /// Why a transaction was cancelled: one reason for every write of it, in their order.
    pub fn cancellation_reasons(&self) -> &[CancellationReason] {
        &self.0.cancellation
    }

    /// The service's own message. **It may quote item data**: mind where it is logged.
    pub fn service_message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// Returns the service's message, as far as it may be shown.
    fn shown_message(&self) -> Option<&str> {
        let message = self.service_message()?;
        if self.0.show_message {
            return Some(message::shortened(message));
        }
        message::shown(message)
    }

    /// Shows the service's message whatever it may quote.
    pub(crate) fn show_message(mut self) -> Self {
        if let Some(failure) = Arc::get_mut(&mut self.0) {
            failure.show_message = true;
        }
        self
    }
}

/// Said in place of a message that may quote an item.
const WITHHELD: &str = "the service's message is withheld, since it may quote an item; \
    ServiceError::service_message has it, and SinkBuilder::show_service_messages shows it";

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.code)?;
        if let Some(status) = self.0.status {
            write!(f, " (http {status})")?;
        }
        if let Some(text) = self.shown_message().or(self.0.detail.as_deref()) {
            write!(f, ": {text}")?;
        } else if self
            .service_message()
            .is_some_and(|message| !message.is_empty())
        {
            write!(f, ": {WITHHELD}")?;
        }
        if let Some(id) = self.request_id() {
            write!(f, " [request {id}]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceError")
            .field("class", &self.0.class)
            .field("code", &self.0.code)
            .field("status", &self.0.status)
            .field("request_id", &self.0.request_id)
            .field("message", &self.shown_message())
            .field("detail", &self.0.detail)
            .field("throttling", &self.0.throttling)
            .field("cancellation", &self.0.cancellation)
            .finish_non_exhaustive()
    }
}

impl Error for ServiceError {}

/// Why one write of a cancelled transaction failed; code `None` where it did not.
#[derive(Clone)]
pub struct CancellationReason {
    pub(crate) code: Box<str>,
    pub(crate) item: Option<Box<[u8]>>,
}

impl CancellationReason {
    /// The reason's code, such as `ConditionalCheckFailed`, or `None`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The item that was found in place, as DynamoDB JSON, where the write asked for it.
    pub fn existing_item(&self) -> Option<&[u8]> {
        self.item.as_deref()
    }
}

impl fmt::Debug for CancellationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationReason")
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &str) -> String {
        let mut failure = Failure::new(ErrorClass::Permanent, "ValidationException");
        failure.message = Some(message.into());
        failure.item = Some(Box::from(&b"{\"secret\":1}"[..]));
        failure.cancellation = vec![CancellationReason {
            code: "ConditionalCheckFailed".into(),
            item: Some(Box::from(&b"{\"secret\":2}"[..])),
        }];
        let error = ServiceError::from(failure);
        assert_eq!(error.service_message(), Some(message));
        format!("{error} {error:?} {error:#?}")
    }

    #[test]
    fn items_never_reach_the_logs() {
        let shown =
            shown("One or more parameter values were invalid: the value secret is too secret");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn fixed_messages_are_shown() {
        assert!(shown("The conditional request failed").contains(": The conditional"));
        assert!(!shown("The conditional request failed secret").contains("The conditional"));
    }

    #[cfg(feature = "streams")]
    #[test]
    fn a_stream_reader_tells_errors_apart_by_their_codes() {
        for (code, expected) in [
            ("TrimmedDataAccessException", [true, false, false]),
            ("ExpiredIteratorException", [false, true, false]),
            ("ResourceNotFoundException", [false, false, true]),
            ("TableNotFoundException", [false, false, true]),
            ("ValidationException", [false; 3]),
            ("ValidationError", [false; 3]),
            ("LimitExceededException", [false; 3]),
            ("InternalServerError", [false; 3]),
            ("ThrottlingException", [false; 3]),
            (code::CONNECT_FAILED, [false; 3]),
        ] {
            let error = ServiceError::from(Failure::new(ErrorClass::Permanent, code));
            let told = [
                error.is_trimmed(),
                error.is_expired_iterator(),
                error.is_missing(),
            ];
            assert_eq!(told, expected, "{code}");
        }
    }

    #[test]
    fn an_error_is_small() {
        assert_eq!(size_of::<ServiceError>(), size_of::<usize>());
    }
}
