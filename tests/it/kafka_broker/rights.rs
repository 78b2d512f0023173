//! A client without all rights: what it may not do is named, and costs no record.

use std::error::Error;
use std::time::Duration;

use dynamodb_connector::kafka::{
    KafkaReceipt, KafkaSettings, KafkaSink, KafkaSource, KafkaSourceSettings, ProducerRecord,
};
use dynamodb_connector::pipeline::{KafkaOutput, Pipeline};
use dynamodb_connector::test_util::{CollectSink, IterSource};

use super::server::Server;
use super::{unique, variable};
use crate::kafka::soon;

/// The settings of the user `app`.
fn settings(server: &Server) -> KafkaSettings {
    let settings = KafkaSettings::new(server.bootstrap());
    let login = Server::login("app").into_iter();
    login.fold(settings, |settings, (property, value)| {
        settings.set(property, value)
    })
}

async fn sink(server: &Server) -> KafkaSink {
    KafkaSink::open(&settings(server)).await.expect("a sink")
}

/// The error with its causes.
fn whole_text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_is_named_and_costs_no_record() {
    let Some(jars) = variable("rights", "KAFKA_JARS") else {
        return;
    };
    let directory = std::env::temp_dir().join(unique("kafka"));
    let server = Server::start_with_users(&jars, &directory);
    server.create_topic("visible", 1, &[]).await;
    server.create_topic("hidden", 1, &[]).await;
    let limit = [("max.message.bytes", "10000")];
    server.create_topic("small", 1, &limit).await;
    server.grant(&[
        "topic:visible:describe",
        "topic:small:write",
        "topic:small:read",
    ]);
    for topic in ["visible", "hidden"] {
        a_pipeline_ends_without_a_letter_at_a_topic_that_it_may_not_write_to(&server, topic).await;
    }
    no_record_is_rejected_where_the_topics_limit_may_not_be_asked_for(&server).await;
    a_group_that_may_not_be_used_is_named_when_a_source_is_opened(&server).await;
}

async fn a_pipeline_ends_without_a_letter_at_a_topic_that_it_may_not_write_to(
    server: &Server,
    topic: &'static str,
) {
    let source = IterSource::new(0..1_000_u32);
    let (acks, letters) = (source.acks(), CollectSink::new());
    let sink = sink(server).await;
    let output = KafkaOutput::new(&sink, move |n: &u32| {
        Ok::<_, String>(Some(ProducerRecord::new(topic, n.to_string())))
    });
    let job = Pipeline::from(source)
        .dead_letter(letters.clone())
        .to(output);
    let error = soon(job.run()).await.expect_err("no right to write");
    let text = whole_text(&error);
    assert!(text.contains(&format!("topic {topic:?}")), "{text}");
    assert_eq!(letters.take().len(), 0, "no record is at fault");
    assert_eq!(acks.done().len(), 0, "each is given again");
}

async fn no_record_is_rejected_where_the_topics_limit_may_not_be_asked_for(server: &Server) {
    let sink = sink(server).await;
    let mut receipts: Vec<KafkaReceipt> = Vec::new();
    for n in 0..5_000 {
        let record = ProducerRecord::new("small", format!("{n:<100}"));
        receipts.push(soon(sink.send(record)).await.expect("accepted"));
    }
    for receipt in receipts {
        soon(receipt).await.expect("delivered");
    }
    soon(sink.close()).await.expect("all is delivered");
    assert_eq!(sink.stats().failed, 0);
}

async fn a_group_that_may_not_be_used_is_named_when_a_source_is_opened(server: &Server) {
    let own =
        KafkaSourceSettings::new("strangers", ["small"]).topic_timeout(Duration::from_secs(30));
    let opened = soon(
        KafkaSource::builder(&settings(server))
            .settings(own.clone())
            .open(),
    )
    .await;
    let error = opened.map(drop).expect_err("no right to the group");
    let text = whole_text(&error);
    assert!(
        error.is_fatal() && text.contains("group \"strangers\""),
        "{text}"
    );
}
