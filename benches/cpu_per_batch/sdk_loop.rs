//! What a careful user writes without this crate: attribute maps by hand, moving the record's
//! strings into them, `BatchWriteItem` through the SDK, and unprocessed items sent again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Region};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use futures::future::BoxFuture;

use crate::contender::{Contender, Failure};
use crate::records::{self, Decision, TABLE};

pub(crate) struct SdkLoop(pub(crate) Client);

/// The SDK as users have it: its default retries, timeouts and HTTP client.
pub(crate) fn client(server: SocketAddr) -> Client {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build_https();
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
            .endpoint_url(format!("http://{server}"))
            .http_client(http)
            .build(),
    )
}

impl Contender for SdkLoop {
    fn name(&self) -> &'static str {
        "hand-written SDK loop"
    }

    fn lane(
        self: Arc<Self>,
        lane: usize,
        batches: usize,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            for batch in 0..batches {
                let requests: Result<Vec<_>, Failure> = records::batch(lane, batch)
                    .into_iter()
                    .map(write_request)
                    .collect();
                let mut left = Some(HashMap::from([(TABLE.to_owned(), requests?)]));
                while let Some(items) = left {
                    let answer = self
                        .0
                        .batch_write_item()
                        .set_request_items(Some(items))
                        .send()
                        .await?;
                    left = answer.unprocessed_items.filter(|items| !items.is_empty());
                }
            }
            Ok(())
        })
    }
}

fn write_request(record: Decision) -> Result<WriteRequest, Failure> {
    let put = PutRequest::builder()
        .set_item(Some(attributes(record)))
        .build()?;
    Ok(WriteRequest::builder().put_request(put).build())
}

fn attributes(record: Decision) -> HashMap<String, AttributeValue> {
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
