//! The reason why a table's writes are not faster, in its public form.

use std::fmt;

use crate::capacity::{Limit, ThrottleCause};
use crate::item::TableShape;

/// The reason why a table's writes wait right now. `Display` gives it in one line, such
/// as `concurrency: all 8 requests that may be in flight are`.
///
/// ```
/// use dynamodb_connector::sink::LimitedBy;
///
/// assert_eq!(LimitedBy::Nothing.to_string(), "nothing waits");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum LimitedBy {
    /// The buffer is empty: the input of the sink is the slower part.
    #[default]
    Nothing,
    /// All writes that were submitted are in flight: the service's answers are awaited.
    Answers,
    /// Batches wait to fill, for no longer than the linger.
    Linger,
    /// As many requests are in flight as the limit allows; raise
    /// [`concurrency`](super::TableSettings::concurrency).
    #[non_exhaustive]
    Concurrency {
        /// The number of requests that may be in flight.
        requests: usize,
    },
    /// As many requests are in flight as the limit over all tables of the sink allows; raise
    /// [`max_requests`](super::DynamoDbSinkSettings::max_requests).
    AllTables,
    /// The table's write units: the provisioned or warm ones, or as many as its answers show that
    /// it takes, or the [`rate`](super::TableSettings::rate) that was set.
    #[non_exhaustive]
    Rate {
        /// Write units a second that may leave now.
        units_per_second: f64,
        /// `true` if that is more than the table can sustain, out of burst credit.
        bursting: bool,
    },
    /// Nothing is sent for a moment, since the service refused writes: for up to a second where the
    /// table's rate is known, otherwise for as long as [`retry`](super::TableSettings::retry) sets.
    #[non_exhaustive]
    Throttled {
        /// The cause of the refusal.
        by: ThrottledBy,
    },
    /// Writes that failed wait for the time of their next attempt.
    #[non_exhaustive]
    Retries {
        /// The last failure, as in [`TableStats::last_error`](super::TableStats::last_error).
        cause: Option<String>,
    },
    /// The service has refused all writes of a batch for their contents, and no other was carried
    /// out since. The table's description is awaited, which shows whether they or the table are the
    /// cause.
    Description,
    /// The dead-letter handler has not answered, and all else that waits is behind its writes.
    #[non_exhaustive]
    DeadLetters {
        /// The number of writes that the handler has.
        writes: usize,
    },
    /// Callers wait for room in the buffer.
    #[non_exhaustive]
    Buffer {
        /// The number of callers.
        callers: usize,
    },
    /// A global index is short of write units, and all writes that wait enter it.
    #[non_exhaustive]
    Index {
        /// Its name.
        index: String,
        /// Write units a second that may enter it.
        units_per_second: f64,
    },
    /// All writes that wait belong to partition keys that ask for more than a partition gives.
    #[non_exhaustive]
    HotKeys {
        /// The number of such keys.
        keys: usize,
        /// The number of writes that wait for them.
        writes: usize,
    },
}

/// The cause of a refusal, in its public form.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThrottledBy {
    /// The table's provisioned write units.
    Table,
    /// The provisioned write units of the global index of this name.
    Index(String),
    /// The limit of one partition.
    KeyRange,
    /// The maximum set on the on-demand table, or on its index.
    MaxOnDemand,
    /// The account's quota.
    Account,
    /// The service gave no reason.
    NotReported,
}

impl LimitedBy {
    pub(super) fn new(limit: Limit, shape: &TableShape) -> Self {
        let index = |at: usize| {
            let index = shape.indexes().get(at);
            index.map_or_else(String::new, |index| index.name().to_owned())
        };
        match limit {
            Limit::Nothing => Self::Nothing,
            Limit::Answers => Self::Answers,
            Limit::Linger => Self::Linger,
            Limit::Concurrency(requests) => Self::Concurrency { requests },
            Limit::AllTables => Self::AllTables,
            Limit::Rate { units, bursting } => Self::Rate {
                units_per_second: units,
                bursting,
            },
            Limit::Throttled(cause) => Self::Throttled {
                by: match cause {
                    ThrottleCause::Table => ThrottledBy::Table,
                    ThrottleCause::Index(at) => ThrottledBy::Index(index(at)),
                    ThrottleCause::KeyRange => ThrottledBy::KeyRange,
                    ThrottleCause::MaxOnDemand | ThrottleCause::MaxOnDemandIndex(_) => {
                        ThrottledBy::MaxOnDemand
                    }
                    ThrottleCause::Account => ThrottledBy::Account,
                    ThrottleCause::NotReported => ThrottledBy::NotReported,
                },
            },
            Limit::Retries => Self::Retries { cause: None },
            Limit::Description => Self::Description,
            Limit::DeadLetters(writes) => Self::DeadLetters { writes },
            Limit::Index { index: at, units } => Self::Index {
                index: index(at),
                units_per_second: units,
            },
            Limit::HotKeys { keys, writes } => Self::HotKeys { keys, writes },
        }
    }
}

impl fmt::Display for LimitedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing waits"),
            Self::Answers => f.write_str("all that waits is in flight"),
            Self::Linger => f.write_str("linger: batches wait to fill"),
            Self::AllTables => f.write_str(
                "all tables: as many requests as the sink may have in flight are (max_requests)",
            ),
            Self::Concurrency { requests } => write!(
                f,
                "concurrency: all {requests} requests that may be in flight are"
            ),
            Self::Rate {
                units_per_second,
                bursting,
            } => {
                let credit = if *bursting {
                    ", burst credit included"
                } else {
                    ""
                };
                write!(
                    f,
                    "rate: {units_per_second:.0} write units a second{credit}"
                )
            }
            Self::Throttled { by } => write!(f, "throttled: {by}"),
            Self::Retries { cause } => {
                f.write_str("retries: failed writes wait for their next attempt")?;
                match cause {
                    Some(cause) => write!(f, "; the last failure: {cause}"),
                    None => Ok(()),
                }
            }
            Self::Description => f.write_str(
                "description: all writes were refused, and the table's description is awaited",
            ),
            Self::DeadLetters { writes } => write!(
                f,
                "dead letters: the handler has {writes} writes and has not answered"
            ),
            Self::Buffer { callers } => {
                write!(f, "buffer: {callers} callers wait for room in it")
            }
            Self::Index {
                index,
                units_per_second,
            } => write!(
                f,
                "index {index:?}: {units_per_second:.0} write units a second"
            ),
            Self::HotKeys { keys, writes } => {
                write!(f, "hot keys: {keys} of them hold {writes} writes back")
            }
        }
    }
}

impl fmt::Display for ThrottledBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table => f.write_str("the table's provisioned write units are used up"),
            Self::Index(index) => write!(f, "the write units of index {index:?} are used up"),
            Self::KeyRange => f.write_str("a partition takes no more"),
            Self::MaxOnDemand => f.write_str("the maximum on-demand throughput is reached"),
            Self::Account => f.write_str("the account's quota is reached"),
            Self::NotReported => f.write_str("the service gave no reason"),
        }
    }
}
