//! librdkafka's error codes: what each says of a record, and of the client.

use std::io;
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;

use super::error::KafkaError;
use super::topic_partition::TopicPartition;
use crate::error::ErrorKind;

/// A report that a record was not delivered, by what it says of the record.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The broker refused the batch: the record only if it was alone in it.
    Batch {
        /// librdkafka's code, which says whether the broker holds this record or another one of the batch at fault.
        code: RDKafkaErrorCode,
        error: KafkaError,
    },
    /// The record cannot be delivered; it says nothing of others.
    Record(KafkaError),
    /// The record's topic cannot be used.
    Topic(KafkaError),
    /// The brokers did not take it, or not in time, whatever it holds.
    Outage(KafkaError),
    /// Nothing: the client gave it back.
    Returned,
}

impl Failure {
    /// `named` says that the record itself named its partition.
    pub(super) fn of(
        code: RDKafkaErrorCode,
        topic_partition: TopicPartition,
        size: usize,
        named: bool,
    ) -> Self {
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
                topic_partition,
                reason: "its answer was not waited for any longer".into(),
            });
        }
        // One that was drawn from a count that is no longer true is no fault of the record's.
        if code == Code::UnknownPartition && !named {
            return Self::Outage(KafkaError::NotDelivered {
                topic_partition,
                reason: "the topic has fewer partitions than before".into(),
            });
        }
        let error = KafkaError::of_record(code, topic_partition, size, None);
        match error {
            KafkaError::UnknownPartition { .. } => Self::Record(error),
            _ if error.is_topic() => Self::Topic(error),
            _ if error.is_record() => Self::Batch { code, error },
            _ => Self::Outage(error),
        }
    }
}

impl KafkaError {
    /// A delivery's or a produce call's failure. `limit` is the producer's own, known only before a broker was asked.
    pub(super) fn of_record(
        code: RDKafkaErrorCode,
        topic_partition: TopicPartition,
        size: usize,
        limit: Option<usize>,
    ) -> Self {
        use RDKafkaErrorCode as Code;
        let reason = || Arc::from(code.to_string());
        match code {
            // The last one: the batch is larger than a segment of the topic.
            Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
                Self::TooLarge {
                    topic: topic_partition.topic,
                    size,
                    limit,
                }
            }
            Code::UnknownTopic | Code::UnknownTopicOrPartition => Self::UnknownTopic {
                topic: topic_partition.topic,
                waited: None,
            },
            Code::UnknownPartition => match topic_partition.partition {
                Some(partition) => Self::UnknownPartition {
                    topic: topic_partition.topic,
                    partition,
                },
                None => Self::UnknownTopic {
                    topic: topic_partition.topic,
                    waited: None,
                },
            },
            code if is_fatal(code) => Self::fatal(code, reason()),
            Code::PurgeQueue | Code::PurgeInflight => Self::Closed,
            Code::InvalidTopic
            | Code::TopicAuthorizationFailed
            | Code::UnsupportedCompressionType => Self::TopicRefused {
                topic: topic_partition.topic,
                reason: reason(),
            },
            Code::InvalidMessage
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::InvalidDifferentRecord
            | Code::PolicyViolation
            | Code::InvalidArgument
            | Code::UnsupportedForMessageFormat => Self::Refused {
                topic_partition,
                reason: reason(),
            },
            _ => Self::NotDelivered {
                topic_partition,
                reason: reason(),
            },
        }
    }

    /// Returns the error of a client that the operating system gives no thread.
    pub(super) fn no_thread(error: &io::Error) -> Self {
        Self::NoThread {
            reason: error.to_string().into(),
        }
    }

    /// Returns the error of a client that is broken for good. A code that is not among the fatal ones is librdkafka's own reason
    /// for the end of an idempotent producer, whose order of records is lost by it.
    pub(super) fn fatal(code: RDKafkaErrorCode, reason: impl Into<Arc<str>>) -> Self {
        Self::Fatal {
            kind: fatal_kind(code).unwrap_or(ErrorKind::Fenced),
            reason: reason.into(),
        }
    }
}

/// Returns whether a client never works again after this error.
pub(super) fn is_fatal(code: RDKafkaErrorCode) -> bool {
    fatal_kind(code).is_some()
}

/// Returns the kind of an error after which a client never works again; `None` for all others.
fn fatal_kind(code: RDKafkaErrorCode) -> Option<ErrorKind> {
    use RDKafkaErrorCode as Code;
    match code {
        Code::Fatal
        | Code::Fenced
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::OutOfOrderSequenceNumber
        | Code::UnknownProducerId
        | Code::FencedInstanceId => Some(ErrorKind::Fenced),
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::ClusterAuthorizationFailed
        | Code::GroupAuthorizationFailed => Some(ErrorKind::Denied),
        _ => None,
    }
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
            "record of 2MiB for topic \"events\" is over the topic's max.message.bytes or segment.bytes"
        );
        assert!(own.is_record(), "{own:?}");
    }

    #[test]
    fn errors_are_told_apart_by_what_to_do_next() {
        use ErrorKind as Kind;
        use RDKafkaErrorCode as Code;
        let (retryable, fatal, topic, record) = (
            [true, false, false, false],
            [false, true, false, false],
            [false, false, true, false],
            [false, false, false, true],
        );
        for (code, kind, is) in [
            (Code::MessageTimedOut, Kind::Unavailable, retryable),
            (Code::NotEnoughReplicas, Kind::Unavailable, retryable),
            (Code::ProducerFenced, Kind::Fenced, fatal),
            (Code::SaslAuthenticationFailed, Kind::Denied, fatal),
            (Code::OutOfOrderSequenceNumber, Kind::Fenced, fatal),
            (Code::UnknownTopic, Kind::NotFound, topic),
            (Code::UnknownPartition, Kind::Invalid, record),
            (Code::TopicAuthorizationFailed, Kind::Denied, topic),
            (Code::InvalidTopic, Kind::Denied, topic),
            (Code::InvalidRecord, Kind::Invalid, record),
        ] {
            let error = of(code, Some(3));
            assert_eq!(error.kind(), kind, "{code}");
            let found = [
                error.is_retryable(),
                error.is_fatal(),
                error.is_topic(),
                error.is_record(),
            ];
            assert_eq!(found, is, "{code}");
        }
        assert!(of(Code::MessageTimedOut, None).may_have_applied());
        assert!(!of(Code::MessageSizeTooLarge, None).may_have_applied());
    }

    #[test]
    fn only_what_a_broker_says_of_a_batch_is_looked_into_record_by_record() {
        use RDKafkaErrorCode as Code;
        let topic_partition = || TopicPartition::new("events".into(), Some(3));
        let failure = |code| Failure::of(code, topic_partition(), 1, true);
        for code in [
            Code::MessageSizeTooLarge,
            Code::MessageBatchTooLarge,
            Code::InvalidMessage,
            Code::InvalidTimestamp,
            Code::InvalidRecord,
            Code::InvalidDifferentRecord,
            Code::PolicyViolation,
        ] {
            assert!(matches!(failure(code), Failure::Batch { .. }), "{code}");
        }
        for code in [Code::MessageTimedOut, Code::PurgeInflight, Code::Unknown] {
            assert!(matches!(failure(code), Failure::Outage(_)), "{code}");
        }
        assert!(matches!(failure(Code::PurgeQueue), Failure::Returned));
        assert!(matches!(
            failure(Code::TopicAuthorizationFailed),
            Failure::Topic(_)
        ));
    }

    #[test]
    fn a_missing_partition_is_the_fault_of_a_record_only_where_the_record_named_it() {
        let failure = |named| {
            let topic_partition = TopicPartition::new("events".into(), Some(3));
            Failure::of(
                RDKafkaErrorCode::UnknownPartition,
                topic_partition,
                1,
                named,
            )
        };
        assert!(matches!(failure(true), Failure::Record(_)));
        let Failure::Outage(error) = failure(false) else {
            panic!("others are not affected")
        };
        assert!(error.is_retryable(), "{error}");
    }
}
