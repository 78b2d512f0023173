//! The un-acknowledged writes of a sink, to be kept with a position in the input.
//!
//! A pipeline that reads from somewhere takes a snapshot, stores it together with its read
//! position, and after a crash restores it into a new sink and reads on from there: nothing is
//! lost, and what is sent again is only what was not acknowledged.
//!
//! # Format, version 1
//!
//! Lines of JSON, UTF-8, each ended by `\n`: a header, a line for each table, followed by a line
//! for each of its writes in submission order, and an end that counts them and holds the CRC-32
//! (IEEE) of all bytes before it.
//!
//! ```json
//! {"format":"dynamodb-connector/sink-snapshot","version":1}
//! {"table":"decisions","writes":2}
//! {"call":"batch","parts":[{"kind":"put","data":{"pk":{"S":"42"}}}]}
//! {"call":"single","parts":[{"kind":"update","data":{"pk":{"S":"42"}},"expressions":{"UpdateExpression":"ADD n :one","ExpressionAttributeValues":{":one":{"N":"1"}}}}],"idempotent":false,"may_have_applied":true}
//! {"end":{"writes":2,"crc32":3735928559}}
//! ```
//!
//! `call` is `batch`, `single` or `transaction` (with its `token`); `kind` is `put`, `delete`,
//! `update` or `check`; `data` is the item of a put and the key of all else, in DynamoDB's JSON.
//! Absent fields are false or empty. Nothing limits a string's length but DynamoDB itself.
//!
//! A version that is not known is refused, as is an unknown `call` or `kind`, and anything cut
//! short or changed. Every later version will read this one.

mod format;

use std::collections::HashSet;

use bytes::Bytes;

use super::core::{Saved, SubmissionKeys};
use super::error::SubmitError;
use super::outcome::{Outcome, WriteKind};
use super::payload::Payload;
use super::prepared::Prepared;
use super::receipt::Receipt;
use super::table::TableSink;
use crate::item::{self, ItemError, Key};
use format::{End, EndLine, FORMAT, Header, Lines, TableLine, VERSION, line, write_line};

/// The un-acknowledged writes of one or more tables. See the [module](self) for its format.
///
/// Taken by [`TableSink::snapshot`] or [`Sink::snapshot`](super::Sink::snapshot) while the sink
/// goes on; holds the writes' bytes in common with it, so it is cheap until it is written out.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    tables: Vec<TableSnapshot>,
}

#[derive(Clone, Debug)]
struct TableSnapshot {
    name: String,
    writes: Vec<Saved>,
}

/// Why a snapshot can't be read or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It is no snapshot, or damaged.
    #[error("snapshot line {line}: {what}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// It was written by a later version of this crate.
    #[error("snapshot version {found}, this crate reads 1 to {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// It was cut short or changed.
    #[error("snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// It holds writes of a table that this sink doesn't write to.
    #[error("snapshot holds {writes} writes of table {table:?}, which this sink did not open")]
    UnknownTable {
        /// The table.
        table: String,
        /// How many.
        writes: usize,
    },
    /// A write breaks a limit or doesn't fit the table as it is now. None was submitted.
    #[error("write {place} of table {table:?}: {error}")]
    Write {
        /// The table.
        table: String,
        /// Counted from 0.
        place: usize,
        /// Attribute, size and limit.
        error: ItemError,
    },
    /// A write was not accepted; those before it were.
    #[error("write {place}: {error}")]
    Submit {
        /// Counted from 0.
        place: usize,
        /// Why.
        error: SubmitError,
    },
}

/// A snapshot's writes of one table, checked and not yet submitted.
pub(super) struct Ready {
    table: TableSink,
    /// Each with its place in the snapshot, and whether it may have been applied.
    prepared: Vec<(usize, Prepared, bool)>,
    handed_back: Vec<Outcome>,
}

impl Ready {
    pub(super) async fn submit(self) -> Result<Restored, SnapshotError> {
        let mut receipts = Vec::with_capacity(self.prepared.len());
        for (place, write, may_have_applied) in self.prepared {
            let receipt = self.table.enter_again(write, may_have_applied).await;
            receipts.push(receipt.map_err(|error| SnapshotError::Submit { place, error })?);
        }
        Ok(Restored {
            receipts,
            handed_back: self.handed_back,
        })
    }
}

/// What became of a snapshot's writes.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Restored {
    /// The receipts of the writes that were submitted again, in order.
    pub receipts: Vec<Receipt>,
    /// Writes that may have been applied and must not be sent twice: all
    /// [`Outcome::Unknown`], for the caller to look into.
    pub handed_back: Vec<Outcome>,
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

    /// How many writes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.writes.len()).sum()
    }

    /// Whether it holds none: all that was accepted had its outcome.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tables in it.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|table| table.name.as_str())
    }

    /// This one with the writes of another behind it, as where several sinks become one. Where
    /// both hold writes of one key, `self`'s come first.
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

    /// Its bytes, in the newest format.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let size: usize = self
            .tables
            .iter()
            .flat_map(|table| &table.writes)
            .map(|write| write.payload.len() + 128)
            .sum();
        let mut out = Vec::with_capacity(size + 256);
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
                write_line(&mut out, saved);
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

    /// Reads what [`to_bytes`](Self::to_bytes) of this or an older version of the crate wrote.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Version`] for a later version, [`SnapshotError::Malformed`] or
    /// [`SnapshotError::Damaged`] for what is no snapshot or not a whole one.
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

    /// Checks the writes held for this table; those of other tables are not its business.
    pub(super) fn prepare_for(&self, table: &TableSink) -> Result<Ready, SnapshotError> {
        let mut prepared = Vec::new();
        let mut handed_back = Vec::new();
        let own = self.tables.iter().filter(|own| own.name == table.name());
        for (place, saved) in own.flat_map(|own| &own.writes).enumerate() {
            let wrong = |error| {
                let table = table.name().to_owned();
                SnapshotError::Write {
                    table,
                    place,
                    error,
                }
            };
            if saved.may_have_applied && !may_be_sent_again(&saved.payload) {
                let record = saved.payload.to_record(&table.name().into());
                handed_back.push(Outcome::Unknown {
                    existing: None,
                    record,
                });
                continue;
            }
            let write = prepare(saved, table).map_err(wrong)?;
            if write.repeated_key().is_some() {
                let table = table.name().to_owned();
                let what = "a transaction's writes now have one key".to_owned();
                let error = SubmitError::Invalid { table, what };
                return Err(SnapshotError::Submit { place, error });
            }
            write
                .check_bounds(table)
                .map_err(|error| SnapshotError::Submit { place, error })?;
            prepared.push((place, write, saved.may_have_applied));
        }
        Ok(Ready {
            table: table.clone(),
            prepared,
            handed_back,
        })
    }

    /// Fails if it holds writes of a table not named here.
    pub(super) fn check_tables<'n>(
        &self,
        known: impl Iterator<Item = &'n str>,
    ) -> Result<(), SnapshotError> {
        let known: HashSet<&str> = known.collect();
        for table in &self.tables {
            if !table.writes.is_empty() && !known.contains(table.name.as_str()) {
                let (name, writes) = (table.name.clone(), table.writes.len());
                return Err(SnapshotError::UnknownTable {
                    table: name,
                    writes,
                });
            }
        }
        Ok(())
    }
}

/// Whether a write that was in flight when the snapshot was taken may be sent again. A
/// transaction's token may have lapsed by now, so it may not.
fn may_be_sent_again(payload: &Payload) -> bool {
    match payload {
        Payload::Plain { .. } => true,
        Payload::Single { idempotent, .. } => *idempotent,
        Payload::Transaction { .. } => false,
    }
}

/// Checks a saved write by the table's limits, as if it were new.
fn prepare(saved: &Saved, table: &TableSink) -> Result<Prepared, ItemError> {
    let deadline = table.default_deadline();
    let check = |data: &Bytes, put: bool| item::check_json(data, table.shape(), !put);
    let single = |payload: Payload, key: Key| {
        let partition = key.partition_hash();
        Prepared::new(payload, SubmissionKeys::One(key), partition, deadline)
    };
    Ok(match &saved.payload {
        Payload::Plain { delete, data } => {
            let encoded = check(data, !delete)?;
            let data = Bytes::from(encoded.json);
            single(
                Payload::Plain {
                    delete: *delete,
                    data,
                },
                encoded.key,
            )
        }
        Payload::Single { part, .. } => {
            let encoded = check(&part.data, part.kind == WriteKind::Put)?;
            single(saved.payload.clone(), encoded.key)
        }
        Payload::Transaction { parts, .. } => {
            let keys: Result<Vec<Key>, ItemError> = parts
                .iter()
                .map(|part| Ok(check(&part.data, part.kind == WriteKind::Put)?.key))
                .collect();
            let keys = keys?;
            let partition = keys.first().map_or(0, Key::partition_hash);
            let payload = saved.payload.clone();
            Prepared::new(payload, SubmissionKeys::Many(keys), partition, deadline)
        }
    })
}
