//! A topic that is deleted and made again with fewer partitions: a sink goes on, and loses nothing in silence.

use std::collections::BTreeMap;
use std::time::Duration;

use dynamodb_connector::kafka::{
    KafkaError, KafkaSink, KafkaSinkSettings, KafkaSource, KafkaSourceSettings, ProducerRecord,
};
use rdkafka::admin::AdminOptions;

use super::{Topic, server, unique};
use crate::kafka::{LONGEST, soon};

const KEYS: usize = 40;
const ROUNDS: usize = 10;

/// A record of a key, with its place among those of the key.
fn record(topic: &Topic, key: usize, round: usize) -> ProducerRecord {
    ProducerRecord::new(topic.name.as_str(), round.to_string()).key(format!("k{key}"))
}

/// Sends a record and waits for its receipt.
async fn deliver(sink: &KafkaSink, record: ProducerRecord) -> Result<(), KafkaError> {
    soon(sink.send(record)).await?.await.map(drop)
}

/// Reads this many records, and returns the values of each key in their order.
async fn read(topic: &Topic, count: usize) -> BTreeMap<String, Vec<String>> {
    let own = KafkaSourceSettings::new(unique("group"), [topic.name.as_str()]);
    let mut source = soon(
        KafkaSource::builder(&topic.settings())
            .settings(own.clone())
            .open(),
    )
    .await
    .expect("a source");
    let text = |bytes: Option<bytes::Bytes>| {
        String::from_utf8(bytes.expect("there").to_vec()).expect("text")
    };
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = 0;
    while seen < count {
        let batch = soon(source.next_batch(1_000)).await;
        for message in batch.expect("more").expect("records") {
            let (key, value) = (text(message.key), text(message.payload));
            values.entry(key).or_default().push(value);
            message.ack.done();
            seen += 1;
        }
    }
    soon(source.close()).await.expect("closed");
    values
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_with_keys_go_on_in_a_topic_that_was_made_again_with_fewer_partitions() {
    let Some(topic) = Topic::new("remade", 8, &[]).await else {
        return;
    };
    let sink = topic
        .sink(&KafkaSinkSettings::default().linger(Duration::ZERO))
        .await;
    for key in 0..KEYS {
        deliver(&sink, record(&topic, key, 0))
            .await
            .expect("delivered");
    }
    let admin = server::admin(&topic.bootstrap);
    let options = AdminOptions::new().operation_timeout(Some(LONGEST));
    let deleted = admin.delete_topics(&[&topic.name], &options).await;
    deleted.expect("answered")[0].as_ref().expect("deleted");
    topic.make_again(2).await;

    // Where a record fails, it says so, and goes on later.
    let mut failed = Vec::new();
    let all = async {
        for round in 0..ROUNDS {
            for key in 0..KEYS {
                while let Err(error) = deliver(&sink, record(&topic, key, round)).await {
                    assert!(!error.is_fatal(), "{error}");
                    failed.push(error);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    if tokio::time::timeout(2 * LONGEST, all).await.is_err() {
        panic!(
            "it does not go on after {} failures: {:?}",
            failed.len(),
            failed.last()
        );
    }
    // One whose answer is lost with its topic would be in it twice.
    let values = read(&topic, KEYS * ROUNDS).await;
    let expected: Vec<String> = (0..ROUNDS).map(|round| round.to_string()).collect();
    assert_eq!(values.len(), KEYS);
    for (key, values) in &values {
        assert_eq!(*values, expected, "{key}");
    }
    drop(soon(sink.close()).await);
}
