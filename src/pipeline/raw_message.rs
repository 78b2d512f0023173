//! A Kafka message as dead letters hold it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::kafka::{Message, ProducerRecord};

/// A Kafka message with its raw key, value and headers, for dead letters: it is written into a
/// letter, read back, and sent again.
///
/// ```
/// # fn example(source: dynamodb_connector::kafka::KafkaSource, kafka: dynamodb_connector::kafka::KafkaSink) {
/// use dynamodb_connector::kafka::{Message, ProducerRecord};
/// use dynamodb_connector::pipeline::{DeadLetter, KafkaOutput, Pipeline, RawMessage};
/// use dynamodb_connector::test_util::CollectSink;
///
/// let letters = KafkaOutput::new(&kafka, |letter: &DeadLetter<RawMessage>| {
///     let line = letter.to_json_line().map_err(|error| error.to_string())?;
///     Ok::<_, String>(Some(ProducerRecord::new("letters", line)))
/// });
/// let job = Pipeline::from(source)
///     .validate(|message: &Message| message.payload.as_ref().map(drop).ok_or("no value"))
///     .dead_letter_with(RawMessage::of, letters)
///     .to(CollectSink::new());
/// # let _ = job;
/// # }
/// # fn again(line: &str) -> Result<(), Box<dyn std::error::Error>> {
/// # use dynamodb_connector::pipeline::{DeadLetter, RawMessage};
/// // Later, with the cause gone:
/// let letter = DeadLetter::<RawMessage>::from_json_line(line)?;
/// let record = letter.record.to_record(); // to the topic that it came from
/// # let _ = record;
/// # Ok(())
/// # }
/// ```
///
/// In JSON, key, value and the values of headers are base64, or `null` where there is none; the
/// time is in milliseconds since 1970. A time before that, which no client of Kafka writes by itself, is
/// not kept: the [`Message`] itself has none.
///
/// So a letter is a third larger than its message, and up to some kilobytes more for its reasons.
/// Where letters go to a topic, both limits must allow for it: `message.max.bytes` of the sink that
/// sends them (1,000,000 bytes unless [`KafkaSettings`](crate::kafka::KafkaSettings) names it), and
/// `max.message.bytes` of their topic. A letter over either ends the pipeline, and so does each new
/// run, at the same record, until the limit is raised.
///
/// Cheap to clone: clones share the contents. `Debug` shows sizes, not contents.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawMessage {
    #[serde(serialize_with = "write_text", deserialize_with = "read_text")]
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    key: Option<Base64>,
    value: Option<Base64>,
    #[serde(serialize_with = "write_headers", deserialize_with = "read_headers")]
    headers: Arc<[RawHeader]>,
}

/// The earliest time that Kafka's client sends, since 1970: 0 stands for the present.
const EARLIEST_SENT: Duration = Duration::from_millis(1);

/// A header's name and value.
type RawHeader = (Arc<str>, Option<Base64>);

fn write_text<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

fn read_text<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
    String::deserialize(from).map(Arc::from)
}

fn write_headers<S: Serializer>(headers: &Arc<[RawHeader]>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(headers.iter().map(|(name, value)| (&**name, value)))
}

fn read_headers<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<[RawHeader]>, D::Error> {
    let headers = Vec::<(String, Option<Base64>)>::deserialize(from)?;
    let headers = headers.into_iter();
    Ok(headers
        .map(|(name, value)| (Arc::from(name), value))
        .collect())
}

/// Bytes that are base64 in JSON.
#[derive(Clone, PartialEq, Eq)]
struct Base64(Bytes);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode_to_string(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD.decode_to_vec(text.as_bytes());
        let bytes = bytes.map_err(|_| serde::de::Error::custom("not base64"))?;
        Ok(Self(bytes.into()))
    }
}

impl RawMessage {
    /// Returns the message's contents, shared with it.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        let since = message
            .timestamp
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let headers = message.headers.iter();
        Self {
            topic: Arc::clone(&message.topic),
            partition: message.partition,
            offset: message.offset,
            timestamp: since.and_then(|since| u64::try_from(since.as_millis()).ok()),
            key: message.key.clone().map(Base64),
            value: message.payload.clone().map(Base64),
            headers: headers
                .map(|header| (Arc::clone(&header.name), header.value.clone().map(Base64)))
                .collect(),
        }
    }

    /// Returns the topic that it was read from.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns the partition that it was read from.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Returns the offset at which it was read.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Returns its time; `None` where it has none, or one before 1970.
    #[must_use]
    pub fn timestamp(&self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.timestamp?))
    }

    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> Option<&Bytes> {
        self.key.as_ref().map(|key| &key.0)
    }

    /// Returns the value; `None` for a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&Bytes> {
        self.value.as_ref().map(|value| &value.0)
    }

    /// Returns the names and values of the headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&Bytes>)> {
        let headers = self.headers.iter();
        headers.map(|(name, value)| (&**name, value.as_ref().map(|value| &value.0)))
    }

    /// Returns the record that sends it again to the topic that it was read from: the same key,
    /// value, headers and time. The partitioner chooses the partition.
    ///
    /// The very first moment of 1970, a time of 0, is sent as 1: Kafka's client takes 0 for the
    /// present. A message without a [time](Self::timestamp) is given that of sending.
    #[must_use]
    pub fn to_record(&self) -> ProducerRecord {
        self.to_record_for(Arc::clone(&self.topic))
    }

    /// Returns the record that sends it to another topic.
    #[must_use]
    pub fn to_record_for(&self, topic: impl Into<Arc<str>>) -> ProducerRecord {
        let mut record = match self.value() {
            Some(value) => ProducerRecord::new(topic, value.clone()),
            None => ProducerRecord::tombstone(topic),
        };
        if let Some(key) = self.key() {
            record = record.key(key.clone());
        }
        if let Some(timestamp) = self.timestamp() {
            record = record.timestamp(timestamp.max(UNIX_EPOCH + EARLIEST_SENT));
        }
        for (name, value) in self.headers() {
            record = match value {
                Some(value) => record.header(name, value.clone()),
                None => record.header_without_value(name),
            };
        }
        record
    }
}

impl fmt::Debug for RawMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawMessage")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .field("key_bytes", &self.key().map(Bytes::len))
            .field("value_bytes", &self.value().map(Bytes::len))
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(timestamp: Option<u64>) -> RawMessage {
        RawMessage {
            topic: "t".into(),
            partition: 0,
            offset: 1,
            timestamp,
            key: None,
            value: None,
            headers: Arc::new([]),
        }
    }

    /// The client would put the present in the place of 0.
    #[test]
    fn a_time_is_sent_again_as_near_as_the_client_can() {
        for (time, sent) in [(1_700_000_000_123, 1_700_000_000_123), (1, 1), (0, 1)] {
            let sent = UNIX_EPOCH + Duration::from_millis(sent);
            let record = format!("{:?}", of(Some(time)).to_record());
            assert!(
                record.contains(&format!("timestamp: {:?}", Some(sent))),
                "{record}"
            );
        }
        let record = format!("{:?}", of(None).to_record());
        assert!(record.contains("timestamp: None"), "{record}");
    }
}
