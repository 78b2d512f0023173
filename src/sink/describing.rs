//! From a table's description to what the budgets go by.

use crate::capacity::{IndexKind, TableCapacity, Units};
use crate::item::{IndexShape, Projection, TableShape};
use crate::transport::{Billing, TableDescription};

/// What a description says of the capacity of the indexes of a shape, and of the table.
pub(super) fn table_capacity(description: &TableDescription, shape: &TableShape) -> TableCapacity {
    if description.local_imitation {
        // It reports units that it never enforces.
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

/// What the budgets need to know of a table's indexes.
pub(super) fn index_kinds(shape: &TableShape) -> Vec<IndexKind> {
    let kind = |index: &IndexShape| IndexKind {
        name: index.name().to_owned(),
        keys_only: matches!(index.projected(), Projection::KeysOnly),
    };
    shape.indexes().iter().map(kind).collect()
}

struct Numbers {
    provisioned: Option<u64>,
    warm: Option<u64>,
    max: Option<u64>,
}

impl Numbers {
    /// A provisioned table that was never on demand has no billing mode in its description, only its
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
