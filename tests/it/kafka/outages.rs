//! After an outage no record overtakes one that was not delivered, and no user of a sink is given another's failure.

use std::time::Duration;

use dynamodb_connector::embedded::{EmbeddedKafka, KafkaFault};
use dynamodb_connector::kafka::{KafkaError, KafkaSink, KafkaSinkSettings, ProducerRecord};
use dynamodb_connector::pipeline::{KafkaOutput, Pipeline};
use dynamodb_connector::test_util::{CollectSink, IterSource};

use super::{settings, sink, soon, source};

fn record(value: &'static str) -> ProducerRecord {
    ProducerRecord::new("events", value.as_bytes())
}

fn quick() -> KafkaSinkSettings {
    KafkaSinkSettings::default()
        .linger(Duration::ZERO)
        .topic_timeout(Duration::from_millis(300))
}

/// A sink whose records time out after two seconds, with a topic that it knows.
async fn impatient(kafka: &EmbeddedKafka) -> KafkaSink {
    // Otherwise all would time out before the broker is tried again.
    let settings = settings(kafka)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "20");
    let own = quick().delivery_timeout(Duration::from_secs(2));
    let sink = KafkaSink::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .expect("a sink");
    let known = soon(sink.send(record("known"))).await.expect("accepted");
    soon(known).await.expect("delivered");
    sink
}

async fn assert_delivered(sink: &KafkaSink, value: &'static str) {
    let receipt = soon(sink.send(record(value))).await.expect("accepted");
    soon(receipt).await.expect("delivered");
}

#[tokio::test]
async fn what_is_behind_a_record_that_timed_out_is_not_delivered() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = impatient(&kafka).await;
    kafka.broker_down().expect("down");
    let first = soon(sink.send(record("0"))).await.expect("accepted");
    // So that these have time left when the first has not.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let second = soon(sink.send(record("1"))).await.expect("accepted");
    let third = soon(sink.send(record("2"))).await.expect("accepted");
    let error = soon(first).await.expect_err("no broker");
    assert!(error.is_retryable(), "{error}");
    kafka.broker_up().expect("up");
    for behind in [second, third] {
        let error = soon(behind).await.expect_err("one before it failed");
        assert!(error.is_retryable(), "{error}");
    }
    assert_delivered(&sink, "3").await;
    let mut topic = source::open(&kafka, &source::own()).await;
    for expected in ["known", "3"] {
        let message = source::next(&mut topic).await;
        assert_eq!(message.payload.as_deref(), Some(expected.as_bytes()));
        message.ack.done();
    }
}

#[tokio::test]
async fn nothing_more_is_accepted_before_an_outages_error_was_given_out() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = impatient(&kafka).await;
    kafka.broker_down().expect("down");
    let receipt = soon(sink.send(record("0"))).await.expect("accepted");
    let failed = async {
        while sink.stats().in_flight > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(failed).await;
    kafka.broker_up().expect("up");
    let error = soon(sink.send(record("1"))).await.map(drop);
    let error = error.expect_err("the caller may not know of it");
    assert!(error.is_retryable(), "{error}");
    assert_delivered(&sink, "2").await;
    soon(receipt).await.expect_err("its own error");
    assert_delivered(&sink, "3").await;
}

#[tokio::test]
async fn an_outage_of_many_records_is_one_failure_and_the_handle_goes_on_after_a_flush() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = impatient(&kafka).await;
    kafka.broker_down().expect("down");
    let mut accepted = 0;
    while accepted < 2_000 {
        match soon(sink.send(record("0"))).await {
            Ok(receipt) => drop(receipt),
            // A slow machine: the first are over their time, and the outage is known.
            Err(error) if error.is_retryable() => break,
            Err(error) => panic!("{error}"),
        }
        accepted += 1;
    }
    let error = soon(sink.flush()).await.expect_err("no broker");
    assert!(error.is_retryable() && error.may_have_applied(), "{error}");
    let KafkaError::Unobserved { failures, .. } = error else {
        panic!("{error}");
    };
    let records: Vec<_> = failures.iter().map(|failed| failed.records).collect();
    assert_eq!(records, [accepted]);
    kafka.broker_up().expect("up");
    // It gave the outage's error out.
    assert_delivered(&sink, "1").await;
    soon(sink.flush()).await.expect("reported once");
}

#[tokio::test]
async fn a_topic_that_may_not_be_written_any_more_does_not_stop_its_handle_for_others() {
    let kafka = EmbeddedKafka::start(&[("events", 1), ("others", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick()).await;
    kafka
        .fail_next(KafkaFault::TopicNotAllowed, 10_000)
        .expect("it will");
    for _ in 0..2_000 {
        drop(soon(sink.send(record("0"))).await.expect("accepted"));
    }
    let error = soon(sink.flush()).await.expect_err("denied");
    assert!(error.is_topic() && !error.is_retryable(), "{error}");
    assert_eq!(error.topic(), Some("events"));
    let KafkaError::Unobserved { failures, .. } = error else {
        panic!("{error}");
    };
    let records: Vec<_> = failures.iter().map(|failed| failed.records).collect();
    assert_eq!(records, [2_000]);
    // Not stopped: the mock denies this one too.
    let other = ProducerRecord::new("others", "x");
    let receipt = soon(sink.send(other)).await.expect("accepted");
    soon(receipt).await.expect_err("denied");
}

#[tokio::test]
async fn another_users_failure_dead_letters_no_record_of_an_output() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick()).await;
    kafka.fail_next(KafkaFault::TooLarge, 1).expect("it will");
    drop(soon(sink.send(record("x"))).await.expect("accepted"));
    while sink.stats().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    let letters = CollectSink::new();
    let output = KafkaOutput::new(&sink, |n: &u32| {
        Ok::<_, String>(Some(ProducerRecord::new("events", n.to_string())))
    });
    let job = Pipeline::from(IterSource::new(0..3_u32))
        .dead_letter(letters.clone())
        .to(output);
    let report = soon(job.run()).await.expect("it ends well");
    assert_eq!((report.acknowledged, letters.take().len()), (3, 0));
    soon(sink.flush()).await.expect_err("the other user's");
}

#[tokio::test]
async fn a_separate_handles_flush_waits_for_no_other_users_record() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick()).await;
    let own = sink.separate();
    let delivered = soon(own.send(record("0"))).await.expect("accepted");
    soon(delivered).await.expect("delivered");
    kafka.broker_down().expect("down");
    let others = soon(sink.send(record("1"))).await.expect("accepted");
    soon(own.flush())
        .await
        .expect("nothing of its own is under way");
    assert_eq!(sink.stats().in_flight, 1);
    kafka.broker_up().expect("up");
    soon(others).await.expect("delivered");
}
