//! Every failure of a request, turned into one error.

use super::Operation;
use super::answer_limit::is_past_limit;
use super::clock::Skew;
use super::members::Members;
use crate::error::text;
use crate::retry::{
    CancellationReason, ErrorClass, Failure, ServiceError, ThrottlingReason, classify,
    classify_cancellation, code, is_credentials_code, is_skew_code, message,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::Headers;
use bytes::Bytes;
use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

/// An answer as it came.
pub(super) struct Received<'a> {
    pub(super) status: u16,
    pub(super) headers: &'a Headers,
    pub(super) body: Bytes,
    /// The time in the request's signature.
    pub(super) signed_at: Option<SystemTime>,
}

impl Received<'_> {
    /// Returns the body if the answer is a success.
    pub(super) fn settle(self, skew: &Skew) -> Result<Bytes, ServiceError> {
        if !self.is_whole() {
            let mut failure = Failure::new(ErrorClass::Ambiguous, code::GARBLED_ANSWER)
                .with_detail("the checksum does not match");
            self.identify(&mut failure);
            return Err(failure.into());
        }
        if self.status == 200 {
            if !self.is_json() {
                let mut failure = Failure::new(ErrorClass::Ambiguous, code::GARBLED_ANSWER)
                    .with_detail("its content type is not JSON");
                self.identify(&mut failure);
                return Err(failure.into());
            }
            return Ok(self.body);
        }
        Err(self.failure(skew).into())
    }

    /// Compares the checksum that DynamoDB sends. It is of the bytes on the wire, so it is not
    /// compared where they were decoded on the way.
    fn is_whole(&self) -> bool {
        let Some(expected) = self.headers.get("x-amz-crc32") else {
            return true;
        };
        if self.headers.contains_key("content-encoding") {
            return true;
        }
        expected.parse() == Ok(crc32fast::hash(&self.body))
    }

    /// Returns whether the content type is JSON, or not given. DynamoDB says
    /// `application/x-amz-json-1.0`; a health page says `text/html` or `text/plain`.
    fn is_json(&self) -> bool {
        let kind = self.headers.get("content-type");
        kind.is_none_or(|kind| kind.to_ascii_lowercase().contains("json"))
    }

    fn identify(&self, failure: &mut Failure) {
        failure.status = Some(self.status);
        failure.request_id = self
            .headers
            .get("x-amzn-requestid")
            .filter(|id| is_plain(id))
            .map(Into::into);
    }

    fn failure(&self, skew: &Skew) -> Failure {
        let text = String::from_utf8_lossy(&self.body);
        let body = Members::read(text.trim_start_matches('\u{feff}'));
        let header = self.headers.get("x-amzn-errortype").map(str::to_owned);
        let mut texts = header
            .into_iter()
            .chain(body.texts(&["__type"]))
            .chain(body.texts(&["code", "Code"]));
        let mut failure = match texts.find_map(|text| readable_code(&text)) {
            Some(found) => Failure::new(classify(self.status, Some(&found)), found),
            None if self.status == 413 => {
                Failure::new(classify(413, None), code::REQUEST_TOO_LARGE)
            }
            None => Failure::new(classify(self.status, None), code::BARE_STATUS),
        };
        self.identify(&mut failure);
        failure.credentials = is_credentials_code(&failure.code);
        let said = body.text(&["message", "Message"]);
        failure.message = said.as_deref().map(|text| message::kept(text).into());
        let exact = body.is_whole() && matches!(text, Cow::Borrowed(_));
        if exact {
            failure.item = body.raw("Item").map(|item| item.as_bytes().into());
        }
        let throttling = body.list(&["ThrottlingReasons", "throttlingReasons"]);
        failure.throttling = throttling
            .into_iter()
            .take(MAX_REASONS)
            .filter_map(throttling_reason)
            .collect();
        if failure.code == "TransactionCanceledException" {
            let reasons = body.list(&["CancellationReasons"]);
            let reasons = reasons
                .into_iter()
                .take(MAX_REASONS)
                .map(|json| cancellation_reason(json, exact));
            failure.cancellation = reasons.collect();
            if failure.cancellation.is_empty() {
                failure.cancellation = reasons_in(said.as_deref().unwrap_or_default());
            }
            failure.class =
                classify_cancellation(failure.cancellation.iter().map(CancellationReason::code));
        }
        if !exact && failure.is_failed_condition() {
            // The item in place may have been lost with the rest, and it decides the write's
            // outcome.
            let mut garbled = Failure::new(ErrorClass::Ambiguous, code::GARBLED_ANSWER)
                .with_detail("a condition did not hold, and the answer is not whole");
            self.identify(&mut garbled);
            return garbled;
        }
        if is_skew_code(&failure.code)
            && let (Some(date), Some(signed_at)) = (self.headers.get("date"), self.signed_at)
            && skew.explains(date, signed_at)
        {
            failure.class = ErrorClass::Transient;
            failure.detail = Some(CLOCK_IS_OFF.into());
        }
        failure
    }
}

/// Returns the result of an answer of this status and body, which names its error in a header or
/// has no headers.
#[cfg(any(test, fuzzing))]
pub(crate) fn settle(
    status: u16,
    error_type: Option<&str>,
    body: Bytes,
) -> Result<Bytes, ServiceError> {
    let mut headers = Headers::new();
    if let Some(error_type) = error_type {
        headers.insert("x-amzn-errortype", error_type.to_owned());
    }
    let received = Received {
        status,
        headers: &headers,
        body,
        signed_at: None,
    };
    received.settle(&Skew::new(true))
}

/// The most reasons that are kept of an answer: one for each write of the largest transaction (AWS:
/// `TransactWriteItems`, 100 actions).
const MAX_REASONS: usize = 100;

const CLOCK_IS_OFF: &str = "the local clock is off and has been corrected";

/// Returns whether a clock that was off caused a refusal.
pub(super) fn is_skewed(error: &ServiceError) -> bool {
    error.class() == ErrorClass::Transient && is_skew_code(error.code())
}

/// Reads `ValidationException` from
/// `com.amazonaws.dynamodb.v20120810#ValidationException:http://…`.
fn readable_code(text: &str) -> Option<String> {
    let code = text.rsplit_once('#').map_or(text, |(_, code)| code);
    let code = code.split(':').next().unwrap_or(code).trim();
    is_plain(code).then(|| code.to_owned())
}

/// Returns whether a text looks like a code or an id, so that nothing else can pass for one.
fn is_plain(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// Reads an element of `ThrottlingReasons`.
fn throttling_reason(json: &str) -> Option<ThrottlingReason> {
    let members = Members::read(json);
    let reason = members.text(&["reason", "Reason"])?;
    let resource = members.text(&["resource", "Resource"]);
    Some(ThrottlingReason::parse(&reason, resource.as_deref()))
}

/// Reads an element of `CancellationReasons`. Their places are those of the writes.
fn cancellation_reason(json: &str, exact: bool) -> CancellationReason {
    let members = Members::read(json);
    let code = members.text(&["Code"]).filter(|code| is_plain(code));
    CancellationReason {
        code: code.as_deref().unwrap_or("None").into(),
        item: members
            .raw("Item")
            .filter(|_| exact)
            .map(|item| item.as_bytes().into()),
    }
}

/// Reads the codes at the end of a canceled transaction's message, for answers that have them there
/// alone: `… for specific reasons [None, TransactionConflict]`.
fn reasons_in(message: &str) -> Vec<CancellationReason> {
    let list = message.trim_end().strip_suffix(']');
    let Some((_, list)) = list.and_then(|text| text.rsplit_once('[')) else {
        return Vec::new();
    };
    let codes: Vec<&str> = list.split(',').map(str::trim).collect();
    if !codes.iter().all(|code| is_plain(code)) {
        return Vec::new();
    }
    let reason = |code: &str| CancellationReason {
        code: code.into(),
        item: None,
    };
    codes.into_iter().take(MAX_REASONS).map(reason).collect()
}

/// Returns the failure of an attempt whose time is up.
pub(super) fn timed_out(sent: bool, after: Option<Duration>) -> ServiceError {
    let detail = match after {
        Some(after) => format!("no answer after {after:?}"),
        None => "no answer within the client's timeouts".to_owned(),
    };
    if sent {
        return Failure::new(ErrorClass::Ambiguous, code::ATTEMPT_TIMEOUT)
            .with_detail(detail)
            .into();
    }
    // Before it is sent a request waits for nothing but the credentials.
    let mut failure =
        Failure::new(ErrorClass::Transient, code::CREDENTIALS_UNAVAILABLE).with_detail(detail);
    failure.credentials = true;
    failure.into()
}

/// Returns the failure of a request for which no credentials could be loaded.
pub(super) fn credentials(error: &(dyn Error + 'static)) -> ServiceError {
    let mut failure =
        Failure::new(ErrorClass::Transient, code::CREDENTIALS_UNAVAILABLE).with_detail(text(error));
    failure.credentials = true;
    failure.into()
}

/// Returns the failure of an answer whose body broke off, or went past its limit.
pub(super) fn body_lost(
    error: &(dyn Error + 'static),
    operation: Operation,
    limit: usize,
) -> ServiceError {
    if is_past_limit(error) {
        let name = operation.name();
        let mut failure = Failure::new(ErrorClass::Ambiguous, code::GARBLED_ANSWER)
            .with_detail(format!("the answer to {name} has more than {limit} bytes"));
        failure.past_limit = true;
        return failure.into();
    }
    Failure::new(ErrorClass::Ambiguous, code::CONNECTION_CLOSED)
        .with_detail(text(error))
        .into()
}

/// Returns the failure of a client whose configuration does not allow a request to be made.
pub(super) fn misconfigured(detail: &str) -> ServiceError {
    Failure::new(ErrorClass::Fatal, code::CLIENT_MISCONFIGURED)
        .with_detail(detail)
        .into()
}

/// Returns the host and the port of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// Returns the failure of a request to this URL that the HTTP client gave up.
pub(super) fn connector(error: &ConnectorError, url: &str) -> ServiceError {
    let text = text(error);
    let failure = if error.is_user() {
        Failure::new(ErrorClass::Fatal, code::CLIENT_MISCONFIGURED)
    } else if never_connected(error, &text) {
        let detail = format!("{}: {text}", authority(url));
        return Failure::new(ErrorClass::Transient, code::CONNECT_FAILED)
            .with_detail(detail)
            .into();
    } else if error.is_timeout() {
        Failure::new(ErrorClass::Ambiguous, code::READ_TIMEOUT)
    } else {
        Failure::new(ErrorClass::Ambiguous, code::CONNECTION_CLOSED)
    };
    failure.with_detail(text).into()
}

/// Returns whether no connection came about, so that certainly nothing was sent. In doubt, no.
///
/// The HTTP client's errors are private types: their texts are all there is to go by, and the tests
/// over real sockets pin those.
fn never_connected(error: &ConnectorError, text: &str) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::AddrNotAvailable
            )
        {
            return true;
        }
        next = error.source();
    }
    [
        "client error (Connect)",
        "HTTP connect timeout",
        "dns error",
        "tcp connect error",
    ]
    .iter()
    .any(|sign| text.contains(sign))
}
