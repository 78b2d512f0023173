//! The topics that records go to: that they exist, and what they refuse, looked up before a record's delivery fails for it.
//!
//! A failed delivery costs its transaction and the producer, so what a topic is known to refuse is refused before. What is known
//! grows old: a refusal is looked up again unless it is fresh.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::super::error::KafkaError;
use super::super::limits::{asking, topic_limits};
use super::super::producer::TopicLimits;
use super::super::record::ProducerRecord;
use super::super::topic_partition::TopicPartition;
use super::super::topics::{Waits, look_up};
use super::client::Client;

/// The time after which a topic's limits are looked up again before a record is refused for them.
const FRESH: Duration = Duration::from_secs(10);
/// The time for which a failed look-up answers.
const FAILURE_TTL: Duration = Duration::from_secs(1);
/// The least that batches are bounded by, whatever a topic's limit is.
const MIN_BATCH_BYTES: usize = 1 << 10;

/// The topics that were looked up, and those that are to be.
#[derive(Debug, Default)]
pub(super) struct KnownTopics {
    known: HashMap<Arc<str>, Known>,
    wanted: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Known {
    at: Duration,
    found: Result<TopicLimits, KafkaError>,
}

/// The answer to whether a record may go.
#[derive(Debug)]
pub(super) enum Check {
    Goes,
    /// Its topic is to be looked up first.
    Unknown,
    Refused(KafkaError),
}

impl KnownTopics {
    pub(super) fn check(&mut self, record: &ProducerRecord, now: Duration) -> Check {
        let Some(known) = self.known.get(&record.topic) else {
            return self.want(record);
        };
        let age = now.saturating_sub(known.at);
        match &known.found {
            Ok(limits) => match refusal(limits, record) {
                None => Check::Goes,
                Some(error) if age < FRESH => Check::Refused(error),
                Some(_) => self.want(record),
            },
            Err(error) if age < FAILURE_TTL => Check::Refused(error.clone()),
            Err(_) => self.want(record),
        }
    }

    fn want(&mut self, record: &ProducerRecord) -> Check {
        if !self.wanted.contains(&record.topic) {
            self.wanted.push(record.topic.clone());
        }
        Check::Unknown
    }

    /// Returns a topic that is to be looked up.
    pub(super) fn wanted(&self) -> Option<Arc<str>> {
        self.wanted.last().cloned()
    }

    /// Notes the answer about a topic.
    pub(super) fn found(
        &mut self,
        topic: &Arc<str>,
        found: Result<TopicLimits, KafkaError>,
        now: Duration,
    ) {
        self.wanted.retain(|wanted| wanted != topic);
        let known = Known { at: now, found };
        self.known.insert(topic.clone(), known);
    }

    /// Forgets a topic that has refused a record for its size: its limit is another by now, or was not known.
    pub(super) fn forget(&mut self, topic: &str) {
        self.known.remove(topic);
    }

    /// Returns the most bytes of a batch that every topic takes, below `at_most`.
    pub(super) fn batch_bytes(&self, at_most: usize) -> usize {
        let found = self
            .known
            .values()
            .filter_map(|known| known.found.as_ref().ok());
        let limits = found.filter_map(|limits| limits.batch_bytes);
        limits
            .fold(at_most, usize::min)
            .max(MIN_BATCH_BYTES.min(at_most))
    }
}

fn refusal(limits: &TopicLimits, record: &ProducerRecord) -> Option<KafkaError> {
    if limits.are_exceeded(record) {
        return Some(KafkaError::TooLarge {
            topic: record.topic.clone(),
            size: record.size_bytes(),
            limit: None,
        });
    }
    limits.lack_key(record).then(|| KafkaError::Refused {
        topic_partition: TopicPartition::new(record.topic.clone(), record.partition),
        reason: "the topic is compacted, and takes only records with a key".into(),
    })
}

/// Asks for a topic until the brokers have answered, for so long at most.
///
/// # Cancel safety
/// Dropped, a question under way ends on its own.
pub(super) async fn ask(
    client: &Arc<Client>,
    config: &ClientConfig,
    topic: &Arc<str>,
    longest: Duration,
    is_exact: bool,
) -> Result<TopicLimits, KafkaError> {
    let waits = Waits {
        unknown: longest,
        unreachable: longest,
    };
    let asked = client.clone();
    let question = move |topic: &str, longest| {
        let answer = asked.metadata(topic, longest);
        answer.inspect(|_| asked.reports().connection.succeeded())
    };
    let in_vain = || client.reports().connection.in_vain();
    look_up(topic, waits, question, in_vain).await?;
    let limits = topic_limits(&asking(config), topic).await;
    Ok(TopicLimits { is_exact, ..limits })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(batch_bytes: usize, is_compacted: bool) -> TopicLimits {
        TopicLimits {
            batch_bytes: Some(batch_bytes),
            is_exact: true,
            is_compacted,
        }
    }

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_topic_is_looked_up_on_its_first_use_and_before_an_old_refusal() {
        let mut topics = KnownTopics::default();
        let small = ProducerRecord::new("t", "v").key("k");
        let large = ProducerRecord::new("t", vec![0; 2_000]).key("k");
        for _ in 0..2 {
            assert!(matches!(topics.check(&small, at(0)), Check::Unknown));
        }
        let topic = topics.wanted().expect("wanted once");
        topics.found(&topic, Ok(limits(1_000, true)), at(0));
        assert_eq!(topics.wanted(), None);
        assert!(matches!(topics.check(&small, at(9_999)), Check::Goes));
        let Check::Refused(error) = topics.check(&large, at(9)) else {
            panic!("too large")
        };
        assert!(error.is_record(), "{error}");
        let unkeyed = ProducerRecord::new("t", "v");
        let Check::Refused(error) = topics.check(&unkeyed, at(9)) else {
            panic!("no key")
        };
        assert!(error.is_record(), "{error}");
        assert!(matches!(topics.check(&large, at(10)), Check::Unknown));
        topics.found(&topic, Ok(limits(4_000, true)), at(10));
        assert!(matches!(topics.check(&large, at(10)), Check::Goes));
    }

    #[test]
    fn a_failed_look_up_answers_for_a_second() {
        let mut topics = KnownTopics::default();
        let record = ProducerRecord::new("t", "v");
        topics.found(&"t".into(), Err(KafkaError::Closed), at(0));
        assert!(matches!(topics.check(&record, at(0)), Check::Refused(_)));
        assert!(matches!(topics.check(&record, at(1)), Check::Unknown));
    }

    #[test]
    fn a_topic_that_is_forgotten_is_looked_up_again_and_bounds_no_batch() {
        let mut topics = KnownTopics::default();
        let record = ProducerRecord::new("t", "v").key("k");
        topics.found(&"t".into(), Ok(limits(9_000, false)), at(0));
        assert!(matches!(topics.check(&record, at(0)), Check::Goes));
        topics.forget("t");
        assert_eq!(topics.batch_bytes(1_000_000), 1_000_000);
        assert!(matches!(topics.check(&record, at(0)), Check::Unknown));
        assert_eq!(topics.wanted().as_deref(), Some("t"));
    }

    #[test]
    fn batches_are_as_small_as_the_topic_that_takes_least_needs() {
        let mut topics = KnownTopics::default();
        assert_eq!(topics.batch_bytes(1_000_000), 1_000_000);
        topics.found(&"a".into(), Ok(limits(9_000, false)), at(0));
        topics.found(&"b".into(), Ok(limits(8_000, false)), at(0));
        topics.found(&"c".into(), Err(KafkaError::Closed), at(0));
        assert_eq!(topics.batch_bytes(1_000_000), 8_000);
        assert_eq!(topics.batch_bytes(5_000), 5_000);
        topics.found(&"d".into(), Ok(limits(1, false)), at(0));
        assert_eq!(topics.batch_bytes(1_000_000), MIN_BATCH_BYTES);
        assert_eq!(topics.batch_bytes(500), 500);
    }
}
