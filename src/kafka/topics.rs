//! The topics that are known to exist, and the search for others.
//!
//! librdkafka takes records for any topic, and says minutes later, record by record, that there is none. So a topic's first
//! record waits until a broker has said that the topic exists.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::error::KafkaError;
use super::partitioner::StickyPartition;
use super::producer::{Partition, ProducerThread, TopicRules};
use crate::clock::Clock;

/// The longest single question: what is refused meanwhile is noticed between two.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// The interval at which a topic in use is looked up again, for new partitions: librdkafka's `topic.metadata.refresh.interval.ms`.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// The longest name that brokers take.
const MAX_NAME: usize = 249;

/// For how long to ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// While brokers say that there is no such topic.
    pub(super) unknown: Duration,
    /// While no broker answers.
    pub(super) unreachable: Duration,
}

/// The topics that were seen to exist.
#[derive(Default)]
pub(super) struct Topics(RwLock<HashMap<Arc<str>, Arc<Topic>>>);

/// A topic that exists, with the way of its records.
pub(super) struct Topic {
    pub(super) thread: Arc<ProducerThread>,
    pub(super) sticky: StickyPartition,
    rules: Arc<TopicRules>,
    partitions: RwLock<Partitions>,
    /// The time of the last look-up.
    asked: Mutex<Duration>,
}

/// The partitions that there are, and those that there were: a partition that comes back has its
/// queue still.
#[derive(Default)]
struct Partitions {
    all: Vec<Arc<Partition>>,
    count: usize,
}

impl Topics {
    pub(super) fn get(&self, topic: &str) -> Option<Arc<Topic>> {
        let topics = self.0.read();
        topics.get(topic).cloned()
    }

    pub(super) fn insert(&self, name: Arc<str>, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        let mut topics = self.0.write();
        topics.insert(name, topic.clone());
        topic
    }
}

impl Topic {
    pub(super) fn new(thread: Arc<ProducerThread>, rules: TopicRules) -> Self {
        Self {
            thread,
            rules: Arc::new(rules),
            sticky: StickyPartition::default(),
            partitions: RwLock::default(),
            asked: Mutex::default(),
        }
    }

    /// Notes how many partitions there are: more where some were added, fewer where the topic was
    /// made again.
    pub(super) fn has_partitions(&self, name: &Arc<str>, count: usize, now: Duration) {
        *self.asked.lock() = now;
        let mut partitions = self.partitions.write();
        for id in partitions.all.len()..count {
            let Ok(id) = i32::try_from(id) else {
                return;
            };
            let partition = Arc::new(Partition::new(name.clone(), id, self.rules.clone()));
            self.thread.serve(partition.clone());
            partitions.all.push(partition);
        }
        partitions.count = count;
        for partition in &partitions.all {
            partition.set_missing(false);
        }
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.partitions.read().count).unwrap_or(u32::MAX)
    }

    pub(super) fn partition(&self, id: i32) -> Option<Arc<Partition>> {
        let partitions = self.partitions.read();
        let id = usize::try_from(id).ok()?;
        let partition = partitions.all.get(id)?;
        (id < partitions.count).then(|| partition.clone())
    }

    /// Returns whether it is time to look for new partitions. Says so once.
    pub(super) fn is_stale(&self, now: Duration) -> bool {
        let mut asked = self.asked.lock();
        let stale = now.saturating_sub(*asked) > REFRESH;
        if stale {
            *asked = now;
        }
        stale
    }
}

/// Checks a topic's name, as the brokers would: they say so with words that name neither the topic nor the rule.
pub(super) fn check_name(topic: &Arc<str>) -> Result<(), KafkaError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let problem = match &**topic {
        "" => "its name is empty",
        "." | ".." => "its name may not be \".\" or \"..\"",
        name if name.len() > MAX_NAME => "its name may have at most 249 characters",
        name if !name.bytes().all(legal) => {
            "its name may have only the letters a to z and A to Z, digits, \".\", \"_\" and \"-\""
        }
        _ => return Ok(()),
    };
    Err(KafkaError::TopicRefused {
        topic: topic.clone(),
        reason: problem.into(),
    })
}

/// A broker's answer about a topic.
#[derive(Debug)]
enum Answer {
    Exists(usize),
    Unknown,
    /// Being created, or between two leaders.
    NotYet,
    Refused(RDKafkaErrorCode),
}

/// Returns whether a broker says that there is no such topic.
pub(super) fn is_unknown(metadata: &Metadata, topic: &str) -> bool {
    matches!(answer(metadata, topic), Answer::Unknown)
}

fn answer(metadata: &Metadata, topic: &str) -> Answer {
    use RDKafkaErrorCode as Code;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Answer::Unknown;
    };
    match found.error().map(Code::from) {
        None if found.partitions().is_empty() => Answer::NotYet,
        None => Answer::Exists(found.partitions().len()),
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            Answer::Unknown
        }
        Some(code @ (Code::TopicAuthorizationFailed | Code::InvalidTopic)) => Answer::Refused(code),
        Some(_) => Answer::NotYet,
    }
}

/// Asks until the topic is known to exist, or the time is over, and returns how many partitions it has. `ask` blocks;
/// `refusal` says that it is in vain, unless it was answered.
///
/// # Cancel safety
/// Dropped, a question under way ends on its own within a second.
pub(super) async fn look_up(
    topic: &Arc<str>,
    waits: Waits,
    ask: impl Fn(&str, Duration) -> KafkaResult<Metadata> + Clone + Send + 'static,
    refusal: impl Fn() -> Option<KafkaError>,
) -> Result<usize, KafkaError> {
    let ask =
        move |topic: &str, longest| ask(topic, longest).map(|metadata| answer(&metadata, topic));
    search(topic, waits, ask, refusal).await
}

async fn search(
    topic: &Arc<str>,
    waits: Waits,
    ask: impl Fn(&str, Duration) -> KafkaResult<Answer> + Clone + Send + 'static,
    refusal: impl Fn() -> Option<KafkaError>,
) -> Result<usize, KafkaError> {
    check_name(topic)?;
    let clock = Clock::start();
    // Since when brokers say that it is unknown.
    let mut unknown = None;
    loop {
        let (name, question) = (topic.clone(), ask.clone());
        let asked = tokio::task::spawn_blocking(move || question(&name, QUERY_TIMEOUT));
        let answered = asked.await.map_err(|_| KafkaError::Closed)?;
        let now = clock.now();
        let (since, wait, error) = match answered {
            Ok(Answer::Exists(partitions)) => return Ok(partitions),
            Ok(Answer::Refused(code)) => {
                return Err(KafkaError::TopicRefused {
                    topic: topic.clone(),
                    reason: code.to_string().into(),
                });
            }
            Ok(Answer::Unknown) => {
                let since = *unknown.get_or_insert(now);
                let error = KafkaError::UnknownTopic {
                    topic: topic.clone(),
                    waited: Some(waits.unknown),
                };
                (since, waits.unknown, error)
            }
            Ok(Answer::NotYet) => (
                Duration::ZERO,
                waits.unreachable,
                KafkaError::Unreachable {
                    waited: waits.unreachable,
                    reason: "the topic has no leader".into(),
                },
            ),
            Err(error) => (
                Duration::ZERO,
                waits.unreachable,
                KafkaError::Unreachable {
                    waited: waits.unreachable,
                    reason: error.to_string().into(),
                },
            ),
        };
        // Last: an answer shows that brokers are reached, whatever failed before it.
        if let Some(refusal) = refusal() {
            return Err(refusal);
        }
        if now.saturating_sub(since) >= wait {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_counts_although_connections_failed_before_it() {
        let waits = Waits {
            unknown: Duration::ZERO,
            unreachable: Duration::ZERO,
        };
        let in_vain = || Some(KafkaError::Closed);
        let found = search(&"a".into(), waits, |_, _| Ok(Answer::Exists(3)), in_vain).await;
        assert_eq!(found.expect("it exists"), 3);
        let lost = search(&"a".into(), waits, |_, _| Ok(Answer::NotYet), in_vain).await;
        assert!(matches!(lost, Err(KafkaError::Closed)));
    }

    #[test]
    fn names_that_no_broker_takes_are_refused_with_the_rule() {
        let problem = |name: &str| check_name(&name.into()).map_err(|error| error.to_string());
        assert_eq!(problem("a.B-c_9"), Ok(()));
        assert_eq!(
            problem("a b"),
            Err("topic \"a b\" cannot be used: its name may have only the letters a to z and A to Z, digits, \".\", \"_\" and \"-\"".to_owned())
        );
        for name in ["", ".", "..", "ä", &"x".repeat(250)] {
            assert!(problem(name).is_err(), "{name}");
        }
        assert_eq!(problem(&"x".repeat(249)), Ok(()));
    }
}
