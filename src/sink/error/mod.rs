//! Errors of opening, submitting and draining.

use crate::error::ErrorKind;
use crate::item::ItemError;
use crate::retry::ServiceError;

use super::outcome::Outcome;
use crate::settings::ConfigError;

/// The reason for which a sink could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No table was named.
    #[error("no table named: add one with `table`")]
    NoTable,
    /// A table's keys are not known: it could not be described, and none were given.
    #[error("table {table:?} could not be described ({error}): {}", remedy(error))]
    #[non_exhaustive]
    Describe {
        /// The table.
        table: String,
        /// The last answer of `DescribeTable`.
        error: ServiceError,
    },
    /// A table that cannot be written to, by its status.
    #[error(
        "table {table:?} is {status}, and can be written to once it is ACTIVE{}",
        if status == "CREATING" { " (it was waited for)" } else { "" }
    )]
    #[non_exhaustive]
    NotActive {
        /// The table.
        table: String,
        /// Its `TableStatus`, e.g. `DELETING`.
        status: String,
    },
    /// A table that the builder names twice.
    #[error("table {table:?} is named twice")]
    #[non_exhaustive]
    Duplicate {
        /// The table.
        table: String,
    },
    /// A table that is named by its ARN in one place, and in another by a name that may be the same table's: one of the two
    /// would get no settings, or its writes no common order.
    #[error(
        "table {table:?} is named by {arn:?} too: use the one form or the other, or an ARN for each table"
    )]
    #[non_exhaustive]
    NameAndArn {
        /// The table's name.
        table: String,
        /// The ARN with that name.
        arn: String,
    },
    /// Keys given twice for one table.
    #[error("keys of table {table:?} are given twice")]
    #[non_exhaustive]
    KeysTwice {
        /// The table.
        table: String,
    },
    /// Keys given for a table that was not added.
    #[error("keys given for table {table:?}, which was not added")]
    #[non_exhaustive]
    KeysWithoutTable {
        /// The table.
        table: String,
    },
}

impl OpenError {
    /// Returns the kind of error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_)
            | Self::NoTable
            | Self::Duplicate { .. }
            | Self::NameAndArn { .. }
            | Self::KeysTwice { .. }
            | Self::KeysWithoutTable { .. } => ErrorKind::Config,
            Self::Describe { error, .. } => error.kind(),
            Self::NotActive { .. } => ErrorKind::Unavailable,
        }
    }

    /// Returns whether opening may succeed later with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_transient()
    }
}

/// Returns the remedy for a description that failed.
fn remedy(error: &ServiceError) -> &'static str {
    if error.is_missing() {
        "there is no such table in the client's region and at its endpoint; check the name, the \
         region and the endpoint, or create it"
    } else if error.is_clock() {
        "check the clock of this machine"
    } else if error.is_identity() {
        "check the credentials of the client, and that they have not expired"
    } else if error.is_misconfigured() {
        "complete the client's configuration"
    } else if error.code().starts_with("UnknownOperation") {
        "the server does not describe tables; give its keys with `keys`"
    } else if error.is_for_action() {
        "allow dynamodb:DescribeTable on it, or give its keys with `keys`"
    } else if error.kind() == ErrorKind::Invalid {
        "check the table's name or ARN"
    } else if error.is_endpoint() {
        "check the client's endpoint and region, and that DynamoDB answers there; to open without \
         an answer, give the keys with `keys`"
    } else {
        "try again later; to open without an answer, give the keys with `keys`"
    }
}

/// The reason for which a write was not accepted. Nothing was queued, and the record is still the
/// caller's.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The record breaks a limit of DynamoDB or doesn't fit the table.
    #[error("table {table:?}: {error}")]
    #[non_exhaustive]
    Item {
        /// The table.
        table: String,
        /// Attribute, size and limit.
        error: ItemError,
    },
    /// The write is invalid in itself.
    #[error("table {table:?}: {what}")]
    #[non_exhaustive]
    Invalid {
        /// The table.
        table: String,
        /// The fault of the write.
        what: String,
    },
    /// The record alone is larger than the buffer.
    #[error("table {table:?}: a write of {bytes} bytes can't enter a buffer of {limit} bytes")]
    #[non_exhaustive]
    LargerThanBuffer {
        /// The table.
        table: String,
        /// The size that the write would take of the buffer.
        bytes: usize,
        /// `buffer_bytes`.
        limit: usize,
    },
    /// There is no room now. Only from `try_submit`.
    #[error("the buffer is full")]
    Full,
    /// The sink was closed or aborted.
    #[error("the sink is closed")]
    Closed,
    /// The table has failed; see [`DrainError::Failed`].
    #[error("table {table:?} has failed: {error}")]
    #[non_exhaustive]
    Failed {
        /// The table.
        table: String,
        /// The error that ended it.
        error: ServiceError,
    },
    /// The dead-letter handler failed, or too many failed writes were not observed.
    #[error("the sink has stopped: {0}")]
    Stopped(StopReason),
    /// No table of this name was opened.
    #[error("table {0:?} was not opened by this sink")]
    UnknownTable(String),
    /// The sink's task is gone; its runtime was shut down.
    #[error("the sink's task is gone: its runtime was shut down")]
    Gone,
    /// The record can't be written, and the dead-letter handler did not take it. Only from
    /// [`put_or_dead_letter`](super::TableSink::put_or_dead_letter).
    #[error("{error}; the dead-letter handler failed: {handler}")]
    #[non_exhaustive]
    DeadLetter {
        /// The reason for which the record can't be written.
        error: Box<Self>,
        /// The handler's error, its causes included.
        handler: String,
    },
}

impl SubmitError {
    /// Returns the kind of error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Item { .. } | Self::Invalid { .. } | Self::LargerThanBuffer { .. } => {
                ErrorKind::Invalid
            }
            Self::Full => ErrorKind::Capacity,
            Self::Closed | Self::Gone => ErrorKind::Closed,
            Self::Failed { error, .. } => error.kind(),
            Self::Stopped(reason) => reason.kind(),
            Self::UnknownTable(_) => ErrorKind::Config,
            Self::DeadLetter { .. } => ErrorKind::Handler,
        }
    }

    /// Returns whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Full)
    }

    /// Returns whether the record itself is at fault, so that others may be accepted.
    #[must_use]
    pub fn is_record(&self) -> bool {
        matches!(
            self,
            Self::Item { .. } | Self::Invalid { .. } | Self::LargerThanBuffer { .. }
        )
    }
}

/// The reason for which a table stopped although DynamoDB would accept more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// The dead-letter handler failed: a write that it should have taken would have been lost.
    #[error("the dead-letter handler failed: {0}")]
    DeadLetter(String),
    /// More failed writes than this, whose receipts were dropped, wait to be reported by `flush` or
    /// `close`.
    #[error(
        "more than {0} failed writes, whose receipts were dropped, were left to flush or close"
    )]
    Unobserved(usize),
}

impl StopReason {
    /// Returns the kind of error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::DeadLetter(_) => ErrorKind::Handler,
            Self::Unobserved(_) => ErrorKind::Closed,
        }
    }

    /// Returns `false`: the table accepts no more, and a new sink needs a handler that takes what fails.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// The error of a `flush` or a `close`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrainError {
    /// The table failed: nothing more can be written to it.
    #[error(
        "table {table:?} has failed: {error} ({} unfinished or failed writes handed back here)",
        outcomes.len()
    )]
    #[non_exhaustive]
    Failed {
        /// The table.
        table: String,
        /// The error that ended it.
        error: ServiceError,
        /// Writes that failed or were handed back, and that no receipt has observed.
        outcomes: Vec<Outcome>,
    },
    /// Writes failed that no receipt has observed. `close` has closed the table nevertheless.
    #[error(
        "table {table:?}: {} writes failed that no receipt has observed; the first: {}",
        outcomes.len(),
        outcomes.first().map(ToString::to_string).unwrap_or_default()
    )]
    #[non_exhaustive]
    Unobserved {
        /// The table.
        table: String,
        /// Their outcomes, records included; each is reported once.
        outcomes: Vec<Outcome>,
    },
    /// The table stopped by itself.
    #[error("table {table:?} has stopped: {reason} ({} outcomes here)", outcomes.len())]
    #[non_exhaustive]
    Stopped {
        /// The table.
        table: String,
        /// The reason.
        reason: StopReason,
        /// Writes that failed or were handed back, and that no receipt has observed.
        outcomes: Vec<Outcome>,
    },
    /// The sink is closed already.
    #[error("the sink is closed")]
    Closed,
    /// The sink's task is gone; its runtime was shut down.
    #[error("the sink's task is gone: its runtime was shut down")]
    Gone,
}

impl DrainError {
    /// Returns the kind of error; of [`Unobserved`](Self::Unobserved), that of a write that more time does not cure, where
    /// there is one. It does not depend on the order of the outcomes.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Failed { error, .. } => error.kind(),
            Self::Unobserved { outcomes, .. } => Outcome::kind_of_all(outcomes),
            Self::Stopped { reason, .. } => reason.kind(),
            Self::Closed | Self::Gone => ErrorKind::Closed,
        }
    }

    /// Returns whether the same writes may succeed with nothing changed, once submitted again: to a new sink where this one
    /// has failed. Of [`Unobserved`](Self::Unobserved), whether that is so of each. Submit the writes again, not the flush:
    /// each is reported once, and the next flush returns `Ok` although they are not written.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Failed { error, .. } => error.is_retryable(),
            _ => self.kind().is_transient(),
        }
    }

    /// Adds more outcomes to report.
    pub(super) fn with(mut self, more: Vec<Outcome>) -> Self {
        match &mut self {
            Self::Failed { outcomes, .. }
            | Self::Unobserved { outcomes, .. }
            | Self::Stopped { outcomes, .. } => outcomes.extend(more),
            Self::Closed | Self::Gone if more.is_empty() => {}
            Self::Closed | Self::Gone => {
                let table = more
                    .iter()
                    .find_map(|outcome| Some(outcome.record()?.table().to_owned()))
                    .unwrap_or_default();
                return Self::Unobserved {
                    table,
                    outcomes: more,
                };
            }
        }
        self
    }

    pub(super) fn into_outcomes(self) -> Vec<Outcome> {
        match self {
            Self::Failed { outcomes, .. }
            | Self::Unobserved { outcomes, .. }
            | Self::Stopped { outcomes, .. } => outcomes,
            Self::Closed | Self::Gone => Vec::new(),
        }
    }

    /// Returns the first error of several tables, with the outcomes of all.
    pub(super) fn first_of(results: Vec<Result<(), Self>>) -> Result<(), Self> {
        let mut errors = results.into_iter().filter_map(Result::err);
        let Some(first) = errors.next() else {
            return Ok(());
        };
        Err(first.with(errors.flat_map(Self::into_outcomes).collect()))
    }

    /// Returns the outcomes that this error carries.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        match self {
            Self::Failed { outcomes, .. }
            | Self::Unobserved { outcomes, .. }
            | Self::Stopped { outcomes, .. } => outcomes,
            Self::Closed | Self::Gone => &[],
        }
    }

    /// Returns whether any of these writes may be in the table nevertheless.
    #[must_use]
    pub fn may_have_applied(&self) -> bool {
        matches!(self, Self::Gone) || self.outcomes().iter().any(Outcome::may_have_applied)
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
