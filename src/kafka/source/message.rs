//! The messages that a source hands out.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Headers as _};

use super::super::record::Header;
use crate::progress::Ack;

/// A topic and a partition.
pub(super) type Key = (Arc<str>, i32);

/// A record of a topic, with the duty to say when its effects are durable. `Debug` shows sizes, not contents.
#[non_exhaustive]
pub struct Message {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset within the partition.
    pub offset: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; none in a tombstone.
    pub payload: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// Its time, of creation or of being appended as the topic is set. `None` for a time before 1970.
    pub timestamp: Option<SystemTime>,
    /// To say that it is done. Dropped without, the partition goes back to it.
    pub ack: Ack,
}

impl Message {
    pub(super) fn of(native: &BorrowedMessage<'_>, topic: Arc<str>, ack: Ack) -> Self {
        let headers = native.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|header| Header::new(header.key, header.value.map(Bytes::copy_from_slice)))
                .collect()
        });
        let timestamp = native
            .timestamp()
            .to_millis()
            .and_then(|millis| u64::try_from(millis).ok())
            .and_then(|millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis)));
        Self {
            topic,
            partition: native.partition(),
            offset: native.offset(),
            key: native.key().map(Bytes::copy_from_slice),
            payload: native.payload().map(Bytes::copy_from_slice),
            headers,
            timestamp,
            ack,
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .field("key_bytes", &self.key.as_ref().map(Bytes::len))
            .field("payload_bytes", &self.payload.as_ref().map(Bytes::len))
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}
