//! The conversion of a table's description to the input of the budgets.

use std::sync::Arc;

use crate::capacity::{IndexKind, TableCapacity, Units};
use crate::item::{IndexShape, Projection, TableShape};
use crate::transport::{Billing, TableDescription};
use parking_lot::RwLock;

/// The shape of a table, which its handles and its worker share. Later descriptions change its
/// indexes.
#[derive(Clone, Debug)]
pub(super) struct SharedShape(Arc<RwLock<Arc<TableShape>>>);

impl SharedShape {
    pub(super) fn new(shape: TableShape) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(shape))))
    }

    pub(super) fn get(&self) -> Arc<TableShape> {
        let shape = self.0.read();
        Arc::clone(&shape)
    }

    /// Adopts the indexes of a description. Returns whether they changed.
    pub(super) fn follow(&self, described: &TableShape) -> bool {
        let Some(followed) = self.get().followed_by(described) else {
            return false;
        };
        let mut shape = self.0.write();
        *shape = Arc::new(followed);
        true
    }
}

/// Returns the capacity of a table and of the indexes of its shape, as described.
pub(super) fn table_capacity(description: &TableDescription, shape: &TableShape) -> TableCapacity {
    if description.local_imitation {
        // A local server reports units that it never enforces.
        return TableCapacity::local_imitation();
    }
    let table = Numbers {
        provisioned: description.provisioned_write_units,
        warm: description.warm_write_units,
        max: description.max_on_demand_write_units,
    };
    let indexes = shape.indexes().iter().map(|index| {
        let mut global = description.global_indexes.iter();
        let found = global.find(|global| global.name == index.name());
        found.map_or(Units::Unknown, |found| {
            let numbers = Numbers {
                provisioned: found.provisioned_write_units,
                warm: found.warm_write_units,
                max: found.max_on_demand_write_units,
            };
            numbers.units(description.billing)
        })
    });
    TableCapacity::new(table.units(description.billing), indexes.collect())
}

/// Returns the properties of a table's indexes that their budgets depend on.
pub(super) fn index_kinds(shape: &TableShape) -> Vec<IndexKind> {
    let kind = |index: &IndexShape| IndexKind {
        name: index.name().to_owned(),
        keys_only: matches!(index.projected(), Projection::KeysOnly),
    };
    shape.indexes().iter().map(kind).collect()
}

/// The capacity figures of a table or an index, as described.
struct Numbers {
    provisioned: Option<u64>,
    warm: Option<u64>,
    max: Option<u64>,
}

impl Numbers {
    /// Returns the units in the mode that the figures belong to.
    ///
    /// The description of a provisioned table that was never on demand has no billing mode, only
    /// units (`API_BillingModeSummary`).
    fn units(self, billing: Option<Billing>) -> Units {
        match (billing, self.provisioned) {
            (Some(Billing::OnDemand), _) => Units::OnDemand {
                warm: self.warm,
                max: self.max,
            },
            (_, Some(units)) if units > 0 => Units::Provisioned(units),
            _ => Units::Unknown,
        }
    }
}
