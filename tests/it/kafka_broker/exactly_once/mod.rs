//! Exactly once, by killing: processes are killed and stopped in the middle of anything, and a consumer of what is committed
//! finds each event once, in the order of its key.

mod member;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dynamodb_connector::kafka::{KafkaSettings, KafkaSink, KafkaSinkSettings, ProducerRecord};
use dynamodb_connector::pipeline::Guarantee;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::{server, unique, variable};
use member::{TASK, Task};

const PARTITIONS: i32 = 6;
const KEYS: u64 = 40;
const PLACES: usize = 3;
/// The time that all that was written may take to be published once nothing is killed any more.
const REST: Duration = Duration::from_secs(90);

/// The process that is killed. Without a task there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of its own, which the other tests start and kill"]
async fn member_process() {
    if let Some(task) = member::task() {
        member::run(&task).await;
    }
}

fn exactly_once() -> Guarantee {
    Guarantee::ExactlyOnce {
        commit_interval: Duration::from_millis(300),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_published_once_while_processes_are_killed_and_stopped() {
    let found = attack(exactly_once(), 1).await;
    if let Some(found) = found {
        assert_eq!((found.lost, found.doubled, found.disordered), (0, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_least_once_publishes_events_twice_and_is_found_out() {
    if let Some(found) = attack(Guarantee::AtLeastOnce, 2).await {
        assert!(found.doubled > 0, "the test finds nothing: {found:?}");
        assert_eq!(found.lost, 0, "{found:?}");
    }
}

/// The kills of a run.
fn kills() -> usize {
    let set = std::env::var("KAFKA_EXACTLY_ONCE_KILLS").ok();
    set.map_or(10, |kills| kills.parse().expect("a number"))
}

struct Fleet {
    task: Task,
    next: u64,
    places: Vec<Option<Child>>,
}

impl Fleet {
    fn start(&mut self, place: usize) {
        self.next += 1;
        let task = Task {
            seed: self.next,
            // One place has a name that stays.
            instance: (place == 0).then(|| "first".to_owned()),
            ..self.task.clone()
        };
        let child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["kafka_broker::exactly_once::member_process", "--exact"])
            .args(["--ignored", "--nocapture"])
            .env(TASK, serde_json::to_string(&task).expect("JSON"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        self.places[place] = Some(child.expect("a process"));
    }

    fn kill(&mut self, place: usize) {
        if let Some(mut child) = self.places[place].take() {
            child.kill().expect("killed");
            child.wait().expect("it ends");
        }
    }

    fn signal(&self, place: usize, signal: rustix::process::Signal) {
        if let Some(child) = &self.places[place] {
            let process = rustix::process::Pid::from_child(child);
            rustix::process::kill_process(process, signal).expect("it runs");
        }
    }

    /// Has all processes leave, and waits for their ends.
    fn leave(&mut self) {
        for child in self.places.iter_mut().flatten() {
            drop(child.stdin.take());
        }
        for mut child in self.places.drain(..).flatten() {
            child.wait().expect("it ends");
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in self.places.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[derive(Debug, Default)]
struct Found {
    lost: usize,
    doubled: usize,
    disordered: usize,
    /// Kinds of findings, each with a few.
    examples: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "processes live in real time")]
async fn attack(guarantee: Guarantee, seed: u64) -> Option<Found> {
    let bootstrap = variable("exactly_once", "KAFKA_BOOTSTRAP")?;
    let (from, to) = (unique("from"), unique("to"));
    server::create_topic(&bootstrap, &from, PARTITIONS, &[]).await;
    server::create_topic(&bootstrap, &to, PARTITIONS, &[]).await;
    let mut fleet = Fleet {
        task: Task {
            bootstrap: bootstrap.clone(),
            from: from.clone(),
            to: to.clone(),
            group: unique("group"),
            guarantee,
            instance: None,
            seed: 0,
        },
        next: seed * 1_000,
        places: (0..PLACES).map(|_| None).collect(),
    };
    let kafka = KafkaSettings::new(&bootstrap);
    let sink = KafkaSink::builder(&kafka)
        .settings(KafkaSinkSettings::default())
        .open()
        .await
        .expect("a sink");
    let (halt, halted) = tokio::sync::watch::channel(false);
    let writer = tokio::spawn(write(sink, from, halted));
    let mut rng = fastrand::Rng::with_seed(seed);
    for place in 0..PLACES {
        fleet.start(place);
    }
    let mut view = View::new(&bootstrap, &to);
    // Not before something flows.
    let began = Instant::now();
    while view.read(Duration::from_millis(100)) == 0 {
        assert!(began.elapsed() < REST, "nothing is published");
    }
    let kills = kills();
    for kill in 0..kills {
        // At any instant: it is not waited for the recovery of the one before.
        let wait = Duration::from_millis(rng.u64(200..8_000));
        tokio::task::block_in_place(|| view.read(wait));
        let place = rng.usize(0..PLACES);
        if kill == kills / 2 {
            // A zombie: it goes on when its partitions are others', and its transaction is over.
            fleet.signal(place, rustix::process::Signal::STOP);
            tokio::task::block_in_place(|| view.read(Duration::from_secs(12)));
            fleet.signal(place, rustix::process::Signal::CONT);
            tokio::task::block_in_place(|| view.read(Duration::from_secs(2)));
        }
        fleet.kill(place);
        fleet.start(place);
    }
    halt.send(true).expect("it writes");
    let written = writer.await.expect("no panic");
    let rest = Instant::now();
    while view.missing(written) > 0 && rest.elapsed() < REST {
        tokio::task::block_in_place(|| view.read(Duration::from_millis(500)));
    }
    fleet.leave();
    tokio::task::block_in_place(|| view.read(Duration::from_secs(1)));
    let found = view.check(written);
    println!("{guarantee:?}: {written} events, {kills} kills: {found:?}");
    Some(found)
}

/// Writes numbers to their keys, and returns how many.
async fn write(sink: KafkaSink, topic: String, halted: tokio::sync::watch::Receiver<bool>) -> u64 {
    let mut written = 0;
    while !*halted.borrow() {
        for _ in 0..10 {
            let key = (written % KEYS).to_string();
            let record = ProducerRecord::new(topic.as_str(), written.to_string()).key(key);
            drop(sink.send(record).await.expect("accepted"));
            written += 1;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sink.close().await.expect("delivered");
    written
}

/// The view of a consumer of what is committed.
struct View {
    consumer: BaseConsumer,
    /// The values that were published of each key, in order.
    published: BTreeMap<String, Vec<String>>,
    count: usize,
}

impl View {
    fn new(bootstrap: &str, topic: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "view")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .expect("an offset");
        }
        consumer.assign(&list).expect("assigned");
        Self {
            consumer,
            published: BTreeMap::new(),
            count: 0,
        }
    }

    /// Reads for a time; returns how many records there were ever.
    #[expect(clippy::disallowed_methods, reason = "processes live in real time")]
    fn read(&mut self, longest: Duration) -> usize {
        let began = Instant::now();
        while let Some(left) = longest.checked_sub(began.elapsed()) {
            let Some(message) = self.consumer.poll(left) else {
                continue;
            };
            // An outage, which passes.
            let Ok(message) = message else { continue };
            let text = |bytes: Option<&[u8]>| {
                String::from_utf8_lossy(bytes.expect("has one")).into_owned()
            };
            let (key, value) = (text(message.key()), text(message.payload()));
            self.published.entry(key).or_default().push(value);
            self.count += 1;
        }
        self.count
    }

    /// Returns how many of the records are not there.
    fn missing(&self, written: u64) -> usize {
        let expected: usize = (0..written).map(|n| member::expected(n).len()).sum();
        let each = self.published.values();
        let distinct = each.map(|values| values.iter().collect::<BTreeSet<_>>().len());
        expected.saturating_sub(distinct.sum())
    }

    fn check(&self, written: u64) -> Found {
        let mut found = Found::default();
        for key in 0..KEYS {
            let numbers = (0..written).filter(|number| number % KEYS == key);
            let expected: Vec<String> = numbers.flat_map(member::expected).collect();
            let published = self.published.get(&key.to_string());
            let published = published.map(Vec::as_slice).unwrap_or_default();
            if published == expected {
                continue;
            }
            let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
            for value in published {
                *counts.entry(value).or_default() += 1;
            }
            let lost = expected.iter().filter(|value| !counts.contains_key(value));
            let lost: Vec<&String> = lost.collect();
            let doubled: usize = counts.values().map(|count| count - 1).sum();
            if lost.is_empty() && doubled == 0 {
                found.disordered += 1;
            }
            found.lost += lost.len();
            found.doubled += doubled;
            if found.examples.len() < 5 {
                let example = format!("key {key}: lost {lost:?}, {doubled} doubled");
                found.examples.push(example.chars().take(200).collect());
            }
        }
        found
    }
}
