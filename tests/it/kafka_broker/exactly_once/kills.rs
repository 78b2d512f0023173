//! Processes that are killed, stopped and left at random, and a broker that is killed.

use std::time::{Duration, Instant};

use dynamodb_connector::kafka::{KafkaSettings, KafkaSink, KafkaSinkSettings, ProducerRecord};
use dynamodb_connector::pipeline::Guarantee;
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::block_in_place;

use super::super::server::Server;
use super::super::{unique, variable};
use super::fleet::Fleet;
use super::member::Task;
use super::view::View;
use super::{KEYS, create_topics, exactly_once};

const PLACES: usize = 3;
/// The pipelines of a process.
const GROUPS: u32 = 2;

/// The kills of a run.
fn kills() -> usize {
    let set = std::env::var("KAFKA_EXACTLY_ONCE_KILLS").ok();
    set.map_or(10, |kills| kills.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "processes live in real time")]
async fn each_event_is_published_once_while_processes_are_killed_and_stopped() {
    let Some(jars) = variable("exactly_once::kills", "KAFKA_JARS") else {
        return;
    };
    let began = Instant::now();
    let directory = std::env::temp_dir().join(unique("kafka"));
    let mut server = Server::start(&jars, &directory);
    let mut run = Run::start(server.bootstrap(), exactly_once(300), 1).await;
    let kills = kills();
    for kill in 0..kills {
        let place = run.wait(3_000);
        if kill == kills / 2 {
            // A zombie: it goes on when its partitions are others', and its transaction is over.
            run.fleet.signal(place, Signal::STOP);
            block_in_place(|| run.view.read(Duration::from_secs(8)));
            run.fleet.signal(place, Signal::CONT);
            // It is not killed: what it does with its transaction is to be seen.
            continue;
        }
        if kill == kills * 3 / 4 {
            server.kill();
            server.start_again();
        }
        // Before the broker is away: what is in a transaction then is not published, which ends the process by an error.
        if kill == kills / 4 {
            run.fleet.leave(place).await;
        } else {
            run.fleet.kill(place).await;
        }
        run.fleet.start(place);
    }
    let written = run.written().await;
    block_in_place(|| run.view.committed());
    run.fleet.leave_all().await;
    block_in_place(|| run.view.read_to_end());
    let found = run.view.check(written);
    let seconds = began.elapsed().as_secs();
    println!("exactly once: {written} events, {kills} kills, {seconds} s: {found:?}");
    assert_eq!(run.fleet.failed, [], "processes ended by themselves");
    found.assert_exact();
}

/// The same processes, at least once: the test finds what is doubled, or it proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "processes live in real time")]
async fn at_least_once_publishes_events_twice_and_is_found_out() {
    let Some(bootstrap) = variable("exactly_once::kills", "KAFKA_BOOTSTRAP") else {
        return;
    };
    let began = Instant::now();
    let mut run = Run::start(bootstrap, Guarantee::AtLeastOnce, 2).await;
    let mut kills = 0;
    while run.view.doubled == 0 && kills < 4 * PLACES {
        // All of them, so that one that reads is among them.
        run.wait(1_000);
        run.fleet.kill_all().await;
        run.fleet.start_all();
        kills += PLACES;
        // Once the partitions are others', after the session's time-out.
        let longest = Duration::from_secs(30);
        block_in_place(|| run.view.read_until(longest, |view| view.doubled > 0));
    }
    run.fleet.kill_all().await;
    let (seconds, doubled) = (began.elapsed().as_secs(), run.view.doubled);
    println!("at least once: {kills} kills, {seconds} s: {doubled} doubled");
    assert_eq!(run.fleet.failed, [], "processes ended by themselves");
    assert!(doubled > 0, "the test finds nothing");
}

/// Processes, what is written for them, and what they publish.
struct Run {
    fleet: Fleet,
    view: View,
    rng: fastrand::Rng,
    halt: watch::Sender<bool>,
    writer: tokio::task::JoinHandle<u64>,
}

impl Run {
    /// Starts processes, and waits until something flows.
    async fn start(bootstrap: String, guarantee: Guarantee, seed: u64) -> Self {
        let task = Task::new(bootstrap.clone(), guarantee)
            .set("socket.timeout.ms", "1000")
            .set_source("session.timeout.ms", "6000")
            .set_source("heartbeat.interval.ms", "500");
        let task = Task {
            transaction_timeout: Duration::from_secs(3),
            groups: GROUPS,
            ..task
        };
        create_topics(&bootstrap, &task).await;
        let sink = KafkaSink::builder(&KafkaSettings::new(&bootstrap))
            .settings(KafkaSinkSettings::default())
            .open()
            .await
            .expect("a sink");
        let (halt, halted) = watch::channel(false);
        let writer = tokio::spawn(write(sink, task.from.clone(), halted));
        let mut view = View::new(&bootstrap, &task);
        let mut fleet = Fleet::new(task, PLACES, seed);
        fleet.start_all();
        block_in_place(|| view.begun());
        Self {
            fleet,
            view,
            rng: fastrand::Rng::with_seed(seed),
            halt,
            writer,
        }
    }

    /// Waits for a random time, and returns a random place. It is not waited for the recovery of the kill before.
    fn wait(&mut self, longest: u64) -> usize {
        let wait = Duration::from_millis(self.rng.u64(200..longest));
        block_in_place(|| self.view.read(wait));
        self.rng.usize(0..PLACES)
    }

    /// Ends the writing, and returns how many numbers there are.
    async fn written(&mut self) -> u64 {
        self.halt.send(true).expect("it writes");
        (&mut self.writer).await.expect("no panic")
    }
}

/// Writes numbers to their keys, and returns how many.
async fn write(sink: KafkaSink, topic: String, halted: watch::Receiver<bool>) -> u64 {
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
