//! Settings of an enforced capacity.

use std::time::Duration;

/// Write units a partition takes in a second (AWS: "Designing partition keys").
const PARTITION_UNITS: u64 = 1_000;
/// Write units a new on-demand table takes in a second (AWS: "On-demand capacity mode").
const WARM_UNITS: u64 = 4_000;

/// The moment at which a bucket gets the capacity of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refill {
    /// Continuously: a millisecond brings a thousandth of the rate.
    #[default]
    Dripping,
    /// All at once at each whole second. Where the seconds begin is drawn from the
    /// [seed](Capacity::seed).
    BySecond,
}

/// Makes a table of the fake refuse what exceeds its capacity, for
/// [`FakeTable::enforce`](crate::FakeTable::enforce).
///
/// The units themselves are those of the table: [`provisioned`](crate::TableSpec::provisioned) ones, or
/// what an on-demand table takes at the moment.
///
/// ```
/// use std::time::Duration;
/// use faulty_dynamodb::{Capacity, Refill, TableSpec, TableSpecExt as _};
///
/// let table = TableSpec::new("decisions").provisioned(5, 1_010).enforce(
///     Capacity::enforced()
///         .partitions(4)
///         .refill(Refill::BySecond)
///         .service_time(Duration::from_millis(8))
///         .seed(7),
/// );
/// # drop(table);
/// ```
#[derive(Clone, Debug)]
pub struct Capacity {
    pub(super) partitions: usize,
    pub(super) partition_units: u64,
    pub(super) refill: Refill,
    pub(super) full_bank: bool,
    pub(super) seed: u64,
    pub(super) service_time: Duration,
    pub(super) warm_units: u64,
    pub(super) account_units: Option<u64>,
}

impl Capacity {
    /// One partition of 1,000 write units a second, dripping, an empty burst bank, seed 0, no
    /// service time.
    pub fn enforced() -> Self {
        Self {
            partitions: 1,
            partition_units: PARTITION_UNITS,
            refill: Refill::Dripping,
            full_bank: false,
            seed: 0,
            service_time: Duration::ZERO,
            warm_units: WARM_UNITS,
            account_units: None,
        }
    }

    /// The number of partitions, at least 1. Default: 1. Items go to them by a hash of their
    /// partition key, so that all items of one partition key share a partition.
    #[must_use]
    pub fn partitions(mut self, count: usize) -> Self {
        self.partitions = count.max(1);
        self
    }

    /// Write units per second of each partition. Default: 1,000, as on AWS.
    #[must_use]
    pub fn partition_units(mut self, write_units_per_second: u64) -> Self {
        self.partition_units = write_units_per_second;
        self
    }

    /// Sets the way in which capacity comes: dripping, or by the second. Default: dripping.
    #[must_use]
    pub fn refill(mut self, refill: Refill) -> Self {
        self.refill = refill;
        self
    }

    /// Starts the burst bank of a provisioned table and of its global indexes with the whole 300
    /// seconds that it can hold. Default: empty.
    #[must_use]
    pub fn full_bank(mut self) -> Self {
        self.full_bank = true;
        self
    }

    /// Decides where seconds begin, how long each request takes and which partition a key is in.
    /// Default: 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The time that a request on this table takes, by tokio's clock: uniformly within 20 % of this
    /// mean, in whole milliseconds. It is applied after half of it. Requests run beside each other.
    /// Default: none.
    #[must_use]
    pub fn service_time(mut self, mean: Duration) -> Self {
        self.service_time = mean;
        self
    }

    /// Write units per second that the table takes at the start when it is on demand. Default:
    /// 4,000, as on AWS. A table that is used at 90 % or more of what it takes grows: it doubles
    /// in 30 minutes. `DescribeTable` reports what it takes at the moment as `WarmThroughput`.
    /// Give it enough [partitions](Self::partitions): their units limit it as well, and they do not
    /// split.
    #[must_use]
    pub fn warm_units(mut self, write_units_per_second: u64) -> Self {
        self.warm_units = write_units_per_second;
        self
    }

    /// Write units per second that the account allows the table, its indexes not counted. Default:
    /// no limit.
    #[must_use]
    pub fn account_units(mut self, write_units_per_second: u64) -> Self {
        self.account_units = Some(write_units_per_second);
        self
    }
}
