//! The reason why writes wait now, and the cause of a refusal.

/// The reason why writes wait, in the state machine's terms. [`LimitedBy`](crate::sink::LimitedBy)
/// is the public form.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Limit {
    /// Nothing waits.
    #[default]
    Nothing,
    /// All outstanding writes are in flight.
    Answers,
    /// Batches wait to fill.
    Linger,
    /// As many requests are in flight as the limit allows.
    Concurrency(usize),
    /// As many requests are in flight as the limit over all tables allows.
    AllTables,
    /// The table's rate, in units a second.
    Rate { units: f64, bursting: bool },
    /// Nothing is sent for a while, since the service refused writes for this cause.
    Throttled(ThrottleCause),
    /// Failed writes wait to be sent again.
    Retries,
    /// Writes that were refused for what is in them wait for the table's description.
    Description,
    /// The rate of an index, by its position.
    Index { index: usize, units: f64 },
    /// So many writes are with the dead-letter handler, and all others wait for their keys.
    DeadLetters(usize),
    /// So many hot keys, for which so many writes are parked.
    HotKeys { keys: usize, writes: usize },
}

/// The cause of a refusal, reported by the service or inferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThrottleCause {
    /// The table's provisioned capacity.
    Table,
    /// The provisioned capacity of an index, by its position.
    Index(usize),
    /// The limit of a partition.
    KeyRange,
    /// The maximum set on an on-demand table.
    MaxOnDemand,
    /// The maximum set on an index of an on-demand table, by its position.
    MaxOnDemandIndex(usize),
    /// The account's quota.
    Account,
    /// Unknown: the service reported no reason.
    NotReported,
}
