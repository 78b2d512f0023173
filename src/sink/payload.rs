//! A write in its wire form, and the request bodies made of it.
//!
//! ```text
//! Plain        {"PutRequest":{"Item":<data>}}      25 of them in one BatchWriteItem
//! Single       {"TableName":…,"Item":<data>,<expressions>,…}       PutItem, UpdateItem, DeleteItem
//! Transaction  {"TransactItems":[{"Put":{…}},…],"ClientRequestToken":…}   TransactWriteItems
//! ```
//!
//! `<data>` is the record's DynamoDB JSON as it was encoded at submit; nothing here parses it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::outcome::WriteKind;
use super::record::{WritePart, WriteRecord};
use crate::transport::Operation;

/// The time for which the service remembers a `ClientRequestToken` (`API_TransactWriteItems`: 10
/// minutes after the first request that used it finished). Counted from the first sending, so never
/// too long.
pub(crate) const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

const PUT_OPEN: &[u8] = br#"{"PutRequest":{"Item":"#;
const DELETE_OPEN: &[u8] = br#"{"DeleteRequest":{"Key":"#;
const CLOSE: &[u8] = b"}}";

/// An operation: its item or key, and the members that hold its expressions.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) kind: WriteKind,
    /// The item of a put, the key of all else, as DynamoDB JSON.
    pub(crate) data: Bytes,
    /// `"ConditionExpression":"…","ExpressionAttributeValues":{…}`, without braces; may be empty.
    pub(crate) expressions: Bytes,
    /// Set if it has a condition.
    pub(crate) conditional: bool,
}

impl Part {
    fn to_record(&self) -> WritePart {
        WritePart::new(self.kind, self.data.clone(), self.expressions.clone())
    }

    fn len(&self) -> usize {
        self.data.len() + self.expressions.len()
    }

    /// Returns the values among a part's expressions, as JSON.
    ///
    /// They are the last member as they are made here, and no expression before them can hold the
    /// text that is looked for: the quotes in it would be escaped.
    pub(crate) fn values_of(expressions: &[u8]) -> Option<&[u8]> {
        const MEMBER: &[u8] = br#""ExpressionAttributeValues":"#;
        let start = expressions
            .windows(MEMBER.len())
            .position(|window| window == MEMBER)?;
        expressions.get(start + MEMBER.len()..)
    }
}

/// The request that a write makes of the service.
#[derive(Clone)]
pub(crate) enum Payload {
    /// A put or delete without conditions: rides in batches, may be sent any number of times.
    Plain { delete: bool, data: Bytes },
    /// A single call.
    Single {
        part: Box<Part>,
        /// Set if applying it twice is the same as applying it once.
        idempotent: bool,
    },
    /// All or nothing, under one token over all retries.
    Transaction { parts: Vec<Part>, token: Arc<str> },
}

impl Payload {
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain { .. })
    }

    /// Returns the operation that carries it out.
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Plain { .. } => Operation::BatchWriteItem,
            Self::Single { part, .. } => match part.kind {
                WriteKind::Put => Operation::PutItem,
                WriteKind::Delete => Operation::DeleteItem,
                WriteKind::Update => Operation::UpdateItem,
                // Only within a transaction.
                WriteKind::Check => Operation::TransactWriteItems,
            },
            Self::Transaction { .. } => Operation::TransactWriteItems,
        }
    }

    /// Returns the bytes held in memory while the write is queued.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Plain { data, .. } => data.len(),
            Self::Single { part, .. } => part.len(),
            Self::Transaction { parts, .. } => parts.iter().map(Part::len).sum(),
        }
    }

    /// Returns the bytes in a batch's body, its comma included.
    pub(crate) fn batch_len(&self) -> usize {
        match self {
            Self::Plain {
                delete: false,
                data,
            } => PUT_OPEN.len() + data.len() + CLOSE.len() + 1,
            Self::Plain { delete: true, data } => DELETE_OPEN.len() + data.len() + CLOSE.len() + 1,
            Self::Single { .. } | Self::Transaction { .. } => self.len(),
        }
    }

    /// Returns the write as callers see it, after this many attempts.
    pub(crate) fn to_record(&self, table: &Arc<str>, attempts: u32) -> WriteRecord {
        let payload = match self {
            // Data may be a slice of a batch's body: a copy lets that body go.
            Self::Plain { delete, data } => Self::Plain {
                delete: *delete,
                data: Bytes::copy_from_slice(data),
            },
            Self::Single { .. } | Self::Transaction { .. } => self.clone(),
        };
        WriteRecord::new(Arc::clone(table), payload, attempts)
    }

    /// Returns the operations as callers see them.
    pub(super) fn record_parts(&self) -> Vec<WritePart> {
        match self {
            Self::Plain { delete, data } => {
                let kind = if *delete {
                    WriteKind::Delete
                } else {
                    WriteKind::Put
                };
                vec![WritePart::new(kind, data.clone(), Bytes::new())]
            }
            Self::Single { part, .. } => vec![part.to_record()],
            Self::Transaction { parts, .. } => parts.iter().map(Part::to_record).collect(),
        }
    }
}

/// Sizes only: contents never reach a log.
impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("kind", &self.kind)
            .field("bytes", &self.len())
            .finish_non_exhaustive()
    }
}

/// Sizes only: contents never reach a log.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Plain { delete: false, .. } => "Put",
            Self::Plain { delete: true, .. } => "Delete",
            Self::Single { .. } => "Single",
            Self::Transaction { .. } => "Transaction",
        };
        f.debug_struct(name)
            .field("bytes", &self.len())
            .finish_non_exhaustive()
    }
}

/// The maker of the bodies of one table's requests.
#[derive(Debug)]
pub(crate) struct Bodies {
    /// `"name"`, quoted and escaped.
    table: Vec<u8>,
    /// The last member of each body and its closing brace.
    end: &'static [u8],
}

impl Bodies {
    /// Returns the bodies of a table. `consumed_capacity` lets them ask for the units that they
    /// consume.
    pub(crate) fn new(table: &str, consumed_capacity: bool) -> Self {
        Self {
            table: serde_json::Value::from(table).to_string().into_bytes(),
            end: Self::end(consumed_capacity),
        }
    }

    /// Returns the bytes of a batch's body beside its writes.
    pub(crate) fn batch_overhead(&self) -> usize {
        Self::BATCH_OPEN.len() + self.table.len() + 2 + Self::BATCH_CLOSE.len() + self.end.len()
    }

    const BATCH_OPEN: &[u8] = br#"{"RequestItems":{"#;
    const BATCH_CLOSE: &[u8] = b"]}";

    /// Begins a `BatchWriteItem` body.
    pub(crate) fn open_batch(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(Self::BATCH_OPEN);
        body.extend_from_slice(&self.table);
        body.extend_from_slice(b":[");
    }

    /// Moves a plain write into the body. Returns the range of its data there, or `None` for a write
    /// that does not go in batches.
    pub(crate) fn add_to_batch(body: &mut Vec<u8>, payload: &mut Payload) -> Option<Range<usize>> {
        let Payload::Plain { delete, data } = payload else {
            return None;
        };
        if body.last() == Some(&b'}') {
            body.push(b',');
        }
        body.extend_from_slice(if *delete { DELETE_OPEN } else { PUT_OPEN });
        let start = body.len();
        body.extend_from_slice(data);
        let range = start..body.len();
        body.extend_from_slice(CLOSE);
        *data = Bytes::new();
        Some(range)
    }

    /// Ends a `BatchWriteItem` body.
    pub(crate) fn close_batch(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(Self::BATCH_CLOSE);
        body.extend_from_slice(self.end);
    }

    /// Sets whether bodies ask for the units that they consume, from now on.
    pub(crate) fn ask_consumed(&mut self, ask: bool) {
        self.end = Self::end(ask);
    }

    /// Returns whether bodies ask for the units that they consume.
    pub(crate) fn asks_consumed(&self) -> bool {
        self.end == Self::end(true)
    }

    fn end(ask: bool) -> &'static [u8] {
        if ask {
            br#","ReturnConsumedCapacity":"INDEXES"}"#
        } else {
            b"}"
        }
    }

    /// Returns the body of a call that is not a batch.
    pub(crate) fn call(&self, payload: &Payload) -> Option<Bytes> {
        let mut body = Vec::with_capacity(payload.len() + self.table.len() + 160);
        match payload {
            Payload::Plain { .. } => return None,
            Payload::Single { part, .. } => {
                self.part(part, &mut body);
                body.pop();
                body.extend_from_slice(self.end);
            }
            Payload::Transaction { parts, token } => {
                body.extend_from_slice(br#"{"TransactItems":["#);
                for (n, part) in parts.iter().enumerate() {
                    if n > 0 {
                        body.push(b',');
                    }
                    body.extend_from_slice(match part.kind {
                        WriteKind::Put => br#"{"Put":"#,
                        WriteKind::Delete => br#"{"Delete":"#,
                        WriteKind::Update => br#"{"Update":"#,
                        WriteKind::Check => br#"{"ConditionCheck":"#,
                    });
                    self.part(part, &mut body);
                    body.push(b'}');
                }
                body.extend_from_slice(br#"],"ClientRequestToken":""#);
                body.extend_from_slice(token.as_bytes());
                body.push(b'"');
                body.extend_from_slice(self.end);
            }
        }
        Some(Bytes::from(body))
    }

    fn part(&self, part: &Part, body: &mut Vec<u8>) {
        body.extend_from_slice(br#"{"TableName":"#);
        body.extend_from_slice(&self.table);
        body.extend_from_slice(match part.kind {
            WriteKind::Put => br#","Item":"#,
            WriteKind::Delete | WriteKind::Update | WriteKind::Check => br#","Key":"#,
        });
        body.extend_from_slice(&part.data);
        if !part.expressions.is_empty() {
            body.push(b',');
            body.extend_from_slice(&part.expressions);
        }
        if part.conditional {
            body.extend_from_slice(br#","ReturnValuesOnConditionCheckFailure":"ALL_OLD""#);
        }
        body.push(b'}');
    }
}
