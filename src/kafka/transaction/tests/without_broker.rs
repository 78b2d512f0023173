//! Refusals that need no broker with transactions.

use std::sync::mpsc;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::super::generation::Generation;
use super::super::producer::TransactionalProducer;
use super::TransactionSettings;
use crate::kafka::{KafkaError, KafkaSettings};

#[cfg(feature = "embedded")]
#[tokio::test]
async fn librdkafkas_mock_is_refused_with_the_reason() {
    let kafka = crate::embedded::EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let settings = KafkaSettings::new(kafka.bootstrap_servers());
    let application = TransactionSettings::new("a");
    let opened = TransactionalProducer::open(&settings, &application, 0).await;
    let error = opened.expect_err("a mock").to_string();
    assert!(error.contains("mock cluster"), "{error}");
}

/// The time is the test's: nothing is waited for.
#[tokio::test(start_paused = true)]
async fn without_a_broker_it_is_not_opened() {
    let settings = KafkaSettings::new("127.0.0.1:1");
    let application = TransactionSettings::new("a");
    let opened = TransactionalProducer::open(&settings, &application, 0).await;
    let error = opened.expect_err("no broker");
    assert!(matches!(error, KafkaError::Unreachable { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_returns_is_given_up_and_left_to_its_thread() {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", "127.0.0.1:1");
    let generation = Generation::start(&config).expect("a client");
    let (_return, never) = mpsc::channel::<()>();
    let hanging = generation.call(Duration::from_secs(12), move |_| {
        let _ = never.recv();
    });
    assert_eq!(hanging.await, None);
    let behind = generation.call(Duration::from_secs(12), |_| ());
    assert_eq!(behind.await, None, "it stands behind the other");
    // Dropped while its call is under way: this must not wait for it.
    drop(generation);
}
