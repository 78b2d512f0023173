//! A table's change as dead letters hold it.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::record::RecordParts;
use super::{EventKind, Record, SequenceNumber, ShardId};
use crate::letter::{self, DeadLetterFormatError, Opened};

/// A table's change as the service sent it, for dead letters: it is written into a letter, read
/// back, and given to a pipeline again.
///
/// ```
/// # async fn example(source: dynamodb_connector::streams::StreamsSource) -> std::io::Result<()> {
/// # #[derive(serde::Deserialize)] struct Decision { id: String }
/// use dynamodb_connector::pipeline::{LetterFile, Pipeline};
/// use dynamodb_connector::test_util::CollectSink;
/// use dynamodb_connector::streams::{Change, RawChange};
///
/// let job = Pipeline::from(source.into_stream())
///     .try_map(Change::<Decision>::read)
///     .dead_letter_with(RawChange::of, LetterFile::open("letters.jsonl")?)
///     .to(CollectSink::new());
/// # let _ = job;
/// # Ok(())
/// # }
/// # fn again(line: &str) -> Result<(), Box<dyn std::error::Error>> {
/// # use dynamodb_connector::pipeline::{DeadLetter, Pipeline};
/// # use dynamodb_connector::streams::RawChange;
/// # use dynamodb_connector::test_util::IterSource;
/// // Later, with the cause gone:
/// let letter = DeadLetter::<RawChange>::from_json_line(line)?;
/// let again = Pipeline::from(IterSource::new([letter.record.into_record()]));
/// # let _ = again;
/// # Ok(())
/// # }
/// ```
///
/// In JSON, the keys and images are items in DynamoDB's JSON; the time is in milliseconds since
/// 1970. Cheap to clone: clones share the page that the change came in.
#[derive(Clone, Debug)]
pub struct RawChange(Record);

impl RawChange {
    /// Returns the change's contents, shared with it.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self(record.clone())
    }

    /// Reads the change of a line that [`FailedChange::to_json_line`](super::FailedChange::to_json_line)
    /// of this or an older version of the crate wrote. Members that this version doesn't know are ignored.
    ///
    /// # Errors
    ///
    /// [`DeadLetterFormatError::Version`] for a later version, [`DeadLetterFormatError::Malformed`]
    /// if the line is no such letter, or its record could not be read when it was given up.
    pub fn from_dead_letter(line: &str) -> Result<Self, DeadLetterFormatError> {
        let opened: Opened<Sender<'_>, &RawValue> = letter::read(line)?;
        if opened.from.source != SOURCE {
            let what = "another part of the program gave it up";
            return Err(DeadLetterFormatError::malformed(what));
        }
        serde_json::from_str(opened.record.get())
            .map_err(|_| DeadLetterFormatError::malformed("its record is no change that can be read"))
    }

    /// Returns the change.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.0
    }

    /// Returns the change, to be handled again.
    #[must_use]
    pub fn into_record(self) -> Record {
        self.0
    }
}

/// The member `source` of a letter from a table's stream.
pub(super) const SOURCE: &str = "dynamodb-streams";

/// A letter's member `from`.
#[derive(Serialize, Deserialize)]
pub(super) struct Sender<'a> {
    #[serde(borrow)]
    pub(super) source: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) shard: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    kind: Kind,
    shard: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
    created: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ttl_delete: bool,
    size: u64,
    keys: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old: Option<Box<RawValue>>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Insert,
    Modify,
    Remove,
    Snapshot,
}

/// Returns an item's JSON on one line: a line break in it can only stand between two tokens.
pub(super) fn raw(json: &[u8]) -> Result<Box<RawValue>, serde_json::Error> {
    let text =
        std::str::from_utf8(json).map_err(<serde_json::Error as serde::ser::Error>::custom)?;
    RawValue::from_string(text.replace(['\n', '\r'], " "))
}

impl Serialize for RawChange {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let record = &self.0;
        let created = record
            .approximate_creation_time()
            .duration_since(UNIX_EPOCH);
        let created = created.unwrap_or_default().as_millis();
        let image =
            |json: Option<&[u8]>| json.map(raw).transpose().map_err(serde::ser::Error::custom);
        let line = Line {
            kind: match record.kind() {
                EventKind::Insert => Kind::Insert,
                EventKind::Modify => Kind::Modify,
                EventKind::Remove => Kind::Remove,
                EventKind::Snapshot => Kind::Snapshot,
            },
            shard: record.shard_id().as_str().to_owned(),
            sequence_number: record.sequence_number().map(ToString::to_string),
            created: u64::try_from(created).unwrap_or(u64::MAX),
            ttl_delete: record.is_ttl_delete(),
            size: record.size_bytes(),
            keys: raw(record.keys_json()).map_err(serde::ser::Error::custom)?,
            new: image(record.new_image_json())?,
            old: image(record.old_image_json())?,
        };
        line.serialize(to)
    }
}

impl<'de> Deserialize<'de> for RawChange {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let line = Line::deserialize(from)?;
        let sequence_number: Option<SequenceNumber> = line
            .sequence_number
            .map(|number| number.parse())
            .transpose()
            .map_err(serde::de::Error::custom)?;
        let created = UNIX_EPOCH.checked_add(Duration::from_millis(line.created));
        let record = Record::from_parts(RecordParts {
            shard: ShardId::from(line.shard),
            kind: match line.kind {
                Kind::Insert => EventKind::Insert,
                Kind::Modify => EventKind::Modify,
                Kind::Remove => EventKind::Remove,
                Kind::Snapshot => EventKind::Snapshot,
            },
            ttl_delete: line.ttl_delete,
            sequence_number,
            created: created.ok_or_else(|| serde::de::Error::custom("the time is out of range"))?,
            size: line.size,
            keys: line.keys.get(),
            new_image: line.new.as_ref().map(|json| json.get()),
            old_image: line.old.as_ref().map(|json| json.get()),
        });
        Ok(Self(record))
    }
}
