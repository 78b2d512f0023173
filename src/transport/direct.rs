//! The direct way: sign and send, nothing between.

use super::answer_limit::{answer_limit, limited};
use super::capture::Captured;
use super::failure::{self, Received};
use super::signature::sign_by_sdk;
use super::{Operation, Shared};
use crate::retry::ServiceError;
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// The result of a call by the direct way.
pub(super) enum Outcome {
    Settled(Result<Bytes, ServiceError>),
    /// The credentials are now of another account: the endpoint must be resolved again. Nothing
    /// was sent.
    AccountChanged,
}

pub(super) async fn call(
    captured: &Captured,
    shared: &Shared,
    operation: Operation,
    body: &Bytes,
) -> Outcome {
    let sent = AtomicBool::new(false);
    let attempt = attempt(captured, shared, operation, body, &sent);
    match tokio::time::timeout(captured.limit, attempt).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => {
            let error = failure::timed_out(sent.load(Ordering::Relaxed), Some(captured.limit));
            Outcome::Settled(Err(error))
        }
    }
}

async fn attempt(
    captured: &Captured,
    shared: &Shared,
    operation: Operation,
    body: &Bytes,
    sent: &AtomicBool,
) -> Outcome {
    let identity = match captured.identities.resolve().await {
        Ok(identity) => identity,
        Err(error) => return Outcome::Settled(Err(failure::credentials(error.as_ref()))),
    };
    if !captured.identities.serves(&identity) {
        return Outcome::AccountChanged;
    }
    let now = captured.identities.now();
    let signed_at = shared.skew.apply(now);
    let Ok(request) = request(captured, &identity, operation, signed_at, body) else {
        // The error's text may quote the request.
        let error = failure::misconfigured("the request could not be signed");
        return Outcome::Settled(Err(error));
    };
    sent.store(true, Ordering::Relaxed);
    #[cfg(feature = "streams")]
    let sent_at = shared.sending();
    let mut response = match captured.connector().call(request).await {
        Ok(response) => response,
        Err(error) => return Outcome::Settled(Err(failure::connector(&error, &captured.uri_text))),
    };
    #[cfg(feature = "streams")]
    shared.date(response.headers(), sent_at);
    let limit = answer_limit(operation, body.len());
    let body = match limited(response.take_body(), limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let error = failure::body_lost(error.as_ref(), operation, limit);
            return Outcome::Settled(Err(error));
        }
    };
    let received = Received {
        status: response.status().as_u16(),
        headers: response.headers(),
        body,
        signed_at: Some(signed_at),
    };
    let result = received.settle(&shared.skew);
    if let Err(error) = &result
        && failure::is_skewed(error)
        && let Some(date) = response.headers().get("date")
    {
        shared.skew.learn(date, now);
    }
    Outcome::Settled(result)
}

fn request(
    captured: &Captured,
    identity: &Identity,
    operation: Operation,
    signed_at: SystemTime,
    body: &Bytes,
) -> Result<HttpRequest, BoxError> {
    let mut headers = captured.headers(operation);
    let credentials = identity.data::<Credentials>();
    let signed = captured
        .signer
        .as_ref()
        .zip(credentials)
        .and_then(|(signer, credentials)| signer.sign(operation, credentials, signed_at, body));
    if let Some(signed) = signed {
        headers.try_insert("x-amz-date", signed.date)?;
        headers.try_insert("authorization", signed.authorization)?;
        if let Some(token) = credentials.and_then(Credentials::session_token) {
            headers.try_insert("x-amz-security-token", token.to_owned())?;
        }
    } else {
        let signature = sign_by_sdk(
            identity,
            (&captured.region, &captured.service),
            signed_at,
            &captured.uri_text,
            headers.iter(),
            body,
        )?;
        let (signed, _query) = signature.into_parts();
        for header in signed {
            headers.try_insert(header.name(), header.value().to_owned())?;
        }
    }
    headers.try_insert("content-length", body.len().to_string())?;
    let mut request = HttpRequest::new(SdkBody::from(body.clone()));
    request.set_method("POST")?;
    request.set_uri(captured.uri.clone())?;
    *request.headers_mut() = headers;
    Ok(request)
}
