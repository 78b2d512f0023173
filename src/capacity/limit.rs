//! What holds writes back right now.

/// The cause, as the state machine knows it; [`LimitedBy`](crate::sink::LimitedBy) is how users see it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Limit {
    /// Nothing waits.
    #[default]
    Nothing,
    /// All that waits is in flight.
    Answers,
    /// Batches wait to fill.
    Linger,
    /// As many requests are in flight as may be.
    Concurrency(usize),
    /// The table's rate, in units a second.
    Rate { units: f64, bursting: bool },
    /// Nothing is sent for a while since the service refused writes, for this reason.
    Throttled(ThrottleCause),
    /// Failed writes wait to be sent again.
    Retries,
    /// The rate of an index, by its position.
    Index { index: usize, units: f64 },
    /// So many hot keys hold so many writes.
    HotKeys { keys: usize, writes: usize },
}

/// What a refused request met, told by the service or concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThrottleCause {
    /// The table's provisioned capacity.
    Table,
    /// An index's.
    Index(usize),
    /// What a partition can take.
    KeyRange,
    /// The maximum set on an on-demand table.
    MaxOnDemand,
    /// Or index.
    MaxOnDemandIndex(usize),
    /// The account's quota.
    Account,
    /// It was not told.
    NotReported,
}
