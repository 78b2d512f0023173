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

/// A record that was given up. `M` are the members that its part of the program adds.
#[derive(Serialize)]
pub(crate) struct Letter<'a, F, R, M = ()> {
    pub(crate) v: u32,
    pub(crate) from: F,
    pub(crate) reason: Reason<'a>,
    pub(crate) attempts: u32,
    #[serde(flatten)]
    pub(crate) more: M,
    pub(crate) record: R,
}

/// The reason for which a record was given up.
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

/// The members that are read of a letter, to send its record again.
#[derive(Deserialize)]
pub(crate) struct Opened<F, R> {
    pub(crate) from: F,
    pub(crate) attempts: u32,
    pub(crate) record: R,
}

/// The version of a letter alone, which is read first: a later one may have another form.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Reads a letter of a version that is known.
pub(crate) fn read<'a, L: Deserialize<'a>>(line: &'a str) -> Result<L, DeadLetterFormatError> {
    let json = |error: serde_json::Error| DeadLetterFormatError::json(&error);
    let Version { v: found } = serde_json::from_str(line).map_err(json)?;
    if found == 0 || found > VERSION {
        return Err(DeadLetterFormatError::Version { found });
    }
    serde_json::from_str(line).map_err(json)
}

/// The reason for which a line is not a dead letter of the kind that is read: of a sink, of a stream's source, or of a pipeline.
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

    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed { what: what.into() }
    }

    pub(crate) fn json(error: &serde_json::Error) -> Self {
        Self::malformed(json_fault(error))
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
