//! Producers that were fenced, that took too long, and whose records were refused.

use std::time::Duration;

use futures::FutureExt as _;

use super::super::producer::TransactionalProducer;
use super::super::sort::Verdict;
use super::{NotTaken, Rig, add, verdict};
use crate::error::ErrorKind;
use crate::kafka::KafkaError;

#[tokio::test]
async fn a_producer_is_fenced_by_the_next_of_its_id_and_publishes_nothing() {
    let name = "a_producer_is_fenced_by_the_next_of_its_id_and_publishes_nothing";
    let Some(rig) = Rig::new(name, &[]).await else {
        return;
    };
    let mut zombie = rig.producer().await;
    zombie.begin().await.expect("begun");
    add(&mut zombie, &rig.record("zombie's")).await;
    zombie.delivered().await;
    let mut next = rig.producer().await;
    assert!(rig.published().is_empty(), "the next has ended it");
    next.begin().await.expect("begun");
    let (verdict, error) = zombie.commit().await.expect_err("fenced");
    assert_eq!(verdict, Verdict::Fenced, "{error}");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert!(zombie.is_worn());
    let closed = zombie.abort().await.expect_err("it is of no use").0;
    assert_eq!(closed, Verdict::Renew);
    add(&mut next, &rig.record("next's")).await;
    next.delivered().await;
    next.commit().await.expect("committed");
    assert_eq!(rig.published(), ["next's"]);
    // The first goes on, and fences the other.
    zombie.renew().await.expect("renewed");
    zombie.begin().await.expect("begun");
    add(&mut zombie, &rig.record("first's")).await;
    zombie.delivered().await;
    zombie.commit().await.expect("committed");
    next.begin().await.expect("librdkafka does not know yet");
    add(&mut next, &rig.record("zombie's")).await;
    next.delivered().await;
    let ended = next.commit().await.expect_err("fenced").0;
    assert!(
        matches!(ended, Verdict::Fenced | Verdict::Abort),
        "{ended:?}"
    );
    assert_eq!(rig.published(), ["next's", "first's"]);
}

#[tokio::test]
async fn a_transaction_that_takes_too_long_is_ended_by_the_broker_and_looks_like_a_fence() {
    let name = "a_transaction_that_takes_too_long_is_ended_by_the_broker_and_looks_like_a_fence";
    let Some(mut rig) = Rig::new(name, &[]).await else {
        return;
    };
    rig.settings = rig.settings.transaction_timeout(Duration::from_secs(1));
    let mut producer = rig.producer().await;
    producer.begin().await.expect("begun");
    add(&mut producer, &rig.record("late")).await;
    producer.delivered().await;
    // Until the broker has ended it: it looks every few seconds.
    assert!(rig.published().is_empty());
    let ended = verdict(producer.commit().await);
    assert!(
        matches!(ended, Verdict::Fenced | Verdict::Renew),
        "{ended:?}"
    );
    producer.renew().await.expect("renewed");
    producer.begin().await.expect("begun");
    add(&mut producer, &rig.record("again")).await;
    producer.delivered().await;
    producer.commit().await.expect("committed");
    assert_eq!(rig.published(), ["again"]);
}

#[tokio::test]
async fn a_close_ends_a_transaction_that_was_left_open_by_a_renewal_that_failed() {
    let name = "a_close_ends_a_transaction_that_was_left_open_by_a_renewal_that_failed";
    let Some(mut rig) = Rig::new(name, &[]).await else {
        return;
    };
    // Longer than readers of this test wait for the brokers to end it.
    rig.settings = rig
        .settings
        .transaction_timeout(Duration::from_secs(10 * 60));
    let mut producer = rig.producer().await;
    producer.begin().await.expect("begun");
    add(&mut producer, &rig.record("left open")).await;
    producer.delivered().await;
    // Dropped before it has begun to ask.
    assert!(producer.renew().now_or_never().is_none());
    producer.close().await.expect("ended");
    assert!(rig.published().is_empty());
}

/// Returns text that does not get smaller.
fn incompressible(bytes: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| rng.alphanumeric())
        .take(bytes)
        .collect()
}

#[tokio::test]
async fn a_record_that_the_broker_refuses_fails_alone_and_the_next_producer_goes_on() {
    let name = "a_record_that_the_broker_refuses_fails_alone_and_the_next_producer_goes_on";
    let Some(rig) = Rig::new(name, &[("max.message.bytes", "2000")]).await else {
        return;
    };
    // Compressed, so that its size is not known before it is sent.
    let kafka = rig.kafka().set("compression.type", "lz4");
    let opened = TransactionalProducer::open(&kafka, &rig.settings, 0);
    let mut producer = opened.await.expect("opened");
    producer.begin().await.expect("begun");
    add(&mut producer, &rig.record(&incompressible(5_000))).await;
    producer.delivered().await;
    let failures = producer.failures();
    let [error] = &failures[..] else {
        panic!("{failures:?}")
    };
    assert!(matches!(error, KafkaError::TooLarge { .. }), "{error}");
    assert_eq!(verdict(producer.commit().await), Verdict::Abort);
    producer.abort().await.expect("aborted");
    assert!(producer.is_worn());
    assert_eq!(verdict(producer.begin().await), Verdict::Renew);
    producer.renew().await.expect("renewed");
    producer.begin().await.expect("begun");
    for number in 0..10 {
        let value = format!("{number} {}", incompressible(500));
        add(&mut producer, &rig.record(&value)).await;
    }
    producer.delivered().await;
    assert!(producer.failures().is_empty(), "batches are small enough");
    producer.commit().await.expect("committed");
    assert_eq!(rig.published().len(), 10);
}

#[tokio::test]
async fn a_record_that_is_known_to_be_too_large_is_refused_before_it_is_sent() {
    let name = "a_record_that_is_known_to_be_too_large_is_refused_before_it_is_sent";
    let Some(rig) = Rig::new(name, &[("max.message.bytes", "2000")]).await else {
        return;
    };
    let mut producer = rig.producer().await;
    producer.begin().await.expect("begun");
    add(&mut producer, &rig.record("kept")).await;
    for bytes in [2_000, 1_100_000] {
        let Err(NotTaken::Refused(error)) = producer.produce(&rig.record(&incompressible(bytes)))
        else {
            panic!("{bytes}")
        };
        assert!(matches!(error, KafkaError::TooLarge { .. }), "{error}");
    }
    producer.delivered().await;
    producer.commit().await.expect("committed");
    assert_eq!(rig.published(), ["kept"]);
}
