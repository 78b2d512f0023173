//! The shards of a table and the partitions of a topic in one pipeline: over the faulty DynamoDB and the mock broker, in
//! real time.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::embedded::EmbeddedKafka;
use dynamodb_connector::kafka::{KafkaSink, KafkaSinkSettings, Message, ProducerRecord};
use dynamodb_connector::pipeline::{FnSink, Pipeline, PipelineError, PipelineReport, Sink, Source};
use dynamodb_connector::streams::{Change, Record, StreamsSettings};
use dynamodb_connector::test_util::{FaultPlan, FaultyDynamoDb, Operation};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::kafka::{sink, soon, source};
use crate::streams::rig::{Item, builder, put, table};

/// An event of either.
enum Event {
    Changed(Record),
    Sent(Message),
}

/// The versions of each key, in the order in which they were written.
type Versions = Arc<Mutex<HashMap<String, Vec<u64>>>>;

/// Notes the versions of each key, and fails at the `fails_at`th value.
fn versioned(seen: &Versions, fails_at: Option<usize>) -> impl Sink<(String, u64)> + use<> {
    let (seen, mut written) = (Arc::clone(seen), 0);
    FnSink::new(move |(key, version): (String, u64)| {
        written += 1;
        if fails_at == Some(written) {
            return ready(Err("told to fail".into()));
        }
        seen.lock().entry(key).or_default().push(version);
        ready(Ok(()))
    })
}

struct Running {
    task: JoinHandle<Result<PipelineReport, PipelineError>>,
    stop: oneshot::Sender<()>,
    seen: Versions,
}

impl Running {
    async fn start(fake: &FaultyDynamoDb, kafka: &EmbeddedKafka, fails_at: Option<usize>) -> Self {
        let settings = StreamsSettings::default().poll(Duration::from_millis(10));
        let changes = soon(Box::pin(builder(fake).settings(settings).open()))
            .await
            .unwrap();
        let messages = source::open(kafka, &source::own()).await;
        let events = changes
            .into_stream()
            .map_item(Event::Changed)
            .merge(messages.map_item(Event::Sent));
        let seen = Versions::default();
        let sink = versioned(&seen, fails_at);
        let (stop, stopped) = oneshot::channel();
        let job = Pipeline::from(events)
            .try_map(|event| match event {
                Event::Changed(record) => {
                    let item = Change::<Item>::read(record).map_err(|_| "no item")?.new;
                    item.map(|item| (item.id, item.version)).ok_or("no image")
                }
                Event::Sent(message) => {
                    let text = |part: Option<&[u8]>| String::from_utf8(part?.to_vec()).ok();
                    let key = text(message.key.as_deref()).ok_or("no key")?;
                    let version =
                        text(message.payload.as_deref()).and_then(|text| text.parse().ok());
                    Ok((key, version.ok_or("no version")?))
                }
            })
            .to(sink);
        let task = tokio::spawn(job.boxed().run_until(async move {
            let _ = stopped.await;
        }));
        Self { task, stop, seen }
    }

    async fn written(&self, count: usize) {
        let all = || self.seen.lock().values().map(Vec::len).sum::<usize>();
        let reached = async {
            while all() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(reached).await;
    }

    async fn stop(self) -> (PipelineReport, BTreeMap<String, Vec<u64>>) {
        self.stop.send(()).unwrap();
        let report = soon(self.task).await.unwrap().unwrap();
        let seen = std::mem::take(&mut *self.seen.lock());
        (report, seen.into_iter().collect())
    }
}

async fn send(sink: &KafkaSink, key: &str, version: u64) {
    let record = ProducerRecord::new("events", version.to_string()).key(key.to_owned());
    drop(soon(sink.send(record)).await.unwrap());
}

const CHANGED: [&str; 3] = ["a", "b", "c"];
const SENT: [&str; 3] = ["x", "y", "z"];

async fn write_both(fake: &FaultyDynamoDb, topic: &KafkaSink, versions: std::ops::Range<u64>) {
    for version in versions {
        for (changed, sent) in CHANGED.into_iter().zip(SENT) {
            put(fake, changed, version).await;
            send(topic, sent, version).await;
        }
    }
    soon(topic.flush()).await.unwrap();
}

fn all(versions: std::ops::Range<u64>) -> BTreeMap<String, Vec<u64>> {
    let keys = CHANGED.into_iter().chain(SENT);
    keys.map(|key| (key.to_owned(), versions.clone().collect()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_both_arrive_in_order_and_a_second_run_begins_behind_the_first() {
    let fake = table(3);
    let kafka = EmbeddedKafka::start(&[("events", 3)]).unwrap();
    let topic = sink(&kafka, &KafkaSinkSettings::default()).await;
    let running = Running::start(&fake, &kafka, None).await;
    // Reads fail now and then: of the table's side alone, whose turn comes again.
    let reads = FaultPlan::seeded(3).operations([Operation::GetRecords]);
    fake.fault_plan(reads.internal_error(0.2));
    write_both(&fake, &topic, 0..20).await;
    running.written(120).await;
    let (report, seen) = running.stop().await;
    assert_eq!((report.acknowledged, seen), (120, all(0..20)));

    let running = Running::start(&fake, &kafka, None).await;
    write_both(&fake, &topic, 20..23).await;
    running.written(18).await;
    let (report, seen) = running.stop().await;
    assert_eq!(
        (report.acknowledged, seen),
        (18, all(20..23)),
        "nothing twice"
    );
    soon(topic.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failure_each_side_goes_on_where_it_was() {
    let fake = table(2);
    let kafka = EmbeddedKafka::start(&[("events", 2)]).unwrap();
    let topic = sink(&kafka, &KafkaSinkSettings::default()).await;
    write_both(&fake, &topic, 0..20).await;
    let running = Running::start(&fake, &kafka, Some(50)).await;
    let error = soon(running.task).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "sink: told to fail");
    let mut seen = std::mem::take(&mut *running.seen.lock());
    let written = seen.values().map(Vec::len).sum::<usize>();
    assert_eq!(written, 49);

    let running = Running::start(&fake, &kafka, None).await;
    running.written(120 - written).await;
    let (report, rest) = running.stop().await;
    assert_eq!(report.acknowledged, 71, "what was done is not done again");
    for (key, versions) in rest {
        seen.entry(key).or_default().extend(versions);
    }
    assert_eq!(seen.into_iter().collect::<BTreeMap<_, _>>(), all(0..20));
    soon(topic.close()).await.unwrap();
}
