//! The view that a client's interceptors have of an answer that is made of items.

use super::fake::Fake;
use super::{READ, RESOURCE, body, client, code_of, holds_items, page, read, sdk, transport};
use crate::transport::TransportKind;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use parking_lot::Mutex;
use sdk::config::{ConfigBag, Intercept, RuntimeComponents};
use std::sync::Arc;

/// The response's body, and whether the output made of it holds items, or the error's code.
type Saw = (Vec<u8>, Result<bool, Option<String>>);

#[derive(Clone, Debug, Default)]
struct Onlooker(Arc<Mutex<Vec<Saw>>>);

#[dyn_dispatch_hint]
impl Intercept for Onlooker {
    fn name(&self) -> &'static str {
        "onlooker"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap().to_vec();
        let output = match context.output_or_error() {
            Ok(output) => Ok(holds_items(output)),
            Err(error) => Err(error.as_operation_error().and_then(code_of)),
        };
        self.0.lock().push((body, output));
        Ok(())
    }
}

#[tokio::test]
async fn items_are_in_the_response_and_not_in_the_output() {
    let fake = Fake::default();
    let onlooker = Onlooker::default();
    let client = client(&fake, |config| config.interceptor(onlooker.clone()));
    // The SDK's own call, so that the onlooker is seen to tell.
    fake.answer(200, &[], page());
    read(&client).await;

    let transport = transport(&client, TransportKind::Sdk, RESOURCE, super::ATTEMPT);
    fake.answer(200, &[], page());
    let answer = transport.call(READ, body("{}")).await.unwrap();
    assert_eq!(answer, page().as_bytes());

    let saw = onlooker.0.lock().clone();
    let page = page().as_bytes().to_vec();
    assert_eq!(saw, [(page.clone(), Ok(true)), (page, Ok(false))]);
}

#[tokio::test]
async fn which_error_it_is_is_seen() {
    let fake = Fake::default();
    let onlooker = Onlooker::default();
    let client = client(&fake, |config| config.interceptor(onlooker.clone()));
    let transport = transport(&client, TransportKind::Sdk, RESOURCE, super::ATTEMPT);
    let refusal = "{\"__type\":\"x#ResourceNotFoundException\"}";
    fake.answer(400, &[], refusal);
    let error = transport.call(READ, body("{}")).await.unwrap_err();
    assert!(error.is_missing());

    let saw = onlooker.0.lock().clone();
    let code = Err(Some("ResourceNotFoundException".to_owned()));
    assert_eq!(saw, [(refusal.as_bytes().to_vec(), code)]);
}
