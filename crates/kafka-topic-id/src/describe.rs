//! The call: what is asked, and each topic's answer.

use std::collections::HashMap;
use std::ffi::CString;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;

use crate::error::{DescribeError, TopicError};
use crate::native;
use crate::topic_id::TopicId;

/// The most topics of one call. librdkafka compares each answer with each name, which takes seconds of
/// its main thread beyond this.
pub const MAX_TOPICS: usize = 10_000;
/// Kafka's own limit of a name.
const MAX_NAME_SIZE: usize = 249;
/// Those that librdkafka takes.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(3_600));

/// A topic as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicDescription {
    /// The topic's name.
    pub name: String,
    /// The topic's id; `None` where the broker gives none, as those before Kafka 2.8 do.
    pub id: Option<TopicId>,
    /// The number of its partitions.
    pub partitions: usize,
}

/// Asks the brokers for topics' ids.
///
/// Returns an answer for each of `topics`, in their order. A topic that does not exist, or that this
/// client may not describe, is an error of its own and leaves the others alone. Nothing is created. A
/// name that no topic can have (empty, over 249 bytes, with a NUL) is not sent.
///
/// `client` is that of any consumer or producer, by their method `client()`, or an admin client's by
/// `inner()`. The answer enters its cache of metadata, as each refresh does. Any number of threads may
/// call this with one client at once.
///
/// **Blocks** until the brokers have answered, and at most for `timeout` (1 ms to an hour; another is
/// taken for the nearest of these). In async code, run it by `spawn_blocking`. Do not call it from a
/// callback of the same client. Where authentication needs a callback (OAUTHBEARER), the client must be
/// polled meanwhile, as always.
///
/// The controller is asked, or the broker that the cluster names as such. It may be behind for a moment
/// after a topic was made or deleted: it then gives the old id, or knows no such topic. librdkafka's mock
/// cluster names a controller that it does not have, so that this call times out there; so does a
/// cluster that has none at the time. [`describe_topics_at`] asks any broker.
///
/// # Errors
/// Where no broker answered within `timeout`, where the brokers are too old to be asked, and for more
/// than [`MAX_TOPICS`] topics.
pub fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<Result<TopicDescription, TopicError>>, DescribeError> {
    describe(client, None, topics, timeout)
}

/// Asks one broker for topics' ids, by its id: that of one of the
/// [`brokers`](rdkafka::metadata::Metadata::brokers) that the client's metadata lists. Each broker knows
/// all topics.
///
/// As [`describe_topics`] in all else.
///
/// # Errors
/// As those of [`describe_topics`]; and where `broker` is negative, which is no broker's id.
pub fn describe_topics_at<C: ClientContext>(
    client: &Client<C>,
    broker: i32,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<Result<TopicDescription, TopicError>>, DescribeError> {
    describe(client, Some(broker), topics, timeout)
}

fn describe<C: ClientContext>(
    client: &Client<C>,
    broker: Option<i32>,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<Answer>, DescribeError> {
    if topics.len() > MAX_TOPICS {
        return Err(DescribeError::new(
            RDKafkaErrorCode::InvalidArgument,
            format!(
                "{} topics are more than the {MAX_TOPICS} of one call; ask in parts",
                topics.len()
            ),
        ));
    }
    let names = sendable(topics);
    let answers = if names.is_empty() {
        HashMap::new()
    } else {
        let timeout = timeout.clamp(TIMEOUTS.0, TIMEOUTS.1);
        let answers = native::describe(client, broker, &names, timeout);
        by_name(answers.map_err(|error| error.within(timeout))?)
    };
    Ok(topics
        .iter()
        .map(|topic| answer_of(topic, &answers))
        .collect())
}

/// The answer for one topic.
type Answer = Result<TopicDescription, TopicError>;

/// Returns the names that can be sent, each once: librdkafka refuses a whole call for a name that
/// stands in it twice.
fn sendable(topics: &[&str]) -> Vec<CString> {
    let mut names: Vec<CString> = topics
        .iter()
        .filter_map(|topic| native_name(topic))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Returns the name as librdkafka takes it; `None` for one that no topic can have.
fn native_name(topic: &str) -> Option<CString> {
    let possible = (1..=MAX_NAME_SIZE).contains(&topic.len());
    possible.then(|| CString::new(topic).ok()).flatten()
}

fn by_name(answers: Vec<Answer>) -> HashMap<String, Answer> {
    let name = |answer: &Answer| match answer {
        Ok(description) => description.name.clone(),
        Err(error) => error.topic().to_owned(),
    };
    answers
        .into_iter()
        .map(|answer| (name(&answer), answer))
        .collect()
}

fn answer_of(topic: &str, answers: &HashMap<String, Answer>) -> Answer {
    if let Some(answer) = answers.get(topic) {
        return answer.clone();
    }
    let error = |code, reason: String| Err(TopicError::new(topic, code, reason));
    if native_name(topic).is_none() {
        let reason = format!("a topic's name has 1 to {MAX_NAME_SIZE} bytes, and no NUL");
        return error(RDKafkaErrorCode::InvalidTopic, reason);
    }
    let reason = "the broker's answer leaves it out".to_owned();
    error(RDKafkaErrorCode::Partial, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_sent_once_and_one_that_no_topic_can_have_is_not() {
        let long = "x".repeat(MAX_NAME_SIZE);
        let longer = "x".repeat(MAX_NAME_SIZE + 1);
        let names = sendable(&["b", "", "a", "n\0l", "b", &longer, &long]);
        let expected = [
            c"a".to_owned(),
            c"b".to_owned(),
            CString::new(long).expect("no NUL"),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn each_topic_has_its_answer_in_the_order_asked() {
        let description = |name: &str| TopicDescription {
            name: name.to_owned(),
            id: TopicId::from_bytes([1; 16]),
            partitions: 3,
        };
        let missing = TopicError::new(
            "c",
            RDKafkaErrorCode::UnknownTopicOrPartition,
            String::new(),
        );
        let answers = by_name(vec![Ok(description("a")), Err(missing.clone())]);
        assert_eq!(answer_of("c", &answers), Err(missing));
        assert_eq!(answer_of("a", &answers), Ok(description("a")));
        let left_out = answer_of("b", &answers).expect_err("no answer");
        assert!(left_out.is_retryable() && left_out.topic() == "b");
        let refused = answer_of("n\0l", &answers).expect_err("no name");
        assert_eq!(refused.code(), RDKafkaErrorCode::InvalidTopic);
    }
}
