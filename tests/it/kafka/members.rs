//! The partitions of a member while another one joins its group.

use std::collections::BTreeSet;

use dynamodb_connector::kafka::{
    KafkaEvent, KafkaSettings, KafkaSource, KafkaSourceSettings, PartitionGuard,
};

use super::{Cluster, cluster, soon};

fn settings(cluster: &Cluster) -> KafkaSettings {
    // For so long the mock waits until a member has joined.
    KafkaSettings::new(cluster.bootstrap_servers()).set("session.timeout.ms", "6000")
}

async fn open(cluster: &Cluster) -> KafkaSource {
    let own = KafkaSourceSettings::new("group", ["events"]);
    let source = soon(KafkaSource::open(&settings(cluster), &own)).await;
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
    // What is still counted here has a share of the bounds, and is committed again after a failure.
    let lag = soon(first.lag()).await.expect("the broker answers");
    let left: Vec<i32> = lag.iter().map(|lag| lag.partition).collect();
    assert_eq!(left, [1 - moving]);
}
