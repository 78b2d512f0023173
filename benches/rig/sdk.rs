//! What a careful user writes without this crate: attribute maps by hand, moving the record's
//! strings into them, `BatchWriteItem` through the SDK, and unprocessed items sent again, later.

use std::collections::HashMap;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Region, SharedHttpClient};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use super::Failure;
use super::records::Decision;

pub(crate) type Item = HashMap<String, AttributeValue>;

const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// The SDK as users have it: its default retries, timeouts and HTTP client. The credentials are
/// anybody's, for a server on this machine.
pub(crate) fn client(endpoint: impl Into<String>) -> Client {
    Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-central-1"))
            .credentials_provider(Credentials::new(
                "AKIDEXAMPLE",
                "wJalrXUtnFEMIK7MDENG",
                None,
                None,
                "bench",
            ))
            .endpoint_url(endpoint)
            .http_client(http_client())
            .build(),
    )
}

pub(crate) fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build_https()
}

/// Writes until the service has taken all.
pub(crate) async fn write_batch(
    client: &Client,
    table: &str,
    items: impl Iterator<Item = Item>,
) -> Result<(), Failure> {
    let requests: Result<Vec<_>, Failure> = items.map(write_request).collect();
    let mut left = HashMap::from([(table.to_owned(), requests?)]);
    let mut delay = FIRST_DELAY;
    loop {
        let answer = client
            .batch_write_item()
            .set_request_items(Some(left))
            .send()
            .await?;
        match answer.unprocessed_items {
            Some(items) if !items.is_empty() => left = items,
            _ => return Ok(()),
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

fn write_request(item: Item) -> Result<WriteRequest, Failure> {
    let put = PutRequest::builder().set_item(Some(item)).build()?;
    Ok(WriteRequest::builder().put_request(put).build())
}

pub(crate) fn attributes(record: Decision) -> Item {
    let reasons = record.reasons.map(text).into();
    let merchant = HashMap::from([
        ("name".to_owned(), text(record.merchant.name)),
        ("country".to_owned(), text(record.merchant.country)),
    ]);
    HashMap::from([
        ("customer".to_owned(), AttributeValue::S(record.customer)),
        (
            "number".to_owned(),
            AttributeValue::N(record.number.to_string()),
        ),
        ("status".to_owned(), text(record.status)),
        ("approved".to_owned(), AttributeValue::Bool(record.approved)),
        (
            "amount_cents".to_owned(),
            AttributeValue::N(record.amount_cents.to_string()),
        ),
        (
            "score".to_owned(),
            AttributeValue::N(record.score.to_string()),
        ),
        (
            "decided_at".to_owned(),
            AttributeValue::S(record.decided_at),
        ),
        ("reasons".to_owned(), AttributeValue::L(reasons)),
        ("merchant".to_owned(), AttributeValue::M(merchant)),
        ("note".to_owned(), AttributeValue::S(record.note)),
    ])
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}
