//! The parts that the SDK resolved for a request, kept so that later requests need not resolve them
//! again.

use super::operation::Service;
use super::signature::sign_by_sdk;
use super::signer::Signer;
use super::{Operation, Shared, TransportKind, clock};
use aws_credential_types::Credentials;
use aws_credential_types::attributes::AccountId;
use aws_sdk_dynamodb::config::endpoint::Params;
use aws_sdk_dynamodb::config::{ConfigBag, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{AuthScheme, AuthSchemeId};
use aws_smithy_runtime_api::client::endpoint::EndpointResolverParams;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::identity::{
    Identity, IdentityCacheLocation, ResolveCachedIdentity, ResolveIdentity, SharedIdentityCache,
    SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::endpoint::Endpoint;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use bytes::Bytes;
use std::fmt;
use std::time::{Duration, SystemTime};

/// The scheme that the direct way can sign with.
const SIGV4: AuthSchemeId = AuthSchemeId::new("sigv4");

/// Headers that the direct way sends as captured: they are the same for every request.
const CAPTURED_HEADERS: [&str; 3] = ["content-type", "user-agent", "x-amz-user-agent"];

/// Headers of a request that the direct way makes anew, or does without: the invocation id and the
/// attempt's number only tell retries of the SDK's apart, which are off.
const REMADE_HEADERS: [&str; 8] = [
    "authorization",
    "content-length",
    "host",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-target",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
];

/// Everything that is the same for all requests to one table or stream. Apart from `proof` the
/// fields are resolved once, independently of each other,
/// so no smaller type would hold an invariant.
#[derive(Debug)]
pub(super) struct Captured {
    components: RuntimeComponents,
    connector: SharedHttpConnector,
    resolver: SharedIdentityResolver,
    cache: Option<SharedIdentityCache>,
    /// The settings that identity caches and resolvers read: the client's own of retries and
    /// timeouts.
    config: ConfigBag,
    account: Account,
    pub(super) uri: http::Uri,
    pub(super) uri_text: String,
    pub(super) region: String,
    pub(super) service: String,
    operations: &'static [Operation],
    /// The constant headers, one set for each operation.
    headers: Vec<Headers>,
    /// The shortest of the timeouts that bound one attempt.
    pub(super) limit: Duration,
    /// The cheaper signer, where it signs as `aws-sigv4` does.
    pub(super) signer: Option<Signer>,
    /// Kept only until it has been compared: a request's body may be large.
    proof: Option<Proof>,
}

/// The captured request as the SDK signed it.
struct Proof {
    authorization: String,
    signed_at: SystemTime,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

/// The reason that a request could not be captured: the direct way would not send the same.
#[derive(Debug)]
pub(super) struct NotDirect(pub(super) &'static str);

impl Captured {
    /// Captures a request that is about to be sent. `retry` is the client's own retry setting.
    pub(super) fn of(
        request: &HttpRequest,
        components: &RuntimeComponents,
        config: &ConfigBag,
        retry: Option<RetryConfig>,
        shared: &Shared,
    ) -> Result<Self, NotDirect> {
        let scope = Scope::of(request).ok_or(NotDirect("the request is not signed with SigV4"))?;
        let proof = scope.proof(request)?;
        let signed_at = proof.signed_at;

        let endpoint_headers = endpoint_headers(config);
        let known = |name: &str| {
            CAPTURED_HEADERS.contains(&name)
                || REMADE_HEADERS.contains(&name)
                || endpoint_headers.iter().any(|(known, _)| known == name)
        };
        if shared.kind == TransportKind::Auto
            && request.headers().iter().any(|(name, _)| !known(name))
        {
            return Err(NotDirect("the request has headers of its own"));
        }

        let resolver = components
            .auth_scheme(SIGV4)
            .and_then(|scheme| scheme.identity_resolver(components))
            .ok_or(NotDirect("there is no identity resolver for SigV4"))?;
        let cache = match resolver.cache_location() {
            IdentityCacheLocation::RuntimeComponents => Some(components.identity_cache()),
            _ => None,
        };
        let http_client = components
            .http_client()
            .ok_or(NotDirect("there is no HTTP client to share"))?;
        let timeouts = config
            .load::<TimeoutConfig>()
            .cloned()
            .unwrap_or_else(TimeoutConfig::disabled);
        let mut settings = HttpConnectorSettings::builder();
        settings.set_connect_timeout(timeouts.connect_timeout());
        settings.set_read_timeout(timeouts.read_timeout());
        let connector = http_client.http_connector(&settings.build(), components);

        if let Some(now) = components.time_source().map(|clock| clock.now())
            && now
                .duration_since(signed_at)
                .unwrap_or_else(|e| e.duration())
                > MIN_SKEW
        {
            shared.skew.set(signed_at, now);
        }
        let limit = [
            timeouts.operation_timeout(),
            timeouts.operation_attempt_timeout(),
        ]
        .into_iter()
        .flatten()
        .fold(shared.attempt_timeout, Duration::min);
        let mut layer = Layer::new("dynamodb-connector");
        layer.store_put(timeouts);
        if let Some(retry) = retry {
            layer.store_put(retry);
        }
        Ok(Self {
            connector,
            resolver,
            cache,
            config: ConfigBag::of_layers([layer]),
            account: Account::of(config, shared.client.service()),
            uri: request
                .uri()
                .parse()
                .map_err(|_| NotDirect("the URI does not parse"))?,
            uri_text: request.uri().to_owned(),
            region: scope.region.to_owned(),
            service: scope.service.to_owned(),
            headers: templates(request, &endpoint_headers, shared.client.service()),
            operations: shared.client.service().operations(),
            components: components.clone(),
            limit,
            signer: None,
            proof: Some(proof),
        })
    }

    /// Signs the captured request again and returns whether the direct way signs as the SDK did.
    /// `None` if the keys that the SDK had are no longer at hand.
    ///
    /// A client that was made to sign in another way shows here, and not as a refused request.
    pub(super) async fn prove(&mut self) -> Option<bool> {
        let proof = self.proof.take()?;
        let resolving = tokio::time::timeout(PROOF_TIMEOUT, self.identity());
        let identity = resolving.await.ok()?.ok()?;
        let key = identity.data::<Credentials>()?.access_key_id();
        let credential = proof.authorization.split("Credential=").nth(1)?;
        if credential.split('/').next() != Some(key) {
            // The keys have been rotated between the two signatures.
            return None;
        }
        let headers = proof
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let scope = (self.region.as_str(), self.service.as_str());
        let signature = sign_by_sdk(
            &identity,
            scope,
            proof.signed_at,
            &self.uri_text,
            headers,
            &proof.body,
        )
        .ok()?;
        let ours = signature
            .headers()
            .find(|(name, _)| *name == "authorization");
        let proven = ours.is_some_and(|(_, value)| value == proof.authorization);
        if proven {
            let headers = |operation| self.headers(operation);
            let now = proof.signed_at;
            self.signer =
                Signer::proven(self.operations, headers, &self.uri, scope, &identity, now);
        }
        Some(proven)
    }

    /// Returns the identity to sign as: from the client's identity cache, so that rotation is seen.
    pub(super) async fn identity(&self) -> Result<Identity, BoxError> {
        match &self.cache {
            Some(cache) => {
                let resolver = self.resolver.clone();
                cache
                    .resolve_cached_identity(resolver, &self.components, &self.config)
                    .await
            }
            None => {
                self.resolver
                    .resolve_identity(&self.components, &self.config)
                    .await
            }
        }
    }

    /// Returns whether an identity belongs to the account that the endpoint was resolved for:
    /// account-id endpoints differ between accounts.
    pub(super) fn serves(&self, identity: &Identity) -> bool {
        match &self.account {
            #[cfg(feature = "streams")]
            Account::Any => true,
            Account::Only(account) => account.as_deref() == account_id(identity),
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.components.time_source().unwrap_or_default().now()
    }

    pub(super) fn headers(&self, operation: Operation) -> Headers {
        self.headers
            .get(operation.index())
            .cloned()
            .unwrap_or_default()
    }

    pub(super) fn connector(&self) -> &SharedHttpConnector {
        &self.connector
    }
}

/// The time that the proof of a capture waits for an identity, which is in a cache as a rule.
const PROOF_TIMEOUT: Duration = Duration::from_secs(1);

/// The least difference that is taken for a skew: a signature's time is in whole seconds.
const MIN_SKEW: Duration = Duration::from_secs(5);

/// The accounts whose requests an endpoint takes.
#[derive(Debug)]
enum Account {
    /// The endpoint is one for all accounts.
    #[cfg(feature = "streams")]
    Any,
    Only(Option<String>),
}

impl Account {
    fn of(config: &ConfigBag, service: Service) -> Self {
        match service {
            // Its endpoint rules don't take an account (aws-sdk-dynamodbstreams 1.122).
            #[cfg(feature = "streams")]
            Service::Streams => Self::Any,
            Service::DynamoDb => Self::Only(
                config
                    .load::<EndpointResolverParams>()
                    .and_then(|params| params.get::<Params>()?.account_id())
                    .map(str::to_owned),
            ),
        }
    }
}

/// Returns the account, as endpoint rules see it.
fn account_id(identity: &Identity) -> Option<&str> {
    identity.property::<AccountId>().map(AccountId::as_str)
}

fn endpoint_headers(config: &ConfigBag) -> Vec<(String, String)> {
    let Some(endpoint) = config.load::<Endpoint>() else {
        return Vec::new();
    };
    let mut headers = Vec::new();
    for (name, values) in endpoint.headers() {
        for value in values {
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }
    headers
}

fn templates(
    request: &HttpRequest,
    endpoint_headers: &[(String, String)],
    service: Service,
) -> Vec<Headers> {
    let mut common = Headers::new();
    for name in CAPTURED_HEADERS {
        if let Some(value) = request.headers().get(name) {
            // A value that was sent once can be sent again: nothing here can fail.
            let _ = common.try_insert(name, value.to_owned());
        }
    }
    for (name, value) in endpoint_headers {
        let _ = common.try_append(name.clone(), value.clone());
    }
    service
        .operations()
        .iter()
        .map(|operation| {
            let mut headers = common.clone();
            headers.insert("x-amz-target", operation.target());
            headers
        })
        .collect()
}

/// The contents of a `SigV4` `authorization` header.
struct Scope<'a> {
    authorization: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
}

impl<'a> Scope<'a> {
    fn of(request: &'a HttpRequest) -> Option<Self> {
        let authorization = request.headers().get("authorization")?;
        let fields = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let field = |name: &str| {
            fields
                .split(", ")
                .find_map(|field| field.strip_prefix(name))
        };
        // AKID/20250131/eu-west-1/dynamodb/aws4_request
        let mut credential = field("Credential=")?.rsplit('/');
        credential.next().filter(|last| *last == "aws4_request")?;
        let service = credential.next()?;
        let region = credential.next()?;
        Some(Self {
            authorization,
            region,
            service,
            signed_headers: field("SignedHeaders=")?,
        })
    }

    fn proof(&self, request: &HttpRequest) -> Result<Proof, NotDirect> {
        let signed_at = request
            .headers()
            .get("x-amz-date")
            .and_then(clock::parse_amz_date)
            .ok_or(NotDirect("the signature has no time"))?;
        let body = request
            .body()
            .bytes()
            .ok_or(NotDirect("the body is a stream"))?;
        let signers_own =
            |name: &str| matches!(name, "host" | "x-amz-date" | "x-amz-security-token");
        let headers = request.headers().iter().filter(|(name, _)| {
            !signers_own(name) && self.signed_headers.split(';').any(|signed| signed == *name)
        });
        Ok(Proof {
            authorization: self.authorization.to_owned(),
            signed_at,
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: Bytes::copy_from_slice(body),
        })
    }
}
