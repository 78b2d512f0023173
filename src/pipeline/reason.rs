//! The reasons why records are refused.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The reason why a record was refused.
///
/// Any error converts by `?` or `into()`: that of a library, one of your own, an `anyhow::Error`, a
/// text. The reason reads as the error does, its causes included, and is of the kind
/// [`Invalid`](ReasonKind::Invalid).
///
/// **The text goes to dead letters, errors and logs.** Name the rule that was broken, not what the
/// record holds. An error whose text shows what it was made of, as that of a parser may, is to be
/// mapped: `.map_err(|_| "the amount is no number")?`.
///
/// A closure that uses `?` names the error that it returns, since any would do:
///
/// ```
/// use std::fmt;
/// use dynamodb_connector::pipeline::{Pipeline, Reason};
/// use dynamodb_connector::test_util::{CollectSink, IterSource};
///
/// #[derive(Debug)]
/// struct TooLarge(i64);
///
/// impl fmt::Display for TooLarge {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         write!(f, "above {}", self.0)
///     }
/// }
///
/// impl std::error::Error for TooLarge {}
///
/// fn below(max: i64, n: i64) -> Result<(), TooLarge> {
///     if n < max { Ok(()) } else { Err(TooLarge(max)) }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let (numbers, refused) = (CollectSink::new(), CollectSink::new());
/// Pipeline::from(IterSource::new(["7", "x", "500", "-1"]))
///     .try_map(|text| Ok::<i64, Reason>(text.parse()?))
///     .validate(|n| Ok::<_, Reason>(below(100, *n)?))
///     .map_async(|n| async move { Ok::<u8, Reason>(u8::try_from(n)?) })
///     .dead_letter(refused.clone())
///     .to(numbers.clone())
///     .run()
///     .await?;
/// assert_eq!(numbers.take(), [7]);
/// let reasons = refused.take().into_iter().map(|letter| letter.reason.text().to_owned());
/// let mut reasons: Vec<String> = reasons.collect();
/// reasons.sort();
/// assert_eq!(reasons, [
///     "above 100",
///     "invalid digit found in string",
///     "out of range integral type conversion attempted",
/// ]);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// As every type into which all errors convert, it is no [`Error`] itself.
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
    /// A lookup is set up wrongly: [`LookupError::fatal`](super::LookupError::fatal). It ends the
    /// pipeline and is in no letter.
    Setup,
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
        Self::new(ReasonKind::Invalid, crate::error::text(error))
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

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Reason {
    fn from(error: E) -> Self {
        Self::of(&*error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the amount is no number")]
    struct Amount(#[source] std::num::ParseIntError);

    #[test]
    fn any_error_converts_with_its_causes_and_a_reason_keeps_its_kind() {
        let fails = || -> Result<i32, Reason> { Ok("x".parse().map_err(Amount)?) };
        let reason = fails().expect_err("it fails");
        assert_eq!(
            reason.text(),
            "the amount is no number: invalid digit found in string"
        );
        assert_eq!(reason.kind(), ReasonKind::Invalid);
        assert_eq!(Reason::from("a text").text(), "a text");
        assert_eq!(Reason::from(String::from("a text")).text(), "a text");
        assert_eq!(Reason::from(Cow::Borrowed("a text")).text(), "a text");

        let passes = || -> Result<(), Reason> { Err(Reason::panicked())? };
        let passed = passes().expect_err("it fails");
        assert_eq!(passed.kind(), ReasonKind::Panicked);
    }
}
