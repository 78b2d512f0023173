//! The parts that the SDK resolved for a request, kept so that later requests need not resolve them
//! again.

use super::identities::{Account, Identities};
use super::operation::Service;
use super::signature::sign_by_sdk;
use super::signer::Signer;
use super::{Operation, Shared, TransportKind, clock};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{ConfigBag, RuntimeComponents};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::endpoint::Endpoint;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use bytes::Bytes;
use std::fmt;
use std::time::{Duration, SystemTime};

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

/// Everything that is the same for all requests to one table or stream.
#[derive(Debug)]
pub(super) struct Captured {
    connector: SharedHttpConnector,
    pub(super) identities: Identities,
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

        let account = Account::of(config, shared.client.service());
        let timeouts = config
            .load::<TimeoutConfig>()
            .cloned()
            .unwrap_or_else(TimeoutConfig::disabled);
        let identities = Identities::new(components, account, timeouts.clone(), retry)
            .ok_or(NotDirect("there is no identity resolver for SigV4"))?;
        let http_client = components
            .http_client()
            .ok_or(NotDirect("there is no HTTP client to share"))?;
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
        Ok(Self {
            connector,
            identities,
            uri: request
                .uri()
                .parse()
                .map_err(|_| NotDirect("the URI does not parse"))?,
            uri_text: request.uri().to_owned(),
            region: scope.region.to_owned(),
            service: scope.service.to_owned(),
            headers: templates(request, &endpoint_headers, shared.client.service()),
            operations: shared.client.service().operations(),
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
        let resolving = tokio::time::timeout(PROOF_TIMEOUT, self.identities.resolve());
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
