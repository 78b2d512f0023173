//! The SDK's clients: one for each service, alike in all but their types.

use super::Operation;
use super::failure::misconfigured;
use super::operation::Service;
use super::tap::Tap;
use crate::retry::ServiceError;
#[cfg(feature = "pipeline")]
use aws_sdk_dynamodb::types::KeysAndAttributes;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use aws_smithy_types::retry::{RetryConfig, RetryMode};
use std::collections::HashMap;

#[derive(Clone, Debug)]
pub(super) enum Client {
    DynamoDb(aws_sdk_dynamodb::Client),
    #[cfg(feature = "streams")]
    Streams(aws_sdk_dynamodbstreams::Client),
}

/// Reads the configuration of a client of whichever service.
macro_rules! config {
    ($client:expr, |$config:ident| $read:expr) => {
        match $client {
            Client::DynamoDb(client) => {
                let $config = client.config();
                $read
            }
            #[cfg(feature = "streams")]
            Client::Streams(client) => {
                let $config = client.config();
                $read
            }
        }
    };
}

impl Client {
    pub(super) fn service(&self) -> Service {
        match self {
            Self::DynamoDb(_) => Service::DynamoDb,
            #[cfg(feature = "streams")]
            Self::Streams(_) => Service::Streams,
        }
    }

    /// Returns whether the client has parts of its own that the direct way would pass by.
    pub(super) fn is_customised(&self) -> bool {
        config!(self, |config| config.interceptors().next().is_some()
            || config.auth_schemes().next().is_some()
            || config.auth_scheme_resolver().is_some())
    }

    pub(super) fn corrects_skew(&self) -> bool {
        let disabled = config!(self, |config| config.disable_clock_skew_correction());
        !disabled.unwrap_or(false)
    }

    /// Returns the retry settings without the adaptive mode, which delays first attempts too:
    /// pacing is the caller's, as retries are.
    fn without_rate_limiter(&self) -> Option<RetryConfig> {
        let retry = config!(self, |config| config.retry_config())?;
        let adaptive = retry.mode() == RetryMode::Adaptive;
        adaptive.then(|| RetryConfig::standard().with_max_attempts(retry.max_attempts()))
    }

    /// Sends an input that names the table or the stream and nothing else, which is all that
    /// endpoint rules read. The tap swaps the body in.
    pub(super) async fn send(
        &self,
        operation: Operation,
        resource: &str,
        tap: &Tap,
    ) -> Result<(), ServiceError> {
        macro_rules! send {
            ($sdk:ident, $request:expr) => {{
                let mut request = $request.customize().interceptor(tap.clone());
                if let Some(retry) = self.without_rate_limiter() {
                    let settings = $sdk::Config::builder().retry_config(retry);
                    request = request.config_override(settings);
                }
                match request.send().await {
                    Ok(_parsed) => Ok(()),
                    Err(error) => Err(tap.unanswered(&error)),
                }
            }};
        }
        macro_rules! of_table {
            ($request:expr) => {
                send!(aws_sdk_dynamodb, $request)
            };
        }
        match (self, operation) {
            (Self::DynamoDb(client), Operation::BatchWriteItem) => of_table!(
                client
                    .batch_write_item()
                    .request_items(resource, Vec::new())
            ),
            (Self::DynamoDb(client), Operation::PutItem) => {
                of_table!(client.put_item().table_name(resource))
            }
            (Self::DynamoDb(client), Operation::UpdateItem) => {
                of_table!(client.update_item().table_name(resource))
            }
            (Self::DynamoDb(client), Operation::DeleteItem) => {
                of_table!(client.delete_item().table_name(resource))
            }
            (Self::DynamoDb(client), Operation::TransactWriteItems) => {
                let put = Put::builder()
                    .table_name(resource)
                    .set_item(Some(HashMap::new()))
                    .build();
                let put = put.map_err(|_| misconfigured("a request could not be made"))?;
                let item = TransactWriteItem::builder().put(put).build();
                of_table!(client.transact_write_items().transact_items(item))
            }
            (Self::DynamoDb(client), Operation::DescribeTable) => {
                of_table!(client.describe_table().table_name(resource))
            }
            (Self::DynamoDb(client), Operation::GetItem) => {
                of_table!(client.get_item().table_name(resource))
            }
            (Self::DynamoDb(client), Operation::Scan) => {
                of_table!(client.scan().table_name(resource))
            }
            (Self::DynamoDb(client), Operation::Query) => {
                of_table!(client.query().table_name(resource))
            }
            #[cfg(feature = "pipeline")]
            (Self::DynamoDb(client), Operation::BatchGetItem) => {
                let keys = KeysAndAttributes::builder().keys(HashMap::new()).build();
                let keys = keys.map_err(|_| misconfigured("a request could not be made"))?;
                of_table!(client.batch_get_item().request_items(resource, keys))
            }
            #[cfg(feature = "streams")]
            (Self::Streams(client), Operation::DescribeStream) => {
                let request = client.describe_stream().stream_arn(resource);
                send!(aws_sdk_dynamodbstreams, request)
            }
            #[cfg(feature = "streams")]
            (Self::Streams(client), Operation::GetShardIterator) => {
                let request = client.get_shard_iterator().stream_arn(resource);
                send!(aws_sdk_dynamodbstreams, request)
            }
            #[cfg(feature = "streams")]
            (Self::Streams(client), Operation::GetRecords) => {
                send!(aws_sdk_dynamodbstreams, client.get_records())
            }
            #[cfg(feature = "streams")]
            (Self::DynamoDb(_) | Self::Streams(_), _) => Err(foreign(operation)),
        }
    }
}

/// Returns the error of an operation of another service than the client's: nothing is sent.
pub(super) fn foreign(operation: Operation) -> ServiceError {
    let name = operation.name();
    misconfigured(&format!(
        "{name} is not an operation of the client's service"
    ))
}
