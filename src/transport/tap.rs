//! The interceptor through which the SDK's orchestrator sends a request of ours.
//!
//! It puts a serializer before the SDK's that swaps the body in, before signing and before any
//! interceptor of the client's sees the request. It keeps the answer as it came, within its
//! [limit](super::answer_limit). Answers made of items are [elided](ElidedAnswer) for the SDK's
//! deserializer. Where no answer comes, the stage that the request reached decides what its failure
//! means.

use super::answer_limit::{answer_limit, limited};
use super::capture::{Captured, NotDirect};
use super::elided_answer::ElidedAnswer;
use super::failure::{self, misconfigured};
use super::{Operation, Shared, clock};
use crate::retry::ServiceError;
use aws_sdk_dynamodb::config::{ConfigBag, RuntimeComponents};
use aws_sdk_dynamodb::error::SdkError;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
    BeforeSerializationInterceptorContextMut, BeforeTransmitInterceptorContextMut,
    BeforeTransmitInterceptorContextRef, Input,
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
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
/// The stage that a request reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Preparing,
    /// There is no HTTP client to send with.
    Clientless,
    /// The identity and the endpoint are being resolved.
    Resolving,
    Signing,
    /// On its way, as far as can be known.
    Sent,
}

/// The interceptor of one request. Clones are of the same request.
#[derive(Clone)]
pub(super) struct Tap(Arc<Tapped>);

struct Tapped {
    operation: Operation,
    body: Bytes,
    capturing: Option<Arc<Shared>>,
    progress: Mutex<Progress>,
}

/// The state of the request, as far as the orchestrator got with it.
#[derive(Default)]
struct Progress {
    stage: Stage,
    url: String,
    /// The client's own retry setting, which bounds the loading of credentials.
    retry: Option<RetryConfig>,
    captured: Option<Result<Captured, NotDirect>>,
    signed_at: Option<SystemTime>,
    answer: Option<Answer>,
}

/// An answer as it came.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
    /// The time in the request's signature.
    pub(super) signed_at: Option<SystemTime>,
}

impl Tap {
    /// Returns an interceptor that sends `body`, and captures the request for the transport given.
    pub(super) fn new(operation: Operation, body: Bytes, capturing: Option<Arc<Shared>>) -> Self {
        Self(Arc::new(Tapped {
            operation,
            body,
            capturing,
            progress: Mutex::default(),
        }))
    }

    /// Returns whether the request is on its way, as far as can be known.
    pub(super) fn is_sent(&self) -> bool {
        self.0.progress.lock().stage == Stage::Sent
    }

    /// Takes the capture, where one was asked for and the request came so far.
    pub(super) fn take_captured(&self) -> Option<Result<Captured, NotDirect>> {
        self.0.progress.lock().captured.take()
    }

    /// Takes the answer, where one came.
    pub(super) fn take_answer(&self) -> Option<Answer> {
        self.0.progress.lock().answer.take()
    }

    fn answer_limit(&self) -> usize {
        answer_limit(self.0.operation, self.0.body.len())
    }

    /// Returns the meaning of an error of the SDK's where no answer came.
    pub(super) fn unanswered<E, R>(&self, error: &SdkError<E, R>) -> ServiceError
    where
        E: Error + 'static,
        R: fmt::Debug + 'static,
    {
        let progress = self.0.progress.lock();
        let body_lost =
            |error: &_| failure::body_lost(error, self.0.operation, self.answer_limit());
        match (progress.stage, error) {
            (Stage::Preparing, _) => misconfigured("the request could not be prepared"),
            (Stage::Clientless, _) => misconfigured("the client has no HTTP client to send with"),
            (Stage::Signing, _) => misconfigured("the request could not be signed"),
            (Stage::Resolving, SdkError::TimeoutError(_)) => failure::timed_out(false, None),
            (Stage::Resolving, _) => unresolved(error),
            (Stage::Sent, SdkError::TimeoutError(_)) => failure::timed_out(true, None),
            (Stage::Sent, SdkError::DispatchFailure(dispatch)) => {
                match dispatch.as_connector_error() {
                    Some(error) => failure::connector(error, &progress.url),
                    None => body_lost(error),
                }
            }
            (Stage::Sent, SdkError::ResponseError(_)) => body_lost(error),
            // Its text may quote the service's message.
            (Stage::Sent, _) => ServiceError::garbled("the SDK failed after sending"),
        }
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
        let serializer = serializer.ok_or("the operation has no serializer")?;
        let swap = BodySwap {
            serializer,
            body: self.0.body.clone(),
        };
        let state = config.interceptor_state();
        state.store_put(SharedRequestSerializer::new(swap));
        if let Some(elided) = ElidedAnswer::of(self.0.operation) {
            state.store_put(SharedResponseDeserializer::new(elided));
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
        self.0.progress.lock().stage = if clientless {
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
        let mut progress = self.0.progress.lock();
        progress.stage = Stage::Signing;
        progress.retry.clone_from(&retry);
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
        let mut progress = self.0.progress.lock();
        progress.stage = Stage::Sent;
        context.request().uri().clone_into(&mut progress.url);
        progress.signed_at = request
            .headers()
            .get("x-amz-date")
            .and_then(clock::parse_amz_date);
        if let Some(shared) = &self.0.capturing {
            let retry = progress.retry.take();
            progress.captured = Some(Captured::of(request, components, config, retry, shared));
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // The orchestrator reads the body into memory next.
        let response = context.response_mut();
        let body = limited(response.take_body(), self.answer_limit());
        *response.body_mut() = SdkBody::from_body_1_x(body);
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
            let mut progress = self.0.progress.lock();
            progress.answer = Some(Answer {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: Bytes::copy_from_slice(body),
                signed_at: progress.signed_at,
            });
        }
        Ok(())
    }
}

/// The SDK's serializer with our body in place of its own.
struct BodySwap {
    serializer: SharedRequestSerializer,
    body: Bytes,
}

impl fmt::Debug for BodySwap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodySwap").finish_non_exhaustive()
    }
}

impl SerializeRequest for BodySwap {
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

/// Returns the failure of a request for which no identity or no endpoint was found.
fn unresolved(error: &(dyn Error + 'static)) -> ServiceError {
    let mut next = Some(error);
    while let Some(this) = next {
        let text = this.to_string();
        // Two crates of the SDK have an error of this name, and neither type can be named here.
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
