//! The failures of one scope's records that no receipt gave out, by their cause.
//!
//! One cause may fail a whole buffer: an outage, a topic that was deleted or whose right was withdrawn, the end of the
//! sink. It counts once for the bound, however many records and topics it concerns: a handle must not stop for good where
//! one topic is gone. What is reported still names each topic, with the number of its records.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::error::{FailedRecords, KafkaError};
use crate::progress::{MAX_UNOBSERVED, Unobserved};

pub(super) struct UnobservedRecords {
    /// The failures of each cause, one for each topic that it concerns.
    causes: Unobserved<Vec<FailedRecords>>,
    /// The places of causes that may fail more records. Whole buffers fail at a time, under a lock: nothing is searched for.
    shared: HashMap<Cause, Place>,
}

/// The number of an outage: an error of an older one says nothing of a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct OutageNumber(u64);

impl OutageNumber {
    pub(super) fn advance(&mut self) {
        self.0 += 1;
    }
}

/// A cause that fails more than one record.
#[derive(PartialEq, Eq, Hash)]
enum Cause {
    Fatal,
    Outage(OutageNumber),
    UnknownTopic(Arc<str>),
    TopicRefused(Arc<str>),
    UnknownPartition(Arc<str>, i32),
}

/// The place of a cause, and within it those of its topics.
struct Place {
    index: usize,
    topics: HashMap<Box<str>, usize>,
}

impl UnobservedRecords {
    pub(super) fn new() -> Self {
        Self {
            // Errors hold no record.
            causes: Unobserved::new(MAX_UNOBSERVED, usize::MAX),
            shared: HashMap::new(),
        }
    }

    /// Keeps the failure of a record, past the bound too.
    pub(super) fn keep(&mut self, error: KafkaError, outage: Option<OutageNumber>) {
        let Some(cause) = Cause::of(&error, outage) else {
            return self.causes.keep(vec![first(error)], 0);
        };
        let place = match self.shared.entry(cause) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(place) => {
                let index = self.causes.len();
                self.causes.keep(Vec::new(), 0);
                let topics = HashMap::new();
                place.insert(Place { index, topics })
            }
        };
        let failures = self.causes.get_mut(place.index);
        let failures = failures.expect("causes and their places are taken together");
        let topic = error.topic().unwrap_or_default();
        let known = place.topics.get(topic).copied();
        if let Some(failed) = known.and_then(|at| failures.get_mut(at)) {
            failed.records += 1;
            return;
        }
        place.topics.insert(topic.into(), failures.len());
        failures.push(first(error));
    }

    /// Returns the number of causes once there are too many.
    pub(super) fn too_many(&self) -> Option<usize> {
        self.causes.is_full().then(|| self.causes.len())
    }

    /// Returns whether records of this outage are among them.
    pub(super) fn has_outage(&self, outage: OutageNumber) -> bool {
        self.shared.contains_key(&Cause::Outage(outage))
    }

    /// Takes all failures, in the order in which their causes became known.
    pub(super) fn take(&mut self) -> Vec<FailedRecords> {
        self.shared.clear();
        self.causes.take().into_iter().flatten().collect()
    }
}

impl Cause {
    /// Returns the cause of a failure; `None` where it is that of one record.
    fn of(error: &KafkaError, outage: Option<OutageNumber>) -> Option<Self> {
        if error.is_fatal() {
            return Some(Self::Fatal);
        }
        if let Some(outage) = outage {
            return Some(Self::Outage(outage));
        }
        match error {
            KafkaError::UnknownTopic { topic, .. } => Some(Self::UnknownTopic(topic.clone())),
            KafkaError::TopicRefused { topic, .. } => Some(Self::TopicRefused(topic.clone())),
            KafkaError::UnknownPartition { topic, partition } => {
                Some(Self::UnknownPartition(topic.clone(), *partition))
            }
            _ => None,
        }
    }
}

fn first(error: KafkaError) -> FailedRecords {
    FailedRecords { error, records: 1 }
}
