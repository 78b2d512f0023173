//! That the servers do what they are started for. What the crate makes of them is shown elsewhere.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeValue, BillingMode, KeyType, ScalarAttributeType, StreamSpecification, StreamViewType,
};
use aws_sdk_dynamodbstreams as streams;

use super::kcl::{Event, KclApp, Settings};
use super::local_dynamodb::{LocalDynamoDb, Storage};
use super::streams_client_for;
use crate::conformance::harness::{attribute, key_element, n, s};

pub(super) const TABLE: &str = "changes";

#[derive(serde::Deserialize)]
pub(super) struct Key {
    pub(super) pk: String,
}
/// A KCL that finds leases takes about 45 s, on a machine that does nothing else.
const LONGEST: Duration = Duration::from_secs(240);

pub(super) async fn create(client: &Client, name: &str, key: &str, stream: bool) -> Option<String> {
    let mut create = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key_element(key, KeyType::Hash))
        .attribute_definitions(attribute(key, ScalarAttributeType::S));
    if stream {
        let images = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages);
        create = create.stream_specification(images.build().expect("complete"));
    }
    let created = create.send().await.expect("a table");
    created.table_description?.latest_stream_arn
}

pub(super) async fn put(client: &Client, places: std::ops::Range<usize>) {
    for place in places {
        let put = client.put_item().table_name(TABLE);
        let put = put.item("pk", s(format!("k{place}")));
        put.send().await.expect("written");
    }
}

/// The shards, parents first: their identities and their parents'.
pub(crate) async fn shards(client: &streams::Client, arn: &str) -> Vec<(String, Option<String>)> {
    let described = client.describe_stream().stream_arn(arn).send().await;
    let described = described.expect("described").stream_description;
    let shards = described.expect("a stream").shards.unwrap_or_default();
    shards
        .into_iter()
        .map(|shard| (shard.shard_id.expect("named"), shard.parent_shard_id))
        .collect()
}

/// The sequence numbers of a shard's first records.
pub(crate) async fn sequences(client: &streams::Client, arn: &str, shard: &str) -> Vec<String> {
    let first = client.get_shard_iterator().stream_arn(arn).shard_id(shard);
    let first = first.shard_iterator_type(streams::types::ShardIteratorType::TrimHorizon);
    let first = first.send().await.expect("an iterator");
    let page = client
        .get_records()
        .set_shard_iterator(first.shard_iterator);
    let page = page.send().await.expect("read").records.unwrap_or_default();
    page.into_iter()
        .map(|record| record.dynamodb.and_then(|change| change.sequence_number))
        .map(|sequence| sequence.expect("numbered"))
        .collect()
}

#[tokio::test]
async fn a_local_dynamodb_rolls_over_ages_and_keeps_its_files_over_a_kill() {
    let test = "servers::smoke::a_local_dynamodb_rolls_over_ages_and_keeps_its_files_over_a_kill";
    let folder = format!("servers-{}", std::process::id());
    let files = Storage::Files(std::env::temp_dir().join(folder));
    let Some(mut server) = LocalDynamoDb::start(test, files).await else {
        return;
    };
    let (client, changes) = (server.client(), streams_client_for(&server.url()));
    let arn = create(&client, TABLE, "pk", true).await.expect("a stream");
    put(&client, 0..3).await;
    server.rollover().await;
    put(&client, 3..5).await;
    let found = shards(&changes, &arn).await;
    let [(parent, None), (child, Some(of))] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(of, parent);
    assert_eq!(sequences(&changes, &arn, parent).await.len(), 3);
    assert_eq!(sequences(&changes, &arn, child).await.len(), 2);
    server.kill();
    server.restart().await;
    let scan = client.scan().table_name(TABLE).consistent_read(true);
    assert_eq!(scan.send().await.expect("scanned").count, 5);
    assert_eq!(shards(&changes, &arn).await, found);
    server.dilate(25).await;
    let trimmed = changes
        .get_shard_iterator()
        .stream_arn(&arn)
        .shard_id(parent);
    let trimmed = trimmed.shard_iterator_type(streams::types::ShardIteratorType::TrimHorizon);
    let read = match trimmed.send().await {
        Ok(first) => {
            let page = changes
                .get_records()
                .set_shard_iterator(first.shard_iterator);
            page.send().await.map_or(0, |page| page.records().len())
        }
        Err(_) => 0,
    };
    assert_eq!(read, 0, "they are past 24 hours");
}

/// A row as KCL 2 writes it, without an owner.
async fn lease(client: &Client, table: &str, shard: &str, at: &str, parent: Option<&str>) {
    let mut row = client
        .put_item()
        .table_name(table)
        .item("leaseKey", s(shard))
        .item("leaseCounter", n("7"))
        .item("checkpoint", s(at))
        .item("checkpointSubSequenceNumber", n("0"))
        .item("ownerSwitchesSinceCheckpoint", n("0"));
    if let Some(parent) = parent {
        row = row.item("parentShardId", AttributeValue::Ss(vec![parent.to_owned()]));
    }
    row.send().await.expect("written");
}

fn keys(events: &[Event]) -> Vec<&str> {
    events.iter().filter_map(Event::key).collect()
}

#[tokio::test]
async fn a_kcl_goes_on_from_rows_that_another_wrote_and_stores_how_far_it_came() {
    let test =
        "servers::smoke::a_kcl_goes_on_from_rows_that_another_wrote_and_stores_how_far_it_came";
    let Some(server) = LocalDynamoDb::start(test, Storage::Memory).await else {
        return;
    };
    let (client, changes) = (server.client(), streams_client_for(&server.url()));
    let arn = create(&client, TABLE, "pk", true).await.expect("a stream");
    put(&client, 0..12).await;
    server.rollover().await;
    put(&client, 12..15).await;
    let found = shards(&changes, &arn).await;
    let [(parent, None), (child, Some(_))] = &found[..] else {
        panic!("{found:?}");
    };
    let at = sequences(&changes, &arn, parent).await.swap_remove(6);
    create(&client, "leases", "leaseKey", false).await;
    lease(&client, "leases", parent, &at, None).await;
    lease(&client, "leases", child, "TRIM_HORIZON", Some(parent)).await;
    let settings = Settings {
        endpoint: &server.url(),
        stream_arn: &arn,
        application: "leases",
        worker: "kcl",
        checkpoint_every: 5,
        start: "LATEST",
        key: "pk",
    };
    let Some(mut worker) = KclApp::start(test, &settings) else {
        return;
    };
    let events = worker
        .until(LONGEST, |event| event.key() == Some("k14"))
        .await;
    assert_eq!(
        events[0],
        Event::Initialized {
            shard: parent.clone(),
            at
        }
    );
    let wanted: Vec<String> = (7..15).map(|place| format!("k{place}")).collect();
    assert_eq!(keys(&events), wanted);
    assert!(events.contains(&Event::ShardEnd {
        shard: parent.clone()
    }));
    let (said, status) = worker.stop().await;
    assert!(status.success(), "{status}: {said:?}");
    let row = client.get_item().table_name("leases");
    let row = row.key("leaseKey", s(child)).consistent_read(true);
    let row = row.send().await.expect("read").item.expect("kept");
    let last = sequences(&changes, &arn, child).await.swap_remove(2);
    assert_eq!(row["checkpoint"], s(last), "{said:?}");
}
