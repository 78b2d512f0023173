//! A change of an item, as read from the stream.

use super::SequenceNumber;
use crate::error::ErrorKind;
use crate::item::{DecodeError, attributes, decode_item};
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// The name of a shard.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(Arc<str>);

impl ShardId {
    /// Creates the ID of the shard of this name, such as `shardId-00000001700000000000-abcdef01`.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// Returns the name, shared.
    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ShardId {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for ShardId {
    fn from(name: String) -> Self {
        Self(Arc::from(name))
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The event that a record reports of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// The item was added.
    Insert,
    /// The item was changed.
    Modify,
    /// The item was removed.
    Remove,
    /// The item was there when the table was scanned, for [`StartPosition::Snapshot`](super::StartPosition::Snapshot)
    /// or [`GapPolicy::Rescan`](crate::GapPolicy::Rescan). It is not a change, and comes from no shard.
    Snapshot,
}

/// The answer that holds the records, shared by all of them.
pub(super) struct Shared {
    pub(super) shard: ShardId,
    pub(super) body: Bytes,
}

/// A change of an item.
///
/// Cheap to clone: clones share the page of records that they came in, which is kept for as long as
/// any record of it is. Images are decoded on request. `Debug` shows sizes and no contents.
#[derive(Clone)]
pub struct Record {
    pub(super) page: Arc<Shared>,
    pub(super) kind: EventKind,
    pub(super) ttl_delete: bool,
    pub(super) sequence_number: Option<SequenceNumber>,
    pub(super) created: SystemTime,
    pub(super) size: u64,
    pub(super) keys: Range<usize>,
    pub(super) new_image: Option<Range<usize>>,
    pub(super) old_image: Option<Range<usize>>,
}

/// The parts of a record that was written down.
pub(crate) struct RecordParts<'a> {
    pub(crate) shard: ShardId,
    pub(crate) kind: EventKind,
    pub(crate) ttl_delete: bool,
    pub(crate) sequence_number: Option<SequenceNumber>,
    pub(crate) created: SystemTime,
    pub(crate) size: u64,
    /// Items in DynamoDB's JSON.
    pub(crate) keys: &'a str,
    pub(crate) new_image: Option<&'a str>,
    pub(crate) old_image: Option<&'a str>,
}

impl Record {
    /// Returns a record that was written down, with a page of its own.
    pub(crate) fn from_parts(parts: RecordParts<'_>) -> Self {
        let mut body = String::new();
        let mut add = |json: &str| {
            let start = body.len();
            body.push_str(json);
            start..body.len()
        };
        let keys = add(parts.keys);
        let new_image = parts.new_image.map(&mut add);
        let old_image = parts.old_image.map(&mut add);
        Self {
            page: Arc::new(Shared {
                shard: parts.shard,
                body: body.into(),
            }),
            kind: parts.kind,
            ttl_delete: parts.ttl_delete,
            sequence_number: parts.sequence_number,
            created: parts.created,
            size: parts.size,
            keys,
            new_image,
            old_image,
        }
    }

    /// Returns the event.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// Returns the position in the shard; `None` for an item of a snapshot, which has none.
    pub fn sequence_number(&self) -> Option<&SequenceNumber> {
        self.sequence_number.as_ref()
    }

    /// Returns the shard from which the record was read; `snapshot` for an item of a snapshot.
    pub fn shard_id(&self) -> &ShardId {
        &self.page.shard
    }

    /// Returns the time of the change by the service's clock, which DynamoDB rounds to the second.
    /// For an item of a snapshot, it is the time at which the scan that shows it was sent, by this
    /// machine's clock.
    pub fn approximate_creation_time(&self) -> SystemTime {
        self.created
    }

    /// Returns whether the item was removed because its time to live expired, not by a request.
    pub fn is_ttl_delete(&self) -> bool {
        self.ttl_delete
    }

    /// Returns the size of the change in bytes, as given by the service: keys and images as stored.
    /// If a server leaves it out, and for an item of a snapshot, it is the length of the JSON.
    pub fn size_bytes(&self) -> u64 {
        self.size
    }

    /// Returns the item's primary key, decoded into `K`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the key does not fit the type.
    pub fn keys<'a, K: Deserialize<'a>>(&'a self) -> Result<K, DecodeError> {
        decode_item(self.keys_json())
    }

    /// Returns the item after the change, decoded into `T`; `None` for a removal, or if the
    /// stream's view leaves it out.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the item does not fit the type.
    pub fn new_image<'a, T: Deserialize<'a>>(&'a self) -> Result<Option<T>, DecodeError> {
        self.new_image_json().map(decode_item).transpose()
    }

    /// Returns the item before the change, decoded into `T`; `None` for an insert, or if the
    /// stream's view leaves it out.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the item does not fit the type.
    pub fn old_image<'a, T: Deserialize<'a>>(&'a self) -> Result<Option<T>, DecodeError> {
        self.old_image_json().map(decode_item).transpose()
    }

    /// Returns the item's primary key in the SDK's form.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it is not an item in DynamoDB's JSON.
    pub fn keys_attributes(&self) -> Result<HashMap<String, AttributeValue>, DecodeError> {
        attributes(self.keys_json())
    }

    /// Returns the item after the change in the SDK's form; see [`new_image`](Self::new_image).
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it is not an item in DynamoDB's JSON.
    pub fn new_image_attributes(
        &self,
    ) -> Result<Option<HashMap<String, AttributeValue>>, DecodeError> {
        self.new_image_json().map(attributes).transpose()
    }

    /// Returns the item before the change in the SDK's form; see [`old_image`](Self::old_image).
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it is not an item in DynamoDB's JSON.
    pub fn old_image_attributes(
        &self,
    ) -> Result<Option<HashMap<String, AttributeValue>>, DecodeError> {
        self.old_image_json().map(attributes).transpose()
    }

    /// Returns the item's primary key in DynamoDB's JSON, such as `{"pk":{"S":"a"}}`.
    pub fn keys_json(&self) -> &[u8] {
        self.part(&self.keys)
    }

    /// Returns the item after the change in DynamoDB's JSON; see [`new_image`](Self::new_image).
    pub fn new_image_json(&self) -> Option<&[u8]> {
        self.new_image.as_ref().map(|image| self.part(image))
    }

    /// Returns the item before the change in DynamoDB's JSON; see [`old_image`](Self::old_image).
    pub fn old_image_json(&self) -> Option<&[u8]> {
        self.old_image.as_ref().map(|image| self.part(image))
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.page.body.get(range.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("kind", &self.kind)
            .field("shard_id", self.shard_id())
            .field("sequence_number", &self.sequence_number)
            .field("ttl_delete", &self.ttl_delete)
            .field("size_bytes", &self.size)
            .field("keys_json_bytes", &self.keys.len())
            .field(
                "new_image_json_bytes",
                &self.new_image.as_ref().map(Range::len),
            )
            .field(
                "old_image_json_bytes",
                &self.old_image.as_ref().map(Range::len),
            )
            .finish_non_exhaustive()
    }
}

/// A record that can't be handed out, with the reason.
///
/// `Debug` and `Display` show no contents.
#[derive(Clone)]
pub struct MalformedRecord {
    pub(super) page: Arc<Shared>,
    pub(super) sequence_number: Option<SequenceNumber>,
    pub(super) problem: &'static str,
    pub(super) json: Range<usize>,
}

impl MalformedRecord {
    /// Returns the position in the shard, if the record states it: a checkpoint may pass it.
    pub fn sequence_number(&self) -> Option<&SequenceNumber> {
        self.sequence_number.as_ref()
    }

    /// Returns the shard from which the record was read.
    pub fn shard_id(&self) -> &ShardId {
        &self.page.shard
    }

    /// Returns [`ErrorKind::Invalid`].
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// Returns `false`: the record stays as it is.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// Returns the defect of the record.
    pub fn problem(&self) -> &'static str {
        self.problem
    }

    /// Returns the whole record, as the service sent it.
    pub fn json(&self) -> &[u8] {
        self.page.body.get(self.json.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for MalformedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MalformedRecord")
            .field("shard_id", self.shard_id())
            .field("sequence_number", &self.sequence_number)
            .field("problem", &self.problem)
            .field("json_bytes", &self.json.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for MalformedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed record in {}", self.shard_id())?;
        if let Some(number) = &self.sequence_number {
            write!(f, " at {number}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for MalformedRecord {}
