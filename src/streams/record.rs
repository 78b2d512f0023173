//! A change of an item, as the stream tells it.

use super::SequenceNumber;
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
    /// A shard of this name, such as `shardId-00000001700000000000-abcdef01`.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name, to be kept by others too.
    #[cfg(feature = "pipeline")]
    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The name.
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

/// What happened to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// It is new.
    Insert,
    /// It was there and is another now.
    Modify,
    /// It is gone.
    Remove,
    /// It was there when the table was scanned, for [`StartPosition::Snapshot`](super::StartPosition::Snapshot) or
    /// [`GapPolicy::Rescan`](super::GapPolicy::Rescan): no change, and from no shard.
    Snapshot,
}

/// The answer that records came in, shared by all of them.
pub(super) struct Shared {
    pub(super) shard: ShardId,
    pub(super) body: Bytes,
}

/// A change of an item.
///
/// Cheap to clone: clones share the page of records that they came in, which is kept for as long as any record of it is.
/// Images are read when they are asked for. `Debug` shows sizes and nothing of the contents.
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

impl Record {
    /// What happened.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// Where it stands in its shard; `None` of an item of a snapshot, which stands in none.
    pub fn sequence_number(&self) -> Option<&SequenceNumber> {
        self.sequence_number.as_ref()
    }

    /// The shard that it was read from; of an item of a snapshot `snapshot`.
    pub fn shard_id(&self) -> &ShardId {
        &self.page.shard
    }

    /// When it happened, by the service's clock; DynamoDB rounds it to the second. Of an item of a snapshot, when the scan was
    /// sent that shows it, by this machine's clock.
    pub fn approximate_creation_time(&self) -> SystemTime {
        self.created
    }

    /// Whether the item is gone because its time to live was over, and nobody deleted it.
    pub fn is_ttl_delete(&self) -> bool {
        self.ttl_delete
    }

    /// The size that the service gives for the change, in bytes: keys and images as stored. Where a server leaves it
    /// out, and of an item of a snapshot, the length of the JSON.
    pub fn size_bytes(&self) -> u64 {
        self.size
    }

    /// The item's primary key, as a type of yours.
    ///
    /// # Errors
    ///
    /// Where the key does not fit the type.
    pub fn keys<'a, K: Deserialize<'a>>(&'a self) -> Result<K, DecodeError> {
        decode_item(self.keys_json())
    }

    /// The item after the change, as a type of yours. `None` of a removal, and where the stream's view leaves it out.
    ///
    /// # Errors
    ///
    /// Where the item does not fit the type.
    pub fn new_image<'a, T: Deserialize<'a>>(&'a self) -> Result<Option<T>, DecodeError> {
        self.new_image_json().map(decode_item).transpose()
    }

    /// The item before the change, as a type of yours. `None` of an insert, and where the stream's view leaves it out.
    ///
    /// # Errors
    ///
    /// Where the item does not fit the type.
    pub fn old_image<'a, T: Deserialize<'a>>(&'a self) -> Result<Option<T>, DecodeError> {
        self.old_image_json().map(decode_item).transpose()
    }

    /// The item's primary key in the SDK's form.
    ///
    /// # Errors
    ///
    /// Where it is no item in DynamoDB's JSON.
    pub fn keys_attributes(&self) -> Result<HashMap<String, AttributeValue>, DecodeError> {
        attributes(self.keys_json())
    }

    /// The item after the change in the SDK's form; see [`new_image`](Self::new_image).
    ///
    /// # Errors
    ///
    /// Where it is no item in DynamoDB's JSON.
    pub fn new_image_attributes(
        &self,
    ) -> Result<Option<HashMap<String, AttributeValue>>, DecodeError> {
        self.new_image_json().map(attributes).transpose()
    }

    /// The item before the change in the SDK's form; see [`old_image`](Self::old_image).
    ///
    /// # Errors
    ///
    /// Where it is no item in DynamoDB's JSON.
    pub fn old_image_attributes(
        &self,
    ) -> Result<Option<HashMap<String, AttributeValue>>, DecodeError> {
        self.old_image_json().map(attributes).transpose()
    }

    /// The item's primary key in DynamoDB's JSON, such as `{"pk":{"S":"a"}}`.
    pub fn keys_json(&self) -> &[u8] {
        self.part(&self.keys)
    }

    /// The item after the change in DynamoDB's JSON; see [`new_image`](Self::new_image).
    pub fn new_image_json(&self) -> Option<&[u8]> {
        self.new_image.as_ref().map(|image| self.part(image))
    }

    /// The item before the change in DynamoDB's JSON; see [`old_image`](Self::old_image).
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

/// A record that can't be handed out, and why.
///
/// `Debug` and `Display` show nothing of the contents.
#[derive(Clone)]
pub struct MalformedRecord {
    pub(super) page: Arc<Shared>,
    pub(super) sequence_number: Option<SequenceNumber>,
    pub(super) problem: &'static str,
    pub(super) json: Range<usize>,
}

impl MalformedRecord {
    /// Where it stands in its shard, if it says so: a checkpoint may pass it.
    pub fn sequence_number(&self) -> Option<&SequenceNumber> {
        self.sequence_number.as_ref()
    }

    /// The shard that it was read from.
    pub fn shard_id(&self) -> &ShardId {
        &self.page.shard
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &'static str {
        self.problem
    }

    /// All of it, as the service sent it.
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
