//! A partition that goes to another member is kept until its records are finished, and the others are read on.

use std::collections::BTreeSet;
use std::time::Duration;

use dynamodb_connector::GapPolicy;
use dynamodb_connector::PartitionGuard;
use dynamodb_connector::kafka::{
    KafkaError, KafkaEvent, KafkaSinkSettings, KafkaSource, KafkaSourceSettings, Message,
    ProducerRecord,
};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};

use super::{Topic, unique};
use crate::kafka::soon;

async fn fill(topic: &Topic, partitions: i32, count: u32) {
    let sink = topic.sink(&KafkaSinkSettings::default()).await;
    for n in 0..count {
        for partition in 0..partitions {
            let record =
                ProducerRecord::new(topic.name.as_str(), n.to_string()).partition(partition);
            drop(soon(sink.send(record)).await.expect("accepted"));
        }
    }
    soon(sink.close()).await.expect("delivered");
}

async fn open(topic: &Topic, group: &str) -> KafkaSource {
    let own = KafkaSourceSettings::new(group, [topic.name.as_str()])
        .commit_interval(Duration::from_millis(50))
        .drain_timeout(Duration::from_secs(20));
    soon(
        KafkaSource::builder(&topic.settings())
            .settings(own.clone())
            .open(),
    )
    .await
    .expect("a source")
}

async fn event(source: &mut KafkaSource) -> KafkaEvent {
    let event = soon(source.next_event(100)).await;
    event.expect("no end").expect("no error")
}

/// Takes this many records, with the partitions that were opened on the way.
async fn take(source: &mut KafkaSource, count: usize) -> (Vec<Message>, BTreeSet<i32>) {
    let (mut taken, mut opened) = (Vec::new(), BTreeSet::new());
    while taken.len() < count {
        match event(source).await {
            KafkaEvent::Records(messages) => taken.extend(messages),
            KafkaEvent::Opened { partition, .. } => {
                opened.insert(partition);
            }
            _ => {}
        }
    }
    (taken, opened)
}

/// Waits until partitions of a source are to go, and returns them with their guards.
async fn closing(source: &mut KafkaSource, count: usize) -> Vec<(i32, PartitionGuard)> {
    let mut guards = Vec::new();
    while guards.len() < count {
        match event(source).await {
            KafkaEvent::Closing {
                partition, guard, ..
            } => guards.push((partition, guard)),
            KafkaEvent::Records(messages) => {
                messages.into_iter().for_each(|message| message.ack.done());
            }
            _ => {}
        }
    }
    guards
}

#[tokio::test]
async fn a_partition_goes_once_its_records_are_done_and_its_guard_is_dropped() {
    let Some(topic) = Topic::new("holds", 2, &[]).await else {
        return;
    };
    fill(&topic, 2, 10).await;
    let group = unique("group");
    let mut first = open(&topic, &group).await;
    let (held, opened) = take(&mut first, 20).await;
    assert_eq!(opened.len(), 2);
    let mut second = open(&topic, &group).await;
    let (moving, guard) = closing(&mut first, 1).await.remove(0);
    let (moved, kept): (Vec<_>, Vec<_>) = held
        .into_iter()
        .partition(|message| message.partition == moving);

    // The other one is read on meanwhile, and committed.
    kept.into_iter().for_each(|message| message.ack.done());
    let sink = topic.sink(&KafkaSinkSettings::default()).await;
    let more = ProducerRecord::new(topic.name.as_str(), "more").partition(1 - moving);
    drop(soon(sink.send(more)).await.expect("accepted"));
    let (more, _) = take(&mut first, 1).await;
    assert_eq!((more[0].partition, more[0].offset), (1 - moving, 10));

    // All of the records but one are done, and that one is still this member's.
    let mut moved = moved.into_iter();
    let last = moved.next().expect("ten");
    moved.for_each(|message| message.ack.done());
    drop(guard);
    let nothing = tokio::time::timeout(Duration::from_millis(700), second.next_event(1)).await;
    assert!(nothing.is_err(), "it has not gone: {nothing:?}");
    assert!(last.ack.is_current());
    last.ack.done();
    fill(&topic, 2, 1).await;
    let (next, opened) = take(&mut second, 1).await;
    assert_eq!(opened, BTreeSet::from([moving]));
    assert_eq!(
        (next[0].partition, next[0].offset),
        (moving, 10),
        "all that was done was committed before it went"
    );
}

#[tokio::test]
async fn a_guard_alone_keeps_a_partition_and_time_ends_it() {
    let Some(topic) = Topic::new("holds", 2, &[]).await else {
        return;
    };
    fill(&topic, 2, 5).await;
    let group = unique("group");
    let own = KafkaSourceSettings::new(&group, [topic.name.as_str()])
        .commit_interval(Duration::from_millis(50))
        .drain_timeout(Duration::from_secs(2));
    let mut first = soon(
        KafkaSource::builder(&topic.settings())
            .settings(own.clone())
            .open(),
    )
    .await
    .expect("a source");
    let (held, _) = take(&mut first, 10).await;
    let mut second = open(&topic, &group).await;
    let (moving, _guard) = closing(&mut first, 1).await.remove(0);
    let lost = async {
        loop {
            if let KafkaEvent::Lost { partition, .. } = event(&mut first).await {
                break partition;
            }
        }
    };
    assert_eq!(soon(lost).await, moving);
    for message in held {
        assert_eq!(message.ack.is_current(), message.partition != moving);
        message.ack.done();
    }
    let (again, opened) = take(&mut second, 5).await;
    assert_eq!(opened, BTreeSet::from([moving]));
    assert_eq!(again[0].offset, 0, "what was done too late is given again");
}

#[tokio::test]
async fn a_slow_partition_holds_back_no_other() {
    let Some(topic) = Topic::new("holds", 2, &[]).await else {
        return;
    };
    fill(&topic, 2, 5_000).await;
    let own = KafkaSourceSettings::new(unique("group"), [topic.name.as_str()])
        .max_outstanding_records(100);
    let mut source = soon(
        KafkaSource::builder(&topic.settings())
            .settings(own.clone())
            .open(),
    )
    .await
    .expect("a source");
    let (mut held, mut next) = (Vec::new(), 0);
    while next < 5_000 {
        let batch = soon(source.next_batch(100)).await.expect("more");
        for message in batch.expect("records") {
            if message.partition == 0 {
                held.push(message);
            } else {
                assert_eq!(message.offset, next);
                next += 1;
                message.ack.done();
            }
        }
    }
    assert_eq!(held.len(), 50, "its share");
}

#[tokio::test]
async fn markers_of_transactions_are_no_lag() {
    let Some(topic) = Topic::new("holds", 1, &[]).await else {
        return;
    };
    let producer: ThreadedProducer<_> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &topic.bootstrap)
        .set("transactional.id", unique("transactions"))
        .create()
        .expect("a producer");
    let long = Duration::from_secs(60);
    let written = topic.name.clone();
    let producer = tokio::task::spawn_blocking(move || {
        producer.init_transactions(long).expect("begun");
        for aborted in [false, true, false] {
            producer.begin_transaction().expect("begun");
            for _ in 0..5 {
                let record = BaseRecord::<(), str>::to(&written).payload("x");
                producer
                    .send(record)
                    .map_err(|(error, _)| error)
                    .expect("taken");
            }
            producer.flush(long).expect("sent");
            let ended = match aborted {
                true => producer.abort_transaction(long),
                false => producer.commit_transaction(long),
            };
            ended.expect("ended");
        }
        producer
    });
    let producer = producer.await.expect("no panic");
    let group = unique("group");
    let mut source = open(&topic, &group).await;
    let control = source.control();
    let (taken, _) = take(&mut source, 10).await;
    taken.into_iter().for_each(|message| message.ack.done());
    // 15 records and 3 markers.
    let advanced = async {
        loop {
            if let KafkaEvent::Advanced { offset, .. } = event(&mut source).await
                && offset == 18
            {
                break;
            }
        }
    };
    soon(advanced).await;
    let lag = soon(control.lag()).await.expect("answered");
    assert_eq!(lag[0].lag, 0);

    // Records of a transaction that is open are behind, although they can't be read yet.
    let written = topic.name.clone();
    let open = tokio::task::spawn_blocking(move || {
        producer.begin_transaction().expect("begun");
        let record = BaseRecord::<(), str>::to(&written).payload("x");
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("taken");
        producer.flush(long).expect("sent");
        producer
    });
    let producer = open.await.expect("no panic");
    let lag = soon(control.lag()).await.expect("answered");
    assert_eq!(lag[0].lag, 1);
    soon(source.close()).await.expect("committed");
    let aborted = tokio::task::spawn_blocking(move || producer.abort_transaction(long));
    aborted.await.expect("no panic").expect("aborted");
}

#[tokio::test]
async fn a_source_that_failed_keeps_its_partitions_until_it_is_closed() {
    let Some(topic) = Topic::new("holds", 2, &[]).await else {
        return;
    };
    fill(&topic, 2, 1).await;
    let group = unique("group");
    let kafka = topic.fetching_little();
    let own = KafkaSourceSettings::new(&group, [topic.name.as_str()])
        .commit_interval(Duration::from_millis(50))
        .max_outstanding_records(2);
    let mut first = soon(KafkaSource::builder(&kafka).settings(own.clone()).open())
        .await
        .expect("a source");
    let (mut held, _) = take(&mut first, 2).await;
    held.sort_by_key(|message| message.partition);
    let (kept, other) = (held.remove(0), held.remove(0));
    // The other partition goes wrong.
    let sink = topic.sink(&KafkaSinkSettings::default()).await;
    for _ in 0..3_000 {
        let record = ProducerRecord::new(topic.name.as_str(), "x").partition(1);
        drop(soon(sink.send(record)).await.expect("accepted"));
    }
    soon(sink.close()).await.expect("delivered");
    super::gaps::trim(&topic, 1, 3_000).await;
    other.ack.done();
    let failed = async {
        loop {
            match first.next_event(10).await.expect("an error") {
                Ok(KafkaEvent::Records(messages)) => {
                    messages.into_iter().for_each(|message| message.ack.done());
                }
                Ok(_) => {}
                Err(error) => break error,
            }
        }
    };
    let error = soon(failed).await;
    assert!(matches!(error, KafkaError::Gap { .. }), "{error}");

    let reporting =
        KafkaSourceSettings::new(&group, [topic.name.as_str()]).on_gap(GapPolicy::Report);
    let second = KafkaSource::builder(&topic.settings())
        .settings(reporting.clone())
        .on_gap(|_| {});
    let mut second = soon(second.open()).await.expect("a source");
    let early = tokio::time::timeout(Duration::from_millis(1_500), of_first(&mut second)).await;
    assert!(early.is_err(), "its record is still in work");
    assert!(kept.ack.is_current());
    soon(first.close()).await.expect("committed");
    assert!(!kept.ack.is_current(), "another member has it now");
    assert_eq!(soon(of_first(&mut second)).await, 0);
}

/// Waits for a record of partition 0, and returns its offset.
async fn of_first(source: &mut KafkaSource) -> i64 {
    loop {
        if let KafkaEvent::Records(messages) = event(source).await
            && let Some(first) = messages.iter().find(|message| message.partition == 0)
        {
            return first.offset;
        }
    }
}
