//! A source whose offsets a transaction commits, on librdkafka's mock.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::control::reads_committed;
use super::{KafkaSource, KafkaSourceSettings};
use crate::embedded::EmbeddedKafka;
use crate::kafka::{KafkaSettings, KafkaSink, ProducerRecord};

fn committed(kafka: &EmbeddedKafka) -> Offset {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap_servers())
        .set("group.id", "group")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition("events", 0);
    let answer = client.committed_offsets(list, Duration::from_secs(60));
    answer.expect("answered").elements()[0].offset()
}

#[tokio::test]
async fn a_source_gives_its_offsets_to_a_transaction_and_commits_none() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let servers = KafkaSettings::new(kafka.bootstrap_servers());
    let sink = KafkaSink::open(&servers).await.expect("a sink");
    for n in 0..3 {
        let record = ProducerRecord::new("events", n.to_string());
        drop(sink.send(record).await.expect("accepted"));
    }
    sink.close().await.expect("delivered");
    let settings =
        KafkaSourceSettings::new("group", ["events"]).commit_interval(Duration::from_millis(1));
    let source = KafkaSource::builder(&servers).settings(settings).open();
    let mut source = source.await.expect("opened");
    let control = source.control();
    control.commit_by_transaction();
    assert!(control.reads_committed());
    let mut taken = Vec::new();
    while taken.len() < 3 {
        let batch = source.next_batch(3).await;
        taken.extend(batch.expect("not ended").expect("no error"));
    }
    let mut offsets = control.group_offsets().expect("a member");
    let [position] = offsets.positions() else {
        panic!("{offsets:?}")
    };
    assert_eq!(
        (&*position.topic, position.partition, position.offset),
        ("events", 0, 0)
    );
    assert!(position.mark.starts_with("v1;"), "{position:?}");
    assert!(offsets.raise("events", 0, 2) && offsets.raise("events", 0, 1));
    assert!(!offsets.raise("events", 1, 2) && !offsets.raise("other", 0, 2));
    let list = offsets.list();
    let element = &list.elements()[0];
    assert_eq!(element.offset(), Offset::Offset(2), "never lower");
    assert!(element.metadata().starts_with("v1;"));

    for message in taken {
        message.ack.done();
    }
    let offsets = control.group_offsets().expect("a member");
    assert_eq!(offsets.positions()[0].offset, 3);
    source.close().await.expect("nothing is to be committed");
    assert!(control.group_offsets().is_none());
    assert_eq!(committed(&kafka), Offset::Invalid);
}

#[test]
fn committed_is_read_unless_the_opposite_is_set() {
    let reads = |level: Option<&str>| {
        let mut client = ClientConfig::new();
        if let Some(level) = level {
            client.set("isolation.level", level);
        }
        reads_committed(&client)
    };
    assert!(reads(None) && reads(Some("read_committed")));
    assert!(!reads(Some("read_uncommitted")));
}
