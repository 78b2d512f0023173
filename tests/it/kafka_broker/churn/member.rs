//! A member of the group, which prints what it opens, reads and gives up.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Write as _};
use std::time::Duration;

use dynamodb_connector::kafka::{KafkaEvent, KafkaSettings, KafkaSource, KafkaSourceSettings};
use dynamodb_connector::{Ack, PartitionGuard};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::timeline::now_micros;

/// The variable with a member's task.
pub(super) const TASK: &str = "KAFKA_CHURN_MEMBER";
/// The text before each line's entry.
pub(super) const MARK: &str = "MEMBER ";
/// The longest that a partition is held, in milliseconds.
const LONGEST_HOLD: u64 = 6_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Protocol {
    Classic,
    Consumer,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) bootstrap: String,
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) protocol: Protocol,
    /// Guards are dropped at once, and the partitions are given up later all the same.
    pub(super) is_early: bool,
    pub(super) member: usize,
}

/// Returns the task of this process, if it is a member.
pub(super) fn task() -> Option<Task> {
    let task = std::env::var(TASK).ok()?;
    Some(serde_json::from_str(&task).expect("a task"))
}

fn say(entry: &str) {
    let mut out = std::io::stdout().lock();
    // The test may have gone; then so does this process.
    let _ = writeln!(out, "{MARK}{} {entry}", now_micros());
    let _ = out.flush();
}

fn settings(task: &Task) -> (KafkaSettings, KafkaSourceSettings) {
    let kafka = KafkaSettings::new(&task.bootstrap).set("max.poll.interval.ms", "60000");
    let kafka = match task.protocol {
        Protocol::Classic => kafka
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "500"),
        // Its session is the broker's.
        Protocol::Consumer => kafka.set("group.protocol", "consumer"),
    };
    let source = KafkaSourceSettings::new(&task.group, [&task.topic])
        .commit_interval(Duration::from_millis(300))
        .drain_timeout(Duration::from_secs(7));
    (kafka, source)
}

pub(super) async fn run(task: &Task) {
    let (kafka, own) = settings(task);
    let mut source = KafkaSource::builder(&kafka)
        .settings(own.clone())
        .open()
        .await
        .expect("a source");
    let mut rng = fastrand::Rng::with_seed(task.member as u64);
    let (left, mut leaving) = mpsc::unbounded_channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(left);
    });
    let (released, mut releases) = mpsc::unbounded_channel();
    let mut guards: HashMap<i32, PartitionGuard> = HashMap::new();
    loop {
        let event = tokio::select! {
            _ = leaving.recv() => break,
            Some(partition) = releases.recv() => {
                // Said first: once the guard is gone another member may open it.
                if guards.contains_key(&partition) || task.is_early {
                    say(&format!("CLOSE {partition}"));
                }
                guards.remove(&partition);
                continue;
            }
            event = source.next_event(500) => event.expect("no end").expect("no error"),
        };
        match event {
            KafkaEvent::Opened { partition, .. } => say(&format!("OPEN {partition}")),
            KafkaEvent::Records(messages) => {
                let mut read: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
                let mut acks: Vec<Ack> = Vec::new();
                for message in messages {
                    let range = read
                        .entry(message.partition)
                        .or_insert((message.offset, message.offset));
                    assert!(message.offset >= range.1, "out of order");
                    range.1 = message.offset;
                    acks.push(message.ack);
                }
                for (partition, (from, to)) in read {
                    say(&format!("READ {partition} {from} {to}"));
                }
                let takes = Duration::from_millis(rng.u64(0..300));
                tokio::spawn(async move {
                    tokio::time::sleep(takes).await;
                    acks.into_iter().for_each(Ack::done);
                });
            }
            KafkaEvent::Closing {
                partition, guard, ..
            } => {
                say(&format!("CLOSING {partition}"));
                if !task.is_early {
                    guards.insert(partition, guard);
                }
                let holds = Duration::from_millis(rng.u64(0..LONGEST_HOLD));
                let released = released.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(holds).await;
                    let _ = released.send(partition);
                });
            }
            KafkaEvent::Lost { partition, .. } => {
                say(&format!("CLOSE {partition}"));
                guards.remove(&partition);
            }
            _ => {}
        }
    }
    source.stop();
    say("LEAVE");
    drop(guards);
    source.close().await.expect("committed");
}
