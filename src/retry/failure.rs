//! The parts of a [`ServiceError`](super::ServiceError): a code, a class, and all that the answer said.

use super::{ErrorClass, ThrottlingReason};
use std::borrow::Cow;
use std::fmt;

/// The crate's own codes, for failures that bear none of the service's.
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

/// The parts of a [`ServiceError`](super::ServiceError).
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    pub(crate) code: Cow<'static, str>,
    pub(crate) status: Option<u16>,
    pub(crate) request_id: Option<Box<str>>,
    pub(crate) message: Option<Box<str>>,
    /// Set where messages are shown whatever they may quote.
    pub(crate) show_message: bool,
    /// The words of the network or the credentials provider; never anything of an item.
    pub(crate) detail: Option<Box<str>>,
    pub(crate) credentials: bool,
    /// Set if the answer had more bytes than any answer to its request may have.
    pub(crate) past_limit: bool,
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
            past_limit: false,
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

/// The reason that one write of a canceled transaction failed; code `None` where it did not.
#[derive(Clone)]
pub struct CancellationReason {
    pub(crate) code: Box<str>,
    pub(crate) item: Option<Box<[u8]>>,
}

impl CancellationReason {
    /// Returns the reason's code, such as `ConditionalCheckFailed`, or `None`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Returns the item that was found in place, as DynamoDB JSON, where the write asked for it.
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
