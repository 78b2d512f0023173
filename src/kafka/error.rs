//! The errors of Kafka.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

pub(super) use super::failure::{Failure, is_fatal};
use super::topic_partition::TopicPartition;
use crate::error::{ErrorKind, text};
use crate::gap::Gap;
use crate::settings::ConfigError;
use crate::settings::units::{format_duration, format_size};

/// The reason for which a record was not delivered, or a client does not work. Never holds a record's contents, nor a secret.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// Settings that cannot be used, or properties that librdkafka does not accept.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A record over the size limit.
    #[error("record of {} for topic {topic:?} is over {}", format_size(*.size), of_limit(*.limit))]
    #[non_exhaustive]
    TooLarge {
        /// The topic.
        topic: Arc<str>,
        /// The record's size in bytes: key, value and headers.
        size: usize,
        /// The producer's limit in bytes, `message.max.bytes`; `None` where the broker refused it by its own, the topic's
        /// `max.message.bytes` or `segment.bytes`.
        limit: Option<usize>,
    },
    /// A topic that does not exist and may not be created.
    #[error("topic {topic:?} does not exist{}", waited_for(*.waited))]
    #[non_exhaustive]
    UnknownTopic {
        /// The topic.
        topic: Arc<str>,
        /// The time for which the brokers were asked for it.
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
        /// Their words.
        reason: Arc<str>,
    },
    /// A consumer group that the brokers do not let this client use, for want of the right to read it.
    #[error(
        "group {group:?} cannot be used: {reason}; grant the right to read it, or name another"
    )]
    #[non_exhaustive]
    GroupRefused {
        /// The group.
        group: Arc<str>,
        /// The brokers' answer.
        reason: Arc<str>,
    },
    /// A record that the brokers, or librdkafka, do not accept.
    #[error("{topic_partition} refused: {reason}")]
    #[non_exhaustive]
    Refused {
        /// The topic, and the partition where it is known.
        topic_partition: TopicPartition,
        /// Their words.
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
    #[error("{topic_partition} not delivered: {reason}")]
    #[non_exhaustive]
    NotDelivered {
        /// The topic, and the partition where it is known.
        topic_partition: TopicPartition,
        /// librdkafka's words.
        reason: Arc<str>,
    },
    /// No broker answered within the time.
    #[error("no kafka broker answered within {}: {reason}", format_duration(*.waited))]
    #[non_exhaustive]
    Unreachable {
        /// The time for which it was tried.
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
    /// A partition has no committed offset, and [`OffsetReset::Committed`](super::OffsetReset::Committed) is set.
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
        /// librdkafka's words.
        reason: Arc<str>,
    },
    /// The operating system gives no thread. Nothing was sent.
    #[error("no thread can be started: {reason}")]
    #[non_exhaustive]
    NoThread {
        /// The operating system's words.
        reason: Arc<str>,
    },
    /// The client is broken for good.
    #[error("kafka client failed for good: {reason}")]
    #[non_exhaustive]
    Fatal {
        /// [`Denied`](ErrorKind::Denied) where the brokers do not let it in, [`Fenced`](ErrorKind::Fenced) where another one took
        /// its place or its order of records is lost, [`Handler`](ErrorKind::Handler) where the handler of gaps panicked,
        /// [`Unavailable`](ErrorKind::Unavailable) where it can have no client, for want of a thread, and
        /// [`Internal`](ErrorKind::Internal) where its own thread panicked.
        kind: ErrorKind,
        /// librdkafka's words.
        reason: Arc<str>,
    },
    /// Records failed that no receipt has given out; only from [`flush`](super::KafkaSink::flush) and
    /// [`close`](super::KafkaSink::close), which has closed the sink nevertheless. Each failure is reported once: to go on,
    /// send those records again, not the flush, which returns `Ok` the next time although they are not delivered.
    #[error("{}", of_unobserved(failures))]
    #[non_exhaustive]
    Unobserved {
        /// The failures, in the order in which they became known; those of one outage together, one for each topic.
        failures: Vec<FailedRecords>,
    },
    /// This handle of the sink accepts no more: too many failures, whose receipts were dropped, were left to
    /// [`flush`](super::KafkaSink::flush) or [`close`](super::KafkaSink::close). What it has accepted is carried out.
    #[error(
        "handle of kafka's sink has stopped: {failures} failures, whose receipts were dropped, were left to flush or close; await \
         receipts or flush now and then, and go on with another handle (`KafkaSink::separate`)"
    )]
    #[non_exhaustive]
    Stopped {
        /// The number of failures, those of one cause as one: of an outage, of a topic that is gone or refused.
        failures: usize,
    },
    /// The sink or the source was closed.
    #[error("closed")]
    Closed,
}

/// Records that failed for one reason.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedRecords {
    /// The reason; of several records, that of the first.
    pub error: KafkaError,
    /// The number of records: more than one where one cause failed them, that is an outage, for each topic by itself, a
    /// topic that is gone or refused, a partition that is gone, or a [fatal](KafkaError::is_fatal) error.
    pub records: usize,
}

impl KafkaError {
    /// Returns the kind of error; of [`Unobserved`](Self::Unobserved), that of a failure that more time does not cure, where
    /// there is one. It does not depend on the order of the failures.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unobserved { failures } => {
                ErrorKind::of_several(failures.iter().map(|failed| failed.error.kind()))
            }
            Self::Config(_) | Self::NoOffset { .. } => ErrorKind::Config,
            Self::TooLarge { .. }
            | Self::UnknownPartition { .. }
            | Self::Refused { .. }
            | Self::Serialize(_) => ErrorKind::Invalid,
            Self::UnknownTopic { .. } => ErrorKind::NotFound,
            Self::TopicRefused { .. } | Self::GroupRefused { .. } => ErrorKind::Denied,
            Self::Full { .. } | Self::LookingUp { .. } => ErrorKind::Capacity,
            Self::NotDelivered { .. }
            | Self::NotCommitted { .. }
            | Self::NotConnected { .. }
            | Self::NoThread { .. }
            | Self::Unreachable { .. } => ErrorKind::Unavailable,
            Self::Gap { .. } => ErrorKind::Gap,
            Self::Fatal { kind, .. } => *kind,
            Self::Stopped { .. } | Self::Closed => ErrorKind::Closed,
        }
    }

    /// Returns whether the same record, or the same call, may go through later: the brokers were not reached, or not in time,
    /// or the buffer was full. librdkafka has tried again by itself for all of the
    /// [delivery timeout](super::KafkaSinkSettings::delivery_timeout).
    ///
    /// Of [`Unobserved`](Self::Unobserved), whether that is so of each of the records: send them again, not the flush.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_transient() && !self.is_fatal()
    }

    /// Returns whether this record cannot be delivered, and others can; of [`Unobserved`](Self::Unobserved), whether that is
    /// so of each.
    #[must_use]
    pub fn is_record(&self) -> bool {
        match self {
            Self::Unobserved { failures } => failures.iter().all(|failed| failed.error.is_record()),
            _ => self.kind() == ErrorKind::Invalid,
        }
    }

    /// Returns whether no record can be delivered to this topic: it does not exist, or this client may not write to it. Create
    /// it, grant the rights, or name another one. Records of other topics can be delivered. Of
    /// [`Unobserved`](Self::Unobserved), whether that is so of each failure.
    #[must_use]
    pub fn is_topic(&self) -> bool {
        match self {
            Self::Unobserved { failures } => failures.iter().all(|failed| failed.error.is_topic()),
            _ => matches!(self, Self::UnknownTopic { .. } | Self::TopicRefused { .. }),
        }
    }

    /// Returns whether this sink or source is of no use any more: open another once the cause is gone.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Unobserved { failures } => failures.iter().any(|failed| failed.error.is_fatal()),
            _ => matches!(
                self,
                Self::Fatal { .. }
                    | Self::GroupRefused { .. }
                    | Self::Gap { .. }
                    | Self::NoOffset { .. }
            ),
        }
    }

    /// Returns whether the record, or one of those that failed, may be in its topic all the same.
    #[must_use]
    pub fn may_have_applied(&self) -> bool {
        match self {
            Self::Unobserved { failures } => failures
                .iter()
                .any(|failed| failed.error.may_have_applied()),
            _ => matches!(self, Self::NotDelivered { .. } | Self::Fatal { .. }),
        }
    }

    /// Returns the topic that it is about, where it is about one.
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::Unobserved { failures } => {
                let mut topics = failures.iter().map(|failed| failed.error.topic());
                let first = topics.next()??;
                topics.all(|topic| topic == Some(first)).then_some(first)
            }
            Self::TooLarge { topic, .. }
            | Self::UnknownTopic { topic, .. }
            | Self::TopicRefused { topic, .. }
            | Self::UnknownPartition { topic, .. }
            | Self::NoOffset { topic, .. }
            | Self::LookingUp { topic, .. } => Some(topic),
            Self::Refused {
                topic_partition, ..
            }
            | Self::NotDelivered {
                topic_partition, ..
            } => Some(topic_partition.topic()),
            _ => None,
        }
    }
}

/// Returns the number of records that failed, and the first cause.
fn of_unobserved(failures: &[FailedRecords]) -> String {
    let records: usize = failures.iter().map(|failed| failed.records).sum();
    let first = failures.first().map(|first| text(&first.error));
    format!(
        "{records} records failed that no receipt has observed; the first: {}",
        first.unwrap_or_default()
    )
}

fn of_limit(limit: Option<usize>) -> String {
    limit.map_or_else(
        || "the topic's max.message.bytes or segment.bytes".to_owned(),
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
