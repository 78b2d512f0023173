//! The identities that requests are signed as, from the client's own providers.

use super::operation::Service;
use aws_credential_types::attributes::AccountId;
use aws_sdk_dynamodb::config::endpoint::Params;
use aws_sdk_dynamodb::config::{ConfigBag, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{AuthScheme, AuthSchemeId};
use aws_smithy_runtime_api::client::endpoint::EndpointResolverParams;
use aws_smithy_runtime_api::client::identity::{
    Identity, IdentityCacheLocation, ResolveCachedIdentity, ResolveIdentity, SharedIdentityCache,
    SharedIdentityResolver,
};
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use std::time::SystemTime;

/// The scheme that the direct way can sign with.
const SIGV4: AuthSchemeId = AuthSchemeId::new("sigv4");

/// The source of identities, and the account that they have to belong to.
#[derive(Debug)]
pub(super) struct Identities {
    components: RuntimeComponents,
    resolver: SharedIdentityResolver,
    cache: Option<SharedIdentityCache>,
    /// The settings that identity caches and resolvers read: the client's own of retries and
    /// timeouts.
    config: ConfigBag,
    account: Account,
}

impl Identities {
    /// Returns the source of a client with these components, for an endpoint of this account. `None`
    /// where the client has no identities for `SigV4`.
    pub(super) fn new(
        components: &RuntimeComponents,
        account: Account,
        timeouts: TimeoutConfig,
        retry: Option<RetryConfig>,
    ) -> Option<Self> {
        let resolver = components
            .auth_scheme(SIGV4)
            .and_then(|scheme| scheme.identity_resolver(components))?;
        let cache = match resolver.cache_location() {
            IdentityCacheLocation::RuntimeComponents => Some(components.identity_cache()),
            _ => None,
        };
        let mut layer = Layer::new("dynamodb-connector");
        layer.store_put(timeouts);
        if let Some(retry) = retry {
            layer.store_put(retry);
        }
        Some(Self {
            components: components.clone(),
            resolver,
            cache,
            config: ConfigBag::of_layers([layer]),
            account,
        })
    }

    /// Returns the identity to sign as: from the client's identity cache, so that rotation is seen.
    pub(super) async fn resolve(&self) -> Result<Identity, BoxError> {
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
}

/// The accounts whose requests an endpoint takes.
#[derive(Debug)]
pub(super) enum Account {
    /// The endpoint is one for all accounts.
    #[cfg(feature = "streams")]
    Any,
    Only(Option<String>),
}

impl Account {
    pub(super) fn of(config: &ConfigBag, service: Service) -> Self {
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
