//! What goes wrong with Kafka, told apart by what to do next.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use super::receipt::TopicPartition;
use crate::gap::Gap;
use crate::settings::ConfigError;
use crate::settings::units::{format_duration, format_size};

/// What to do about a [`KafkaError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KafkaErrorKind {
    /// The same record may go through later: the brokers were not reached, or not in time, or the buffer was full. librdkafka has
    /// tried again by itself for all of the [delivery timeout](super::KafkaSinkSettings::delivery_timeout).
    Retriable,
    /// This sink or source is of no use any more: open another once the cause is gone.
    Fatal,
    /// This record cannot be delivered; others can.
    Record,
    /// No record can be delivered to this topic: it does not exist, or this client may not write to it. Create it, grant the
    /// rights, or name another one. Records of other topics can be delivered.
    Topic,
    /// Settings that cannot be used.
    Settings,
    /// The sink or the source was closed.
    Closed,
}

/// Why a record was not delivered, or a client does not work. Never holds a record's contents, nor a secret.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// A librdkafka property that does not exist, has a value it cannot have, or breaks a promise of this crate.
    #[error("kafka property {property:?}: {problem}")]
    #[non_exhaustive]
    Property {
        /// The property.
        property: String,
        /// What is wrong with it, without its value.
        problem: String,
    },
    /// Properties that librdkafka does not accept together.
    #[error("kafka settings: {problem}")]
    #[non_exhaustive]
    Settings {
        /// What librdkafka says.
        problem: String,
    },
    /// A setting of this crate that is out of its range.
    #[error(transparent)]
    OutOfRange(Arc<ConfigError>),
    /// A record over the size limit.
    #[error("record of {} for topic {topic:?} is over {}", format_size(*.size), of_limit(*.limit))]
    #[non_exhaustive]
    TooLarge {
        /// The topic.
        topic: Arc<str>,
        /// The record's size in bytes: key, value and headers.
        size: usize,
        /// The producer's limit in bytes, `message.max.bytes`; `None` where the broker refused it by its own, the topic's
        /// `max.message.bytes`.
        limit: Option<usize>,
    },
    /// A topic that does not exist and may not be created.
    #[error("topic {topic:?} does not exist{}", waited_for(*.waited))]
    #[non_exhaustive]
    UnknownTopic {
        /// The topic.
        topic: Arc<str>,
        /// For how long the brokers were asked for it.
        waited: Option<Duration>,
    },
    /// A partition that the topic does not have.
    #[error("topic {topic:?} has no partition {partition}")]
    #[non_exhaustive]
    UnknownPartition {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },
    /// A topic that the brokers do not let this client use: for want of rights, by a policy, or for its name.
    #[error("topic {topic:?} cannot be used: {reason}")]
    #[non_exhaustive]
    TopicRefused {
        /// The topic.
        topic: Arc<str>,
        /// What they say.
        reason: Arc<str>,
    },
    /// A record that the brokers, or librdkafka, do not accept.
    #[error("{place} refused: {reason}")]
    #[non_exhaustive]
    Refused {
        /// The topic, and the partition where it is known.
        place: TopicPartition,
        /// What they say.
        reason: Arc<str>,
    },
    /// A value that the [`Serializer`](super::Serializer) makes no record of.
    #[error("value cannot be serialised for kafka")]
    Serialize(#[source] Arc<dyn Error + Send + Sync>),
    /// No room in the buffer; only from [`try_send`](super::KafkaSink::try_send).
    #[error("kafka buffer is full with {records} records of {}", format_size(*.bytes))]
    #[non_exhaustive]
    Full {
        /// Records under way.
        records: usize,
        /// Their size in bytes.
        bytes: usize,
    },
    /// The topic is being looked up for the first time; only from [`try_send`](super::KafkaSink::try_send).
    #[error("topic {topic:?} is being looked up")]
    #[non_exhaustive]
    LookingUp {
        /// The topic.
        topic: Arc<str>,
    },
    /// Not delivered within the time, with all that librdkafka tried. It may be in the topic nevertheless: the answer may
    /// have been lost.
    #[error("{place} not delivered: {reason}")]
    #[non_exhaustive]
    NotDelivered {
        /// The topic, and the partition where it is known.
        place: TopicPartition,
        /// What librdkafka says.
        reason: Arc<str>,
    },
    /// No broker answered within the time.
    #[error("no kafka broker answered within {}: {reason}", format_duration(*.waited))]
    #[non_exhaustive]
    Unreachable {
        /// How long it was tried.
        waited: Duration,
        /// The last answer.
        reason: Arc<str>,
    },
    /// Records were lost before they were read, and [`GapPolicy::Fail`](crate::GapPolicy::Fail) is set.
    #[error("a gap in a topic: {gap}; to go on all the same, set `on_gap` to report")]
    #[non_exhaustive]
    Gap {
        /// The gap.
        gap: Gap,
    },
    /// A partition has no committed offset, and [`StartPosition::Committed`](super::StartPosition::Committed) is set.
    #[error(
        "topic {topic:?} partition {partition} has no committed offset: commit one, or set `start` to earliest or latest"
    )]
    #[non_exhaustive]
    NoOffset {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },
    /// No broker can be reached, for a reason that more time does not change: a host name that does not resolve, a
    /// certificate that is not accepted. Correct `bootstrap_servers` or the `ssl.` properties.
    #[error("no kafka broker can be reached: {reason}")]
    #[non_exhaustive]
    NotConnected {
        /// The last error of a connection, by librdkafka.
        reason: Arc<str>,
    },
    /// Offsets that could not be committed: what was done since the last commit comes again, here or at another member.
    #[error("offsets not committed: {reason}")]
    #[non_exhaustive]
    NotCommitted {
        /// What librdkafka says.
        reason: Arc<str>,
    },
    /// The client is broken for good: fenced, not let in, or its order of records lost.
    #[error("kafka client failed for good: {reason}")]
    #[non_exhaustive]
    Fatal {
        /// What librdkafka says.
        reason: Arc<str>,
    },
    /// The sink or the source was closed.
    #[error("closed")]
    Closed,
}

impl KafkaError {
    /// What to do about it.
    pub fn kind(&self) -> KafkaErrorKind {
        match self {
            Self::Property { .. } | Self::Settings { .. } | Self::OutOfRange(_) => {
                KafkaErrorKind::Settings
            }
            Self::TooLarge { .. }
            | Self::UnknownPartition { .. }
            | Self::Refused { .. }
            | Self::Serialize(_) => KafkaErrorKind::Record,
            Self::UnknownTopic { .. } | Self::TopicRefused { .. } => KafkaErrorKind::Topic,
            Self::Full { .. }
            | Self::LookingUp { .. }
            | Self::NotDelivered { .. }
            | Self::NotCommitted { .. }
            | Self::NotConnected { .. }
            | Self::Unreachable { .. } => KafkaErrorKind::Retriable,
            Self::Fatal { .. } | Self::Gap { .. } | Self::NoOffset { .. } => KafkaErrorKind::Fatal,
            Self::Closed => KafkaErrorKind::Closed,
        }
    }

    /// Whether the same record may go through later.
    pub fn is_retryable(&self) -> bool {
        self.kind() == KafkaErrorKind::Retriable
    }

    /// Whether the sink or source is of no use any more.
    pub fn is_fatal(&self) -> bool {
        self.kind() == KafkaErrorKind::Fatal
    }

    /// Whether the record may be in its topic all the same.
    pub fn may_have_applied(&self) -> bool {
        matches!(self, Self::NotDelivered { .. } | Self::Fatal { .. })
    }

    /// The topic it is about, where it is about one.
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::TooLarge { topic, .. }
            | Self::UnknownTopic { topic, .. }
            | Self::TopicRefused { topic, .. }
            | Self::UnknownPartition { topic, .. }
            | Self::NoOffset { topic, .. }
            | Self::LookingUp { topic, .. } => Some(topic),
            Self::Refused { place, .. } | Self::NotDelivered { place, .. } => Some(place.topic()),
            _ => None,
        }
    }

    /// A delivery's or a produce call's failure. `limit` is the producer's own, known only before a broker was asked.
    pub(super) fn of_record(
        code: RDKafkaErrorCode,
        place: TopicPartition,
        size: usize,
        limit: Option<usize>,
    ) -> Self {
        use RDKafkaErrorCode as Code;
        let reason = || Arc::from(code.to_string());
        match code {
            Code::MessageSizeTooLarge | Code::InvalidMessageSize => Self::TooLarge {
                topic: place.topic,
                size,
                limit,
            },
            Code::UnknownTopic | Code::UnknownTopicOrPartition => Self::UnknownTopic {
                topic: place.topic,
                waited: None,
            },
            Code::UnknownPartition => match place.partition {
                Some(partition) => Self::UnknownPartition {
                    topic: place.topic,
                    partition,
                },
                None => Self::UnknownTopic {
                    topic: place.topic,
                    waited: None,
                },
            },
            code if is_fatal(code) => Self::Fatal { reason: reason() },
            Code::PurgeQueue | Code::PurgeInflight => Self::Closed,
            Code::InvalidTopic
            | Code::TopicAuthorizationFailed
            | Code::UnsupportedCompressionType => Self::TopicRefused {
                topic: place.topic,
                reason: reason(),
            },
            Code::InvalidMessage
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::InvalidDifferentRecord
            | Code::PolicyViolation
            | Code::InvalidArgument
            | Code::UnsupportedForMessageFormat => Self::Refused {
                place,
                reason: reason(),
            },
            _ => Self::NotDelivered {
                place,
                reason: reason(),
            },
        }
    }

    /// What librdkafka says of settings it does not take. `rdkafka` puts the value into some of its messages: it stays out.
    pub(super) fn of_settings(error: rdkafka::error::KafkaError) -> Self {
        match error {
            rdkafka::error::KafkaError::ClientConfig(_, problem, property, _) => Self::Property {
                problem: super::settings::explain(&property, &problem),
                property,
            },
            rdkafka::error::KafkaError::ClientCreation(problem) => Self::Settings {
                problem: super::settings::explain("", &problem),
            },
            other => Self::Settings {
                problem: other.to_string(),
            },
        }
    }
}

/// A report that a record was not delivered, by what it says of the record.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The broker refused the batch: the record only if it was alone in it.
    Batch(KafkaError),
    /// The record's topic cannot be used.
    Topic(KafkaError),
    /// The brokers did not take it, or not in time, whatever it holds.
    Outage(KafkaError),
    /// Nothing: the client gave it back.
    Returned,
}

impl Failure {
    pub(super) fn of(code: RDKafkaErrorCode, place: TopicPartition, size: usize) -> Self {
        use RDKafkaErrorCode as Code;
        if is_fatal(code)
            || matches!(
                code,
                Code::PurgeQueue | Code::Fatal | Code::GaplessGuarantee
            )
        {
            return Self::Returned;
        }
        if code == Code::PurgeInflight {
            return Self::Outage(KafkaError::NotDelivered {
                place,
                reason: "its answer was not waited for any longer".into(),
            });
        }
        let error = KafkaError::of_record(code, place, size, None);
        match error.kind() {
            KafkaErrorKind::Topic => Self::Topic(error),
            KafkaErrorKind::Record if matches!(error, KafkaError::UnknownPartition { .. }) => {
                Self::Topic(error)
            }
            KafkaErrorKind::Record => Self::Batch(error),
            _ => Self::Outage(error),
        }
    }
}

impl From<ConfigError> for KafkaError {
    fn from(error: ConfigError) -> Self {
        Self::OutOfRange(Arc::new(error))
    }
}

/// Errors after which this client never works again.
pub(super) fn is_fatal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Fatal
            | Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::OutOfOrderSequenceNumber
            | Code::UnknownProducerId
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::FencedInstanceId
    )
}

fn of_limit(limit: Option<usize>) -> String {
    limit.map_or_else(
        || "the topic's max.message.bytes".to_owned(),
        |limit| format!("message.max.bytes, {}", format_size(limit)),
    )
}

fn waited_for(waited: Option<Duration>) -> String {
    waited.map_or_else(String::new, |waited| {
        format!(
            " and may not be created (asked for {})",
            format_duration(waited)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: RDKafkaErrorCode, partition: Option<i32>) -> KafkaError {
        KafkaError::of_record(
            code,
            TopicPartition::new("events".into(), partition),
            2 << 20,
            None,
        )
    }

    #[test]
    fn a_record_over_the_limit_names_topic_size_and_limit() {
        let own = KafkaError::of_record(
            RDKafkaErrorCode::MessageSizeTooLarge,
            TopicPartition::new("events".into(), None),
            2 << 20,
            Some(1_000_000),
        );
        assert_eq!(
            own.to_string(),
            "record of 2MiB for topic \"events\" is over message.max.bytes, 1000000B"
        );
        assert_eq!(
            of(RDKafkaErrorCode::MessageSizeTooLarge, Some(1)).to_string(),
            "record of 2MiB for topic \"events\" is over the topic's max.message.bytes"
        );
        assert_eq!(own.kind(), KafkaErrorKind::Record);
    }

    #[test]
    fn errors_are_told_apart_by_what_to_do_next() {
        use KafkaErrorKind as Kind;
        use RDKafkaErrorCode as Code;
        for (code, kind) in [
            (Code::MessageTimedOut, Kind::Retriable),
            (Code::NotEnoughReplicas, Kind::Retriable),
            (Code::ProducerFenced, Kind::Fatal),
            (Code::SaslAuthenticationFailed, Kind::Fatal),
            (Code::OutOfOrderSequenceNumber, Kind::Fatal),
            (Code::UnknownTopic, Kind::Topic),
            (Code::UnknownPartition, Kind::Record),
            (Code::TopicAuthorizationFailed, Kind::Topic),
            (Code::InvalidTopic, Kind::Topic),
            (Code::InvalidRecord, Kind::Record),
        ] {
            assert_eq!(of(code, Some(3)).kind(), kind, "{code}");
        }
        assert!(of(Code::MessageTimedOut, None).may_have_applied());
        assert!(!of(Code::MessageSizeTooLarge, None).may_have_applied());
    }
}
