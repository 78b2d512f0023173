//! Topics and partitions that are not there, and limits.

use super::*;

#[tokio::test]
async fn a_topic_that_does_not_exist_fails_within_its_time_and_is_named() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick()).await;
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
    let sink = sink(&kafka, &quick().create_topics(true)).await;
    let receipt = soon(sink.send(record("x"))).await.expect("accepted");
    soon(receipt).await.expect("delivered");
}

#[tokio::test]
async fn a_topic_that_comes_within_its_time_is_found() {
    let kafka = EmbeddedKafka::start(&[]).expect("a mock");
    let sink = sink(&kafka, &quick().topic_timeout(super::super::LONGEST)).await;
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
    let sink = sink(&kafka, &quick()).await;
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
    let sink = sink(&kafka, &quick()).await;
    let error = soon(sink.send(record(vec![0; 2 << 20]))).await.map(drop);
    assert_eq!(
        error.expect_err("too large").to_string(),
        "record of 2MiB for topic \"events\" is over message.max.bytes, 1000000B"
    );
    soon(sink.flush()).await.expect("it was told to its caller");
    assert_eq!(sink.stats().in_flight_bytes, 0);
}

#[tokio::test]
async fn try_send_looks_a_topic_up_and_tells_if_there_is_none() {
    let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
    let sink = sink(&kafka, &quick()).await;
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
