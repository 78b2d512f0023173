//! The one error of a request, for both ways out and every place of failure.

use super::message;
use super::{
    CancellationReason, ErrorClass, Failure, ThrottlingReason, code, is_action_code, is_clock_code,
    is_identity_code,
};
use crate::error::ErrorKind;
use bytes::Bytes;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A failed request to DynamoDB or to DynamoDB Streams: what went wrong and what to do about it.
///
/// Cheap to clone. Neither `Display` nor `Debug` shows anything of an item: of the service's own
/// messages those appear that name expressions, placeholders, attributes, rights and limits alone.
/// Of any other they say that it is withheld. [`service_message`] gives the message whatever it is.
///
/// [`service_message`]: Self::service_message
#[derive(Clone)]
pub struct ServiceError(Arc<Failure>);

impl From<Failure> for ServiceError {
    fn from(failure: Failure) -> Self {
        Self(Arc::new(failure))
    }
}

impl ServiceError {
    /// Returns the error of an answer that can't be what the service sent: the outcome is unknown.
    pub(crate) fn garbled(detail: &str) -> Self {
        Failure::new(ErrorClass::Ambiguous, code::GARBLED_ANSWER)
            .with_detail(detail)
            .into()
    }

    /// Returns the error of a task that panicked while it sent the request or took its answer.
    pub(crate) fn lost() -> Self {
        Failure::new(ErrorClass::Ambiguous, code::CONNECTION_CLOSED)
            .with_detail("the task that sends requests panicked")
            .into()
    }

    /// Returns the error of a table whose keys are no longer those it was opened with.
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

    /// Returns whether one action was refused, and others may be allowed: its caller lacks the
    /// right, or the server does not have it.
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

    /// Returns whether no credentials could be loaded, or those that were sent are refused.
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

    /// Returns whether the records asked for have left the stream for good: they are beyond its 24
    /// hours. The oldest are still there.
    #[cfg(feature = "streams")]
    pub(crate) fn is_trimmed(&self) -> bool {
        self.code() == "TrimmedDataAccessException"
    }

    /// Returns whether the shard iterator has outlived its 15 minutes: a new one, from the same
    /// place, will do.
    #[cfg(feature = "streams")]
    pub(crate) fn is_expired_iterator(&self) -> bool {
        self.code() == "ExpiredIteratorException"
    }

    /// Returns whether the answer had more bytes than any answer to its request may have: a smaller
    /// request may have a smaller one.
    #[cfg(feature = "streams")]
    pub(crate) fn is_past_limit(&self) -> bool {
        self.0.past_limit
    }

    /// Returns whether the table, the stream or the shard is not there, or not any more.
    /// [`Fatal`](ErrorClass::Fatal) by class, yet a shard that has vanished is no fault of the
    /// stream's.
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

    /// Returns the item that was found in place, where there was one, if a condition did not hold.
    pub(crate) fn failed_condition(&self) -> Option<Option<Bytes>> {
        if self.code() == "ConditionalCheckFailedException" {
            return Some(self.existing_item().map(Bytes::copy_from_slice));
        }
        // One condition is enough to cancel a transaction, whatever its other reasons are.
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
            _ if self.code() == code::INTERNAL => ErrorKind::Internal,
            ErrorClass::Fatal
                if self.is_misconfigured() || self.is_endpoint() || is_clock_code(self.code()) =>
            {
                ErrorKind::Config
            }
            _ => ErrorKind::Unavailable,
        }
    }

    /// Returns the class, which says what to do about it.
    pub fn class(&self) -> ErrorClass {
        self.0.class
    }

    /// Returns the service's code, such as `ValidationException`, or for failures without one:
    /// `ConnectFailed`, `ConnectionClosed`, `AttemptTimeout`, `ReadTimeout`, `GarbledAnswer`,
    /// `CredentialsUnavailable`, `ClientMisconfigured`, `TableKeysChanged`, `ConnectorInternalError`,
    /// `RequestEntityTooLarge`, `HttpStatus`.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// Returns the HTTP status of the answer, where there was one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Returns the service's id of the request, where there was an answer. AWS support asks for it.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Returns the reasons for throttling, where the service gives any.
    pub fn throttling_reasons(&self) -> &[ThrottlingReason] {
        &self.0.throttling
    }

    /// Returns whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self.0.class {
            ErrorClass::Throttled
            | ErrorClass::Transient
            | ErrorClass::Ambiguous
            | ErrorClass::Refused => true,
            ErrorClass::Invalid | ErrorClass::Permanent | ErrorClass::Fatal => false,
        }
    }

    /// Returns whether no wait and no other request helps: rights, names or the client's set-up must be
    /// changed. It ends a source that is running. A refusal of what a request contains does not: the
    /// source sends what it has sent before, so such an answer is as odd as one that is garbled.
    #[cfg(feature = "streams")]
    pub(crate) fn is_fatal(&self) -> bool {
        self.0.class == ErrorClass::Fatal
    }

    /// Returns whether the request may have been applied all the same: by its class, whatever the
    /// request. One that reads applies nothing.
    pub fn may_have_applied(&self) -> bool {
        self.0.class == ErrorClass::Ambiguous
    }

    /// Returns whether the credentials are the cause: expired, or refused by their provider.
    pub fn is_credentials(&self) -> bool {
        self.0.credentials
    }

    /// Returns the item that was found in place when a condition failed, as DynamoDB JSON, where
    /// the request asked for it.
    pub fn existing_item(&self) -> Option<&[u8]> {
        self.0.item.as_deref()
    }

    /// Returns the reasons of a canceled transaction: one for each of its writes, in their order.
    pub fn cancellation_reasons(&self) -> &[CancellationReason] {
        &self.0.cancellation
    }

    /// Returns the service's own message, its first 8 KiB. **It may quote item data**: mind where it is logged.
    pub fn service_message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// Returns the part of the service's message that may be shown.
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

/// The text in place of a message that may quote an item.
const WITHHELD: &str = "the service's message is withheld, since it may quote an item; \
    ServiceError::service_message has it, and DynamoDbSinkBuilder::show_service_messages shows it";

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
            .field("past_limit", &self.0.past_limit)
            .field("throttling", &self.0.throttling)
            .field("cancellation", &self.0.cancellation)
            .finish_non_exhaustive()
    }
}

impl Error for ServiceError {}

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
