//! The way of a snapshot's writes into a sink.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::{Snapshot, SnapshotError};
use crate::item::{self, ItemError, Key};
use crate::sink::core::SubmissionKeys;
use crate::sink::cost::Cost;
use crate::sink::error::SubmitError;
use crate::sink::outcome::{Outcome, WriteKind};
use crate::sink::payload::{Part, Payload};
use crate::sink::prepared::Prepared;
use crate::sink::receipt::Receipt;
use crate::sink::shared::Shared;
use crate::sink::submit::Submit;

/// A snapshot's writes of one table, checked and not yet submitted.
pub(in crate::sink) struct Ready {
    table: Arc<Shared>,
    /// Each with its place in the snapshot, and whether it may have been applied.
    prepared: Vec<(usize, Prepared, bool)>,
    handed_back: Vec<Outcome>,
}

impl Ready {
    pub(in crate::sink) async fn submit(self) -> Result<Restored, SnapshotError> {
        let mut receipts = Vec::with_capacity(self.prepared.len());
        for (place, write, may_have_applied) in self.prepared {
            let receipt = Submit::enter_again(&self.table, write, may_have_applied).await;
            receipts.push(receipt.map_err(|error| SnapshotError::Submit { place, error })?);
        }
        Ok(Restored {
            receipts,
            handed_back: self.handed_back,
        })
    }
}

/// The result of restoring a snapshot's writes.
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
    /// Checks the writes of this table, and ignores those of other tables.
    pub(in crate::sink) fn prepare_for(&self, table: &Arc<Shared>) -> Result<Ready, SnapshotError> {
        let mut prepared = Vec::new();
        let mut handed_back = Vec::new();
        let own = self.tables.iter().filter(|own| own.name == *table.name);
        for (place, saved) in own.flat_map(|own| &own.writes).enumerate() {
            if saved.may_have_applied && !may_be_sent_again(&saved.payload) {
                let record = saved.payload.to_record(&table.name, 0);
                handed_back.push(Outcome::Unknown {
                    existing: None,
                    record,
                });
                continue;
            }
            let write = prepare(&saved.payload, table).map_err(|error| match error {
                SubmitError::Item { table, error } => SnapshotError::Write {
                    table,
                    place,
                    error,
                },
                error => SnapshotError::Submit { place, error },
            })?;
            prepared.push((place, write, saved.may_have_applied));
        }
        Ok(Ready {
            table: Arc::clone(table),
            prepared,
            handed_back,
        })
    }

    /// Fails if it holds writes of a table not named here.
    pub(in crate::sink) fn check_tables<'n>(
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

/// Returns whether a write that was in flight when the snapshot was taken may be sent again. A
/// transaction may not, since its token may have lapsed by now.
fn may_be_sent_again(payload: &Payload) -> bool {
    match payload {
        Payload::Plain { .. } => true,
        Payload::Single { idempotent, .. } => *idempotent,
        Payload::Transaction { .. } => false,
    }
}

/// Checks a write in its wire form by the table's limits, as if it were new.
pub(in crate::sink) fn prepare(payload: &Payload, table: &Shared) -> Result<Prepared, SubmitError> {
    let prepared = by_shape(payload, table).map_err(|error| SubmitError::Item {
        table: table.name.to_string(),
        error,
    })?;
    if prepared.repeated_key().is_some() {
        return Err(table.invalid("a transaction's writes now have one key"));
    }
    prepared.check_bounds(table)?;
    Ok(prepared)
}

fn by_shape(payload: &Payload, table: &Shared) -> Result<Prepared, ItemError> {
    let deadline = table.deadline;
    let shape = &table.shape();
    let check_part = |part: &Part| -> Result<(Key, Cost), ItemError> {
        let encoded = item::check_json(&part.data, shape, part.kind != WriteKind::Put)?;
        let cost = Cost::single(part.kind, &encoded, &part.expressions, shape);
        Ok((encoded.key, cost))
    };
    let single = |payload: Payload, key: Key, cost: Cost| {
        let partition = key.partition_hash();
        Prepared::new(payload, SubmissionKeys::One(key), partition, cost, deadline)
    };
    Ok(match payload {
        Payload::Plain { delete, data } => {
            let delete = *delete;
            let encoded = item::check_json(data, shape, delete)?;
            let cost = if delete {
                Cost::delete()
            } else {
                Cost::put(&encoded, shape)
            };
            let data = Bytes::from(encoded.json);
            single(Payload::Plain { delete, data }, encoded.key, cost)
        }
        Payload::Single { part, .. } => {
            let (key, cost) = check_part(part)?;
            single(payload.clone(), key, cost)
        }
        Payload::Transaction { parts, .. } => {
            let checked: Result<Vec<_>, ItemError> = parts.iter().map(check_part).collect();
            let (keys, costs): (Vec<Key>, Vec<Cost>) = checked?.into_iter().unzip();
            let partition = keys.first().map_or(0, Key::partition_hash);
            let (keys, cost) = (SubmissionKeys::Many(keys), Cost::transaction(costs));
            Prepared::new(payload.clone(), keys, partition, cost, deadline)
        }
    })
}
