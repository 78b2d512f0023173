//! The un-acknowledged writes of a sink, to be kept with a position in the input: their form, and how they are restored.

mod error;
mod format;
mod restore;

use super::core::Saved;
use super::wire::{max_object_len, write_object};
pub use error::SnapshotError;
use error::VERSION;
use format::{End, EndLine, FORMAT, Header, Lines, MAX_ESCAPED, MAX_LINE_LEN, TableLine, line};
pub use restore::Restored;
pub(super) use restore::prepare;

/// The un-acknowledged writes of one or more tables, to be kept with a position in the input.
///
/// A pipeline that reads from somewhere takes a snapshot, stores it together with its read
/// position, and after a crash restores it into a new sink and reads on from there.
///
/// Taken by [`TableSink::snapshot`](super::TableSink::snapshot) or
/// [`DynamoDbSink::snapshot`](super::DynamoDbSink::snapshot) while the sink keeps running. It shares the writes'
/// bytes with the sink, so it is cheap until it is written out.
///
/// # What holds over a crash
///
/// Take the snapshot, then look at the outcomes that have come, then store snapshot, position and
/// the outcomes that you keep as one: in a file that is renamed over the old one, or in one
/// transaction. The position is the first of the input that was not accepted when the snapshot was
/// asked for. Then, restored before anything is read on:
///
/// - **Nothing accepted is lost.** Each write had reported its outcome when the snapshot was there,
///   or is in it, or comes from the input again. A dead letter is in it until its handler has
///   returned. Failures that wait for a flush to report them, since their receipts were dropped or
///   they went through a `futures::Sink`, are not in it: with a dead-letter handler there are none.
/// - **Puts and deletes, and updates that are idempotent, are sent again**, in their old order.
///   Until they and the input have caught up, the table may show older values than before the
///   crash; under `newer_by` it never does.
/// - **Other updates, and transactions, are handed back** ([`Restored::handed_back`]) where the
///   snapshot holds them as sent, and not sent again.
/// - **Where it holds them as not yet sent, they are sent**, and those that the input brings again
///   are submitted again, although the old process may have sent either after the snapshot. So
///   each process applies such an update at most once, and several processes may apply it once
///   each. With `exactly_once` one from the snapshot keeps its token, which closes this for 10
///   minutes; one from the input gets a new token.
///
/// An update that must count once over any number of crashes carries its own proof: it keeps the
/// place in the input that it came from, and is conditional on it. Declare that it may then be
/// repeated:
///
/// ```
/// # async fn count(
/// #     table: &dynamodb_connector::sink::TableSink, key: &str, position: u64,
/// # ) -> Result<(), dynamodb_connector::sink::SubmitError> {
/// let key = serde_json::json!({"pk": key});
/// let count = table
///     .update(&key, "SET seen = :position ADD tally :one")
///     .condition("attribute_not_exists(pk) OR seen < :position")
///     .value(":position", &position)
///     .value(":one", &1);
/// let receipt = count.idempotent(true).await?;
/// # drop(receipt);
/// # Ok(())
/// # }
/// ```
///
/// # Format, version 1
///
/// Lines of JSON, UTF-8, each ended by `\n`: a header, a line for each table, followed by a line
/// for each of its writes in submission order, and an end that counts them and holds the CRC-32
/// (IEEE) of all bytes before it.
///
/// ```json
/// {"format":"dynamodb-connector/sink-snapshot","version":1}
/// {"table":"decisions","writes":2}
/// {"call":"batch","parts":[{"kind":"put","data":{"pk":{"S":"42"}}}]}
/// {"call":"single","parts":[{"kind":"update","data":{"pk":{"S":"42"}},"expressions":{"UpdateExpression":"ADD n :one","ExpressionAttributeValues":{":one":{"N":"1"}}}}],"idempotent":false,"may_have_applied":true}
/// {"end":{"writes":2,"crc32":3735928559}}
/// ```
///
/// `call` is `batch`, `single` or `transaction` (with its `token`); `kind` is `put`, `delete`,
/// `update` or `check`; `data` is the item of a put and the key of all else, in DynamoDB's JSON.
/// Absent fields are false or empty. Nothing limits a string's length but DynamoDB itself.
///
/// A version that is not known is refused, as is an unknown `call` or `kind`, and anything cut
/// short or changed. Every later version will read this one.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    tables: Vec<TableSnapshot>,
}

#[derive(Clone, Debug)]
struct TableSnapshot {
    name: String,
    writes: Vec<Saved>,
}

impl Snapshot {
    pub(super) fn of(table: &str, writes: Vec<Saved>) -> Self {
        Self {
            tables: vec![TableSnapshot {
                name: table.to_owned(),
                writes,
            }],
        }
    }

    /// Returns the number of writes that it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.writes.len()).sum()
    }

    /// Returns whether it holds none: every accepted write had its outcome.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the tables in it.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|table| table.name.as_str())
    }

    /// Adds the writes of another snapshot behind those of this one, as where several sinks become
    /// one. If both hold writes of one key, those of `self` come first.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for table in other.tables {
            match self.tables.iter_mut().find(|own| own.name == table.name) {
                Some(own) => own.writes.extend(table.writes),
                None => self.tables.push(table),
            }
        }
        self
    }

    /// Returns its bytes, in the newest format.
    ///
    /// Copies all writes once, which takes about a millisecond a MiB: with a large buffer this
    /// belongs on a thread for blocking work (`tokio::task::spawn_blocking`).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let lines = self.tables.iter().flat_map(|table| {
            let writes = table.writes.iter();
            let writes = writes.map(|write| max_object_len(&write.payload) + 1);
            writes.chain([MAX_LINE_LEN + MAX_ESCAPED * table.name.len()])
        });
        // Enough for all of it: growing would copy the whole, and hold it twice for that time.
        let mut out = Vec::with_capacity(lines.sum::<usize>() + 2 * MAX_LINE_LEN);
        line(
            &mut out,
            &Header {
                format: FORMAT.into(),
                version: VERSION,
            },
        );
        for table in &self.tables {
            let writes = table.writes.len();
            line(
                &mut out,
                &TableLine {
                    table: table.name.as_str().into(),
                    writes,
                },
            );
            for saved in &table.writes {
                write_object(&mut out, &saved.payload, saved.may_have_applied);
                out.push(b'\n');
            }
        }
        let crc32 = crc32fast::hash(&out);
        line(
            &mut out,
            &EndLine {
                end: End {
                    writes: self.len(),
                    crc32,
                },
            },
        );
        out
    }

    /// Reads the bytes that [`to_bytes`](Self::to_bytes) of this or an older version of the crate
    /// wrote.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Version`] for a later version, [`SnapshotError::Malformed`] or
    /// [`SnapshotError::Damaged`] for bytes that are no snapshot or not a whole one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut lines = Lines {
            rest: bytes,
            number: 0,
        };
        let header: Header<'_> = lines.parse()?;
        if header.format != FORMAT {
            return Err(lines.malformed("it is no snapshot of a sink"));
        }
        if header.version == 0 || header.version > VERSION {
            return Err(SnapshotError::Version {
                found: header.version,
            });
        }
        let mut snapshot = Self::default();
        loop {
            let before = bytes.len() - lines.rest.len();
            let text = lines.next()?;
            if let Ok(EndLine { end }) = serde_json::from_slice(text) {
                if !lines.rest.is_empty() {
                    return Err(SnapshotError::Damaged("something follows its end"));
                }
                if bytes.get(..before).map(crc32fast::hash) != Some(end.crc32) {
                    return Err(SnapshotError::Damaged("its checksum differs"));
                }
                if end.writes != snapshot.len() {
                    return Err(SnapshotError::Damaged("it holds another number of writes"));
                }
                return Ok(snapshot);
            }
            let table: TableLine<'_> =
                serde_json::from_slice(text).map_err(|error| lines.json(&error))?;
            let mut writes = Vec::new();
            for _ in 0..table.writes {
                writes.push(lines.write()?);
            }
            snapshot.tables.push(TableSnapshot {
                name: table.table.into_owned(),
                writes,
            });
        }
    }
}
