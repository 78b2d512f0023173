//! Which topics are known to exist.
//!
//! librdkafka takes records for any topic, and says minutes later, record by record, that there is none. So a topic's first
//! record waits until a broker has said that the topic exists.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::error::KafkaError;
use crate::clock::Clock;

/// The longest single question: what is refused meanwhile is noticed between two.
const QUESTION: Duration = Duration::from_secs(1);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// For how long to ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// While brokers say that there is no such topic.
    pub(super) unknown: Duration,
    /// While no broker answers.
    pub(super) unreachable: Duration,
}

/// The topics that were seen to exist.
#[derive(Debug, Default)]
pub(super) struct Topics(RwLock<HashSet<Arc<str>>>);

impl Topics {
    pub(super) fn knows(&self, topic: &str) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(topic)
    }

    pub(super) fn learn(&self, topic: Arc<str>) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(topic);
    }
}

/// What a broker says of a topic.
#[derive(Debug)]
enum Answer {
    Exists,
    Unknown,
    /// Being created, or between two leaders.
    NotYet,
    Refused(RDKafkaErrorCode),
}

fn answer(metadata: &Metadata, topic: &str) -> Answer {
    use RDKafkaErrorCode as Code;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Answer::Unknown;
    };
    match found.error().map(Code::from) {
        None if found.partitions().is_empty() => Answer::NotYet,
        None => Answer::Exists,
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            Answer::Unknown
        }
        Some(code @ (Code::TopicAuthorizationFailed | Code::InvalidTopic)) => Answer::Refused(code),
        Some(_) => Answer::NotYet,
    }
}

/// Asks until the topic is known to exist, or the time is over. `ask` blocks; `refusal` says that it is in vain.
///
/// # Cancel safety
/// Dropped, a question under way ends on its own within a second.
pub(super) async fn look_up(
    topic: &Arc<str>,
    waits: Waits,
    ask: impl Fn(&str, Duration) -> KafkaResult<Metadata> + Clone + Send + 'static,
    refusal: impl Fn() -> Option<KafkaError>,
) -> Result<(), KafkaError> {
    let clock = Clock::start();
    // Since when brokers say that it is unknown.
    let mut unknown = None;
    loop {
        let (name, question) = (topic.clone(), ask.clone());
        let asked = tokio::task::spawn_blocking(move || {
            question(&name, QUESTION).map(|metadata| answer(&metadata, &name))
        });
        let answered = asked.await.map_err(|_| KafkaError::Closed)?;
        if let Some(refusal) = refusal() {
            return Err(refusal);
        }
        let now = clock.now();
        let (since, wait, error) = match answered {
            Ok(Answer::Exists) => return Ok(()),
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
        if now.saturating_sub(since) >= wait {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
