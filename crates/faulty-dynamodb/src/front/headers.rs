//! The checks of DynamoDB's front end before the body: authentication, length, time.

use std::time::Duration;

use super::clock::Clock;
use super::service::Incoming;
use crate::item::error::Refusal;

/// Refuses a request for its headers.
pub(crate) fn check_headers(
    incoming: &Incoming,
    clock: &Clock,
    tolerance: Option<Duration>,
) -> Result<(), Refusal> {
    let header = |name: &str| {
        incoming
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let authorization = header("authorization").unwrap_or_default();
    if authorization.is_empty() {
        return Err(Refusal::new(
            400,
            "MissingAuthenticationTokenException",
            "Request is missing Authentication Token",
        ));
    }
    let complete = ["Credential=", "SignedHeaders=", "Signature="]
        .iter()
        .all(|part| authorization.contains(part));
    let signed_v4 = authorization.starts_with("AWS4-") && complete;
    if !signed_v4 && !authorization.starts_with("Bearer ") {
        return Err(Refusal::new(
            400,
            "IncompleteSignatureException",
            "Authorization header requires 'Credential', 'Signature' and 'SignedHeaders' parameters.",
        ));
    }
    if let Some(length) = header("content-length")
        && length.parse() != Ok(incoming.body.len())
    {
        return Err(Refusal::serialization(
            "Content-Length does not match the body",
        ));
    }
    let Some(tolerance) = tolerance else {
        return Ok(());
    };
    match header("x-amz-date").and_then(|date| clock.distance(date)) {
        Some(distance) if distance <= tolerance => Ok(()),
        _ => Err(Refusal::new(
            400,
            "InvalidSignatureException",
            format!(
                "Signature expired: {} is now too far from {}",
                header("x-amz-date").unwrap_or("a missing X-Amz-Date"),
                clock.http_date()
            ),
        )),
    }
}
