//! The direct way: sign and send, nothing between.

use super::capture::Captured;
use super::failure::{self, Received};
use super::{Operation, Shared};
use crate::retry::{ErrorClass, Failure, ServiceError, code};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningInstructions, SigningParams, SigningSettings,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// What came of going the direct way.
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
    let identity = match captured.identity().await {
        Ok(identity) => identity,
        Err(error) => return Outcome::Settled(Err(failure::credentials(error.as_ref()))),
    };
    if !captured.serves(&identity) {
        return Outcome::AccountChanged;
    }
    let now = captured.now();
    let signed_at = shared.skew.apply(now);
    let Ok(request) = request(captured, &identity, operation, signed_at, body) else {
        // The error's text may quote the request.
        let failure = Failure::new(ErrorClass::Fatal, code::CLIENT_MISCONFIGURED)
            .with_detail("the request could not be signed");
        return Outcome::Settled(Err(failure.into()));
    };
    sent.store(true, Ordering::Relaxed);
    let mut response = match captured.connector().call(request).await {
        Ok(response) => response,
        Err(error) => return Outcome::Settled(Err(failure::connector(&error, &captured.uri_text))),
    };
    let body = match ByteStream::new(response.take_body()).collect().await {
        Ok(body) => body.into_bytes(),
        Err(error) => return Outcome::Settled(Err(failure::body_lost(&error))),
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

/// Signs a POST as the SDK signs DynamoDB's requests: the default settings of `SigV4`, in headers.
/// `host`, the date and the session token are the signer's to add.
pub(super) fn sign_by_sdk<'a>(
    identity: &Identity,
    (region, service): (&str, &str),
    time: SystemTime,
    uri: &'a str,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: &'a [u8],
) -> Result<SigningInstructions, BoxError> {
    let params = v4::SigningParams::builder()
        .identity(identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()?;
    let request = SignableRequest::new("POST", uri, headers, SignableBody::Bytes(body))?;
    let params = SigningParams::V4(params);
    Ok(aws_sigv4::http_request::sign(request, &params)?
        .into_parts()
        .0)
}
