//! The whole way: table, stream, pipeline, topic; in full and with the broker killed under it.

use dynamodb_connector::kafka::{
    KafkaError, KafkaSettings, KafkaSink, KafkaSource, KafkaSourceSettings, ProducerRecord,
};
use dynamodb_connector::pipeline::{KafkaOutput, Keyed, Pipeline, PipelineError, PipelineReport};
use dynamodb_connector::streams::{Change, StreamsSource};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{LONGEST, Seen, create, sink, source, table_name, write};
use crate::conformance::harness::client_for;
use crate::kafka_broker::server::{Server, create_topic};
use crate::kafka_broker::{unique, variable};
use crate::servers::local_dynamodb::{LocalDynamoDb, Storage};
use crate::setup::Row;

const PARTITIONS: i32 = 3;

/// A running pipeline from a table's changes to a topic.
struct Flow {
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<PipelineReport, PipelineError>>,
}

impl Flow {
    fn start(changes: StreamsSource, output: &KafkaSink, topic: &str) -> Self {
        let topic = topic.to_owned();
        let job = Pipeline::from(changes.into_stream())
            .try_map(Change::<Row>::read)
            .filter_map(|change| change.new)
            .key_by(|row| row.pk.clone())
            .to(KafkaOutput::new(output, move |row: &Keyed<String, Row>| {
                let record = ProducerRecord::new(topic.as_str(), row.value().n.to_string());
                Ok::<_, &'static str>(Some(record.key(row.key().clone())))
            }));
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(job.run_until(async move {
            let _ = stopped.await;
        }));
        Self { stop, running }
    }

    async fn stop(self) -> PipelineReport {
        self.stop.send(()).expect("it runs");
        let ended = timeout(LONGEST, self.running).await.expect("in time");
        ended.expect("no panic").expect("it ends well")
    }
}

/// Reads the topic; each partition's events in the order in which they are there.
async fn read(settings: KafkaSettings, topic: String, seen: Seen, count: u64) {
    let own = KafkaSourceSettings::new(unique("check"), [topic]);
    let mut events = KafkaSource::builder(&settings)
        .settings(own.clone())
        .open()
        .await
        .expect("a source");
    while seen.first() < count {
        let batch = timeout(LONGEST, events.next_batch(1_000)).await;
        let batch = batch.unwrap_or_else(|_| panic!("{} of {count} events came", seen.first()));
        for message in batch.expect("no end").expect("records") {
            let text = |bytes: Option<&bytes::Bytes>| {
                String::from_utf8(bytes.expect("there is one").to_vec()).expect("text")
            };
            let key = text(message.key.as_ref());
            let version = text(message.payload.as_ref()).parse().expect("a number");
            seen.note(&key, version);
            message.ack.done();
        }
    }
    match events.close().await {
        Ok(()) => {}
        // A broker that was down for longer than a session forgot the member. All was read by then.
        Err(KafkaError::NotCommitted { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_become_events_each_once_and_in_order() {
    const KEYS: u64 = 500;
    let test = "end_to_end::kafka::changes_become_events_each_once_and_in_order";
    let versions = std::env::var("END_TO_END_VERSIONS").ok();
    let versions = versions.map_or(40, |versions| versions.parse().expect("a number"));
    let Some(bootstrap) = variable(test, "KAFKA_BOOTSTRAP") else {
        return;
    };
    // Its own: with the records of other streams in it, a DynamoDB Local takes many times as long.
    let Some(database) = LocalDynamoDb::start(test, Storage::Memory).await else {
        return;
    };
    let url = database.url();
    let (client, table, topic) = (client_for(&url), table_name(), unique("events"));
    create(&client, &table, true).await;
    create_topic(&bootstrap, &topic, PARTITIONS, &[]).await;
    let settings = KafkaSettings::new(&bootstrap);
    let output = KafkaSink::open(&settings).await.expect("a sink");
    let changes = source(&url, &table).open().await.expect("opened");
    let flow = Flow::start(changes, &output, &topic);

    let seen = Seen::default();
    let reader = read(settings, topic, seen.clone(), KEYS * versions);
    let reader = tokio::spawn(reader);
    write(sink(&client, &table).await, KEYS, 1..=versions).await;
    reader.await.expect("all came, in order");
    assert_eq!(seen.again(), 0);
    let report = flow.stop().await;
    assert_eq!(report.acknowledged, KEYS * versions);
    output.close().await.expect("delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_and_started_again_costs_no_event_and_no_order() {
    const KEYS: u64 = 100;
    const VERSIONS: u64 = 100;
    const KILLS: u64 = 2;
    let test =
        "end_to_end::kafka::a_broker_that_is_killed_and_started_again_costs_no_event_and_no_order";
    let Some(jars) = variable(test, "KAFKA_JARS") else {
        return;
    };
    let Some(database) = LocalDynamoDb::start(test, Storage::Memory).await else {
        return;
    };
    let url = database.url();
    let (client, table, topic) = (client_for(&url), table_name(), unique("events"));
    create(&client, &table, true).await;
    let directory = std::env::temp_dir().join(unique("kafka"));
    let mut server = Server::start(&jars, &directory);
    create_topic(&server.bootstrap(), &topic, PARTITIONS, &[]).await;
    let settings = KafkaSettings::new(server.bootstrap());
    let output = KafkaSink::open(&settings).await.expect("a sink");
    let changes = source(&url, &table).open().await.expect("opened");
    let flow = Flow::start(changes, &output, &topic);

    let seen = Seen::default();
    let reader = tokio::spawn(read(settings, topic, seen.clone(), KEYS * VERSIONS));
    let part = VERSIONS / (KILLS + 1);
    for kill in 0..KILLS {
        let versions = kill * part + 1..=(kill + 1) * part;
        let writer = tokio::spawn(write(sink(&client, &table).await, KEYS, versions));
        seen.until(kill * part * KEYS + 500).await;
        server.kill();
        writer.await.expect("no panic");
        // What was written meanwhile waits for the broker.
        server.start_again();
    }
    write(
        sink(&client, &table).await,
        KEYS,
        KILLS * part + 1..=VERSIONS,
    )
    .await;
    reader.await.expect("all came, in order");
    let report = flow.stop().await;
    assert_eq!(report.acknowledged, KEYS * VERSIONS);
    output.close().await.expect("delivered");
}
