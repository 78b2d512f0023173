//! Offsets of a source that are committed with the transaction.

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::super::sort::Verdict;
use super::{LONGEST, Rig, add, verdict};
use crate::kafka::{KafkaEvent, KafkaSink, KafkaSource, KafkaSourceSettings, Message};

impl Rig {
    /// Returns the offset that a group has committed of the rig's topic.
    fn committed(&self, group: &str) -> Offset {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", group)
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, 0);
        let answer = client.committed_offsets(list, LONGEST).expect("answered");
        answer.elements()[0].offset()
    }

    /// Writes records outside of transactions.
    async fn fill(&self, records: u32) {
        let sink = KafkaSink::open(&self.kafka()).await.expect("a sink");
        for number in 0..records {
            let record = self.record(&number.to_string());
            drop(sink.send(record).await.expect("accepted"));
        }
        sink.close().await.expect("delivered");
    }

    async fn source(&self, group: &str) -> KafkaSource {
        let settings = KafkaSourceSettings::new(group, [self.topic.as_str()]);
        let opened = KafkaSource::builder(&self.kafka()).settings(settings);
        let source = opened.open().await.expect("opened");
        source.control().commit_by_transaction();
        source
    }
}

/// Takes so many records.
async fn take(source: &mut KafkaSource, records: usize) -> Vec<Message> {
    let mut taken = Vec::new();
    while taken.len() < records {
        let batch = source.next_batch(records - taken.len()).await;
        taken.extend(batch.expect("not ended").expect("no error"));
    }
    taken
}

#[tokio::test]
async fn offsets_are_committed_with_the_records_and_by_nothing_else() {
    let name = "offsets_are_committed_with_the_records_and_by_nothing_else";
    let Some(rig) = Rig::new(name, &[]).await else {
        return;
    };
    rig.fill(3).await;
    let group = format!("{}-group", rig.topic);
    let mut source = rig.source(&group).await;
    let control = source.control();
    assert!(control.reads_committed());
    let messages = take(&mut source, 3).await;
    let mut producer = rig.producer().await;

    // An aborted transaction commits none.
    producer.begin().await.expect("begun");
    let mut offsets = control.group_offsets().expect("a member");
    assert!(offsets.raise(&rig.topic, 0, 3));
    producer.send_offsets(offsets).await.expect("sent");
    producer.abort().await.expect("aborted");
    assert_eq!(rig.committed(&group), Offset::Invalid);

    if producer.is_worn() {
        producer.renew().await.expect("renewed");
    }
    producer.begin().await.expect("begun");
    add(&mut producer, &rig.record("output")).await;
    producer.delivered().await;
    let mut offsets = control.group_offsets().expect("a member");
    let position = &offsets.positions()[0];
    assert_eq!((position.offset, offsets.positions().len()), (0, 1));
    assert!(offsets.raise(&rig.topic, 0, 2));
    producer.send_offsets(offsets).await.expect("sent");
    producer.commit().await.expect("committed");
    assert_eq!(rig.committed(&group), Offset::Offset(2));
    for message in messages {
        message.ack.done();
    }
    source.close().await.expect("closed");
    assert_eq!(rig.committed(&group), Offset::Offset(2), "not 3");
    assert!(control.group_offsets().is_none(), "no member any more");

    // The next member goes on there.
    let mut next = rig.source(&group).await;
    assert_eq!(take(&mut next, 1).await[0].offset, 2);
}

#[tokio::test]
async fn offsets_of_an_old_generation_abort_the_transaction_and_the_producer_goes_on() {
    let name = "offsets_of_an_old_generation_abort_the_transaction_and_the_producer_goes_on";
    let Some(rig) = Rig::new(name, &[]).await else {
        return;
    };
    rig.fill(1).await;
    let group = format!("{}-group", rig.topic);
    let mut first = rig.source(&group).await;
    drop(take(&mut first, 1).await);
    let stale = first.control().group_offsets().expect("a member");
    first.close().await.expect("closed");
    let mut second = rig.source(&group).await;
    while !matches!(
        second.next_event(1).await.expect("not ended"),
        Ok(KafkaEvent::Opened { .. })
    ) {}

    let mut producer = rig.producer().await;
    producer.begin().await.expect("begun");
    add(&mut producer, &rig.record("dropped")).await;
    producer.delivered().await;
    assert_eq!(verdict(producer.send_offsets(stale).await), Verdict::Abort);
    assert!(producer.failures().is_empty(), "no record is at fault");
    producer.abort().await.expect("aborted");
    if producer.is_worn() {
        producer.renew().await.expect("renewed");
    }
    producer.begin().await.expect("begun");
    let fresh = second.control().group_offsets().expect("a member");
    producer.send_offsets(fresh).await.expect("sent");
    producer.commit().await.expect("committed");
    assert_eq!(rig.committed(&group), Offset::Offset(0));
    assert_eq!(rig.published(), ["0"]);
}
