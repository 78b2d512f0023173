//! Positions that move without a record, past aborted records and markers, are committed by transactions too.

use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::kafka::{
    KafkaSource, KafkaSourceSettings, Message, ProducerRecord, TransactionSettings,
};
use dynamodb_connector::pipeline::{Guarantee, KafkaRecords, KafkaTransactions, Pipeline};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::{Topic, unique};
use crate::kafka::soon;

const LONG: Duration = Duration::from_secs(60);

/// Writes five records in a transaction, and aborts it.
async fn write_aborted(topic: &Topic) {
    let producer: ThreadedProducer<_> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &topic.bootstrap)
        .set("transactional.id", unique("transactions"))
        .create()
        .expect("a producer");
    let name = topic.name.clone();
    let written = tokio::task::spawn_blocking(move || {
        producer.init_transactions(LONG).expect("begun");
        producer.begin_transaction().expect("begun");
        for _ in 0..5 {
            let record = BaseRecord::<(), str>::to(&name).payload("x");
            let sent = producer.send(record);
            sent.map_err(|(error, _)| error).expect("taken");
        }
        producer.flush(LONG).expect("sent");
        producer.abort_transaction(LONG).expect("aborted");
    });
    written.await.expect("no panic");
}

/// Asks the brokers until this offset of a group is committed: of themselves they say nothing.
async fn committed(topic: &Topic, group: &str, offset: i64) {
    let client: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &topic.bootstrap)
        .set("group.id", group)
        .create()
        .expect("a consumer");
    let client = Arc::new(client);
    let mut turns = tokio::time::interval(Duration::from_millis(50));
    loop {
        turns.tick().await;
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic.name, 0);
        let asking = Arc::clone(&client);
        let asked = tokio::task::spawn_blocking(move || asking.committed_offsets(list, LONG));
        let answer = asked.await.expect("no panic").expect("answered");
        if answer.elements()[0].offset() == Offset::Offset(offset) {
            return;
        }
    }
}

async fn end(topic: &Topic) -> i64 {
    let client: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &topic.bootstrap)
        .set("isolation.level", "read_uncommitted")
        .create()
        .expect("a consumer");
    let name = topic.name.clone();
    let asked = tokio::task::spawn_blocking(move || client.fetch_watermarks(&name, 0, LONG));
    asked.await.expect("no panic").expect("answered").1
}

#[tokio::test]
async fn aborted_records_alone_move_the_groups_offset_and_no_marker_is_written() {
    let test = "advanced_in_transaction";
    let (Some(from), Some(to)) = (
        Topic::new(test, 1, &[]).await,
        Topic::new(test, 1, &[]).await,
    ) else {
        return;
    };
    write_aborted(&from).await;
    let group = unique("group");
    let own = KafkaSourceSettings::new(&group, [from.name.as_str()])
        .commit_interval(Duration::from_millis(100));
    let kafka = from.settings();
    let source = KafkaSource::builder(&kafka).settings(own).open();
    let source = soon(source).await.expect("a source");
    let settings = TransactionSettings::new(unique("application"));
    let transactions = KafkaTransactions::new(&kafka, settings).guarantee(Guarantee::ExactlyOnce {
        commit_interval: Duration::from_millis(100),
    });
    let out = to.name.clone();
    let output = KafkaRecords::new(move |_: &Message| {
        Ok::<_, String>(Some(ProducerRecord::new(out.as_str(), "made")))
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let job = Pipeline::from(source).to_transactional(&transactions, output);
    let running = tokio::spawn(job.run_until(async {
        let _ = stopped.await;
    }));
    // Five records and a marker.
    soon(committed(&from, &group, 6)).await;
    write_aborted(&from).await;
    soon(committed(&from, &group, 12)).await;
    stop.send(()).expect("it runs");
    let report = soon(running)
        .await
        .expect("no panic")
        .expect("it ends well");
    assert_eq!(report.acknowledged, 0);
    let transactions = report.transactions.expect("it ends in transactions");
    // Of the opening, and one for each.
    assert!((2..=4).contains(&transactions.committed), "{transactions}");
    assert_eq!(end(&to).await, 0, "not even a marker");
}
