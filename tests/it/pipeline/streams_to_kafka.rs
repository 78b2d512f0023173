//! From a table's stream to a topic: the two adapters together, over the faulty DynamoDB and the mock broker, in real time.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::embedded::EmbeddedKafka;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::kafka::{
    KafkaSettings, KafkaSink, KafkaSinkSettings, KafkaSource, ProducerRecord,
};
use dynamodb_connector::pipeline::{
    DeadLetter, Delivery, EndpointError, KafkaOutput, Pipeline, PipelineError, PipelineReport,
    PipelineSettings, Sink,
};
use dynamodb_connector::streams::{Change, Record, StreamsSettings, StreamsSource};
use dynamodb_connector::test_util::{CollectSink, IterSource};
use dynamodb_connector::test_util::{FaultyDynamoDb, TableSpecExt as _};
use dynamodb_connector::{StreamView, TableSpec};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const TABLE: &str = "decisions";
const TOPIC: &str = "events";

#[derive(Clone, Debug, Deserialize)]
struct Item {
    id: String,
    version: u32,
    #[serde(default)]
    text: String,
}

fn table() -> FaultyDynamoDb {
    let fake = FaultyDynamoDb::new();
    let spec = TableSpec::new(TABLE).partition("id", KeyKind::String);
    fake.create_table(spec.stream(StreamView::NewAndOldImages).stream_shards(3));
    fake
}

async fn put(fake: &FaultyDynamoDb, id: &str, version: AttributeValue, text: &str) {
    let put = fake.client().put_item().table_name(TABLE);
    put.item("id", AttributeValue::S(id.to_owned()))
        .item("version", version)
        .item("text", AttributeValue::S(text.to_owned()))
        .send()
        .await
        .expect("it is written");
}

fn number(version: u32) -> AttributeValue {
    AttributeValue::N(version.to_string())
}

/// A pipeline that runs, and how to stop it.
struct Running {
    task: JoinHandle<Result<PipelineReport, PipelineError>>,
    stop: oneshot::Sender<()>,
}

impl Running {
    async fn stop(self) -> PipelineReport {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("no panic").expect("it ends well")
    }
}

async fn run(
    fake: &FaultyDynamoDb,
    topic: &KafkaSink,
    letters: &CollectSink<DeadLetter<Record>>,
) -> Running {
    let settings = StreamsSettings::default().poll(Duration::from_millis(10));
    let source = StreamsSource::builder(&fake.client(), &fake.streams_client(), TABLE)
        .settings(settings)
        .dead_letters(|letter| async move {
            // What is no record at all never comes as far as the pipeline.
            assert!(letter.record.is_err());
            Ok::<_, String>(())
        })
        .open()
        .await
        .expect("it opens");
    let (stop, stopped) = oneshot::channel();
    let job = Pipeline::from(source.into_stream())
        .try_map(Change::<Item>::read)
        .named("read")
        .filter_map(|change| change.new)
        .validate(|item| match item.version {
            13 => Err("thirteen"),
            _ => Ok(()),
        })
        .key_by(|item| item.id.clone())
        .dead_letter(letters.clone())
        .to(output(topic));
    let task = tokio::spawn(job.run_until(async move {
        let _ = stopped.await;
    }));
    Running { task, stop }
}

type Keyed = dynamodb_connector::pipeline::Keyed<String, Item>;

fn output(topic: &KafkaSink) -> KafkaOutput<Keyed> {
    let output = KafkaOutput::new(topic, |item: &Keyed| {
        let value = format!("{} {}", item.value().version, item.value().text);
        let topic = if item.key() == "nowhere" {
            "no-such-topic"
        } else {
            TOPIC
        };
        let record = ProducerRecord::new(topic, value).key(item.key().clone());
        Ok::<_, String>((item.key() != "skipped").then_some(record))
    });
    output.reject_unusable_topics()
}

async fn broker() -> (EmbeddedKafka, KafkaSink) {
    let broker = EmbeddedKafka::start(&[(TOPIC, 3)]).expect("it starts");
    let settings = KafkaSettings::new(broker.bootstrap_servers());
    let own = KafkaSinkSettings::default().topic_timeout(Duration::from_secs(1));
    let sink = KafkaSink::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .expect("it opens");
    (broker, sink)
}

/// Reads so many events: the versions of each key, in the order of the topic.
async fn read(broker: &EmbeddedKafka, group: &str, count: usize) -> HashMap<String, Vec<u32>> {
    let settings = KafkaSettings::new(broker.bootstrap_servers());
    let mut source = KafkaSource::open(&settings, group, [TOPIC])
        .await
        .expect("it opens");
    let mut versions: HashMap<String, Vec<u32>> = HashMap::new();
    let mut seen = 0;
    while seen < count {
        let batch = tokio::time::timeout(Duration::from_secs(60), source.next_batch(100)).await;
        let batch = batch.unwrap_or_else(|_| panic!("{seen} of {count} events after a minute"));
        for message in batch.expect("more").expect("records") {
            let key = message.key.as_deref().expect("a key");
            let value = message.payload.as_deref().expect("a value");
            let version = String::from_utf8_lossy(value);
            let version = version.split(' ').next().and_then(|text| text.parse().ok());
            let key = String::from_utf8_lossy(key).into_owned();
            versions
                .entry(key)
                .or_default()
                .push(version.expect("a version"));
            seen += 1;
            message.ack.done();
        }
    }
    source.close().await.expect("it closes");
    versions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_arrives_in_order_and_a_second_run_goes_on_after_the_first() {
    let (fake, (broker, sink)) = (table(), broker().await);
    let letters = CollectSink::new();
    let running = run(&fake, &sink, &letters).await;
    for version in 0..40 {
        for key in ["a", "b", "c", "d", "e"] {
            put(&fake, key, number(version), "x").await;
        }
        if version % 10 == 9 {
            fake.split_all_shards(TABLE);
        }
    }
    let versions = read(&broker, "first", 5 * 39).await;
    for key in ["a", "b", "c", "d", "e"] {
        let expected: Vec<u32> = (0..40).filter(|version| *version != 13).collect();
        assert_eq!(versions[key], expected, "{key}");
    }
    let report = running.stop().await;
    assert_eq!(report.acknowledged, 200);
    let thirteens = letters.take();
    assert_eq!(thirteens.len(), 5);
    assert!(
        thirteens
            .iter()
            .all(|letter| letter.to_string().ends_with("thirteen"))
    );

    let running = run(&fake, &sink, &letters).await;
    put(&fake, "a", number(40), "x").await;
    let versions = read(&broker, "second", 5 * 39 + 1).await;
    assert_eq!(versions["a"].last(), Some(&40));
    assert_eq!(
        running.stop().await.acknowledged,
        1,
        "what was done is not done again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_neither_read_nor_sent_goes_to_the_dead_letters_with_the_reason() {
    let (fake, (broker, sink)) = (table(), broker().await);
    let letters = CollectSink::new();
    put(
        &fake,
        "text",
        AttributeValue::S("no number".to_owned()),
        "x",
    )
    .await;
    put(
        &fake,
        "large",
        number(1),
        &"x".repeat(1 << 20).as_str()[..300_000],
    )
    .await;
    put(&fake, "nowhere", number(1), "x").await;
    put(&fake, "skipped", number(1), "x").await;
    let shard = fake.shards(TABLE).first().expect("a shard").id().to_owned();
    fake.inject_stream_record(TABLE, &shard, r#"{"eventName":"INSERT","dynamodb":{"Keys":{"id":{"S":"?"}},"NewImage":{"id":{"S":"?"}}}}"#);
    put(&fake, "good", number(1), "x").await;

    let settings =
        KafkaSettings::new(broker.bootstrap_servers()).set("message.max.bytes", "200000");
    let own = KafkaSinkSettings::default().topic_timeout(Duration::from_secs(1));
    let small = KafkaSink::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .expect("it opens");
    drop(sink);
    let running = run(&fake, &small, &letters).await;
    let versions = read(&broker, "reader", 1).await;
    assert_eq!(versions.keys().collect::<Vec<_>>(), ["good"]);
    let mut told = Vec::new();
    while told.len() < 3 {
        told.extend(letters.take().iter().map(ToString::to_string));
        tokio::task::yield_now().await;
    }
    assert_eq!(running.stop().await.acknowledged, 5);
    told.sort();
    let has = |part: &str| told.iter().any(|letter| letter.contains(part));
    assert!(has("read: ") && has("version"), "{told:#?}");
    assert!(has("over 200000") || has("is over"), "{told:#?}");
    assert!(has("\"no-such-topic\" does not exist"), "{told:#?}");
    assert!(
        !told.iter().any(|letter| letter.contains("no number")),
        "contents stay out"
    );
}

/// A topic that is missing is no record's fault: no record is dead-lettered for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_does_not_exist_ends_the_pipeline_and_dead_letters_nothing() {
    let (_broker, sink) = broker().await;
    let letters = CollectSink::new();
    let output = KafkaOutput::new(&sink, |n: &u32| {
        Ok::<_, String>(Some(ProducerRecord::new("mis-spelt", n.to_string())))
    });
    let source = IterSource::new(0..5_000_u32);
    let acks = source.acks();
    let job = Pipeline::from(source)
        .dead_letter(letters.clone())
        .to(output);
    let ended = tokio::time::timeout(Duration::from_secs(60), job.run()).await;
    let error = ended.expect("in time").expect_err("it ends");
    assert!(matches!(error, PipelineError::Sink { .. }), "{error:?}");
    assert!(
        error.to_string().contains("\"mis-spelt\" does not exist"),
        "{error}"
    );
    assert!(letters.is_empty() && acks.done().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closure_that_panics_rejects_its_record_and_no_other() {
    let (_broker, sink) = broker().await;
    let letters = CollectSink::new();
    let output = KafkaOutput::new(&sink, |n: &u32| {
        assert!(*n != 3, "told to");
        Ok::<_, String>(Some(ProducerRecord::new(TOPIC, n.to_string())))
    });
    let job = Pipeline::from(IterSource::new(0..10_u32))
        .dead_letter(letters.clone())
        .to(output);
    let ended = tokio::time::timeout(Duration::from_secs(60), job.run()).await;
    let report = ended.expect("in time").expect("it ends well");
    assert_eq!((report.acknowledged, letters.take().len()), (10, 1));
}

/// A sink that takes values and never writes them.
struct Stuck(Vec<Delivery>);

impl Sink<Record> for Stuck {
    async fn write(&mut self, _: Record, delivery: Delivery) -> Result<(), EndpointError> {
        self.0.push(delivery);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        std::future::pending().await
    }

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

/// What the sink still has is given up; the leases are let go for others all the same.
#[tokio::test(start_paused = true)]
async fn a_stop_during_an_outage_of_the_sink_gives_the_leases_up() {
    let fake = table();
    for version in 0..20 {
        put(&fake, "a", number(version), "x").await;
    }
    let source = StreamsSource::builder(&fake.client(), &fake.streams_client(), TABLE);
    let source = source.open().await.expect("it opens");
    let settings = PipelineSettings::default().stop_timeout(Duration::from_secs(10));
    let job = Pipeline::from(source.into_stream())
        .settings(settings)
        .to(Stuck(Vec::new()));
    let error = job
        .run_until(tokio::time::sleep(Duration::from_secs(5)))
        .await;
    let error = error.expect_err("records are given up");
    assert!(
        matches!(error, PipelineError::DrainTimeout { in_flight: 20, .. }),
        "{error}"
    );
    let rows = fake.items("decisions-leases");
    assert_eq!(rows.len(), 3);
    assert!(
        rows.iter().all(|row| !row.contains_key("leaseOwner")),
        "{rows:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_goes_and_comes_back_loses_nothing() {
    let (fake, (broker, sink)) = (table(), broker().await);
    let letters = CollectSink::new();
    let running = run(&fake, &sink, &letters).await;
    for version in 100..120 {
        put(&fake, "a", number(version), "x").await;
    }
    broker.broker_down().expect("it goes");
    for version in 120..160 {
        put(&fake, "a", number(version), "x").await;
    }
    broker.broker_up().expect("it comes back");
    let versions = read(&broker, "reader", 60).await;
    assert_eq!(versions["a"], (100..160).collect::<Vec<_>>());
    assert_eq!(running.stop().await.acknowledged, 60);
    assert!(letters.is_empty());
}
