//! Clients of the AWS SDK for streams.

use aws_credential_types::Credentials;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::retry::RetryConfig;
use aws_sdk_dynamodbstreams::config::{
    BehaviorVersion, Builder, Config, Region, StalledStreamProtectionConfig,
};

use crate::{FakeServer, FaultyDynamoDb};

impl FaultyDynamoDb {
    /// A client of the AWS SDK for streams that reaches this service in process.
    pub fn streams_client(&self) -> Client {
        Client::from_conf(self.streams_config_builder().build())
    }

    /// A configuration of the AWS SDK for streams that reaches this service in process, as
    /// [`config_builder`](Self::config_builder) makes one for tables.
    pub fn streams_config_builder(&self) -> Builder {
        local_config().http_client(self.http_client())
    }
}

impl FakeServer {
    /// A client of the AWS SDK for streams that reaches the server over its socket.
    pub fn streams_client(&self) -> Client {
        Client::from_conf(self.streams_config_builder().build())
    }

    /// A configuration of the AWS SDK for streams that reaches the server over its socket.
    pub fn streams_config_builder(&self) -> Builder {
        local_config()
            .endpoint_url(self.endpoint_url())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
    }
}

fn local_config() -> Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(
            "AKIDFAKE",
            "fake-secret",
            None,
            None,
            "faulty-dynamodb",
        ))
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}
