//! The real KCL and our source, one after the other on one lease table: each goes on exactly where the other stopped, after its
//! shards, and reads nothing again that the other finished.
//!
//! What of the KCL's rows is read and written is in `streams::lease`; here it is the KCL itself that reads and writes them.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    BillingMode, KeyType, ScalarAttributeType, StreamSpecification, StreamViewType,
};
use dynamodb_connector::streams::{RecordStream, SequenceNumber, StreamsSource};
use futures::StreamExt as _;
use serde::Deserialize;
use tokio::time::timeout;

use crate::conformance::harness::{Item, attribute, get, key_element, s};
use crate::servers::kcl::{Event, KclApp, Settings};
use crate::servers::local_dynamodb::{LocalDynamoDb, Storage};
use crate::servers::smoke::{sequences, shards};
use crate::servers::streams_client_for;

const TABLE: &str = "changes";
/// The lease table, which the KCL names as its application.
const APPLICATION: &str = "leases";
/// A KCL that finds leases takes about 45 s, on a machine that does nothing else.
const LONGEST: Duration = Duration::from_secs(300);
const CHECKPOINT_EVERY: usize = 5;

/// A table on a server of its own, and the application that reads its changes.
struct Rig {
    server: LocalDynamoDb,
    arn: String,
}

impl Rig {
    async fn start(test: &str) -> Option<Self> {
        let server = LocalDynamoDb::start(test, Storage::Memory).await?;
        let images = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages);
        let created = server
            .client()
            .create_table()
            .table_name(TABLE)
            .billing_mode(BillingMode::PayPerRequest)
            .key_schema(key_element("pk", KeyType::Hash))
            .attribute_definitions(attribute("pk", ScalarAttributeType::S))
            .stream_specification(images.build().expect("complete"))
            .send();
        let table = created.await.expect("a table").table_description;
        let arn = table.and_then(|table| table.latest_stream_arn);
        let arn = arn.expect("a stream");
        Some(Self { server, arn })
    }

    async fn put(&self, places: std::ops::Range<usize>) {
        for place in places {
            let put = self.server.client().put_item().table_name(TABLE);
            let put = put.item("pk", s(format!("k{place}")));
            put.send().await.expect("written");
        }
    }

    /// The shards, the oldest first, each the next one's parent.
    async fn shards(&self) -> Vec<String> {
        let found = shards(&streams_client_for(&self.server.url()), &self.arn).await;
        for pair in found.windows(2) {
            assert_eq!(pair[1].1.as_ref(), Some(&pair[0].0));
        }
        found.into_iter().map(|(shard, _)| shard).collect()
    }

    /// The sequence number of a shard's record.
    async fn sequence(&self, shard: &str, place: usize) -> String {
        let streams = streams_client_for(&self.server.url());
        sequences(&streams, &self.arn, shard)
            .await
            .swap_remove(place)
    }

    async fn lease(&self, shard: &str) -> Option<Item> {
        let key = Item::from([("leaseKey".to_owned(), s(shard))]);
        get(&self.server.client(), APPLICATION, key).await
    }

    /// Whether a shard's lease says that everything up to this record is done.
    async fn is_at(&self, shard: &str, sequence: &str) -> bool {
        let row = self.lease(shard).await.expect("a lease");
        let stored: SequenceNumber = row["checkpoint"]
            .as_s()
            .expect("text")
            .parse()
            .expect("a sequence number");
        stored == sequence.parse().expect("a sequence number")
    }

    async fn open(&self) -> StreamsSource {
        let (url, client) = (self.server.url(), self.server.client());
        let source = StreamsSource::builder(&client, &streams_client_for(&url), TABLE);
        let source = source.lease_table(APPLICATION).worker("ours").seed(7);
        source.open().await.expect("opened")
    }

    fn kcl(&self, test: &str) -> Option<KclApp> {
        let settings = Settings {
            endpoint: &self.server.url(),
            stream_arn: &self.arn,
            application: APPLICATION,
            worker: "theirs",
            checkpoint_every: u32::try_from(CHECKPOINT_EVERY).expect("small"),
            // Of no effect where there are leases; where there are none, records would be missed or come again.
            start: "TRIM_HORIZON",
            key: "pk",
        };
        KclApp::start(test, &settings)
    }
}

fn keys(places: std::ops::Range<usize>) -> Vec<String> {
    places.map(|place| format!("k{place}")).collect()
}

fn keys_of(events: &[Event]) -> Vec<&str> {
    events.iter().filter_map(Event::key).collect()
}

/// Where the KCL began with each shard.
fn initialized(events: &[Event]) -> Vec<(&str, &str)> {
    let begun = events.iter().filter_map(|event| match event {
        Event::Initialized { shard, at } => Some((shard.as_str(), at.as_str())),
        _ => None,
    });
    begun.collect()
}

/// Handles so many records; gives their keys.
async fn take(records: &mut RecordStream, count: usize) -> Vec<String> {
    #[derive(Deserialize)]
    struct Key {
        pk: String,
    }
    let mut keys = Vec::new();
    while keys.len() < count {
        let next = timeout(LONGEST, records.next()).await;
        let next = next.unwrap_or_else(|_| panic!("no more than {keys:?} come"));
        let delivery = next.expect("no end").expect("a record");
        let key: Key = delivery.record.keys().expect("decoded");
        keys.push(key.pk);
        delivery.ack.done();
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kcl_and_we_take_over_from_each_other_at_the_very_record() {
    // At once, since a KCL mostly waits.
    tokio::join!(there_and_back(), from_a_killed_one());
}

/// Ours stops amid a shard, the KCL goes on and is stopped, ours goes on.
async fn there_and_back() {
    let test = "kcl::there_and_back";
    let Some(rig) = Rig::start(test).await else {
        return;
    };
    rig.put(0..3).await;
    let mut ours = rig.open().await.into_stream();
    assert_eq!(take(&mut ours, 3).await, keys(0..3));
    rig.server.rollover().await;
    rig.put(3..12).await;
    assert_eq!(take(&mut ours, 4).await, keys(3..7));
    ours.close().await.expect("closed");
    rig.server.rollover().await;
    rig.put(12..15).await;
    let shards = rig.shards().await;
    let [_, second, third] = &shards[..] else {
        panic!("{shards:?}")
    };
    let at = rig.sequence(second, 3).await;
    assert!(rig.is_at(second, &at).await);

    let Some(mut kcl) = rig.kcl(test) else { return };
    let events = kcl.until(LONGEST, |event| event.key() == Some("k14")).await;
    assert_eq!(keys_of(&events), keys(7..15));
    let begun = initialized(&events);
    assert_eq!(
        begun,
        [(second.as_str(), at.as_str()), (third, "TRIM_HORIZON")]
    );
    let (said, status) = kcl.stop().await;
    assert!(status.success(), "{status}: {said:?}");
    assert_eq!(keys_of(&said), [""; 0]);
    let at = rig.sequence(third, 2).await;
    assert!(rig.is_at(third, &at).await, "{said:?}");

    rig.put(15..17).await;
    rig.server.rollover().await;
    rig.put(17..19).await;
    let source = rig.open().await;
    let control = source.control();
    let mut ours = source.into_stream();
    assert_eq!(take(&mut ours, 4).await, keys(15..19));
    ours.close().await.expect("closed");
    assert_eq!(
        control.stats().records,
        4,
        "what was finished is not read again"
    );
}

/// The KCL is killed amid a shard, ours goes on behind its last checkpoint.
async fn from_a_killed_one() {
    let test = "kcl::from_a_killed_one";
    let Some(rig) = Rig::start(test).await else {
        return;
    };
    rig.put(0..2).await;
    rig.server.rollover().await;
    rig.put(2..14).await;
    // Its leases are there, so that the KCL need not wait for a first start.
    drop(rig.open().await);
    let Some(mut kcl) = rig.kcl(test) else { return };
    let events = kcl.until(LONGEST, |event| event.key() == Some("k13")).await;
    assert_eq!(keys_of(&events), keys(0..14));
    kcl.kill().await;
    let shards = rig.shards().await;
    let [_, second] = &shards[..] else {
        panic!("{shards:?}")
    };
    let checkpointed = 2 * CHECKPOINT_EVERY;
    let at = rig.sequence(second, checkpointed - 1).await;
    assert!(rig.is_at(second, &at).await, "{events:?}");

    rig.put(14..15).await;
    let source = rig.open().await;
    let control = source.control();
    let mut ours = source.into_stream();
    assert_eq!(take(&mut ours, 3).await, keys(2 + checkpointed..15));
    ours.close().await.expect("closed");
    assert_eq!(
        control.stats().records,
        3,
        "what was finished is not read again"
    );
}
