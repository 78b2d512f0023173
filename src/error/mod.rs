//! The kinds of errors, and an error's text, shared by every module.

#[cfg(any(test, feature = "pipeline"))]
pub(crate) mod classified;
#[cfg(all(test, any(feature = "pipeline", feature = "streams")))]
mod converted;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;

use serde::Serialize;

/// The kind of an error: what has to change before the same call can succeed.
///
/// Every error of this crate has a method `kind()` that returns it, and a method `is_retryable()`
/// for whether the same call may succeed with nothing changed. In text and in JSON a kind is in
/// snake case: `not_found`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting, the client's configuration, or the way that a method is called.
    Config,
    /// The record: it breaks a rule, or does not fit the table. Other records are not concerned.
    Invalid,
    /// The table (or what else was named) does not exist, or no longer has the same keys.
    NotFound,
    /// The credentials or the rights.
    Denied,
    /// The item: it does not fulfill the write's condition.
    Condition,
    /// The load: the service has no capacity left at the moment, or a buffer has no room.
    Capacity,
    /// The service or the network: no answer, or an answer that gives no cause in the request.
    Unavailable,
    /// The time allowed: it passed first.
    Timeout,
    /// Unknown: the write was applied once or not at all, its answer was lost, and it must not be
    /// sent twice.
    Unknown,
    /// The caller's own code, such as a dead-letter handler that failed.
    Handler,
    /// The object: it was closed or aborted, or its runtime was shut down.
    Closed,
    /// The position to read from: records behind it are lost, and the caller has to decide how to go
    /// on.
    Gap,
    /// The source: it was read to its end, and no more comes.
    Ended,
    /// The client: another one took its place, or its order of records is lost. A new one may go on.
    Fenced,
    /// This crate: a defect of it, to be reported.
    Internal,
}

impl ErrorKind {
    /// Returns the kind in snake case, e.g. `not_found`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::Condition => "condition",
            Self::Capacity => "capacity",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Unknown => "unknown",
            Self::Handler => "handler",
            Self::Closed => "closed",
            Self::Gap => "gap",
            Self::Ended => "ended",
            Self::Fenced => "fenced",
            Self::Internal => "internal",
        }
    }

    /// Returns the kind of several failures together, in whatever order: the first in the order of declaration that time
    /// alone does not cure, where there is one. Of no failure, [`Unknown`](Self::Unknown).
    pub(crate) fn of_several(kinds: impl Iterator<Item = Self>) -> Self {
        let kind = kinds.min_by_key(|kind| (kind.is_transient(), *kind as u8));
        kind.unwrap_or(Self::Unknown)
    }

    /// Returns whether time alone may cure it: the load, the service or the network.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Capacity | Self::Unavailable | Self::Timeout)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Returns the text of an error and of its causes, as `outer: inner: root`. A cause that the text
/// before quotes already is not repeated.
pub(crate) fn text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let this = error.to_string();
        if !text.contains(&this) {
            text.push_str(": ");
            text.push_str(&this);
        }
        cause = error.source();
    }
    text
}

/// An error that says what has to change before the same call can succeed.
#[cfg(any(test, feature = "pipeline"))]
pub(crate) trait Classified: Error {
    /// Returns the kind of error.
    fn kind(&self) -> ErrorKind;

    /// Returns whether the same call may succeed with nothing changed.
    fn is_retryable(&self) -> bool;
}
