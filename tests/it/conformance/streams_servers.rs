//! The servers whose streams are checked.

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::retry::RetryConfig;
use aws_sdk_dynamodbstreams::config::{BehaviorVersion, Config, Credentials, Region};
use dynamodb_connector::test_util::FaultyDynamoDb;

use super::harness::{client_for, local_url, run_streams};
use super::streams::checks;

fn streams_client_for(url: &str) -> Client {
    Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("AKIDLOCAL", "none", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(url)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build(),
    )
}

#[tokio::test]
async fn the_faulty_dynamodb() {
    let fake = FaultyDynamoDb::new();
    run_streams(&checks(), &fake.client(), &fake.streams_client(), &[]).await;
}

#[tokio::test]
async fn the_faulty_dynamodb_over_http() {
    let server = FaultyDynamoDb::new().serve().await.expect("a server");
    run_streams(&checks(), &server.client(), &server.streams_client(), &[]).await;
    server.shutdown().await;
}

/// What dynoxide 3.2 does otherwise than DynamoDB.
#[cfg(feature = "embedded")]
const DYNOXIDE_GAPS: [&str; 11] = [
    // It counts the bytes of the images' JSON.
    "a_change_is_told_with_its_images",
    "keys_only_shows_no_images",
    // It records every write.
    "a_write_that_changes_nothing_leaves_no_record",
    // It tells no key schema and no sequence numbers of its shard.
    "a_stream_tells_its_only_shard",
    // Switched off, the stream is gone.
    "a_disabled_stream_ends_its_shards",
    // It knows a stream by its table, and any shard's name is its only shard's.
    "an_unknown_shard_is_not_found",
    "an_unknown_stream_is_not_found",
    // It words it otherwise.
    "a_nonsense_iterator_is_refused",
    "bad_sequence_numbers_are_refused",
    // It takes any.
    "the_sizes_of_pages_are_checked",
    // It switches it on again.
    "a_stream_is_switched_on_once",
];

#[cfg(feature = "embedded")]
#[tokio::test]
async fn the_embedded_dynamodb() {
    use dynamodb_connector::embedded::EmbeddedDynamoDb;

    let database = EmbeddedDynamoDb::start().await.expect("a database");
    let streams = streams_client_for(&database.endpoint_url());
    run_streams(&checks(), &database.client(), &streams, &DYNOXIDE_GAPS).await;
    database.shutdown().await;
}

/// What DynamoDB Local 3.1 does otherwise than DynamoDB.
const LOCAL_GAPS: [&str; 0] = [];

#[tokio::test]
async fn dynamodb_local() {
    let Some(url) = local_url("conformance::streams_servers::dynamodb_local") else {
        return;
    };
    let streams = streams_client_for(&url);
    run_streams(&checks(), &client_for(&url), &streams, &LOCAL_GAPS).await;
}
