//! A table's capacity and its use, in totals.

use std::collections::BTreeMap;

/// Totals of an enforced table since it was made, for
/// [`FaultyDynamoDb::capacity_usage`](crate::FaultyDynamoDb::capacity_usage). The share of a
/// time's capacity that was used is the difference of two of them.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CapacityUsage {
    /// Write units that the table's capacity has granted so far, what it held at the start
    /// included: the most that could have been used. Its partitions' limits are not looked at.
    pub granted_units: f64,
    /// Write units consumed by the table itself and its local indexes.
    pub consumed_units: f64,
    /// The same of each global index. Without a limit, as on demand, the grant is infinite.
    pub indexes: BTreeMap<String, IndexUsage>,
    /// Write requests that named the table and were answered.
    pub write_requests: u64,
    /// Those of them answered with a throttling exception or with any of this table's writes
    /// unprocessed, for want of capacity or by a fault.
    pub throttled_requests: u64,
    /// Writes of this table in the requests answered.
    pub items_sent: u64,
    /// Those of them that were throttled or came back unprocessed.
    pub items_throttled: u64,
}

/// Totals of a global index.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct IndexUsage {
    /// Write units granted so far, what was held at the start included.
    pub granted_units: f64,
    /// Write units consumed.
    pub consumed_units: f64,
}

/// The requests on a table, by their answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Requests {
    pub(super) answered: u64,
    pub(super) throttled: u64,
    pub(super) items: u64,
    pub(super) items_throttled: u64,
}

impl Requests {
    pub(super) fn count(&mut self, items: usize, throttled: usize, refused: bool) {
        let whole = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.answered += 1;
        self.throttled += u64::from(refused || throttled > 0);
        self.items += whole(items);
        self.items_throttled += whole(throttled);
    }
}
