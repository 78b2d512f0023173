//! The source's promises, one by one. The mock gives a group its first record after about three seconds.

use std::time::Duration;

use dynamodb_connector::embedded::EmbeddedKafka;
use dynamodb_connector::kafka::{
    KafkaError, KafkaSinkSettings, KafkaSource, KafkaSourceSettings, Message, OffsetReset,
    ProducerRecord,
};
use futures::StreamExt as _;

use super::{settings, sink, soon};

/// A topic with records whose values are their places in the partition.
pub(crate) async fn filled(partitions: i32, each: u32) -> EmbeddedKafka {
    let kafka = EmbeddedKafka::start(&[("events", partitions)]).expect("a mock");
    fill(&kafka, partitions, 0..each).await;
    kafka
}

async fn fill(kafka: &EmbeddedKafka, partitions: i32, numbers: std::ops::Range<u32>) {
    let sink = sink(kafka, &KafkaSinkSettings::default()).await;
    for n in numbers {
        for partition in 0..partitions {
            let record = ProducerRecord::new("events", n.to_string())
                .partition(partition)
                .header("n", n.to_string());
            drop(soon(sink.send(record)).await.expect("accepted"));
        }
    }
    soon(sink.close()).await.expect("delivered");
}

pub(crate) fn own() -> KafkaSourceSettings {
    KafkaSourceSettings::new("group", ["events"]).redelivery_delay(Duration::from_millis(50))
}

pub(crate) async fn open(kafka: &EmbeddedKafka, own: &KafkaSourceSettings) -> KafkaSource {
    // For so long the mock waits before the next member, once the last one has left.
    let settings = settings(kafka).set("session.timeout.ms", "6000");
    soon(KafkaSource::builder(&settings).settings(own.clone()).open())
        .await
        .expect("a source")
}

pub(crate) async fn next(source: &mut KafkaSource) -> Message {
    let next = soon(source.next()).await.expect("not the end");
    next.expect("a record")
}

#[tokio::test]
async fn records_come_in_order_with_all_their_parts() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &KafkaSinkSettings::default()).await;
    let at = std::time::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let full = ProducerRecord::new("events", "value")
        .key("key")
        .header("a", "1")
        .header_without_value("b")
        .timestamp(at);
    drop(soon(sink.send(full)).await.expect("accepted"));
    let deleted = ProducerRecord::tombstone("events").key("key");
    drop(soon(sink.send(deleted)).await.expect("accepted"));
    let empty = ProducerRecord::new("events", "");
    drop(soon(sink.send(empty)).await.expect("accepted"));
    soon(sink.flush()).await.expect("delivered");

    let mut source = open(&kafka, &own()).await;
    let first = next(&mut source).await;
    assert_eq!(
        (&*first.topic, first.partition, first.offset),
        ("events", 0, 0)
    );
    assert_eq!(first.key.as_deref(), Some(&b"key"[..]));
    assert_eq!(first.payload.as_deref(), Some(&b"value"[..]));
    assert_eq!(first.timestamp, Some(at));
    let headers: Vec<_> = first
        .headers
        .iter()
        .map(|header| (&*header.name, header.value.as_deref()))
        .collect();
    assert_eq!(headers, [("a", Some(&b"1"[..])), ("b", None)]);
    let second = next(&mut source).await;
    assert_eq!(
        (second.offset, second.payload.clone()),
        (1, None),
        "a tombstone"
    );
    let third = next(&mut source).await;
    assert_eq!(
        third.payload.as_deref(),
        Some(&b""[..]),
        "empty is not absent"
    );
    assert_eq!(third.key, None);
}

#[tokio::test]
async fn the_next_member_goes_on_at_the_first_record_that_is_not_done() {
    let kafka = filled(1, 6).await;
    let mut source = open(&kafka, &own()).await;
    let mut messages = Vec::new();
    while messages.len() < 6 {
        messages.extend(
            soon(source.next_batch(10))
                .await
                .expect("more")
                .expect("records"),
        );
    }
    let mut held = None;
    for message in messages {
        // All but the record at 3, which is still in work when the source closes.
        match message.offset {
            3 => held = Some(message.ack),
            _ => message.ack.done(),
        }
    }
    source.stop();
    assert!(soon(source.next()).await.is_none(), "stopped");
    soon(source.close()).await.expect("committed");
    held.expect("it came").done();

    let mut source = open(&kafka, &own().start(OffsetReset::Committed)).await;
    assert_eq!(next(&mut source).await.offset, 3);
    soon(source.close()).await.expect("closed");
}

#[tokio::test]
async fn what_is_acknowledged_after_a_stop_is_committed_by_the_close() {
    let kafka = filled(1, 4).await;
    let mut source = open(&kafka, &own()).await;
    let messages = [next(&mut source).await, next(&mut source).await];
    source.stop();
    messages.into_iter().for_each(|message| message.ack.done());
    soon(source.close()).await.expect("committed");
    let mut source = open(&kafka, &own()).await;
    assert_eq!(next(&mut source).await.offset, 2);
}

#[tokio::test]
async fn a_dropped_acknowledgement_brings_its_record_and_those_behind_it_again() {
    let kafka = filled(2, 5).await;
    let mut source = open(&kafka, &own()).await;
    let mut seen: [Vec<i64>; 2] = Default::default();
    let mut dropped = false;
    let times = |offsets: &[i64], of| offsets.iter().filter(|offset| **offset == of).count();
    while seen.iter().any(|offsets| offsets.last() != Some(&4)) || times(&seen[0], 2) < 2 {
        let message = next(&mut source).await;
        let place = usize::try_from(message.partition).expect("small");
        seen[place].push(message.offset);
        if place == 0 && message.offset == 2 && !dropped {
            dropped = true;
            drop(message);
        } else {
            message.ack.done();
        }
    }
    let again = seen[0]
        .iter()
        .rposition(|offset| *offset == 2)
        .expect("seen");
    assert_eq!(seen[0][again..], [2, 3, 4], "in order from the one dropped");
    assert_eq!(seen[0][..3], [0, 1, 2]);
    assert_eq!(times(&seen[0], 1), 1, "what was done does not come again");
    assert_eq!(seen[1], [0, 1, 2, 3, 4], "the other partition goes on");
    assert_eq!(source.stats().redelivered, 1);
    soon(source.close()).await.expect("committed");
}

#[tokio::test]
async fn no_more_than_the_bound_is_out_and_it_goes_on_once_enough_is_done() {
    let kafka = filled(2, 100).await;
    let mut source = open(&kafka, &own().max_outstanding_records(10)).await;
    let mut out = Vec::new();
    while out.len() < 10 {
        out.extend(
            soon(source.next_batch(100))
                .await
                .expect("more")
                .expect("records"),
        );
    }
    // Long enough that the partitions are paused, which must not end what can be read later.
    let more = tokio::time::timeout(Duration::from_millis(1_500), source.next_batch(1)).await;
    assert!(more.is_err(), "the bound holds");
    assert_eq!(source.stats().outstanding, 10);
    let mut seen = 10;
    out.into_iter().for_each(|message| message.ack.done());
    while seen < 200 {
        assert!(source.stats().outstanding <= 10);
        for message in soon(source.next_batch(3))
            .await
            .expect("more")
            .expect("records")
        {
            seen += 1;
            message.ack.done();
        }
    }
}

#[tokio::test]
async fn many_records_come_without_a_gap() {
    let kafka = filled(2, 2_000).await;
    let mut source = open(&kafka, &own()).await;
    let mut next = [0_i64; 2];
    while next != [2_000, 2_000] {
        for message in soon(source.next_batch(700))
            .await
            .expect("more")
            .expect("records")
        {
            let place = usize::try_from(message.partition).expect("small");
            assert_eq!(message.offset, next[place]);
            next[place] += 1;
            message.ack.done();
        }
    }
    soon(source.close()).await.expect("committed");
}

#[tokio::test]
async fn lag_counts_what_is_not_done() {
    let kafka = filled(1, 8).await;
    let mut source = open(&kafka, &own()).await;
    for _ in 0..3 {
        next(&mut source).await.ack.done();
    }
    let held = next(&mut source).await;
    let lag = soon(source.lag()).await.expect("the brokers answer");
    assert_eq!(lag.len(), 1);
    assert_eq!((lag[0].partition, lag[0].lag), (0, 5));
    drop(held);
}

#[tokio::test]
async fn a_missing_topic_is_named_on_opening() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let own = KafkaSourceSettings::new("group", ["events", "evnets"])
        .topic_timeout(Duration::from_millis(300));
    let error = soon(
        KafkaSource::builder(&settings(&kafka))
            .settings(own.clone())
            .open(),
    )
    .await;
    let error = error.map(drop).expect_err("missing");
    assert!(matches!(error, KafkaError::UnknownTopic { .. }), "{error}");
    assert_eq!(error.topic(), Some("evnets"));
}

#[tokio::test]
async fn without_a_committed_offset_the_start_position_decides() {
    let kafka = filled(1, 3).await;
    let mut source = open(&kafka, &own().start(OffsetReset::Committed)).await;
    let error = soon(source.next()).await.expect("an error");
    assert!(
        error
            .as_ref()
            .is_err_and(|error| error.to_string().contains("no committed offset")),
        "{error:?}"
    );
    assert!(soon(source.next()).await.is_none(), "it is told once");
    soon(source.close()).await.expect("closed");
}

#[tokio::test]
async fn a_broker_that_goes_and_comes_back_is_read_on() {
    let kafka = filled(1, 3).await;
    let mut source = open(&kafka, &own()).await;
    for offset in 0..3 {
        let message = next(&mut source).await;
        assert_eq!(message.offset, offset);
        message.ack.done();
    }
    kafka.broker_down().expect("down");
    kafka.broker_up().expect("up");
    fill(&kafka, 1, 3..6).await;
    for offset in 3..6 {
        let message = next(&mut source).await;
        assert_eq!(message.offset, offset);
        message.ack.done();
    }
    soon(source.close()).await.expect("committed");
}

/// A pause outlives the assignment in librdkafka: partitions that go to another member and come back are read again.
#[tokio::test]
async fn partitions_that_were_paused_when_they_went_are_read_when_they_come_back() {
    let kafka = filled(4, 50).await;
    let own = own().max_outstanding_records(20);
    let mut first = open(&kafka, &own).await;
    // It is full for long enough to pause its partitions.
    let mut out = Vec::new();
    while out.len() < 20 {
        out.push(next(&mut first).await);
    }
    let full = async { while first.next().await.is_some() {} };
    drop(tokio::time::timeout(Duration::from_secs(3), full).await);
    let mut second = open(&kafka, &own).await;
    let taken = next(&mut second).await;
    drop(taken);
    out.into_iter().for_each(|message| message.ack.done());
    soon(second.close()).await.expect("it closes");

    let mut seen = std::collections::BTreeMap::new();
    let all = async {
        while seen.values().filter(|offset| **offset == 49).count() < 4 {
            let message = next(&mut first).await;
            seen.insert(message.partition, message.offset);
            message.ack.done();
        }
    };
    soon(all).await;
    soon(first.close()).await.expect("it closes");
}
