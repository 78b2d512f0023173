//! The form of a record that was given up, the same for every module that gives up records.
//!
//! One JSON object on one line, UTF-8:
//!
//! ```json
//! {"v":1,"from":{"sink":"dynamodb","table":"decisions"},"reason":{"kind":"invalid","text":"…"},"attempts":1,"record":{…}}
//! ```
//!
//! `from` says which part of the program gave it up, `reason` why (`kind` is an
//! [`ErrorKind`]), `attempts` how often it was tried, and `record` is the record in
//! the form of that part. Readers ignore members that they don't know, and refuse a `v` that they
//! don't know: a version that only adds members keeps its number. A pipeline's letters add `refusals`
//! beside `reason`: the distinct reasons of all values that one record became.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::error::ErrorKind;

/// The version that is written, and the latest that is read.
pub(crate) const VERSION: u32 = 1;

/// A record that was given up.
#[derive(Serialize)]
pub(crate) struct Letter<'a, F, R> {
    pub(crate) v: u32,
    pub(crate) from: F,
    pub(crate) reason: Reason<'a>,
    pub(crate) attempts: u32,
    pub(crate) record: R,
}

/// Why a record was given up.
#[derive(Serialize)]
pub(crate) struct Reason<'a> {
    pub(crate) kind: ErrorKind,
    /// The error in words, its causes included.
    pub(crate) text: Cow<'a, str>,
    /// The service's code, where it refused the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) may_have_applied: bool,
}

/// What is read of a letter, to send its record again.
#[derive(Deserialize)]
pub(crate) struct Opened<F, R> {
    pub(crate) from: F,
    pub(crate) attempts: u32,
    pub(crate) record: R,
}

/// The version of a letter alone, which is read first: a later one may have another form.
#[derive(Deserialize)]
pub(crate) struct Version {
    pub(crate) v: u32,
}

/// The reason for which a line is not a dead letter of the kind that is read: of a sink, or of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterFormatError {
    /// It is no such letter, or was changed.
    #[error("not a dead letter of this kind: {what}")]
    #[non_exhaustive]
    Malformed {
        /// The fault, without any content of the record.
        what: String,
    },
    /// It was written by a later version of this crate.
    #[error("dead letter version {found}, this crate reads 1 to {}", VERSION)]
    #[non_exhaustive]
    Version {
        /// Its version.
        found: u32,
    },
}

impl DeadLetterFormatError {
    /// Returns [`ErrorKind::Invalid`].
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// Returns `false`: the line stays as it is.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }

    pub(crate) fn json(error: &serde_json::Error) -> Self {
        let what = json_fault(error);
        Self::Malformed { what }
    }
}

/// Returns the position and kind of a JSON error in a line, without its text, which could quote
/// contents.
pub(crate) fn json_fault(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "the line is cut short",
        serde_json::error::Category::Data => "it holds something else than expected here",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "it is not JSON",
    };
    format!("column {}: {what}", error.column())
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::error::samples::Sample> {
    use crate::error::samples::{ROOT, Sample};
    let what = ROOT.to_owned();
    vec![
        Sample::new(
            DeadLetterFormatError::Malformed { what },
            ErrorKind::Invalid,
        ),
        Sample::new(
            DeadLetterFormatError::Version { found: 2 },
            ErrorKind::Invalid,
        ),
    ]
}
