//! The sink's promises, one by one.

use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::ErrorKind;
use dynamodb_connector::embedded::{EmbeddedKafka, KafkaFault};
use dynamodb_connector::kafka::{
    KafkaError, KafkaSettings, KafkaSink, KafkaSinkSettings, ProducerRecord, RecordMetadata,
};

use super::{settings, sink, soon, source};

fn record(value: impl Into<Vec<u8>>) -> ProducerRecord {
    ProducerRecord::new("events", value.into())
}

fn quick() -> KafkaSinkSettings {
    KafkaSinkSettings::default()
        .linger(Duration::ZERO)
        .topic_timeout(Duration::from_millis(300))
}

#[tokio::test]
async fn a_receipt_tells_where_the_record_is() {
    let kafka = EmbeddedKafka::start(&[("events", 2)]).expect("a mock");
    let sink = sink(&kafka, &quick());
    for offset in 0..3 {
        let receipt = soon(sink.send(record("x").partition(1))).await;
        let delivered = soon(receipt.expect("accepted")).await.expect("delivered");
        assert_eq!(&*delivered.topic, "events");
        assert_eq!((delivered.partition, delivered.offset), (1, Some(offset)));
    }
    soon(sink.close()).await.expect("closed");
    assert_eq!(sink.stats().delivered, 3);
    assert_eq!(sink.stats().in_flight, 0);
}

#[tokio::test]
async fn a_flush_resolves_after_everything_before_it() {
    let kafka = EmbeddedKafka::start(&[("events", 3)]).expect("a mock");
    let sink = sink(&kafka, &KafkaSinkSettings::default());
    let mut receipts = Vec::new();
    for n in 0..1_000_u32 {
        let record = record("x").key(n.to_be_bytes().to_vec());
        receipts.push(soon(sink.send(record)).await.expect("accepted"));
    }
    soon(sink.flush()).await.expect("flushed");
    assert_eq!(sink.stats().delivered, 1_000);
    for receipt in receipts {
        futures::FutureExt::now_or_never(receipt)
            .expect("told before the flush resolved")
            .expect("delivered");
    }
    soon(sink.flush()).await.expect("nothing to flush");
}

#[tokio::test]
async fn a_serialiser_may_skip_a_value_and_its_error_is_a_records() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick());
    let mut numbers = sink.serializing(|n: &u32| match n {
        0 => Ok(None),
        1 => Err("no record of a 1"),
        n => Ok(Some(record(n.to_string()))),
    });
    assert!(soon(numbers.send(&0)).await.expect("skipped").is_none());
    let refused = soon(numbers.send(&1)).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let receipt = soon(numbers.send(&2)).await.expect("accepted");
    soon(receipt.expect("a record")).await.expect("delivered");
    assert_eq!(sink.stats().delivered, 1);
}

#[tokio::test]
async fn an_error_that_a_receipt_gave_out_is_not_returned_again() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick());
    kafka.fail_next(KafkaFault::TooLarge, 1).expect("told");
    let receipt = soon(sink.send(record("x"))).await.expect("accepted");
    let error = soon(receipt).await.expect_err("too large");
    assert!(matches!(error, KafkaError::TooLarge { .. }), "{error}");
    soon(sink.flush()).await.expect("it was given out");
}

/// Makes a record fail whose receipt is dropped, before it fails or after.
async fn unobserved(before: bool) -> (EmbeddedKafka, KafkaSink) {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick());
    kafka.fail_next(KafkaFault::TooLarge, 1).expect("told");
    let receipt = soon(sink.send(record("x"))).await.expect("accepted");
    if before {
        drop(receipt);
        while sink.stats().in_flight > 0 {
            tokio::task::yield_now().await;
        }
    } else {
        while sink.stats().in_flight > 0 {
            tokio::task::yield_now().await;
        }
        drop(receipt);
    }
    (kafka, sink)
}

#[tokio::test]
async fn an_unobserved_error_surfaces_once_on_the_next_send_flush_or_close() {
    for before in [true, false] {
        let (_kafka, sink) = unobserved(before).await;
        let error = soon(sink.send(record("y"))).await.map(drop);
        let error = error.expect_err("told on send");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert_eq!(error.topic(), Some("events"));
        let receipt = soon(sink.send(record("y"))).await.expect("told once");
        soon(receipt).await.expect("delivered");

        let (_kafka, sink) = unobserved(before).await;
        soon(sink.flush()).await.expect_err("told on flush");
        soon(sink.flush()).await.expect("told once");

        let (_kafka, sink) = unobserved(before).await;
        soon(sink.clone().close()).await.expect_err("told on close");
        soon(sink.close()).await.expect("told once");
    }
}

#[tokio::test]
async fn a_fatal_error_fails_what_is_under_way_and_everything_after_it() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    kafka
        .fail_next(KafkaFault::ProducerNotAllowed, 100)
        .expect("told");
    let sink = sink(&kafka, &quick());
    match soon(sink.send(record("x"))).await {
        Ok(receipt) => assert!(soon(receipt).await.expect_err("fatal").is_fatal()),
        // It came while the topic was looked up.
        Err(error) => assert!(error.is_fatal(), "{error}"),
    }
    for _ in 0..2 {
        let error = soon(sink.send(record("y"))).await.map(drop);
        assert!(error.expect_err("refused").is_fatal());
        assert!(soon(sink.flush()).await.expect_err("refused").is_fatal());
    }
    assert!(soon(sink.close()).await.expect_err("refused").is_fatal());
    assert_eq!(sink.stats().in_flight, 0);
}

#[tokio::test]
async fn a_topic_that_does_not_exist_fails_within_its_time_and_is_named() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick());
    let error = soon(sink.send(ProducerRecord::new("evnets", "x"))).await;
    assert_eq!(
        error.map(drop).expect_err("missing").to_string(),
        "topic \"evnets\" does not exist and may not be created (asked for 300ms)"
    );
    let receipt = soon(sink.send(record("x"))).await.expect("others go on");
    soon(receipt).await.expect("delivered");
}

#[tokio::test]
async fn a_missing_topic_is_created_where_that_is_allowed() {
    let kafka = EmbeddedKafka::start(&[]).expect("a mock");
    let sink = sink(&kafka, &quick().create_topics(true));
    let receipt = soon(sink.send(record("x"))).await.expect("accepted");
    soon(receipt).await.expect("delivered");
}

#[tokio::test]
async fn a_topic_that_comes_within_its_time_is_found() {
    let kafka = EmbeddedKafka::start(&[]).expect("a mock");
    let sink = sink(&kafka, &quick().topic_timeout(super::LONGEST));
    let sent = sink.send(record("x"));
    let mut sent = std::pin::pin!(sent);
    assert!(futures::poll!(&mut sent).is_pending());
    kafka.create_topic("events", 1).expect("created");
    soon(soon(sent).await.expect("accepted"))
        .await
        .expect("delivered");
}

#[tokio::test]
async fn a_partition_that_does_not_exist_is_named() {
    let kafka = EmbeddedKafka::start(&[("events", 2)]).expect("a mock");
    let sink = sink(&kafka, &quick());
    let error = match soon(sink.send(record("x").partition(7))).await {
        Ok(receipt) => soon(receipt).await.expect_err("no such partition"),
        Err(error) => error,
    };
    assert_eq!(error.to_string(), "topic \"events\" has no partition 7");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_record_over_the_producers_limit_names_topic_size_and_limit() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick());
    let error = soon(sink.send(record(vec![0; 2 << 20]))).await.map(drop);
    assert_eq!(
        error.expect_err("too large").to_string(),
        "record of 2MiB for topic \"events\" is over message.max.bytes, 1000000B"
    );
    soon(sink.flush()).await.expect("it was told to its caller");
    assert_eq!(sink.stats().in_flight_bytes, 0);
}

#[tokio::test]
async fn a_broker_that_goes_and_comes_back_loses_nothing() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick());
    let first = soon(sink.send(record("0"))).await.expect("accepted");
    soon(first).await.expect("delivered");
    soon(sink.flush()).await.expect("nothing is under way");
    kafka.broker_down().expect("down");
    let mut receipts = Vec::new();
    for n in 1..200_u32 {
        receipts.push(
            soon(sink.send(record(n.to_string())))
                .await
                .expect("accepted"),
        );
    }
    assert_eq!(sink.stats().in_flight, 199);
    kafka.broker_up().expect("up");
    for (receipt, offset) in receipts.into_iter().zip(1..) {
        assert_delivered_at(offset, soon(receipt).await);
    }
}

/// The record is there, at this offset if that is known: of one that was sent again it may not be.
fn assert_delivered_at(offset: i64, delivered: Result<RecordMetadata, KafkaError>) {
    let told = delivered.expect("delivered").offset;
    assert!(
        told.is_none_or(|told| told == offset),
        "{told:?}, not {offset}"
    );
}

#[tokio::test]
async fn what_librdkafka_tries_again_is_delivered_once_and_in_order() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick());
    kafka
        .fail_next(KafkaFault::NotEnoughReplicas, 3)
        .expect("told");
    let mut receipts = Vec::new();
    for n in 0..20_u32 {
        receipts.push(
            soon(sink.send(record(n.to_string())))
                .await
                .expect("accepted"),
        );
    }
    for (receipt, offset) in receipts.into_iter().zip(0..) {
        assert_delivered_at(offset, soon(receipt).await);
    }
    let mut topic = source::open(&kafka, &source::own()).await;
    for n in 0..20_u32 {
        let message = source::next(&mut topic).await;
        assert_eq!(message.payload.as_deref(), Some(n.to_string().as_bytes()));
        message.ack.done();
    }
}

#[tokio::test]
async fn a_record_that_is_not_delivered_in_time_fails_as_retriable() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let settings = quick().delivery_timeout(Duration::from_millis(500));
    let sink = sink(&kafka, &settings);
    // Makes the topic known. On a busy machine this one may be late too.
    let known = soon(sink.send(record("0"))).await.expect("accepted");
    let _ = soon(known).await;
    kafka.broker_down().expect("down");
    let receipt = soon(sink.send(record("1"))).await.expect("accepted");
    let error = soon(receipt).await.expect_err("no broker");
    assert!(error.is_retryable() && error.may_have_applied(), "{error}");
    assert_eq!(error.topic(), Some("events"));
}

#[tokio::test]
async fn no_broker_at_all_is_an_error_after_the_delivery_timeout() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    kafka.broker_down().expect("down");
    let settings = quick().delivery_timeout(Duration::from_millis(200));
    let sink = sink(&kafka, &settings);
    let error = soon(sink.send(record("x"))).await.map(drop);
    let error = error.expect_err("nobody answers");
    assert!(matches!(error, KafkaError::Unreachable { .. }), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn the_buffer_is_bounded_and_callers_beyond_wait() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick().buffer_records(8));
    let first = soon(sink.send(record("x"))).await.expect("accepted");
    soon(first).await.expect("delivered");
    soon(sink.flush()).await.expect("nothing is under way");
    kafka.broker_down().expect("down");
    let mut receipts = Vec::new();
    for _ in 0..8 {
        receipts.push(soon(sink.send(record("x"))).await.expect("room"));
    }
    let full = sink.try_send(&record("x")).map(drop).expect_err("full");
    assert!(matches!(full, KafkaError::Full { .. }), "{full}");
    let mut waits = Box::pin(sink.send(record("x")));
    assert!(futures::poll!(&mut waits).is_pending());
    let mut later = Box::pin(sink.send(record("x")));
    assert!(futures::poll!(&mut later).is_pending());
    assert_eq!(sink.stats().waiting_callers, 2);
    kafka.broker_up().expect("up");
    let waited = soon(waits).await.expect("room");
    let later = soon(later).await.expect("room");
    let mut last = 0;
    for receipt in receipts.into_iter().chain([waited, later]) {
        let offset = soon(receipt).await.expect("delivered").offset;
        let offset = offset.expect("sent once");
        assert!(offset > last, "in the order of the callers");
        last = offset;
    }
}

#[tokio::test]
async fn a_closed_sink_refuses_on_every_clone_and_tells_what_was_under_way() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &KafkaSinkSettings::default());
    let other = sink.clone();
    let receipt = soon(sink.send(record("x"))).await.expect("accepted");
    soon(sink.close()).await.expect("closed");
    soon(receipt).await.expect("delivered");
    let error = soon(other.send(record("y"))).await.map(drop);
    assert_eq!(error.expect_err("closed").kind(), ErrorKind::Closed);
    let error = other.try_send(&record("y")).map(drop);
    assert_eq!(error.expect_err("closed").kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn what_a_dropped_sink_accepted_is_delivered() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let first = sink(&kafka, &KafkaSinkSettings::default());
    let receipt = soon(first.send(record("x"))).await.expect("accepted");
    drop(first);
    assert_eq!(soon(receipt).await.expect("delivered").offset, Some(0));
}

#[tokio::test]
async fn try_send_looks_a_topic_up_and_tells_if_there_is_none() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick());
    let delivered = soon(async {
        loop {
            match sink.try_send(&record("x")) {
                Ok(receipt) => break receipt.await,
                Err(KafkaError::LookingUp { .. }) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
    });
    delivered.await.expect("delivered");
    let missing = ProducerRecord::new("evnets", "x");
    let error = soon(async {
        loop {
            match sink.try_send(&missing) {
                Err(KafkaError::LookingUp { .. }) => tokio::task::yield_now().await,
                other => break other.map(drop),
            }
        }
    });
    let error = error.await.expect_err("missing");
    assert!(matches!(error, KafkaError::UnknownTopic { .. }), "{error}");
}

#[tokio::test]
async fn many_callers_at_once_lose_nothing() {
    let kafka = EmbeddedKafka::start(&[("events", 4)]).expect("a mock");
    let sink = Arc::new(sink(&kafka, &quick().buffer_records(16)));
    let callers = (0..32_u32).map(|caller| {
        let sink = sink.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                let record = record("x").key(caller.to_be_bytes().to_vec());
                let receipt = sink.send(record).await.expect("accepted");
                receipt.await.expect("delivered");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        soon(caller).await.expect("no panic");
    }
    assert_eq!(sink.stats().delivered, 640);
}

#[tokio::test]
async fn unknown_and_refused_properties_are_named() {
    let kafka = EmbeddedKafka::start(&[]).expect("a mock");
    let open = |settings: KafkaSettings| {
        let sink = KafkaSink::open(&settings, &KafkaSinkSettings::default());
        let error = sink.map(drop).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    };
    let unknown = open(settings(&kafka).set("compresion.type", "lz4"));
    assert!(
        unknown.starts_with("kafka property \"compresion.type\":"),
        "{unknown}"
    );
    let wrong = open(settings(&kafka).set("compression.type", "rar"));
    assert!(wrong.contains("compression.type"), "{wrong}");
    let together = open(settings(&kafka).set("max.in.flight", "50"));
    assert!(together.contains("max.in.flight"), "{together}");
}

/// One failure that lasts, and not a line for each attempt at each broker.
#[tokio::test]
async fn brokers_that_are_gone_show_in_the_health_with_the_reason_and_so_does_their_return() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick());
    let receipt = soon(sink.send(record("x"))).await.expect("accepted");
    soon(receipt).await.expect("delivered");
    assert!(sink.health().is_healthy());
    kafka.broker_down().expect("it goes");
    let receipt = soon(sink.send(record("y"))).await.expect("accepted");
    let failing = async {
        loop {
            if let dynamodb_connector::Health::Failing {
                operation, cause, ..
            } = sink.health()
            {
                return (operation, cause);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let (operation, cause) = soon(failing).await;
    assert_eq!(operation, "connection");
    assert!(!cause.is_empty());
    kafka.broker_up().expect("it comes back");
    soon(receipt).await.expect("delivered");
    let healthy = async {
        while !sink.health().is_healthy() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    soon(healthy).await;
    soon(sink.close()).await.expect("it closes");
    assert!(matches!(
        sink.health(),
        dynamodb_connector::Health::Ended { .. }
    ));
}
