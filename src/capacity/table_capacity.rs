//! What is known of a table's write capacity.

use std::fmt;

use super::control::Base;

/// How a table's write capacity is paid for, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CapacityMode {
    /// So many units a second, which were bought.
    Provisioned,
    /// As much as is asked for, within what the table can take and a maximum where one is set.
    OnDemand,
    /// Not known: a server on this machine such as DynamoDB Local, or a table that may not be described.
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
    Provisioned(u64),
    OnDemand {
        /// What it takes at once, where that is told.
        warm: Option<u64>,
        /// The maximum that is set on it.
        max: Option<u64>,
    },
    #[default]
    Unknown,
}

/// What a description tells of a table's capacity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableCapacity {
    pub(crate) table: Units,
    /// By the position of the index in the table's shape; `Unknown` for local ones, which draw on the
    /// table.
    pub(crate) indexes: Vec<Units>,
    /// A server on this machine that enforces no capacity: describing it again tells nothing.
    pub(crate) local_imitation: bool,
}

impl TableCapacity {
    pub(crate) fn new(table: Units, indexes: Vec<Units>) -> Self {
        Self {
            table,
            indexes,
            local_imitation: false,
        }
    }

    pub(crate) fn local_imitation() -> Self {
        Self {
            local_imitation: true,
            ..Self::default()
        }
    }
}

impl Units {
    pub(crate) fn mode(self) -> CapacityMode {
        match self {
            Self::Provisioned(_) => CapacityMode::Provisioned,
            Self::OnDemand { .. } => CapacityMode::OnDemand,
            Self::Unknown => CapacityMode::Unknown,
        }
    }

    /// A share of them.
    pub(super) fn base(self, share: f64) -> Base {
        let part = |units: u64| as_f64(units) * share;
        match self {
            Self::Provisioned(units) => Base::Provisioned(part(units)),
            Self::OnDemand {
                warm: None,
                max: None,
            }
            | Self::Unknown => Base::Unknown,
            Self::OnDemand { warm, max } => {
                let max = max.map_or(f64::INFINITY, part);
                Base::OnDemand {
                    warm: warm.map_or(max, part),
                    most: max,
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
