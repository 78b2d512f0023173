//! The way through the SDK's orchestrator: our body in, the raw answer out.
//!
//! The operation's input names the table or stream and nothing else, which is all that endpoint rules
//! read. An interceptor, [`Tap`], puts a serialiser before the SDK's that swaps the body in, before
//! signing and before any interceptor of the client's sees the request, and keeps the answer as it
//! came, so that the same parser serves both ways. Answers made of items are [`Spared`] to the SDK's
//! deserialiser.

use super::capture::{Captured, NotDirect};
use super::failure::{self, Received};
use super::spared::Spared;
use super::{Operation, Shared, Way, clock};
use crate::retry::{ErrorClass, Failure, ServiceError, code};
use aws_sdk_dynamodb::config::{ConfigBag, RuntimeComponents};
use aws_sdk_dynamodb::error::SdkError;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
    BeforeTransmitInterceptorContextMut, BeforeTransmitInterceptorContextRef, Input,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::ser_de::{
    SerializeRequest, SharedRequestSerializer, SharedResponseDeserializer,
};
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use bytes::Bytes;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

pub(super) async fn call(
    shared: &Arc<Shared>,
    operation: Operation,
    body: Bytes,
    capturing: bool,
) -> Result<Bytes, ServiceError> {
    let tap = Tap(Arc::new(Tapped {
        operation,
        body,
        capturing: capturing.then(|| Arc::clone(shared)),
        seen: Mutex::default(),
    }));
    let sending = shared.client.send(operation, &shared.resource, &tap);
    let result = tokio::time::timeout(shared.attempt_timeout, sending).await;

    let captured = tap.seen().captured.take();
    if let Some(captured) = captured {
        settle_way(shared, captured).await;
    }
    let mut seen = tap.seen();
    // Whatever befell the SDK afterwards, an answer that came is the answer.
    if let Some((status, headers, body)) = seen.answer.take() {
        let received = Received {
            status,
            headers: &headers,
            body,
            signed_at: seen.signed_at,
        };
        return received.settle(&shared.skew);
    }
    match result {
        Err(_elapsed) => Err(failure::timed_out(
            seen.stage == Stage::Sent,
            Some(shared.attempt_timeout),
        )),
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) => Err(ServiceError::garbled("the answer was withheld")),
    }
}

/// Decides by what was captured which way later requests go.
async fn settle_way(shared: &Shared, captured: Result<Captured, NotDirect>) {
    let reason = match captured {
        Ok(mut captured) => match captured.prove().await {
            Some(true) => return shared.set_way(Way::Direct(Arc::new(captured))),
            Some(false) => "the signature is not plain SigV4",
            // The next request will tell.
            None => return,
        },
        Err(NotDirect(reason)) => reason,
    };
    let resource = &shared.resource;
    tracing::debug!(reason, resource, "requests go through the SDK");
    shared.set_way(Way::Sdk);
}

/// How far a request came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Preparing,
    /// No HTTP client to send with.
    Clientless,
    /// The identity and the endpoint are being resolved.
    Resolving,
    Signing,
    /// On its way, as far as anybody can tell.
    Sent,
}

fn unanswered<E, R>(error: &SdkError<E, R>, stage: Stage, url: &str) -> ServiceError
where
    E: Error + 'static,
    R: fmt::Debug + 'static,
{
    match (stage, error) {
        (Stage::Preparing, _) => misconfigured("the request could not be prepared"),
        (Stage::Clientless, _) => misconfigured("the client has no HTTP client to send with"),
        (Stage::Signing, _) => misconfigured("the request could not be signed"),
        (Stage::Resolving, SdkError::TimeoutError(_)) => failure::timed_out(false, None),
        (Stage::Resolving, _) => unresolved(error),
        (Stage::Sent, SdkError::TimeoutError(_)) => failure::timed_out(true, None),
        (Stage::Sent, SdkError::DispatchFailure(dispatch)) => match dispatch.as_connector_error() {
            Some(error) => failure::connector(error, url),
            None => failure::body_lost(error),
        },
        (Stage::Sent, SdkError::ResponseError(_)) => failure::body_lost(error),
        // Its text may quote the service's message.
        (Stage::Sent, _) => ServiceError::garbled("the SDK failed after sending"),
    }
}

fn unresolved(error: &(dyn Error + 'static)) -> ServiceError {
    let mut next = Some(error);
    while let Some(this) = next {
        let text = this.to_string();
        // Two crates of the SDK have an error of this name; it is the name that tells.
        if format!("{this:?}").starts_with("ResolveEndpointError") {
            // Where an endpoint does not fit the request, the request is quoted.
            let quotes = text.contains("request `");
            return misconfigured(if quotes {
                "the endpoint is no URL"
            } else {
                &text
            });
        }
        if text.starts_with("failed to select an auth scheme") {
            return misconfigured("the client has no credentials to sign with");
        }
        next = this.source();
    }
    failure::credentials(error)
}

pub(super) fn misconfigured(detail: &str) -> ServiceError {
    Failure::new(ErrorClass::Fatal, code::CLIENT_MISCONFIGURED)
        .with_detail(detail)
        .into()
}

/// The interceptor: swaps the body in, keeps the answer, captures what was resolved.
#[derive(Clone)]
pub(super) struct Tap(Arc<Tapped>);

struct Tapped {
    operation: Operation,
    body: Bytes,
    capturing: Option<Arc<Shared>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    stage: Stage,
    url: String,
    /// The client's own retry setting, which bounds the loading of credentials.
    retry: Option<RetryConfig>,
    captured: Option<Result<Captured, NotDirect>>,
    signed_at: Option<SystemTime>,
    answer: Option<(u16, Headers, Bytes)>,
}

impl Tap {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an error of the SDK's means where no answer came.
    pub(super) fn unanswered<E, R>(&self, error: &SdkError<E, R>) -> ServiceError
    where
        E: Error + 'static,
        R: fmt::Debug + 'static,
    {
        let seen = self.seen();
        unanswered(error, seen.stage, &seen.url)
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").finish_non_exhaustive()
    }
}

#[dyn_dispatch_hint]
impl Intercept for Tap {
    fn name(&self) -> &'static str {
        "dynamodb-connector"
    }

    fn modify_before_serialization(
        &self,
        _context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let serializer = config.load::<SharedRequestSerializer>().cloned();
        let serializer = serializer.ok_or("the operation has no serialiser")?;
        let swap = Swap {
            serializer,
            body: self.0.body.clone(),
        };
        let state = config.interceptor_state();
        state.store_put(SharedRequestSerializer::new(swap));
        if let Some(spared) = Spared::of(self.0.operation) {
            state.store_put(SharedResponseDeserializer::new(spared));
        }
        Ok(())
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let clientless = components.http_client().is_none();
        self.seen().stage = if clientless {
            Stage::Clientless
        } else {
            Stage::Resolving
        };
        if clientless {
            Err("no HTTP client".into())
        } else {
            Ok(())
        }
    }

    fn modify_before_signing(
        &self,
        _context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let retry = config.load::<RetryConfig>().cloned();
        let mut seen = self.seen();
        seen.stage = Stage::Signing;
        seen.retry.clone_from(&retry);
        // Not before: the time that credentials may take to load goes by the attempts allowed.
        let once = retry
            .unwrap_or_else(RetryConfig::standard)
            .with_max_attempts(1);
        config.interceptor_state().store_put(once);
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let mut seen = self.seen();
        seen.stage = Stage::Sent;
        context.request().uri().clone_into(&mut seen.url);
        seen.signed_at = request
            .headers()
            .get("x-amz-date")
            .and_then(clock::parse_amz_date);
        if let Some(shared) = &self.0.capturing {
            let retry = seen.retry.take();
            seen.captured = Some(Captured::of(request, components, config, retry, shared));
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        // A body that broke off is not in memory: that is no answer.
        if let Some(body) = response.body().bytes() {
            self.seen().answer = Some((
                response.status().as_u16(),
                response.headers().clone(),
                Bytes::copy_from_slice(body),
            ));
        }
        Ok(())
    }
}

/// The SDK's serialiser with our body in place of its own.
struct Swap {
    serializer: SharedRequestSerializer,
    body: Bytes,
}

impl fmt::Debug for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swap").finish_non_exhaustive()
    }
}

impl SerializeRequest for Swap {
    fn serialize_input(
        &self,
        input: Input,
        config: &mut ConfigBag,
    ) -> Result<HttpRequest, BoxError> {
        let mut request = self.serializer.serialize_input(input, config)?;
        request
            .headers_mut()
            .try_insert("content-length", self.body.len().to_string())?;
        *request.body_mut() = SdkBody::from(self.body.clone());
        Ok(request)
    }
}
