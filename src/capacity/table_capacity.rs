//! The write capacity of a table, as its description reports it.

use std::fmt;

use super::allowance::Allowance;

/// The capacity mode of a table: how its write capacity is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CapacityMode {
    /// A fixed number of units a second, paid for whether used or not.
    Provisioned,
    /// Each unit is paid for as it is used. The limits are what the table can take and a maximum,
    /// where one is set.
    OnDemand,
    /// Not known: a local server such as DynamoDB Local, or a table that may not be described.
    #[default]
    Unknown,
}

impl fmt::Display for CapacityMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provisioned => "provisioned",
            Self::OnDemand => "on demand",
            Self::Unknown => "unknown",
        })
    }
}

/// The write units of a table or a global index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Units {
    /// Units a second.
    Provisioned(u64),
    /// On demand, with its limits.
    OnDemand {
        /// Units a second that it takes at once (the warm throughput), where the description has
        /// them.
        warm: Option<u64>,
        /// The maximum set by the owner, in units a second.
        max: Option<u64>,
    },
    /// Not described, or not enforced.
    #[default]
    Unknown,
}

/// The capacity of a table and its indexes, taken from its description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableCapacity {
    /// The table's own units, local indexes included.
    pub(crate) table: Units,
    /// The units of each index, by its position in the table's shape. `Unknown` for local indexes,
    /// which draw on the table.
    pub(crate) indexes: Vec<Units>,
    /// Set for a local server that imitates DynamoDB and enforces no capacity. Describing it again
    /// gives no news.
    pub(crate) local_imitation: bool,
}

impl TableCapacity {
    /// Creates the capacity of a table of the real service.
    pub(crate) fn new(table: Units, indexes: Vec<Units>) -> Self {
        Self {
            table,
            indexes,
            local_imitation: false,
        }
    }

    /// Creates the capacity of a local server's table: unknown, for good.
    pub(crate) fn local_imitation() -> Self {
        Self {
            local_imitation: true,
            ..Self::default()
        }
    }
}

impl Units {
    /// Returns the capacity mode of these units.
    pub(crate) fn mode(self) -> CapacityMode {
        match self {
            Self::Provisioned(_) => CapacityMode::Provisioned,
            Self::OnDemand { .. } => CapacityMode::OnDemand,
            Self::Unknown => CapacityMode::Unknown,
        }
    }

    /// Returns this share of the units.
    pub(super) fn allowance(self, share: f64) -> Allowance {
        let part = |units: u64| as_f64(units) * share;
        match self {
            Self::Provisioned(units) => Allowance::Provisioned(part(units)),
            Self::OnDemand {
                warm: None,
                max: None,
            }
            | Self::Unknown => Allowance::Unknown,
            Self::OnDemand { warm, max } => {
                let max = max.map_or(f64::INFINITY, part);
                Allowance::OnDemand {
                    warm: warm.map_or(max, part),
                    max,
                }
            }
        }
    }
}

fn as_f64(units: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "no table has 2^53 units")]
    let units = units as f64;
    units
}
