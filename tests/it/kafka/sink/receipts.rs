//! Receipts, flushes and their errors.

use super::*;

#[tokio::test]
async fn a_receipt_tells_where_the_record_is() {
    let kafka = EmbeddedKafka::start(&[("events", 2)]).expect("a mock");
    let sink = sink(&kafka, &quick()).await;
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
    let sink = sink(&kafka, &KafkaSinkSettings::default()).await;
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
    let sink = sink(&kafka, &quick()).await;
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
    let sink = sink(&kafka, &quick()).await;
    kafka.fail_next(KafkaFault::TooLarge, 1).expect("told");
    let receipt = soon(sink.send(record("x"))).await.expect("accepted");
    let error = soon(receipt).await.expect_err("too large");
    assert!(matches!(error, KafkaError::TooLarge { .. }), "{error}");
    soon(sink.flush()).await.expect("it was given out");
}

/// Makes a record fail whose receipt is dropped, before it fails or after.
async fn unobserved(before: bool) -> (EmbeddedKafka, KafkaSink) {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick()).await;
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
async fn an_unobserved_failure_is_reported_once_by_the_next_flush_or_close_and_by_no_send() {
    for before in [true, false] {
        let (_kafka, sink) = unobserved(before).await;
        let receipt = soon(sink.send(record("y"))).await.expect("accepted");
        soon(receipt).await.expect("delivered");
        let receipt = sink.try_send(&record("y")).expect("accepted");
        soon(receipt).await.expect("delivered");
        let error = soon(sink.flush()).await.expect_err("reported by flush");
        assert!(matches!(error, KafkaError::Unobserved { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert_eq!(error.topic(), Some("events"));
        assert!(error.is_record() && !error.is_retryable() && !error.may_have_applied());
        soon(sink.flush()).await.expect("reported once");

        let (_kafka, sink) = unobserved(before).await;
        let error = soon(sink.clone().close()).await;
        error.expect_err("reported by close");
        soon(sink.close()).await.expect("reported once");
    }
}

#[tokio::test]
async fn a_flush_reports_all_failures_and_not_the_first_alone() {
    let (kafka, sink) = unobserved(true).await;
    for _ in 1..3 {
        kafka.fail_next(KafkaFault::TooLarge, 1).expect("it will");
        drop(soon(sink.send(record("larger"))).await.expect("accepted"));
        while sink.stats().in_flight > 0 {
            tokio::task::yield_now().await;
        }
    }
    let error = soon(sink.flush()).await.expect_err("three failed");
    assert!(
        error.to_string().starts_with(
            "3 records failed that no receipt has observed; the first: record of 1B for topic \"events\" is over"
        ),
        "{error}"
    );
    let KafkaError::Unobserved { failures, .. } = error else {
        panic!("{error}");
    };
    let sizes = failures.iter().map(|failed| match &failed.error {
        KafkaError::TooLarge { size, .. } => (*size, failed.records),
        other => panic!("{other}"),
    });
    assert!(sizes.eq([(1, 1), (6, 1), (6, 1)]));
}

#[tokio::test]
async fn a_receipt_gives_its_outcome_each_time_that_it_is_polled() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick()).await;
    kafka.fail_next(KafkaFault::TooLarge, 1).expect("it will");
    let mut receipt = soon(sink.send(record("x"))).await.expect("accepted");
    for _ in 0..2 {
        let error = soon(&mut receipt).await.expect_err("too large");
        assert!(matches!(error, KafkaError::TooLarge { .. }), "{error}");
    }
    drop(receipt);
    let mut receipt = soon(sink.send(record("x"))).await.expect("accepted");
    for _ in 0..2 {
        let delivered = soon(&mut receipt).await.expect("delivered");
        assert_eq!(delivered.offset, Some(0));
    }
    soon(sink.flush()).await.expect("it was given out");
}

#[tokio::test]
async fn a_fatal_error_fails_what_is_under_way_and_everything_after_it() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    kafka
        .fail_next(KafkaFault::ProducerNotAllowed, 100)
        .expect("told");
    let sink = sink(&kafka, &quick()).await;
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
