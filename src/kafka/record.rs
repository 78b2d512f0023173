//! Records for a topic, and serializers that make them of values.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// A header of a record. Names may repeat; their order is kept.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Header {
    /// The name.
    pub name: Arc<str>,
    /// The value. None and an empty one are not the same.
    pub value: Option<Bytes>,
}

impl Header {
    /// Returns a header of this name.
    pub fn new(name: impl Into<Arc<str>>, value: Option<Bytes>) -> Self {
        Self {
            name: name.into(),
            value,
        }
    }

    fn size(&self) -> usize {
        self.name.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("name", &self.name)
            .field("value_bytes", &self.value.as_ref().map(Bytes::len))
            .finish()
    }
}

/// A record on its way to a topic. Cheap to clone: its parts are shared. `Debug` shows sizes, not contents.
#[derive(Clone, PartialEq, Eq)]
pub struct ProducerRecord {
    pub(super) topic: Arc<str>,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<Header>,
    pub(super) partition: Option<i32>,
    pub(super) timestamp: Option<SystemTime>,
}

impl ProducerRecord {
    /// Returns a record with this value. A topic given as `Arc<str>` costs no allocation.
    pub fn new(topic: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::tombstone(topic)
        }
    }

    #[cfg(all(test, feature = "pipeline"))]
    pub(crate) fn value_for_tests(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// Returns a record without a value: in a compacted topic, the deletion of its key.
    pub fn tombstone(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            key: None,
            value: None,
            headers: Vec::new(),
            partition: None,
            timestamp: None,
        }
    }

    /// Sets the key, which decides the partition and, in a compacted topic, what replaces what. None by default.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header::new(name, Some(value.into())));
        self
    }

    /// Adds a header without a value.
    #[must_use]
    pub fn header_without_value(mut self, name: impl Into<Arc<str>>) -> Self {
        self.headers.push(Header::new(name, None));
        self
    }

    /// Sends it to this partition, whatever its key. By default the [partitioner](super::KafkaSinkSettings::partitioner) decides.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets its time, which Kafka keeps in milliseconds. By default the time at which it is sent.
    #[must_use]
    pub fn timestamp(mut self, timestamp: SystemTime) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns its share of the buffer, in bytes: key, value and headers.
    pub fn size_bytes(&self) -> usize {
        let body =
            self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len);
        body + self.headers.iter().map(Header::size).sum::<usize>()
    }

    /// Its time in milliseconds, as the protocol wants it; `Err` where it is before 1970 or past what 63 bits hold.
    pub(super) fn millis(&self) -> Result<Option<i64>, ()> {
        let Some(timestamp) = self.timestamp else {
            return Ok(None);
        };
        let since = timestamp.duration_since(UNIX_EPOCH).map_err(|_| ())?;
        i64::try_from(since.as_millis()).map(Some).map_err(|_| ())
    }
}

impl fmt::Debug for ProducerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerRecord")
            .field("topic", &self.topic)
            .field("key_bytes", &self.key.as_ref().map(Bytes::len))
            .field("value_bytes", &self.value.as_ref().map(Bytes::len))
            .field("headers", &self.headers.len())
            .field("partition", &self.partition)
            .field("timestamp", &self.timestamp)
            .finish()
    }
}

/// Makes a record of a value, or skips it.
///
/// Any `FnMut(&T) -> Result<Option<ProducerRecord>, E>` is one.
pub trait Serializer<T: ?Sized> {
    /// The record for this value; `None` where it is to be left out, which is no failure.
    ///
    /// # Errors
    /// Why it makes no record; the sink gives it on as [`KafkaError::Serialize`](super::KafkaError::Serialize).
    fn serialize(
        &mut self,
        value: &T,
    ) -> Result<Option<ProducerRecord>, Box<dyn Error + Send + Sync>>;
}

impl<T: ?Sized, F, E> Serializer<T> for F
where
    F: FnMut(&T) -> Result<Option<ProducerRecord>, E>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn serialize(
        &mut self,
        value: &T,
    ) -> Result<Option<ProducerRecord>, Box<dyn Error + Send + Sync>> {
        self(value).map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_record_shows_sizes_and_never_contents() {
        let record = ProducerRecord::new("events", "secret-value")
            .key("secret-key")
            .header("name", "secret-header");
        let shown = format!("{record:?} {:?}", record.headers);
        assert!(!shown.contains("secret"), "{shown}");
        assert_eq!(record.size_bytes(), 12 + 10 + 4 + 13);
    }

    #[test]
    fn a_time_before_1970_is_refused_and_others_are_in_milliseconds() {
        let at = |time| ProducerRecord::tombstone("t").timestamp(time).millis();
        assert_eq!(at(UNIX_EPOCH + Duration::from_micros(7_500)), Ok(Some(7)));
        assert_eq!(at(UNIX_EPOCH - Duration::from_secs(1)), Err(()));
        assert_eq!(ProducerRecord::tombstone("t").millis(), Ok(None));
    }
}
