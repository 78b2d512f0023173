//! The ids of topics (`crates/kafka-topic-id`), as the brokers give them. Its own tests have the rest.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::embedded::EmbeddedKafka;
use kafka_topic_id::{
    DescribeError, TopicDescription, TopicError, TopicId, describe_topics, describe_topics_at,
};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;

use super::{Topic, server, unique, variable};
use crate::kafka::{LONGEST, soon};

type Answers = Result<Vec<Result<TopicDescription, TopicError>>, DescribeError>;

fn client(bootstrap: &str) -> Arc<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    Arc::new(config.create().expect("a client"))
}

async fn describe(client: &Arc<BaseConsumer>, topics: &[&str]) -> Answers {
    let client = Arc::clone(client);
    let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
    let described = tokio::task::spawn_blocking(move || {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        describe_topics(client.client(), &topics, LONGEST)
    });
    described.await.expect("no panic")
}

/// The id of a topic that is there, or will be in a moment: one broker may be behind another.
async fn id(client: &Arc<BaseConsumer>, topic: &str) -> TopicId {
    soon(async {
        loop {
            let answer = describe(client, &[topic])
                .await
                .expect("answered")
                .remove(0);
            match answer {
                Ok(description) => return description.id.expect("brokers give ids"),
                Err(error) => assert!(error.is_unknown_topic() || error.is_retryable(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_topic_keeps_its_id_and_has_another_once_it_was_deleted_and_made_again() {
    let Some(topic) = Topic::new("topic_ids", 3, &[]).await else {
        return;
    };
    let (mine, another) = (client(&topic.bootstrap), client(&topic.bootstrap));
    let first = id(&mine, &topic.name).await;
    assert_eq!(id(&mine, &topic.name).await, first);
    assert_eq!(id(&another, &topic.name).await, first);

    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &topic.bootstrap)
        .create()
        .expect("a client");
    let options = AdminOptions::new().operation_timeout(Some(LONGEST));
    let deleted = admin.delete_topics(&[topic.name.as_str()], &options).await;
    deleted.expect("answered")[0].as_ref().expect("deleted");
    server::create_topic(&topic.bootstrap, &topic.name, 1, &[]).await;

    // The client that knew the old one, and one that did not.
    let newcomer = client(&topic.bootstrap);
    let second = soon(async {
        loop {
            let found = id(&mine, &topic.name).await;
            if found != first {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(id(&newcomer, &topic.name).await, second);
    assert_eq!(id(&mine, &topic.name).await, second);
}

#[tokio::test]
async fn an_unknown_topic_is_an_error_that_names_it_beside_topics_that_are_there() {
    let Some(topic) = Topic::new("topic_ids", 3, &[]).await else {
        return;
    };
    let client = client(&topic.bootstrap);
    let known = id(&client, &topic.name).await;
    let missing = unique("missing");
    let asked = [missing.as_str(), &topic.name, "no such name"];
    let answers = describe(&client, &asked).await.expect("answered");

    let error = answers[0].as_ref().expect_err("missing");
    assert!(error.is_unknown_topic() && !error.is_retryable());
    assert_eq!(error.topic(), missing);
    assert!(error.to_string().contains(&missing), "{error}");
    let description = answers[1].as_ref().expect("it is there");
    assert_eq!((description.id, description.partitions), (Some(known), 3));
    let error = answers[2].as_ref().expect_err("spaces");
    assert_eq!(error.code(), RDKafkaErrorCode::InvalidTopic);
    // Asking has not created it, although the broker creates topics that are missing.
    let again = describe(&client, &[&missing]).await.expect("answered");
    assert!(again[0].as_ref().is_err_and(TopicError::is_unknown_topic));
}

#[tokio::test]
async fn an_id_reads_as_kafkas_own_client_prints_it() {
    let Some(topic) = Topic::new("topic_ids", 1, &[]).await else {
        return;
    };
    let Some(jars) = variable("topic_ids", "KAFKA_JARS") else {
        return;
    };
    // Several: the characters in which the alphabets differ are in about half of the ids.
    let names: Vec<String> = (0..8).map(|_| unique("printed")).collect();
    for name in &names {
        server::create_topic(&topic.bootstrap, name, 1, &[]).await;
    }
    let client = client(&topic.bootstrap);
    for name in &names {
        let id = id(&client, name).await;
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    let printed = print_ids(&jars, &topic.bootstrap, &names);
    for (name, line) in names.iter().zip(&printed) {
        assert_eq!(*line, format!("{name} {}", id(&client, name).await));
    }
    assert_eq!(printed.len(), names.len());
}

fn print_ids(jars: &str, bootstrap: &str, names: &[String]) -> Vec<String> {
    let output = Command::new("java")
        .args(["-cp", &format!("{jars}/*")])
        .arg("tests/servers/TopicIds.java")
        .arg(bootstrap)
        .args(names)
        .stdin(Stdio::null())
        .output()
        .expect("there is `java`");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let printed = String::from_utf8(output.stdout).expect("text");
    printed.lines().map(str::to_owned).collect()
}

/// It names a controller that it does not have.
#[tokio::test]
async fn the_mock_gives_ids_by_its_broker() {
    let kafka = EmbeddedKafka::start(&[("a", 2), ("b", 1)]).expect("a mock");
    let client = client(kafka.bootstrap_servers());
    let described = tokio::task::spawn_blocking(move || {
        let metadata = client.fetch_metadata(Some("a"), LONGEST).expect("answered");
        let broker = metadata.brokers()[0].id();
        describe_topics_at(client.client(), broker, &["a", "b", "missing"], LONGEST)
    });
    let answers = described.await.expect("no panic").expect("answered");
    let description = |at: usize| answers[at].as_ref().expect("it is there");
    assert_eq!(description(0).partitions, 2);
    assert!(description(0).id.is_some() && description(0).id != description(1).id);
    assert!(answers[2].as_ref().is_err_and(TopicError::is_unknown_topic));
}
