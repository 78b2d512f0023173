//! Samples of Kafka's errors, for the tests of all errors.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::error::{FailedRecords, KafkaError};
use super::topic_partition::TopicPartition;
use crate::error::ErrorKind;
use crate::error::samples::{ROOT, Sample};
use crate::gap::{Gap, GapCause};
use crate::settings::samples::config;

fn unobserved<const N: usize>(errors: [KafkaError; N]) -> KafkaError {
    let failures = errors.map(|error| FailedRecords { error, records: 2 });
    KafkaError::Unobserved {
        failures: failures.into(),
    }
}

pub(crate) fn all() -> Vec<Sample> {
    let topic = || Arc::from("events");
    let topic_partition = || TopicPartition::new(topic(), Some(3));
    let reason = || Arc::from(ROOT);
    let waited = Duration::from_secs(10);
    let fatal = |kind| KafkaError::Fatal {
        kind,
        reason: reason(),
    };
    let late = || KafkaError::NotDelivered {
        topic_partition: topic_partition(),
        reason: reason(),
    };
    let errors = [
        (KafkaError::from(config()), ErrorKind::Config),
        (
            KafkaError::TooLarge {
                topic: topic(),
                size: 2 << 20,
                limit: Some(1 << 20),
            },
            ErrorKind::Invalid,
        ),
        (
            KafkaError::UnknownTopic {
                topic: topic(),
                waited: Some(waited),
            },
            ErrorKind::NotFound,
        ),
        (
            KafkaError::UnknownPartition {
                topic: topic(),
                partition: 3,
            },
            ErrorKind::Invalid,
        ),
        (
            KafkaError::TopicRefused {
                topic: topic(),
                reason: reason(),
            },
            ErrorKind::Denied,
        ),
        (
            KafkaError::GroupRefused {
                group: "g".into(),
                reason: reason(),
            },
            ErrorKind::Denied,
        ),
        (
            KafkaError::Refused {
                topic_partition: topic_partition(),
                reason: reason(),
            },
            ErrorKind::Invalid,
        ),
        (
            KafkaError::Serialize(Arc::new(io::Error::other(ROOT))),
            ErrorKind::Invalid,
        ),
        (
            KafkaError::Full {
                records: 3,
                bytes: 1 << 20,
            },
            ErrorKind::Capacity,
        ),
        (
            KafkaError::LookingUp { topic: topic() },
            ErrorKind::Capacity,
        ),
        (late(), ErrorKind::Unavailable),
        (
            KafkaError::Unreachable {
                waited,
                reason: reason(),
            },
            ErrorKind::Unavailable,
        ),
        (
            KafkaError::Gap {
                gap: Gap::new(Some(reason()), None, GapCause::Trimmed),
            },
            ErrorKind::Gap,
        ),
        (
            KafkaError::NoOffset {
                topic: topic(),
                partition: 3,
            },
            ErrorKind::Config,
        ),
        (
            KafkaError::NotConnected { reason: reason() },
            ErrorKind::Unavailable,
        ),
        (
            KafkaError::NotCommitted { reason: reason() },
            ErrorKind::Unavailable,
        ),
        (unobserved([late(), KafkaError::Closed]), ErrorKind::Closed),
        (unobserved([late(), late()]), ErrorKind::Unavailable),
        (
            unobserved([KafkaError::Serialize(Arc::new(io::Error::other(ROOT)))]),
            ErrorKind::Invalid,
        ),
        (KafkaError::Stopped { failures: 1_000 }, ErrorKind::Closed),
        (fatal(ErrorKind::Fenced), ErrorKind::Fenced),
        (fatal(ErrorKind::Internal), ErrorKind::Internal),
        (KafkaError::Closed, ErrorKind::Closed),
    ];
    let samples = errors.map(|(error, kind)| Sample::new(error, kind));
    let no_thread = KafkaError::no_thread(&io::Error::other(ROOT));
    let mut all = Vec::from(samples);
    all.push(Sample::new(no_thread, ErrorKind::Unavailable));
    all
}
