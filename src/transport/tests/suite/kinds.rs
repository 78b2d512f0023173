//! The way that is taken, and that the SDK's way leaves a client's own parts in force.

use super::fake::Fake;
use super::{ATTEMPT, CALL, RESOURCE, body, client, sdk, transport};
use crate::transport::{TransportKind, Way};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{
    AuthScheme, AuthSchemeEndpointConfig, AuthSchemeId, AuthSchemePreference, Sign,
};
use aws_smithy_runtime_api::client::identity::{Identity, SharedIdentityResolver};
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::GetIdentityResolver;
use parking_lot::Mutex;
use sdk::config::{Builder, ConfigBag, Credentials, Intercept, RuntimeComponents};
use std::sync::Arc;

/// Sees the body before it is signed and adds a header that is to be signed.
#[derive(Clone, Debug, Default)]
struct Stamp(Arc<Mutex<Vec<Vec<u8>>>>);

#[dyn_dispatch_hint]
impl Intercept for Stamp {
    fn name(&self) -> &'static str {
        "stamp"
    }

    fn read_after_serialization(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0
            .lock()
            .push(context.request().body().bytes().unwrap().to_vec());
        Ok(())
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context
            .request_mut()
            .headers_mut()
            .insert("x-amz-stamp", "postage");
        Ok(())
    }
}

/// A scheme under the name of `SigV4` that signs in its own way.
#[derive(Debug)]
struct Wax;

impl AuthScheme for Wax {
    fn scheme_id(&self) -> AuthSchemeId {
        AuthSchemeId::new("sigv4")
    }

    fn identity_resolver(
        &self,
        resolvers: &dyn GetIdentityResolver,
    ) -> Option<SharedIdentityResolver> {
        resolvers.identity_resolver(self.scheme_id())
    }

    fn signer(&self) -> &dyn Sign {
        self
    }
}

impl Sign for Wax {
    fn sign_http_request(
        &self,
        request: &mut HttpRequest,
        _identity: &Identity,
        _endpoint: AuthSchemeEndpointConfig<'_>,
        _components: &RuntimeComponents,
        _config: &ConfigBag,
    ) -> Result<(), BoxError> {
        // All that a SigV4 signature has, but for its being right.
        let headers = request.headers_mut();
        headers.insert("x-amz-date", "20250131T000000Z");
        headers.insert(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKID/20250131/eu-west-1/dynamodb/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=wax",
        );
        Ok(())
    }
}

/// The way taken after a first call, and what was sent by a second.
async fn taken(
    kind: TransportKind,
    adjust: impl FnOnce(Builder) -> Builder,
) -> (Way, super::fake::Sent) {
    let fake = Fake::default();
    let client = client(&fake, adjust);
    let transport = transport(&client, kind, RESOURCE, ATTEMPT);
    for _ in 0..2 {
        fake.forget();
        transport.call(CALL, body("{\"a\":1}")).await.unwrap();
    }
    (transport.0.way(), fake.only())
}

#[tokio::test]
async fn auto_goes_direct_where_nothing_is_lost_by_it() {
    let (way, sent) = taken(TransportKind::Auto, |config| config).await;
    assert!(matches!(way, Way::Direct(_)));
    sent.verify(
        &Credentials::new("AKID", "secret", None, None, "test"),
        "eu-west-1",
    );
    let (way, _) = taken(TransportKind::Sdk, |config| config).await;
    assert!(matches!(way, Way::Sdk));
}

#[tokio::test]
async fn a_clients_interceptors_see_and_sign_every_request() {
    for kind in [TransportKind::Auto, TransportKind::Sdk] {
        let stamp = Stamp::default();
        let (way, sent) = taken(kind, |config| config.interceptor(stamp.clone())).await;
        assert!(matches!(way, Way::Sdk), "{kind:?}");
        assert_eq!(sent.header("x-amz-stamp"), "postage");
        sent.verify(
            &Credentials::new("AKID", "secret", None, None, "test"),
            "eu-west-1",
        );
        assert_eq!(*stamp.0.lock(), vec![b"{\"a\":1}".to_vec(); 2]);
    }
}

#[tokio::test]
async fn direct_passes_interceptors_by_after_the_first_request() {
    let stamp = Stamp::default();
    let (way, sent) = taken(TransportKind::Direct, |c| c.interceptor(stamp.clone())).await;
    assert!(matches!(way, Way::Direct(_)));
    assert_eq!(sent.header("x-amz-stamp"), "");
    sent.verify(
        &Credentials::new("AKID", "secret", None, None, "test"),
        "eu-west-1",
    );
    assert_eq!(stamp.0.lock().len(), 1);
}

#[tokio::test]
async fn a_signature_that_is_not_ours_is_left_to_the_sdk() {
    for kind in [
        TransportKind::Auto,
        TransportKind::Direct,
        TransportKind::Sdk,
    ] {
        let (way, sent) = taken(kind, |config| config.push_auth_scheme(Wax)).await;
        assert!(matches!(way, Way::Sdk), "{kind:?}");
        assert!(sent.header("authorization").ends_with("wax"), "{kind:?}");
    }
}

#[tokio::test]
async fn requests_without_a_signature_are_left_to_the_sdk() {
    for kind in [
        TransportKind::Auto,
        TransportKind::Direct,
        TransportKind::Sdk,
    ] {
        let (way, sent) = taken(kind, |config| {
            let none = AuthSchemePreference::from([AuthSchemeId::new("noAuth")]);
            config.allow_no_auth().auth_scheme_preference(none)
        })
        .await;
        assert!(matches!(way, Way::Sdk), "{kind:?}");
        assert_eq!(sent.header("authorization"), "", "{kind:?}");
    }
}
