//! Records that are gone before they are read: a gap, never silence.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::kafka::{
    KafkaError, KafkaEvent, KafkaSinkSettings, KafkaSource, KafkaSourceSettings, OffsetReset,
    ProducerRecord,
};
use dynamodb_connector::{Gap, GapCause, GapPolicy};
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::server::admin;
use super::{Topic, unique};
use crate::kafka::soon;

const LONGEST: Duration = Duration::from_secs(60);

async fn fill(topic: &Topic, partition: i32, count: u32) {
    let sink = topic.sink(&KafkaSinkSettings::default()).await;
    for n in 0..count {
        let record = ProducerRecord::new(topic.name.as_str(), n.to_string()).partition(partition);
        drop(soon(sink.send(record)).await.expect("accepted"));
    }
    soon(sink.close()).await.expect("delivered");
}

/// Has the broker delete all records of a partition before this offset.
pub(super) async fn trim(topic: &Topic, partition: i32, before: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic.name, partition, Offset::Offset(before))
        .expect("an offset");
    let options = AdminOptions::new().operation_timeout(Some(LONGEST));
    // Dropped before the answer, the client would never give it.
    let admin = admin(&topic.bootstrap);
    let deleted = soon(admin.delete_records(&list, &options));
    deleted.await.expect("answered");
}

pub(super) async fn delete(topic: &Topic) {
    let options = AdminOptions::new().operation_timeout(Some(LONGEST));
    let admin = admin(&topic.bootstrap);
    let deleted = admin.delete_topics(&[&topic.name], &options).await;
    deleted.expect("answered")[0].as_ref().expect("deleted");
}

fn own(topic: &Topic, group: &str) -> KafkaSourceSettings {
    KafkaSourceSettings::new(group, [topic.name.as_str()])
}

/// Reads this many records and has them committed.
async fn read(topic: &Topic, own: &KafkaSourceSettings, count: usize) -> Vec<i64> {
    let mut source = soon(
        KafkaSource::builder(&topic.settings())
            .settings(own.clone())
            .open(),
    )
    .await
    .expect("a source");
    let mut offsets = Vec::new();
    while offsets.len() < count {
        let batch = soon(source.next_batch(count - offsets.len())).await;
        for message in batch.expect("more").expect("records") {
            offsets.push(message.offset);
            message.ack.done();
        }
    }
    soon(source.close()).await.expect("committed");
    offsets
}

async fn error(topic: &Topic, own: &KafkaSourceSettings) -> KafkaError {
    let mut source = soon(
        KafkaSource::builder(&topic.settings())
            .settings(own.clone())
            .open(),
    )
    .await
    .expect("a source");
    let ended = soon(source.next_batch(1)).await.expect("an error");
    let error = ended.map(|batch| batch[0].offset).expect_err("a gap");
    assert!(!error.is_retryable());
    drop(source.close().await);
    error
}

/// Reads one record under `GapPolicy::Report`, and returns its offset and the gaps.
async fn report(topic: &Topic, own: &KafkaSourceSettings) -> (i64, Vec<Gap>) {
    let gaps = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&gaps);
    let builder =
        KafkaSource::builder(&topic.settings()).settings(own.clone().on_gap(GapPolicy::Report));
    let opening = builder.on_gap(move |gap| noted.lock().push(gap.clone()));
    let mut source = soon(opening.open()).await.expect("a source");
    let batch = soon(source.next_batch(1)).await;
    let first = batch.expect("more").expect("records").remove(0);
    let offset = first.offset;
    first.ack.done();
    assert_eq!(source.stats().gaps, 1);
    soon(source.close()).await.expect("committed");
    let gaps = gaps.lock().clone();
    (offset, gaps)
}

#[tokio::test]
async fn records_that_were_trimmed_under_a_committed_offset_are_a_gap_wherever_it_starts() {
    for start in [OffsetReset::Earliest, OffsetReset::Latest] {
        let Some(topic) = Topic::new("gaps", 1, &[]).await else {
            return;
        };
        fill(&topic, 0, 100).await;
        let group = unique("group");
        let committed = own(&topic, &group);
        assert_eq!(read(&topic, &committed, 10).await.last(), Some(&9));
        trim(&topic, 0, 60).await;

        let again = own(&topic, &group).start(start);
        let failed = error(&topic, &again).await;
        let KafkaError::Gap { gap, .. } = &failed else {
            panic!("{failed}");
        };
        assert_eq!(gap.cause, GapCause::Trimmed);
        assert_eq!(gap.after.as_deref(), Some("9"));
        let partition = format!("{}-0", topic.name);
        assert_eq!(gap.partition.as_deref(), Some(&*partition));
        assert!(failed.to_string().contains("on_gap"), "{failed}");

        let (offset, gaps) = report(&topic, &again).await;
        assert_eq!(offset, 60, "the 40 that are there are not skipped");
        assert_eq!(gaps, std::slice::from_ref(gap));
        assert_eq!(read(&topic, &again, 1).await, [61], "reported once");
    }
}

#[tokio::test]
async fn records_that_are_trimmed_while_a_source_reads_are_a_gap() {
    let Some(topic) = Topic::new("gaps", 1, &[]).await else {
        return;
    };
    fill(&topic, 0, 30).await;
    let kafka = topic.fetching_little();
    let own = own(&topic, &unique("group")).max_outstanding_records(1);
    let mut source = soon(KafkaSource::builder(&kafka).settings(own.clone()).open())
        .await
        .expect("a source");
    let first = soon(source.next_batch(1)).await.expect("more");
    let first = first.expect("a record").remove(0);
    fill(&topic, 0, 3_000).await;
    trim(&topic, 0, 3_000).await;
    first.ack.done();
    let ended = async {
        loop {
            match source.next_batch(10).await.expect("an error") {
                Ok(batch) => batch.into_iter().for_each(|message| {
                    assert!(message.offset < 3_000, "{} was given", message.offset);
                    message.ack.done();
                }),
                Err(error) => break error,
            }
        }
    };
    let error = soon(ended).await;
    let KafkaError::Gap { gap, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(gap.cause, GapCause::Trimmed);
    drop(source.close().await);
}

/// The broker forgets the offsets of a topic that is deleted; a member that was away commits the old one all the same.
async fn commit_again(topic: &Topic, group: &str, committed: &TopicPartitionList) {
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &topic.bootstrap)
        .set("group.id", group)
        .create()
        .expect("a client");
    let committed = committed.clone();
    let commit = tokio::task::spawn_blocking(move || consumer.commit(&committed, CommitMode::Sync));
    soon(commit).await.expect("no panic").expect("committed");
}

async fn committed(topic: &Topic, group: &str) -> TopicPartitionList {
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &topic.bootstrap)
        .set("group.id", group)
        .create()
        .expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition(&topic.name, 0);
    let asked = tokio::task::spawn_blocking(move || consumer.committed_offsets(list, LONGEST));
    soon(asked).await.expect("no panic").expect("answered")
}

#[tokio::test]
async fn a_topic_that_was_made_again_is_a_gap_although_its_log_is_as_long() {
    let Some(topic) = Topic::new("gaps", 1, &[]).await else {
        return;
    };
    fill(&topic, 0, 10).await;
    let group = unique("group");
    let own = own(&topic, &group);
    assert_eq!(read(&topic, &own, 10).await.len(), 10);
    let before = committed(&topic, &group).await;
    delete(&topic).await;
    topic.make_again(1).await;
    fill(&topic, 0, 20).await;
    commit_again(&topic, &group, &before).await;
    let failed = error(&topic, &own).await;
    assert!(
        matches!(&failed, KafkaError::Gap { gap, .. } if gap.cause == GapCause::TopicReplaced),
        "{failed}"
    );
    let (offset, gaps) = report(&topic, &own).await;
    assert_eq!((offset, gaps.len()), (0, 1));
    assert_eq!(read(&topic, &own, 1).await, [1], "reported once");
}

#[tokio::test]
async fn a_topic_that_is_made_again_under_a_source_is_a_gap() {
    let Some(topic) = Topic::new("gaps", 1, &[]).await else {
        return;
    };
    fill(&topic, 0, 10).await;
    let own = own(&topic, &unique("group"));
    let mut source = soon(
        KafkaSource::builder(&topic.settings())
            .settings(own.clone())
            .open(),
    )
    .await
    .expect("a source");
    let mut count = 0;
    while count < 10 {
        let batch = soon(source.next_batch(10)).await.expect("more");
        for message in batch.expect("records") {
            count += 1;
            message.ack.done();
        }
    }
    delete(&topic).await;
    topic.make_again(1).await;
    fill(&topic, 0, 20).await;
    // From the old place on, or from the beginning where the group went through it: never only the rest.
    let ended = async {
        let mut offsets = Vec::new();
        loop {
            match source.next_batch(10).await.expect("an error") {
                Ok(batch) => {
                    for message in batch {
                        offsets.push(message.offset);
                        message.ack.done();
                    }
                    if offsets.contains(&0) && offsets.contains(&19) {
                        return None;
                    }
                }
                Err(error) => return Some(error),
            }
        }
    };
    let error = soon(ended).await;
    assert!(
        error
            .as_ref()
            .is_none_or(|error| matches!(error, KafkaError::Gap { .. })),
        "{error:?}"
    );
    drop(source.close().await);
}

#[tokio::test]
async fn a_raised_generation_is_a_gap() {
    let Some(topic) = Topic::new("gaps", 1, &[]).await else {
        return;
    };
    fill(&topic, 0, 10).await;
    let own = own(&topic, &unique("group"));
    assert_eq!(read(&topic, &own, 5).await.len(), 5);
    assert_eq!(read(&topic, &own, 1).await, [5], "the same goes on");
    let raised = own.clone().generation(1);
    let failed = error(&topic, &raised).await;
    assert!(
        matches!(&failed, KafkaError::Gap { gap, .. } if gap.cause == GapCause::TopicReplaced),
        "{failed}"
    );
    assert_eq!(report(&topic, &raised).await.0, 0);
}

#[tokio::test]
async fn a_partition_that_was_added_is_read_from_its_oldest_record_also_at_latest() {
    let Some(topic) = Topic::new("gaps", 1, &[]).await else {
        return;
    };
    fill(&topic, 0, 5).await;
    let own = own(&topic, &unique("group"))
        .start(OffsetReset::Latest)
        .commit_interval(Duration::from_millis(20));
    // Refreshed often, so that the group notices the partition.
    let kafka = topic
        .settings()
        .set("topic.metadata.refresh.interval.ms", "200");
    let mut source = soon(KafkaSource::builder(&kafka).settings(own.clone()).open())
        .await
        .expect("a source");
    let opened = async {
        while source.stats().partitions < 1 {
            assert!(
                tokio::time::timeout(Duration::from_millis(20), source.next_batch(1))
                    .await
                    .is_err(),
                "nothing of before the start"
            );
        }
    };
    soon(opened).await;
    topic.add_partitions(2).await;
    fill(&topic, 1, 14).await;
    let mut offsets = Vec::new();
    while offsets.len() < 14 {
        let batch = soon(source.next_batch(50)).await.expect("more");
        for message in batch.expect("records") {
            assert_eq!(message.partition, 1);
            offsets.push(message.offset);
            message.ack.done();
        }
    }
    assert_eq!(offsets, (0..14).collect::<Vec<_>>());
    soon(source.close()).await.expect("committed");
}

#[tokio::test]
async fn a_start_at_the_newest_record_is_committed_although_nothing_is_done() {
    let Some(topic) = Topic::new("gaps", 1, &[]).await else {
        return;
    };
    fill(&topic, 0, 10).await;
    let group = unique("group");
    let settings = own(&topic, &group)
        .start(OffsetReset::Latest)
        .commit_interval(Duration::from_secs(60 * 60));
    let mut source = soon(
        KafkaSource::builder(&topic.settings())
            .settings(settings.clone())
            .open(),
    )
    .await
    .expect("a source");
    let opened = soon(source.next_event(1)).await.expect("more");
    assert!(
        matches!(opened, Ok(KafkaEvent::Opened { .. })),
        "{opened:?}"
    );
    fill(&topic, 0, 1).await;
    let batch = soon(source.next_batch(1)).await.expect("more");
    let message = batch.expect("records").remove(0);
    assert_eq!(message.offset, 10);

    // Without it, a member that is killed now takes the record with it: the next one starts behind.
    let begins = async {
        while committed(&topic, &group).await.elements()[0].offset() != Offset::Offset(10) {}
    };
    soon(begins).await;
    message.ack.done();
    soon(source.close()).await.expect("committed");
}
