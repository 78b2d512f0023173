//! The way through the SDK's orchestrator: the request's own body in, the raw answer out.
//!
//! The operation's input names the table or stream and nothing else, which is all that endpoint
//! rules read. An interceptor, [`Tap`], swaps the body in and keeps the answer as it came, so that
//! the same parser serves both ways.

use super::capture::{Captured, NotDirect};
use super::failure::{self, Received};
use super::tap::Tap;
use super::{Operation, Shared, Way};
use crate::retry::ServiceError;
use bytes::Bytes;
use std::sync::Arc;

/// Sends one request through the orchestrator. `capturing` also decides the way of later requests.
pub(super) async fn call(
    shared: &Arc<Shared>,
    operation: Operation,
    body: Bytes,
    capturing: bool,
) -> Result<Bytes, ServiceError> {
    #[cfg(feature = "streams")]
    let sent = shared.sending();
    let tap = Tap::new(operation, body, capturing.then(|| Arc::clone(shared)));
    let sending = shared.client.send(operation, &shared.resource, &tap);
    let result = tokio::time::timeout(shared.attempt_timeout, sending).await;

    if let Some(captured) = tap.take_captured() {
        settle_way(shared, captured).await;
    }
    // An answer that came is the answer, even where the SDK failed afterwards.
    if let Some(answer) = tap.take_answer() {
        #[cfg(feature = "streams")]
        shared.date(&answer.headers, sent);
        let received = Received {
            status: answer.status,
            headers: &answer.headers,
            body: answer.body,
            signed_at: answer.signed_at,
        };
        return received.settle(&shared.skew);
    }
    match result {
        Err(_elapsed) => Err(failure::timed_out(
            tap.is_sent(),
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
            // The next request decides.
            None => return,
        },
        Err(NotDirect(reason)) => reason,
    };
    let resource = &shared.resource;
    tracing::debug!(reason, resource, "requests go through the SDK");
    shared.set_way(Way::Sdk);
}
