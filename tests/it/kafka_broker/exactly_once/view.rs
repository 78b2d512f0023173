//! The view of a consumer of what is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::member::Task;
use super::{KEYS, PARTITIONS};

/// The time that all that was written may take to be published once nothing is killed any more.
pub(super) const REST: Duration = Duration::from_secs(180);
const ANSWER: Duration = Duration::from_secs(60);

/// The values that were published, as they are read.
pub(super) struct View {
    task: Task,
    bootstrap: String,
    consumer: BaseConsumer,
    /// The values of each key, in order.
    published: BTreeMap<String, Vec<String>>,
    seen: BTreeSet<String>,
    pub(super) count: usize,
    /// Values that were there already.
    pub(super) doubled: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) lost: usize,
    pub(super) doubled: usize,
    pub(super) disordered: usize,
    /// Some of the findings.
    examples: Vec<String>,
}

impl Found {
    /// Fails where an event is not there once, in its place.
    pub(super) fn assert_exact(&self) {
        assert_eq!(*self, Self::default());
    }
}

impl View {
    /// Returns the view of a task's output, through the broker itself.
    pub(super) fn new(bootstrap: &str, task: &Task) -> Self {
        let consumer = consumer(bootstrap, "view", "read_committed");
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&task.to, partition, Offset::Beginning)
                .expect("an offset");
        }
        consumer.assign(&list).expect("assigned");
        Self {
            task: task.clone(),
            bootstrap: bootstrap.to_owned(),
            consumer,
            published: BTreeMap::new(),
            seen: BTreeSet::new(),
            count: 0,
            doubled: 0,
        }
    }

    /// Reads for a time, or until it is so.
    #[expect(clippy::disallowed_methods, reason = "processes live in real time")]
    pub(super) fn read_until(&mut self, longest: Duration, is_so: impl Fn(&Self) -> bool) -> bool {
        let began = Instant::now();
        while let Some(left) = longest.checked_sub(began.elapsed()) {
            if is_so(self) {
                return true;
            }
            let Some(message) = self.consumer.poll(left.min(Duration::from_millis(50))) else {
                continue;
            };
            // An outage, which passes.
            let Ok(message) = message else { continue };
            let text = |bytes: Option<&[u8]>| {
                String::from_utf8_lossy(bytes.expect("has one")).into_owned()
            };
            let (key, value) = (text(message.key()), text(message.payload()));
            if !self.seen.insert(value.clone()) {
                self.doubled += 1;
            }
            self.published.entry(key).or_default().push(value);
            self.count += 1;
        }
        is_so(self)
    }

    /// Reads for a time.
    pub(super) fn read(&mut self, longest: Duration) {
        self.read_until(longest, |_| false);
    }

    /// Reads until something is published.
    pub(super) fn begun(&mut self) {
        assert!(
            self.read_until(REST, |view| view.count > 0),
            "nothing is published"
        );
    }

    /// Reads until the group has committed all of its topic.
    #[expect(clippy::disallowed_methods, reason = "processes live in real time")]
    pub(super) fn committed(&mut self) {
        let group = consumer(&self.bootstrap, &self.task.group, "read_committed");
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition(&self.task.from, partition);
        }
        let began = Instant::now();
        loop {
            let ends = ends(&group, &self.task.from);
            // Stable ones, for which the broker waits.
            let committed = group.committed_offsets(list.clone(), ANSWER);
            let is_past = committed.is_ok_and(|list| {
                let elements = list.elements();
                let mut pairs = elements.iter().zip(&ends);
                pairs.all(|(at, end)| {
                    matches!(at.offset(), Offset::Offset(offset) if offset >= *end) || *end == 0
                })
            });
            if is_past {
                return;
            }
            assert!(began.elapsed() < REST, "not all is committed");
            self.read(Duration::from_millis(100));
        }
    }

    /// Reads until the output's end, behind all transactions.
    #[expect(clippy::disallowed_methods, reason = "processes live in real time")]
    pub(super) fn read_to_end(&mut self) {
        let all = consumer(&self.bootstrap, "view", "read_uncommitted");
        let ends = ends(&all, &self.task.to);
        let began = Instant::now();
        loop {
            let position = self.consumer.position().expect("assigned");
            let elements = position.elements();
            let mut pairs = elements.iter().zip(&ends);
            // With a transaction open it stays behind.
            if pairs.all(|(at, end)| {
                matches!(at.offset(), Offset::Offset(offset) if offset >= *end) || *end == 0
            }) {
                return;
            }
            assert!(began.elapsed() < REST, "a transaction stays open");
            self.read(Duration::from_millis(20));
        }
    }

    pub(super) fn check(&self, written: u64) -> Found {
        let mut found = Found::default();
        for key in 0..KEYS {
            let numbers = (0..written).filter(|number| number % KEYS == key);
            let expected: Vec<String> = numbers.flat_map(|n| self.task.expected(n)).collect();
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

fn consumer(bootstrap: &str, group: &str, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer")
}

fn ends(by: &BaseConsumer, topic: &str) -> Vec<i64> {
    let end = |partition| {
        let marks = by.fetch_watermarks(topic, partition, ANSWER);
        marks.expect("answered").1
    };
    (0..PARTITIONS).map(end).collect()
}
