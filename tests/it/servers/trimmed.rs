//! Shards that `DynamoDB` Local has trimmed, in part or whole, or that have expired and are still listed.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodbstreams as streams;
use dynamodb_connector::streams::{
    RecordStream, StreamsError, StreamsSettings, StreamsSource, StreamsSourceBuilder,
};
use dynamodb_connector::{Gap, GapCause, GapPolicy};
use futures::StreamExt as _;

use super::local_dynamodb::{LocalDynamoDb, Storage};
use super::smoke::{TABLE, create, put, shards};
use super::streams_client_for;

/// The longest that the source may take, on a machine that runs other programs too.
const LONGEST: Duration = Duration::from_secs(60);

fn source(dynamodb: &Client, changes: &streams::Client) -> StreamsSourceBuilder {
    let settings = StreamsSettings::default().poll(Duration::from_millis(50));
    StreamsSource::builder(dynamodb, changes, TABLE).settings(settings)
}

/// The keys of so many changes.
async fn take(records: &mut RecordStream, count: usize) -> Vec<String> {
    let mut keys = Vec::new();
    let all = async {
        while keys.len() < count {
            let delivery = records.next().await.expect("more").expect("a change");
            let key = delivery.record.keys::<super::smoke::Key>().expect("a key");
            keys.push(key.pk);
            delivery.ack.done();
        }
    };
    tokio::time::timeout(LONGEST, all).await.expect("in time");
    keys
}

#[tokio::test]
async fn a_first_start_passes_a_shard_that_expired_and_is_still_listed() {
    let test = "servers::trimmed::a_first_start_passes_a_shard_that_expired_and_is_still_listed";
    let Some(server) = LocalDynamoDb::start(test, Storage::Memory).await else {
        return;
    };
    let (client, changes) = (server.client(), streams_client_for(&server.url()));
    create(&client, TABLE, "pk", true).await.expect("a stream");
    put(&client, 0..3).await;
    server.rollover().await;
    server.dilate(25).await;
    put(&client, 3..5).await;
    let opened = source(&client, &changes).open().await.expect("it opens");
    let mut records = opened.into_stream();
    assert_eq!(take(&mut records, 2).await, ["k3", "k4"]);
    assert_eq!(records.control().stats().gaps, 0);
    records.close().await.expect("it closes");
}

#[tokio::test]
async fn a_shard_that_is_trimmed_before_it_is_read_is_a_possible_gap_in_part_and_whole() {
    let test = "servers::trimmed::a_shard_that_is_trimmed_before_it_is_read_is_a_possible_gap_in_part_and_whole";
    let Some(server) = LocalDynamoDb::start(test, Storage::Memory).await else {
        return;
    };
    let (client, changes) = (server.client(), streams_client_for(&server.url()));
    let arn = create(&client, TABLE, "pk", true).await.expect("a stream");
    put(&client, 0..3).await;
    let opened = source(&client, &changes).open().await.expect("it opens");
    let mut records = opened.into_stream();
    assert_eq!(take(&mut records, 3).await.len(), 3);
    // Its child has a row once it is read; nothing is in it.
    server.rollover().await;
    let found = shards(&changes, &arn).await;
    let (child, _) = found.last().expect("two shards");
    let control = records.control();
    let child_is_read = async {
        let reading = async { records.next().await.map(drop) };
        tokio::pin!(reading);
        while !control
            .stats()
            .lag
            .keys()
            .map(ToString::to_string)
            .eq([child.clone()])
        {
            tokio::select! {
                _ = &mut reading => panic!("nothing is there to be given"),
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    };
    tokio::time::timeout(LONGEST, child_is_read)
        .await
        .expect("in time");
    records.close().await.expect("it closes");

    put(&client, 3..6).await;
    server.dilate(3).await;
    put(&client, 6..8).await;
    server.dilate(22).await;
    let opened = source(&client, &changes).open().await.expect("it opens");
    let mut records = opened.into_stream();
    let first = tokio::time::timeout(LONGEST, records.next()).await;
    let error = first
        .expect("in time")
        .expect("an error")
        .expect_err("a gap");
    let StreamsError::Gap { gap, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(gap.cause, GapCause::PossiblyTrimmed);

    // By now nothing is left of it.
    server.dilate(3).await;
    put(&client, 8..10).await;
    let gaps = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&gaps);
    let settings = StreamsSettings::default()
        .poll(Duration::from_millis(50))
        .on_gap(GapPolicy::Report);
    let opened = source(&client, &changes)
        .settings(settings)
        .on_gap(move |gap: &Gap| told.lock().push(gap.cause))
        .open()
        .await;
    let mut records = opened.expect("it opens").into_stream();
    assert_eq!(take(&mut records, 2).await, ["k8", "k9"]);
    records.close().await.expect("it closes");
    assert_eq!(*gaps.lock(), [GapCause::PossiblyTrimmed]);
}
