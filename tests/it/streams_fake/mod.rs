//! The faulty DynamoDB's streams, seen through the real client of the AWS SDK.

mod control;
mod limits;
mod listing;
mod reading;
mod records;
mod tables;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::types::{Record, Shard, ShardIteratorType};
use dynamodb_connector::test_util::{FaultyDynamoDb, TableSpecExt as _};
use dynamodb_connector::{StreamView, TableSpec};

const TABLE: &str = "decisions";

/// A table with a stream that shows everything, of so many shards.
fn table(shards: usize) -> FaultyDynamoDb {
    let fake = FaultyDynamoDb::new();
    let spec = TableSpec::new(TABLE).stream(StreamView::NewAndOldImages);
    fake.create_table(spec.stream_shards(shards));
    fake
}

fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

async fn put(fake: &FaultyDynamoDb, key: &str, value: &str) {
    let put = fake.client().put_item().table_name(TABLE);
    let put = put.item("pk", s(key)).item("v", s(value));
    put.send().await.expect("put");
}

/// Puts so many different items.
async fn put_many(fake: &FaultyDynamoDb, count: usize) {
    for at in 0..count {
        put(fake, &format!("key-{at}"), "1").await;
    }
}

/// The only shard.
fn only_shard(fake: &FaultyDynamoDb) -> String {
    let shards = fake.shards(TABLE);
    assert_eq!(shards.len(), 1);
    shards[0].id().to_owned()
}

async fn iterator_for(
    fake: &FaultyDynamoDb,
    shard: &str,
    kind: ShardIteratorType,
    number: Option<&str>,
) -> String {
    ask_iterator(fake, shard, kind, number)
        .await
        .expect("an iterator")
}

/// An iterator, or the code of the refusal.
async fn ask_iterator(
    fake: &FaultyDynamoDb,
    shard: &str,
    kind: ShardIteratorType,
    number: Option<&str>,
) -> Result<String, String> {
    let arn = fake.stream_arn(TABLE).expect("a stream");
    let ask = fake.streams_client().get_shard_iterator().stream_arn(arn);
    let ask = ask.shard_id(shard).shard_iterator_type(kind);
    let answer = ask.set_sequence_number(number.map(str::to_owned)).send();
    match answer.await {
        Ok(answer) => Ok(answer.shard_iterator.expect("an iterator")),
        Err(error) => Err(code(&error)),
    }
}

fn code<E: aws_sdk_dynamodb::error::ProvideErrorMetadata>(error: &E) -> String {
    error.code().expect("a code").to_owned()
}

/// The records behind an iterator, and the next one; or the code of the refusal.
async fn read(client: &Client, iterator: &str) -> Result<(Vec<Record>, Option<String>), String> {
    let answer = client.get_records().shard_iterator(iterator).send().await;
    match answer {
        Ok(answer) => Ok((
            answer.records.unwrap_or_default(),
            answer.next_shard_iterator,
        )),
        Err(error) => Err(code(&error)),
    }
}

/// Everything a shard holds, from its oldest record to its end or to what is newest.
async fn drain(fake: &FaultyDynamoDb, shard: &str) -> Vec<Record> {
    let client = fake.streams_client();
    let mut next = Some(iterator_for(fake, shard, ShardIteratorType::TrimHorizon, None).await);
    let mut all = Vec::new();
    while let Some(iterator) = next {
        let (records, after) = read(&client, &iterator).await.expect("a page");
        if records.is_empty() {
            break;
        }
        all.extend(records);
        next = after;
    }
    all
}

/// A whole listing, page by page.
async fn listing(fake: &FaultyDynamoDb, page: i32) -> Vec<Shard> {
    let arn = fake.stream_arn(TABLE).expect("a stream");
    let mut shards = Vec::new();
    let mut start = None;
    loop {
        let ask = fake.streams_client().describe_stream().stream_arn(&arn);
        let answer = ask.limit(page).set_exclusive_start_shard_id(start).send();
        let described = answer.await.expect("described");
        let described = described.stream_description.expect("a description");
        shards.extend(described.shards.unwrap_or_default());
        start = described.last_evaluated_shard_id;
        if start.is_none() {
            return shards;
        }
    }
}

fn ids(shards: &[Shard]) -> Vec<String> {
    let ids = shards.iter().map(|shard| shard.shard_id.clone());
    ids.map(|id| id.expect("a name")).collect()
}

fn number(record: &Record) -> String {
    let change = record.dynamodb.as_ref().expect("a change");
    change.sequence_number.clone().expect("a number")
}

type Image = HashMap<String, aws_sdk_dynamodbstreams::types::AttributeValue>;

fn text<'a>(image: &'a Image, name: &str) -> &'a str {
    image[name].as_s().expect("a string")
}

/// The keys of records, in their order.
fn keys(records: &[Record]) -> Vec<String> {
    let keys = records.iter().map(|record| {
        let change = record.dynamodb.as_ref().expect("a change");
        text(change.keys.as_ref().expect("a key"), "pk").to_owned()
    });
    keys.collect()
}
