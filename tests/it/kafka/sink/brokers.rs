//! Brokers that go, come back or never were.

use super::*;

#[tokio::test]
async fn a_broker_that_goes_and_comes_back_loses_nothing() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick()).await;
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
    let sink = sink(&kafka, &quick()).await;
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
    let sink = sink(&kafka, &settings).await;
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
    let sink = sink(&kafka, &settings).await;
    let error = soon(sink.send(record("x"))).await.map(drop);
    let error = error.expect_err("nobody answers");
    assert!(matches!(error, KafkaError::Unreachable { .. }), "{error}");
    assert!(error.is_retryable());
}

/// One failure that lasts, and not a line for each attempt at each broker.
#[tokio::test]
async fn brokers_that_are_gone_show_in_the_health_with_the_reason_and_so_does_their_return() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick()).await;
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
