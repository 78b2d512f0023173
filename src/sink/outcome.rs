//! The outcomes of writes.

use std::fmt;

use crate::error::ErrorKind;
use crate::item::Item;
use crate::retry::ServiceError;

use super::error::SubmitError;
use super::record::WriteRecord;

/// The one outcome of an accepted write.
///
/// ```
/// use dynamodb_connector::sink::Outcome;
///
/// fn stored(outcome: &Outcome) -> bool {
///     matches!(outcome, Outcome::Written)
/// }
/// # assert!(stored(&Outcome::Written));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The service confirmed the write: it is durable.
    ///
    /// After an answer was lost, a conditional put that finds an item equal to its own, and a
    /// conditional delete that finds no item, count as written: the table is as they leave it.
    Written,
    /// A newer queued write of the same key took its place before it was sent, and was written.
    /// Only where coalescing is switched on.
    Superseded,
    /// The write's condition did not hold, so nothing was written.
    #[non_exhaustive]
    ConditionFailed {
        /// The item as it is in the table, where the service gave it; `None` where there is none.
        existing: Option<Item>,
    },
    /// The write can't or may no longer be carried out. Others were not affected.
    #[non_exhaustive]
    Rejected {
        /// The reason.
        reason: RejectReason,
        /// The write itself.
        record: WriteRecord,
    },
    /// The write was handed back: the sink was aborted, failed, or lost its runtime; its kind of
    /// write is denied; or a newer write that had taken its place may have been applied.
    #[non_exhaustive]
    Unwritten {
        /// `true` if an attempt went out whose answer is unknown. If `false`, the table certainly
        /// does not hold this write.
        may_have_applied: bool,
        /// The write itself; `None` only where the sink's task was dropped with its runtime.
        record: Option<WriteRecord>,
        /// The error that ended the table, or closed this kind of write; `None` where the sink was
        /// aborted or closed.
        cause: Option<ServiceError>,
    },
    /// The write must not be sent twice, and the answer to it was lost: it was applied once or not
    /// at all.
    #[non_exhaustive]
    Unknown {
        /// The item as it was found afterwards, where a condition was answered.
        existing: Option<Item>,
        /// The write itself.
        record: WriteRecord,
    },
}

impl Outcome {
    /// Returns whether the table holds this write (or held it, until a later write of the same
    /// key).
    #[must_use]
    pub fn is_written(&self) -> bool {
        matches!(self, Self::Written)
    }

    /// Returns whether the write may be in the table although the outcome is not `Written`.
    #[must_use]
    pub fn may_have_applied(&self) -> bool {
        match self {
            Self::Written | Self::Unknown { .. } => true,
            Self::Superseded | Self::ConditionFailed { .. } => false,
            Self::Rejected { reason, .. } => reason.may_have_applied(),
            Self::Unwritten {
                may_have_applied, ..
            } => *may_have_applied,
        }
    }

    /// Returns `Ok` for [`Written`](Self::Written) and [`Superseded`](Self::Superseded), the
    /// outcome as an error otherwise, for use with `?`.
    ///
    /// # Errors
    ///
    /// [`NotWritten`] with every other outcome.
    pub fn into_result(self) -> Result<(), NotWritten> {
        match self {
            Self::Written | Self::Superseded => Ok(()),
            other => Err(NotWritten(Box::new(other))),
        }
    }

    /// Returns the kind of failure; `None` for a write that was written or superseded.
    fn kind(&self) -> Option<ErrorKind> {
        Some(match self {
            Self::Written | Self::Superseded => return None,
            Self::ConditionFailed { .. } => ErrorKind::Condition,
            Self::Rejected { reason, .. } => reason.kind(),
            Self::Unwritten { cause, .. } => {
                cause.as_ref().map_or(ErrorKind::Closed, ServiceError::kind)
            }
            Self::Unknown { .. } => ErrorKind::Unknown,
        })
    }

    /// Returns the kind of the failures among outcomes that are not all written.
    pub(super) fn kind_of_all(outcomes: &[Self]) -> ErrorKind {
        ErrorKind::of_several(outcomes.iter().filter_map(Self::kind))
    }

    /// Returns whether this outcome is for the dead-letter handler: a write that failed for good.
    pub(crate) fn is_dead_letter(&self) -> bool {
        matches!(self, Self::Rejected { .. } | Self::Unknown { .. })
    }

    /// Returns the bytes of the record that it holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.record().map_or(0, WriteRecord::bytes)
    }

    pub(crate) fn record(&self) -> Option<&WriteRecord> {
        match self {
            Self::Rejected { record, .. } | Self::Unknown { record, .. } => Some(record),
            Self::Unwritten { record, .. } => record.as_ref(),
            Self::Written | Self::Superseded | Self::ConditionFailed { .. } => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written => f.write_str("written"),
            Self::Superseded => f.write_str("superseded by a newer write of the same key"),
            Self::ConditionFailed { .. } => f.write_str("the condition did not hold"),
            Self::Rejected { reason, record } => write!(f, "{record} rejected: {reason}"),
            Self::Unwritten {
                may_have_applied,
                record,
                cause,
            } => {
                match record {
                    Some(record) => write!(f, "{record} handed back")?,
                    None => f.write_str("handed back")?,
                }
                f.write_str(if *may_have_applied {
                    ", may have been applied"
                } else {
                    ", not applied"
                })?;
                cause
                    .as_ref()
                    .map_or(Ok(()), |cause| write!(f, ": {cause}"))
            }
            Self::Unknown { record, .. } => {
                write!(
                    f,
                    "{record} applied once or not at all: the answer was lost"
                )
            }
        }
    }
}

/// An [`Outcome`] other than written, as an error.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotWritten(Box<Outcome>);

impl NotWritten {
    /// Returns the kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        Outcome::kind_of_all(std::slice::from_ref(&*self.0))
    }

    /// Returns whether the same write may succeed with nothing changed, once submitted again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_transient()
    }

    /// Returns whether the write may be in the table nevertheless.
    #[must_use]
    pub fn may_have_applied(&self) -> bool {
        self.0.may_have_applied()
    }

    /// Returns the outcome.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.0
    }

    /// Returns the outcome, owned.
    #[must_use]
    pub fn into_outcome(self) -> Outcome {
        *self.0
    }
}

/// The reason for which an accepted write was rejected.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// The record can't be written. Only from
    /// [`put_or_dead_letter`](super::TableSink::put_or_dead_letter).
    #[error(transparent)]
    Invalid(Box<SubmitError>),
    /// The service refused this very write, alone.
    #[error("refused by the service: {error}")]
    #[non_exhaustive]
    Refused {
        /// The service's answer.
        error: ServiceError,
        /// `true` if an earlier attempt, whose answer was lost, may have been applied.
        may_have_applied: bool,
    },
    /// The write's deadline passed before it could be confirmed.
    #[error("deadline passed after {attempts} attempts{}", after(last.as_ref()))]
    #[non_exhaustive]
    DeadlineExceeded {
        /// The number of attempts.
        attempts: u32,
        /// `true` if one of them may have been applied.
        may_have_applied: bool,
        /// The last failure, where there was one.
        last: Option<ServiceError>,
    },
    /// The retry policy's `max_attempts` were used up.
    #[error("given up after {attempts} attempts: {last}")]
    #[non_exhaustive]
    AttemptsExhausted {
        /// The number of attempts.
        attempts: u32,
        /// `true` if one of them may have been applied.
        may_have_applied: bool,
        /// The last failure.
        last: ServiceError,
    },
}

/// Returns the words for the last failure of a write.
fn after(last: Option<&ServiceError>) -> String {
    last.map_or_else(String::new, |last| format!(", the last: {last}"))
}

impl RejectReason {
    /// Returns the kind of failure: [`Timeout`](ErrorKind::Timeout) for a deadline, else that of
    /// the cause.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(error) => error.kind(),
            Self::DeadlineExceeded { .. } => ErrorKind::Timeout,
            Self::Refused { error: last, .. } | Self::AttemptsExhausted { last, .. } => last.kind(),
        }
    }

    /// Returns whether the same write may succeed with nothing changed, once submitted again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_transient()
    }

    /// Returns whether an attempt may have been applied nevertheless.
    #[must_use]
    pub fn may_have_applied(&self) -> bool {
        match self {
            Self::Invalid(_) => false,
            Self::Refused {
                may_have_applied, ..
            }
            | Self::DeadlineExceeded {
                may_have_applied, ..
            }
            | Self::AttemptsExhausted {
                may_have_applied, ..
            } => *may_have_applied,
        }
    }

    /// Returns the service's last answer, where there was one.
    #[must_use]
    pub fn service_error(&self) -> Option<&ServiceError> {
        match self {
            Self::Invalid(_) => None,
            Self::Refused { error, .. } => Some(error),
            Self::DeadlineExceeded { last, .. } => last.as_ref(),
            Self::AttemptsExhausted { last, .. } => Some(last),
        }
    }
}

/// The kind of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteKind {
    /// The whole item is stored.
    Put,
    /// The item is deleted.
    Delete,
    /// Attributes of the item are changed by an update expression.
    Update,
    /// A condition is checked, within a transaction.
    Check,
}

impl WriteKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Update => "update",
            Self::Check => "check",
        }
    }
}
