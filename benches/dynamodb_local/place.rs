//! Which DynamoDB is written to.

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;

use crate::local::Local;
use crate::rig::{Failure, sdk};

/// What `tests/run` sets too.
const URL: &str = "DYNAMODB_LOCAL_URL";

pub(crate) enum Place {
    /// One that was started for this, and ends with it.
    Started(Local),
    Given(String),
}

impl Place {
    /// The one that is named, on the command line or in the environment, or DynamoDB Local where
    /// it was downloaded.
    pub(crate) fn find(endpoint: Option<&str>) -> Result<Option<Self>, Failure> {
        let given = endpoint
            .map(str::to_owned)
            .or_else(|| std::env::var(URL).ok());
        match given {
            Some(endpoint) => Ok(Some(Self::Given(endpoint))),
            None => Ok(Local::start()?.map(Self::Started)),
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Started(local) => format!("DynamoDB Local {}, in memory", local.version()),
            Self::Given(endpoint) => endpoint.clone(),
        }
    }

    /// A server on this machine takes any credentials. For all others region and credentials
    /// come from the environment, a profile or the machine's role.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        let endpoint = match self {
            Self::Started(local) => return Ok(sdk::client(local.endpoint())),
            Self::Given(endpoint) if is_local(endpoint) => return Ok(sdk::client(endpoint)),
            Self::Given(endpoint) => endpoint,
        };
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(sdk::http_client())
            .endpoint_url(endpoint)
            .load()
            .await;
        if config.region().is_none() {
            return Err(format!("{endpoint} needs a region: set AWS_REGION").into());
        }
        Ok(Client::new(&config))
    }
}

fn is_local(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<http::Uri>() else {
        return false;
    };
    uri.host()
        .is_some_and(|host| host == "localhost" || host == "[::1]" || host.starts_with("127."))
}
