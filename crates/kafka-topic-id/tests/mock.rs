//! The call against librdkafka's mock cluster, and against what answers nothing.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use kafka_topic_id::{
    MAX_TOPICS, TopicDescription, describe_topics, describe_topics_at, group_generation,
};
use rdkafka::ClientConfig;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

/// The mock's only broker. Its controller is one that it does not have.
const BROKER: i32 = 1;
/// For a call that is answered, on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);

type Cluster = MockCluster<'static, DefaultProducerContext>;

/// A cluster with topics of one, two, three … partitions.
fn cluster(topics: &[&str]) -> Cluster {
    let cluster = MockCluster::new(1).expect("a mock");
    for (topic, partitions) in topics.iter().zip(1..) {
        cluster.create_topic(topic, partitions, 1).expect("created");
    }
    cluster
}

fn consumer(bootstrap_servers: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .create()
        .expect("a consumer")
}

fn one(consumer: &BaseConsumer, topic: &str) -> TopicDescription {
    let described =
        describe_topics_at(consumer.client(), BROKER, &[topic], LONGEST).expect("answered");
    described.into_iter().next().expect("one").expect("exists")
}

#[test]
fn a_topic_has_one_id_for_every_client_and_another_than_its_neighbor() {
    let cluster = cluster(&["a", "b"]);
    let consumer = consumer(&cluster.bootstrap_servers());
    let (a, b) = (one(&consumer, "a"), one(&consumer, "b"));
    assert_eq!((a.name.as_str(), a.partitions), ("a", 1));
    assert_eq!((b.name.as_str(), b.partitions), ("b", 2));
    assert!(a.id.is_some() && a.id != b.id, "{a:?} {b:?}");
    assert_eq!(one(&consumer, "a"), a);

    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .expect("a producer");
    let described = describe_topics_at(producer.client(), BROKER, &["a"], LONGEST);
    assert_eq!(described, Ok(vec![Ok(a)]));
}

#[test]
fn each_topic_has_its_own_answer_in_the_order_asked() {
    let cluster = cluster(&["a", "b", "denied"]);
    cluster
        .topic_error(
            "denied",
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        )
        .expect("set");
    let consumer = consumer(&cluster.bootstrap_servers());
    let asked = ["b", "missing", "a", "", "denied", "b", "n\0l"];
    let answers = describe_topics_at(consumer.client(), BROKER, &asked, LONGEST).expect("answered");
    let code = |at: usize| answers[at].as_ref().expect_err("an error").code();
    assert_eq!(answers.len(), asked.len());
    assert_eq!(answers[0], Ok(one(&consumer, "b")));
    assert_eq!(answers[0], answers[5]);
    assert_eq!(answers[2], Ok(one(&consumer, "a")));
    assert_eq!(code(1), RDKafkaErrorCode::UnknownTopicOrPartition);
    assert_eq!(code(3), RDKafkaErrorCode::InvalidTopic);
    assert_eq!(code(4), RDKafkaErrorCode::TopicAuthorizationFailed);
    assert_eq!(code(6), RDKafkaErrorCode::InvalidTopic);
    for (answer, topic) in answers.iter().zip(asked) {
        if let Err(error) = answer {
            assert_eq!(error.topic(), topic);
            assert!(error.to_string().contains(&format!("{topic:?}")), "{error}");
        }
    }
}

#[test]
fn a_broker_that_knows_no_ids_gives_none() {
    let cluster = cluster(&["a"]);
    // The last version of the request before ids.
    cluster
        .apiversion(RDKafkaApiKey::Metadata, Some(0), Some(9))
        .expect("set");
    let description = one(&consumer(&cluster.bootstrap_servers()), "a");
    assert_eq!((description.id, description.partitions), (None, 1));
}

#[test]
fn no_topics_need_no_broker() {
    let consumer = consumer("127.0.0.1:1");
    let describe = |topics: &[&str]| describe_topics(consumer.client(), topics, Duration::ZERO);
    assert_eq!(describe(&[]), Ok(vec![]));
    assert!(describe(&[""]).expect("answered")[0].is_err());
    let error = describe(&vec!["a"; MAX_TOPICS + 1]).expect_err("too many");
    assert_eq!(error.code(), RDKafkaErrorCode::InvalidArgument);
    assert!(error.to_string().contains("10001"), "{error}");
}

#[test]
fn threads_that_ask_by_one_client_have_their_own_answers() {
    let cluster = cluster(&["a", "b", "c", "d"]);
    let consumer = consumer(&cluster.bootstrap_servers());
    let topics = ["a", "b", "c", "d"];
    let first: Vec<_> = topics.iter().map(|topic| one(&consumer, topic)).collect();
    thread::scope(|scope| {
        for (topic, expected) in topics.iter().zip(&first) {
            let consumer = &consumer;
            scope.spawn(move || {
                for _ in 0..25 {
                    assert_eq!(one(consumer, topic), *expected);
                }
            });
        }
    });
}

#[test]
fn a_controller_that_is_not_there_is_a_timeout_and_any_broker_answers() {
    let cluster = cluster(&["a"]);
    let consumer = consumer(&cluster.bootstrap_servers());
    times_out(&consumer, Duration::from_millis(300));
    let id = one(&consumer, "a").id;
    assert!(id.is_some());
    let describe = |broker, timeout| {
        let timeout = Duration::from_millis(timeout);
        describe_topics_at(consumer.client(), broker, &["a"], timeout)
    };
    let error = describe(2, 300).expect_err("no such broker");
    assert!(
        error.is_timeout() && error.reason().contains("broker"),
        "{error}"
    );
    let error = describe(-1, 60_000).expect_err("no broker's id");
    assert_eq!(error.code(), RDKafkaErrorCode::InvalidArgument);
}

/// Fails within the time, with an error that says so.
#[expect(
    clippy::disallowed_methods,
    reason = "the call waits in real time, and its bound is what is tested"
)]
fn times_out(consumer: &BaseConsumer, timeout: Duration) {
    let began = Instant::now();
    let error = describe_topics(consumer.client(), &["a"], timeout).expect_err("no broker");
    let took = began.elapsed();
    assert!(error.is_timeout() && error.is_retryable(), "{error:?}");
    assert!(
        error.to_string().contains(&format!("{timeout:?}")),
        "{error}"
    );
    // Far below librdkafka's own 60 s, and far above what a busy machine adds.
    assert!(took < timeout + Duration::from_secs(20), "{took:?}");
}

#[test]
fn a_call_ends_by_its_timeout_where_nothing_listens_and_where_nothing_answers() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed_at = closed.local_addr().expect("bound").to_string();
    drop(closed);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_at = silent.local_addr().expect("bound").to_string();
    for bootstrap_servers in [closed_at, silent_at] {
        let consumer = consumer(&bootstrap_servers);
        times_out(&consumer, Duration::from_millis(300));
        times_out(&consumer, Duration::from_millis(1));
    }
}

/// The request's answer finds its queue gone; the client goes on.
#[test]
fn an_answer_after_the_timeout_harms_nothing() {
    let cluster = cluster(&["a"]);
    let consumer = consumer(&cluster.bootstrap_servers());
    let before = one(&consumer, "a");
    let late = |consumer: &BaseConsumer| {
        let timeout = Duration::from_millis(20);
        let described = describe_topics_at(consumer.client(), BROKER, &["a"], timeout);
        assert!(described.expect_err("late").is_timeout());
    };
    cluster
        .broker_round_trip_time(BROKER, Duration::from_millis(200))
        .expect("set");
    for _ in 0..5 {
        late(&consumer);
    }
    assert_eq!(one(&consumer, "a"), before);
    // Dropped with a request under way.
    late(&consumer);
}

#[test]
fn a_description_needs_no_context_of_its_own() {
    let cluster = cluster(&["a"]);
    let admin: rdkafka::admin::AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .expect("an admin client");
    let described = describe_topics_at(admin.inner(), BROKER, &["a"], LONGEST).expect("answered");
    assert!(described[0].is_ok());
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a group forms in real time, which is bounded"
)]
fn a_client_has_a_generation_once_it_is_a_member() {
    let cluster = cluster(&["a"]);
    assert_eq!(
        group_generation(consumer(&cluster.bootstrap_servers()).client()),
        None,
        "it has no group"
    );
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .expect("a producer");
    assert_eq!(group_generation(producer.client()), None);

    let member: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "readers")
        .create()
        .expect("a consumer");
    assert_eq!(group_generation(member.client()), None, "it has not joined");
    member.subscribe(&["a"]).expect("subscribed");
    let began = Instant::now();
    while group_generation(member.client()).is_none() {
        assert!(began.elapsed() < LONGEST, "it does not join");
        let _ = member.poll(Duration::from_millis(20));
    }
}
