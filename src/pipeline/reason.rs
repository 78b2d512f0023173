//! The reasons why records are refused.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

#[cfg(feature = "streams")]
use crate::item::DecodeError;

/// The reason why a record was refused.
///
/// Made of a text by `?` or `into()`. The text appears in errors and in dead letters: name the rule
/// that was broken, not what the record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    kind: ReasonKind,
    text: Cow<'static, str>,
}

/// The kind of thing that went wrong with a record.
///
/// In the JSON of letters a kind is in snake case: `timed_out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReasonKind {
    /// An operator's closure, or a lookup by [`LookupError::record`](super::LookupError::record),
    /// found the record invalid.
    Invalid,
    /// A lookup found nothing.
    Absent,
    /// A lookup failed as often as its [`retry`](super::Enrichment::retry) allows: an outage of the
    /// lookup's service, not a fault of the record. It ends the pipeline and is in no letter.
    Lookup,
    /// An asynchronous operator took longer than it may.
    TimedOut,
    /// An operator's closure panicked.
    Panicked,
    /// The sink can't write this value.
    Rejected,
}

impl Reason {
    pub(super) fn new(kind: ReasonKind, text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        Self { kind, text }
    }

    /// Returns a reason that reads as the error does, its causes included.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        Self::from(crate::error::text(error))
    }

    pub(super) fn panicked() -> Self {
        // The panic's own message may hold what the record holds.
        Self::new(ReasonKind::Panicked, "the operator's closure panicked")
    }

    pub(super) fn with_kind(mut self, kind: ReasonKind) -> Self {
        self.kind = kind;
        self
    }

    /// Returns the kind of thing that went wrong.
    #[must_use]
    pub fn kind(&self) -> ReasonKind {
        self.kind
    }

    /// Returns the reason in words.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self::new(ReasonKind::Invalid, text)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::new(ReasonKind::Invalid, text)
    }
}

impl From<Cow<'static, str>> for Reason {
    fn from(text: Cow<'static, str>) -> Self {
        Self::new(ReasonKind::Invalid, text)
    }
}

#[cfg(feature = "streams")]
impl From<DecodeError> for Reason {
    fn from(error: DecodeError) -> Self {
        Self::of(&error)
    }
}
