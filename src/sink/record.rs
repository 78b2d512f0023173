//! A write as callers get it back.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::outcome::WriteKind;
use super::payload::Payload;
use crate::item::Item;

/// A write that is handed back or dead-lettered: its table and its operations.
///
/// Cheap to clone. `Debug` and `Display` show the table, the kind and the size, never contents.
#[derive(Clone)]
pub struct WriteRecord {
    inner: Arc<RecordInner>,
}

struct RecordInner {
    table: Arc<str>,
    content: Content,
    /// The payload's, as callers see them.
    parts: Vec<WritePart>,
    attempts: u32,
}

/// The content of a [`WriteRecord`].
enum Content {
    Write(Payload),
    /// A row that could not be made an item, as plain JSON; `None` where it has no form in JSON.
    Row(Option<Bytes>),
}

/// An operation of a [`WriteRecord`]; a transaction has several.
#[derive(Clone)]
pub struct WritePart {
    kind: WriteKind,
    item: Item,
    expressions: Bytes,
}

impl WritePart {
    pub(crate) fn new(kind: WriteKind, data: Bytes, expressions: Bytes) -> Self {
        Self {
            kind,
            item: Item::from_json(data),
            expressions,
        }
    }

    /// Returns the kind of the operation.
    #[must_use]
    pub fn kind(&self) -> WriteKind {
        self.kind
    }

    /// Returns the whole item of a put, or the key of a delete, an update or a check.
    #[must_use]
    pub fn item(&self) -> &Item {
        &self.item
    }

    /// Returns the members of the request that hold expressions, names and values, as the text of a
    /// JSON object, e.g. `{"ConditionExpression":"attribute_not_exists(pk)"}`; `{}` where there are
    /// none.
    #[must_use]
    pub fn expressions(&self) -> String {
        format!("{{{}}}", String::from_utf8_lossy(&self.expressions))
    }
}

impl fmt::Debug for WritePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WritePart")
            .field("kind", &self.kind)
            .field("item", &self.item)
            .field("expression_bytes", &self.expressions.len())
            .finish()
    }
}

impl WriteRecord {
    pub(super) fn new(table: Arc<str>, payload: Payload, attempts: u32) -> Self {
        let parts = payload.record_parts();
        let content = Content::Write(payload);
        Self {
            inner: Arc::new(RecordInner {
                table,
                content,
                parts,
                attempts,
            }),
        }
    }

    /// Returns the record of a row that could not be made an item, as plain JSON if it has a form
    /// there.
    pub(super) fn of_row(table: Arc<str>, row: Option<Bytes>) -> Self {
        Self {
            inner: Arc::new(RecordInner {
                table,
                content: Content::Row(row),
                parts: Vec::new(),
                attempts: 0,
            }),
        }
    }

    /// Returns the write in its wire form; `None` for a row that could not be made an item.
    pub(super) fn payload(&self) -> Option<&Payload> {
        match &self.inner.content {
            Content::Write(payload) => Some(payload),
            Content::Row(_) => None,
        }
    }

    /// Returns the row as plain JSON where it could not be made an item
    /// ([`RejectReason::Invalid`](super::RejectReason::Invalid)), so that there are no
    /// [`parts`](Self::parts); `None` for every other record, and for a row that has no form in
    /// JSON.
    #[must_use]
    pub fn row(&self) -> Option<&[u8]> {
        match &self.inner.content {
            Content::Write(_) => None,
            Content::Row(row) => row.as_deref(),
        }
    }

    /// Returns the number of requests that carried it, those included that were refused because
    /// capacity ran out.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.inner.attempts
    }

    /// Returns the table's name.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.inner.table
    }

    /// Returns the operations: one, or several for a transaction.
    #[must_use]
    pub fn parts(&self) -> &[WritePart] {
        &self.inner.parts
    }

    /// Returns the kind of the first operation.
    #[must_use]
    pub fn kind(&self) -> WriteKind {
        self.inner
            .parts
            .first()
            .map_or(WriteKind::Put, WritePart::kind)
    }

    /// Returns the item (or key) of the first operation; with a single put, the record as it was
    /// given.
    #[must_use]
    pub fn item(&self) -> Option<&Item> {
        self.inner.parts.first().map(WritePart::item)
    }

    pub(super) fn bytes(&self) -> usize {
        let parts = self.inner.parts.iter();
        let items: usize = parts.map(|part| part.item.as_json().len()).sum();
        items + self.row().map_or(0, <[u8]>::len)
    }
}

impl fmt::Debug for WriteRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteRecord")
            .field("table", &self.inner.table)
            .field("kind", &self.kind())
            .field("parts", &self.inner.parts.len())
            .field("bytes", &self.bytes())
            .finish()
    }
}

impl fmt::Display for WriteRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.inner.parts.len() > 1 {
            "transaction"
        } else {
            self.kind().as_str()
        };
        write!(
            f,
            "{kind} of {} bytes to table {:?}",
            self.bytes(),
            self.inner.table
        )
    }
}
