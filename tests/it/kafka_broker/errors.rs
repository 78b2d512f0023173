//! What the broker refuses, told truly.

use std::time::Duration;

use dynamodb_connector::ErrorKind;
use dynamodb_connector::kafka::{
    KafkaError, KafkaSinkSettings, KafkaSource, KafkaSourceSettings, ProducerRecord,
};

use super::{Topic, unique};
use crate::kafka::soon;

#[tokio::test]
async fn a_record_over_the_topics_limit_fails_alone_and_names_topic_and_size() {
    let limit = [("max.message.bytes", "20000")];
    let Some(topic) = Topic::new("errors", 1, &limit).await else {
        return;
    };
    let sink = topic
        .sink(&KafkaSinkSettings::default().linger(Duration::ZERO))
        .await;
    let record = |size: usize| ProducerRecord::new(topic.name.as_str(), vec![7; size]);
    let receipt = soon(sink.send(record(30_000))).await.expect("accepted");
    let error = soon(receipt).await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        format!(
            "record of 30000B for topic {:?} is over the topic's max.message.bytes or segment.bytes",
            topic.name
        )
    );
    let receipt = soon(sink.send(record(10_000))).await.expect("accepted");
    soon(receipt).await.expect("the next one is delivered");
    soon(sink.close()).await.expect("all was told");
}

#[tokio::test]
async fn a_missing_topic_is_an_error_although_the_broker_would_create_it() {
    let Some(topic) = Topic::new("errors", 1, &[]).await else {
        return;
    };
    let own = KafkaSinkSettings::default().topic_timeout(Duration::from_millis(500));
    let missing = unique("missing");
    let record = || ProducerRecord::new(missing.as_str(), "x");
    let error = soon(topic.sink(&own).await.send(record())).await.map(drop);
    let error = error.expect_err("missing");
    assert!(matches!(error, KafkaError::UnknownTopic { .. }), "{error}");
    assert_eq!(error.topic(), Some(missing.as_str()));
    let source =
        KafkaSourceSettings::new("g", [missing.as_str()]).topic_timeout(Duration::from_millis(500));
    let error = soon(
        KafkaSource::builder(&topic.settings())
            .settings(source.clone())
            .open(),
    )
    .await;
    let error = error.map(drop).expect_err("missing");
    assert!(matches!(error, KafkaError::UnknownTopic { .. }), "{error}");

    let sink = topic.sink(&own.create_topics(true)).await;
    let receipt = soon(sink.send(record())).await.expect("created");
    soon(receipt).await.expect("delivered");
}

#[tokio::test]
async fn who_is_not_let_in_is_told_at_once_and_for_good() {
    let Some(topic) = Topic::new("errors", 1, &[]).await else {
        return;
    };
    // The listener knows no SASL.
    let settings = topic
        .settings()
        .set("security.protocol", "sasl_plaintext")
        .set("sasl.mechanism", "PLAIN")
        .set("sasl.username", "somebody")
        .set("sasl.password", "hunter2");
    let own = KafkaSinkSettings::default();
    let sink = dynamodb_connector::kafka::KafkaSink::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .expect("a sink");
    let record = || ProducerRecord::new(topic.name.as_str(), "x");
    let error = soon(sink.send(record())).await.map(drop);
    let error = error.expect_err("not let in");
    assert!(error.is_fatal(), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert!(
        soon(sink.send(record()))
            .await
            .is_err_and(|error| error.is_fatal())
    );
    assert!(
        soon(sink.close())
            .await
            .is_err_and(|error| error.is_fatal())
    );

    let source = KafkaSourceSettings::new(unique("group"), [topic.name.as_str()]);
    let error = soon(
        KafkaSource::builder(&settings)
            .settings(source.clone())
            .open(),
    )
    .await;
    assert!(error.is_err_and(|error| error.is_fatal()));
}

#[tokio::test]
async fn a_topic_that_is_deleted_while_it_is_used_is_the_error_of_its_records() {
    let Some(topic) = Topic::new("errors", 1, &[]).await else {
        return;
    };
    // For so long librdkafka takes the news for a delay among the brokers.
    let settings = topic
        .settings()
        .set("topic.metadata.propagation.max.ms", "1000");
    let own = KafkaSinkSettings::default().linger(Duration::ZERO);
    let sink = dynamodb_connector::kafka::KafkaSink::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .expect("a sink");
    let record = || ProducerRecord::new(topic.name.as_str(), "x").key("k");
    let receipt = soon(sink.send(record())).await.expect("accepted");
    soon(receipt).await.expect("delivered");
    super::gaps::delete(&topic).await;
    let error = loop {
        match soon(sink.send(record())).await {
            Ok(receipt) => {
                if let Err(error) = soon(receipt).await {
                    break error;
                }
            }
            Err(error) => break error,
        }
    };
    assert!(error.is_topic(), "{error}");
    assert_eq!(error.topic(), Some(topic.name.as_str()));
}
