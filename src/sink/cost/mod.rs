//! The capacity that a write takes of its table and its indexes, predicted when it is encoded.
//!
//! The rules are those of the developer guide ("DynamoDB provisioned capacity mode", "Local
//! secondary indexes", "Global secondary indexes"); each number was compared with the
//! `ConsumedCapacity` of DynamoDB Local 3.1.0. The present contents of the table are not known
//! here, so a prediction is mostly too low: an item that replaces a larger one is charged by the
//! larger, a delete by the item that it removes, and an index whose key changes is written twice.
//! The service's own figures correct it.

use crate::capacity::WriteCost;
use crate::item::{self, Encoded, IndexSet, IndexShape, Projection, TableShape};
use crate::sink::outcome::WriteKind;
use crate::sink::payload::Part;

/// The number of times that a transaction's writes are charged: once to prepare and once to commit.
const TRANSACTION_FACTOR: u8 = 2;

/// The predicted cost of a write, in write units.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Cost {
    /// Write units of the table, those of its local indexes included.
    pub(crate) units: u32,
    /// Bytes as stored, those of all parts of a transaction.
    pub(crate) size: u32,
    /// The secondary indexes that are written, as far as known. Global ones are charged for
    /// themselves, the local ones are in `units`.
    pub(crate) indexes: IndexSet,
    /// Write units of the items alone: the cost of an index that holds them whole.
    item_units: u16,
    /// The number of writes that are charged: the cost of an index that holds keys alone.
    writes: u8,
}

impl Cost {
    /// Returns the cost of a put of this item.
    pub(crate) fn put(encoded: &Encoded, shape: &TableShape) -> Self {
        let mut cost = Self::of(encoded.stored_size, encoded.indexes);
        if !cost.indexes.is_empty() {
            let local = shape.indexes().iter().enumerate();
            cost.units += local
                .filter(|(_, index)| index.is_local())
                .map(|(position, _)| cost.index_units(position, shape))
                .sum::<u32>();
        }
        cost
    }

    /// Returns the cost of a delete, or of a check: one unit at least, even if there is no such
    /// item. The item that is removed, and its indexes, are not known.
    pub(crate) fn delete() -> Self {
        Self::of(0, IndexSet::default())
    }

    /// Returns the cost of a write by itself, of its item or key and its expressions.
    pub(crate) fn single(
        kind: WriteKind,
        encoded: &Encoded,
        expressions: &[u8],
        shape: &TableShape,
    ) -> Self {
        match kind {
            WriteKind::Put => Self::put(encoded, shape),
            WriteKind::Delete | WriteKind::Check => Self::delete(),
            // The whole item is charged, but only the key and the values that are set are known.
            // Their JSON stands for the values: its punctuation is about as long as attributes'
            // names.
            WriteKind::Update => {
                let values = Part::values_of(expressions).map_or(0, <[u8]>::len);
                Self::of(encoded.stored_size + values, IndexSet::default())
            }
        }
    }

    /// Returns the cost of writes that are applied all or none: each is charged twice.
    pub(crate) fn transaction(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().fold(Self::default(), |all, part| Self {
            units: all
                .units
                .saturating_add(part.units.saturating_mul(TRANSACTION_FACTOR.into())),
            size: all.size.saturating_add(part.size),
            indexes: all.indexes.union(part.indexes),
            item_units: all
                .item_units
                .saturating_add(part.item_units.saturating_mul(TRANSACTION_FACTOR.into())),
            writes: all
                .writes
                .saturating_add(part.writes.saturating_mul(TRANSACTION_FACTOR)),
        })
    }

    /// Returns the cost in the form that the table's budgets need.
    pub(crate) fn for_budgets(self, partition: u64) -> WriteCost {
        WriteCost {
            partition,
            units: self.units,
            indexes: self.indexes.bits(),
            index_units_all: self.item_units,
            index_units_keys_only: self.writes.into(),
        }
    }

    /// Returns the write units that the index in this position of [`TableShape::indexes`] takes: 0
    /// if the write doesn't enter it.
    ///
    /// An index with included attributes is taken to hold the whole item, since their share of its
    /// size isn't known; one of keys alone to take one unit a write, though keys of more than 1 KB
    /// in all take more. Of a transaction, all parts are taken to enter an index that one of them
    /// enters.
    pub(crate) fn index_units(&self, index: usize, shape: &TableShape) -> u32 {
        if !self.indexes.contains(index) {
            return 0;
        }
        match shape.indexes().get(index).map(IndexShape::projected) {
            None => 0,
            Some(Projection::KeysOnly) => self.writes.into(),
            Some(Projection::All | Projection::Include(_)) => self.item_units.into(),
        }
    }

    /// Returns the cost of a put of this stored size that enters these indexes.
    #[cfg(test)]
    pub(crate) fn of_size(stored_size: usize, indexes: IndexSet) -> Self {
        Self::of(stored_size, indexes)
    }

    /// Returns the cost of one write of this size, without its local indexes.
    fn of(stored_size: usize, indexes: IndexSet) -> Self {
        let item_units = u16::try_from(item::write_units(stored_size)).unwrap_or(u16::MAX);
        Self {
            units: item_units.into(),
            size: u32::try_from(stored_size).unwrap_or(u32::MAX),
            indexes,
            item_units,
            writes: 1,
        }
    }
}

#[cfg(test)]
mod tests;
