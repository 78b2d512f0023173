//! The start of a partition, and the records that were lost before it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kafka_topic_id::describe_topics_at;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::clients::Clients;
use super::message::Key;
use super::settings::OffsetReset;
use crate::gap::GapCause;

/// The longest wait for one answer.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest wait for the offsets of one partition of many: it may have no leader, and the others wait
/// behind it.
const OF_PARTITION: Duration = Duration::from_secs(2);

/// The metadata of a committed offset: what it is an offset of.
///
/// Written as `v1;generation=0;partitions=8;topic=…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// The setting of the owner.
    pub(super) generation: u64,
    /// The number of partitions that the topic had when the group first read it.
    pub(super) partitions: i32,
    /// The topic's id, where the brokers give one.
    pub(super) topic: Option<String>,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (generation, partitions) = (self.generation, self.partitions);
        write!(f, "v1;generation={generation};partitions={partitions}")?;
        match &self.topic {
            Some(topic) => write!(f, ";topic={topic}"),
            None => Ok(()),
        }
    }
}

impl Mark {
    /// Reads the metadata of a commit. Returns `None` for that of another program.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut mark = Self::default();
        for part in text.strip_prefix("v1;")?.split(';') {
            match part.split_once('=')? {
                ("generation", generation) => mark.generation = generation.parse().ok()?,
                ("partitions", partitions) => mark.partitions = partitions.parse().ok()?,
                ("topic", topic) => mark.topic = Some(topic.to_owned()),
                // Later versions may add parts.
                _ => {}
            }
        }
        Some(mark)
    }

    /// Returns whether this is the mark of another topic of the same name.
    fn is_of_another(&self, current: &Self) -> bool {
        let topics = self.topic.as_ref().zip(current.topic.as_ref());
        self.generation != current.generation || topics.is_some_and(|(was, is)| was != is)
    }
}

/// The offset that a group committed of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Committed {
    offset: i64,
    mark: Option<Mark>,
}

/// The start of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At this offset, which was committed.
    Committed(i64),
    /// At the oldest record: nothing is committed.
    Oldest(i64),
    /// Behind the newest record: nothing is committed.
    Newest,
    /// Records before this offset are lost.
    Gap {
        cause: GapCause,
        /// The offset that was to be read next.
        wanted: i64,
        at: i64,
    },
    /// Nothing is committed, and the settings name no start.
    Unknown,
}

/// Decides where a partition begins that has the offsets `low` to `high`, `high` not included.
fn decide(
    committed: Option<&Committed>,
    current: &Mark,
    (low, high): (i64, i64),
    is_added: bool,
    start: OffsetReset,
) -> Start {
    let Some(committed) = committed else {
        return match start {
            OffsetReset::Earliest => Start::Oldest(low),
            // Its first records came after the group had begun.
            OffsetReset::Latest if is_added => Start::Oldest(low),
            OffsetReset::Latest => Start::Newest,
            OffsetReset::Committed => Start::Unknown,
        };
    };
    let mark = committed.mark.as_ref();
    let is_of_another = mark.is_some_and(|mark| mark.is_of_another(current));
    range(committed.offset, low, high, is_of_another)
}

/// Returns the number of partitions that the topic had when the group first read it: those from it on
/// were added since. The group's commits have it; without one the group begins now.
fn first_count(committed: &HashMap<i32, Committed>, opened_with: i32) -> i32 {
    let marks = committed
        .values()
        .filter_map(|committed| committed.mark.as_ref());
    let counts = marks.map(|mark| mark.partitions);
    counts.min().unwrap_or(opened_with)
}

/// Decides whether reading can go on at `wanted` in a partition with the offsets `low` to `high`.
pub(super) fn range(wanted: i64, low: i64, high: i64, is_of_another: bool) -> Start {
    let cause = if is_of_another || wanted > high {
        GapCause::TopicReplaced
    } else if wanted < low {
        GapCause::Trimmed
    } else {
        return Start::Committed(wanted);
    };
    Start::Gap {
        cause,
        wanted,
        at: low,
    }
}

/// A partition's start, as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) start: Start,
    /// The offset of [`Start::Newest`].
    pub(super) end: i64,
    /// The metadata of its commits.
    pub(super) mark: Arc<str>,
}

/// The values on which the starts of partitions depend.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) start: OffsetReset,
    pub(super) generation: u64,
    /// The numbers of partitions that the topics had when the source was opened.
    pub(super) opened_with: HashMap<Arc<str>, i32>,
}

impl Search {
    /// Finds where each of these partitions begins. Blocks.
    pub(super) fn find(&self, clients: &Clients, keys: &[Key]) -> Vec<KafkaResult<Found>> {
        let mut views: HashMap<&Arc<str>, KafkaResult<View>> = HashMap::new();
        let found = keys.iter().map(|key| {
            // The member leaves only once nothing has it any more.
            if clients.is_leaving() {
                return Err(ClientError::Canceled);
            }
            let (topic, _) = key;
            let view = views.entry(topic).or_insert_with(|| {
                let wanted = keys.iter().filter(|(of, _)| of == topic);
                let wanted: Vec<i32> = wanted.map(|(_, partition)| *partition).collect();
                self.view(clients, topic, &wanted)
            });
            match view {
                Ok(view) => self.find_one(clients, key, view),
                Err(error) => Err(error.clone()),
            }
        });
        found.collect()
    }

    fn find_one(&self, clients: &Clients, key: &Key, view: &View) -> KafkaResult<Found> {
        let (topic, partition) = key;
        // The member reads uncommitted: the end that it sees is that of the log.
        let range = clients
            .member
            .fetch_watermarks(topic, *partition, OF_PARTITION)?;
        let offsets = &view.offsets;
        if let Some(error) = offsets.refused.get(partition) {
            return Err(error.clone());
        }
        let committed = offsets.committed.get(partition);
        // It would begin behind its first records, if it was added.
        if let Some(error) = &view.uncounted
            && committed.is_none()
            && self.start == OffsetReset::Latest
        {
            return Err(error.clone());
        }
        let is_added = *partition >= view.mark.partitions;
        let start = decide(committed, &view.mark, range, is_added, self.start);
        let end = match start {
            Start::Newest => {
                clients
                    .reader
                    .fetch_watermarks(topic, *partition, QUERY_TIMEOUT)?
                    .1
            }
            _ => range.1,
        };
        Ok(Found {
            start,
            end,
            mark: view.mark.to_string().into(),
        })
    }

    /// Asks what is to be known of a topic, and of these partitions of it.
    fn view(&self, clients: &Clients, topic: &Arc<str>, wanted: &[i32]) -> KafkaResult<View> {
        let metadata = clients.reader.fetch_metadata(Some(topic), QUERY_TIMEOUT)?;
        let count = metadata
            .topics()
            .first()
            .map_or(0, |topic| topic.partitions().len());
        let mut offsets = Offsets::default();
        offsets.ask(clients, topic, wanted, QUERY_TIMEOUT)?;
        // By themselves: while a transaction is open that replaces the offset of one, there is no answer for any of them.
        let others = 0..i32::try_from(count).unwrap_or(i32::MAX);
        let others: Vec<i32> = others.filter(|other| !wanted.contains(other)).collect();
        let uncounted = match offsets.ask(clients, topic, &others, OF_PARTITION) {
            Ok(()) => {
                let mut refused = others.iter().filter_map(|other| offsets.refused.get(other));
                refused.next().cloned()
            }
            Err(error) => Some(error),
        };
        let opened_with = self.opened_with.get(topic).copied().unwrap_or(0);
        let mark = Mark {
            generation: self.generation,
            partitions: first_count(&offsets.committed, opened_with),
            topic: topic_id(clients, topic)?,
        };
        Ok(View {
            offsets,
            uncounted,
            mark,
        })
    }
}

/// The log of a partition at present.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) low: i64,
    pub(super) high: i64,
    /// The topic's id.
    pub(super) topic: Option<String>,
}

impl Log {
    /// Asks for it. Blocks.
    pub(super) fn ask(clients: &Clients, (topic, partition): &Key) -> KafkaResult<Self> {
        let id = topic_id(clients, topic)?;
        let (low, high) = clients
            .member
            .fetch_watermarks(topic, *partition, QUERY_TIMEOUT)?;
        Ok(Self {
            low,
            high,
            topic: id,
        })
    }
}

/// Asks for the id of a topic. Returns `None` where the brokers give none. Blocks.
pub(super) fn topic_id(clients: &Clients, topic: &str) -> KafkaResult<Option<String>> {
    let failed = |code: RDKafkaErrorCode| Err(ClientError::MetadataFetch(code));
    let metadata = clients.reader.fetch_metadata(Some(topic), QUERY_TIMEOUT)?;
    // Any broker knows it; librdkafka would ask the controller, which not every server has. Another one
    // each time, since one of them may not be reached.
    let brokers = metadata.brokers();
    let Some(broker) = brokers.get(fastrand::usize(..brokers.len().max(1))) else {
        return failed(RDKafkaErrorCode::AllBrokersDown);
    };
    let client = clients.reader.client();
    let described = describe_topics_at(client, broker.id(), &[topic], QUERY_TIMEOUT);
    let mut described = match described {
        Ok(described) => described,
        // Brokers that do not know the question. Whatever else fails says nothing of the id.
        Err(error)
            if matches!(
                error.code(),
                RDKafkaErrorCode::UnsupportedVersion | RDKafkaErrorCode::UnsupportedFeature
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return failed(error.code()),
    };
    match described.pop() {
        Some(Ok(topic)) => Ok(topic.id.map(|id| id.to_string())),
        Some(Err(error)) => failed(error.code()),
        None => Ok(None),
    }
}

/// A topic as the brokers describe it.
struct View {
    offsets: Offsets,
    /// The reason for which it is not known with how many partitions the group began: marks of partitions that are not
    /// wanted are missing.
    uncounted: Option<ClientError>,
    mark: Mark,
}

/// The offsets that a group has of a topic's partitions.
#[derive(Debug, Default)]
struct Offsets {
    committed: HashMap<i32, Committed>,
    /// The partitions that there was no answer for.
    refused: HashMap<i32, ClientError>,
}

impl Offsets {
    /// Asks for those of some partitions. Blocks.
    fn ask(
        &mut self,
        clients: &Clients,
        topic: &str,
        partitions: &[i32],
        longest: Duration,
    ) -> KafkaResult<()> {
        if partitions.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(topic, *partition);
        }
        // The member's connection to the coordinator may be waiting for a rebalance.
        let answer = clients.reader.committed_offsets(list, longest)?;
        for element in answer.elements() {
            let partition = element.partition();
            if let Err(error) = element.error() {
                self.refused.insert(partition, error);
            } else if let Offset::Offset(offset) = element.offset() {
                let mark = Mark::read(element.metadata());
                self.committed.insert(partition, Committed { offset, mark });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
