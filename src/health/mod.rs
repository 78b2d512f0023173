//! Reports for the person on call: failures that last, and the health of a table, a source or a sink.
//!
//! A request that fails and passes at the next attempt is of no interest. A request that fails for a
//! second is, long before its records run out of time. So failures are counted by kind, and a kind is
//! reported once it **lasts**:
//!
//! | moment | line |
//! |---|---|
//! | a failure that may pass has gone on for a second without a success | WARN, with its cause |
//! | a failure that cannot pass by itself: of rights, credentials, a missing table | WARN, at once |
//! | its age has doubled, and a minute has passed | WARN again |
//! | refusals for capacity, and nothing written for 10 s | WARN |
//! | 10 s without it | INFO, once |
//! | the table, source or sink ends | ERROR, by its owner |
//!
//! `failures` decides, and is pure; `reporter` logs; `operation` is a reporter that several tasks share.

mod failures;
#[cfg(any(feature = "kafka", feature = "pipeline"))]
mod operation;
mod reporter;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, SystemTime};

#[cfg(any(feature = "kafka", feature = "pipeline"))]
pub(crate) use operation::OperationReporter;
pub(crate) use reporter::Reporter;

/// The success of requests at present, for readiness probes and dashboards.
///
/// `Display` gives it in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Requests succeed, or nothing is sent.
    #[default]
    Healthy,
    /// Requests have failed for a while, and are sent again. So have those of an action that may not be
    /// used: they are handed back, and one is sent now and then.
    #[non_exhaustive]
    Failing {
        /// The operation, e.g. `BatchWriteItem`.
        operation: &'static str,
        /// The error that it fails with, without any content of an item.
        cause: String,
        /// The time since the first failure.
        lasting: Duration,
        /// The number of failures since then.
        failures: u64,
    },
    /// Nothing is sent any more.
    #[non_exhaustive]
    Ended {
        /// The error that ended it.
        cause: String,
    },
}

impl Health {
    /// Returns whether all is well.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy)
    }
}

/// A request, or a call of a handler, that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastError {
    /// The operation, e.g. `BatchWriteItem`.
    pub operation: &'static str,
    /// The error, without any content of an item.
    pub cause: String,
    /// The time of the answer.
    pub at: SystemTime,
}

/// The words for how often, and for how long, something has failed.
fn how_often(lasting: Duration, failures: u64) -> String {
    match failures {
        1 => "once".to_owned(),
        _ => format!("for {} s, {failures} times", lasting.as_secs()),
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Failing {
                operation,
                cause,
                lasting,
                failures,
            } => {
                let how_often = how_often(*lasting, *failures);
                write!(f, "{operation} has failed {how_often}: {cause}")
            }
            Self::Ended { cause } => write!(f, "ended: {cause}"),
        }
    }
}
