//! The partitions of a member while another one joins its group.

use std::collections::BTreeSet;
use std::time::Duration;

use dynamodb_connector::PartitionGuard;
use dynamodb_connector::kafka::{
    KafkaEvent, KafkaSettings, KafkaSink, KafkaSource, KafkaSourceSettings, Message, ProducerRecord,
};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::{Cluster, cluster, soon};

/// Far longer than it takes to the next commit, which is tried each second while a partition is to go.
const DRAIN: Duration = Duration::from_secs(7);

fn settings(cluster: &Cluster) -> KafkaSettings {
    // For so long the mock waits until a member has joined.
    KafkaSettings::new(cluster.bootstrap_servers()).set("session.timeout.ms", "10000")
}

async fn fill(cluster: &Cluster, partitions: i32, each: u32) {
    let sink = KafkaSink::open(&settings(cluster)).await;
    let sink = sink.expect("a sink");
    for n in 0..each {
        for partition in 0..partitions {
            let record = ProducerRecord::new("events", n.to_string()).partition(partition);
            drop(soon(sink.send(record)).await.expect("accepted"));
        }
    }
    soon(sink.close()).await.expect("delivered");
}

async fn open(cluster: &Cluster) -> KafkaSource {
    let own = KafkaSourceSettings::new("group", ["events"]).drain_timeout(DRAIN);
    let source = soon(
        KafkaSource::builder(&settings(cluster))
            .settings(own.clone())
            .open(),
    )
    .await;
    source.expect("a source")
}

async fn event(source: &mut KafkaSource) -> KafkaEvent {
    let event = soon(source.next_event(100)).await;
    event.expect("no end").expect("no error")
}

/// Waits until partitions of a source are open.
async fn opened(source: &mut KafkaSource, count: usize) -> BTreeSet<i32> {
    let mut opened = BTreeSet::new();
    while opened.len() < count {
        if let KafkaEvent::Opened { partition, .. } = event(source).await {
            opened.insert(partition);
        }
    }
    opened
}

async fn take(source: &mut KafkaSource, count: usize) -> Vec<Message> {
    let mut taken = Vec::new();
    while taken.len() < count {
        if let KafkaEvent::Records(messages) = event(source).await {
            taken.extend(messages);
        }
    }
    taken
}

/// Waits until a partition of a source is to go.
async fn closing(source: &mut KafkaSource) -> (i32, PartitionGuard) {
    loop {
        if let KafkaEvent::Closing {
            partition, guard, ..
        } = event(source).await
        {
            return (partition, guard);
        }
    }
}

#[tokio::test]
async fn a_partition_that_went_to_another_member_is_this_ones_no_more() {
    let cluster = cluster(1, 2);
    let mut first = open(&cluster).await;
    opened(&mut first, 2).await;
    let mut second = open(&cluster).await;
    let (moving, guard) = closing(&mut first).await;
    drop(guard);
    assert_eq!(opened(&mut second, 1).await, [moving].into());
    // A partition that is still counted here has a share of the bounds, and is committed again after a failure.
    let lag = soon(first.lag()).await.expect("the broker answers");
    let left: Vec<i32> = lag.iter().map(|lag| lag.partition).collect();
    assert_eq!(left, [1 - moving]);
}

#[tokio::test]
async fn a_member_that_its_group_has_dropped_keeps_no_partition_while_it_finishes_one() {
    let cluster = cluster(1, 2);
    fill(&cluster, 2, 3).await;
    let mut first = open(&cluster).await;
    let held = take(&mut first, 6).await;
    let _second = open(&cluster).await;
    let (_, guard) = closing(&mut first).await;
    assert!(held.iter().all(|message| message.ack.is_current()));
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[unknown; 3]);
    let lost = async {
        let mut lost = BTreeSet::new();
        while lost.len() < 2 {
            if let KafkaEvent::Lost { partition, .. } = event(&mut first).await {
                lost.insert(partition);
            }
        }
    };
    let lost = tokio::time::timeout(DRAIN / 2, lost).await;
    lost.expect("not only once its time for them is over");
    assert!(!held.iter().any(|message| message.ack.is_current()));
    drop(guard);
}
