//! Records that can't be carried on with, and why.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::delivery::Delivery;
use super::sink::{Sink, SinkError};
use super::source::Position;
#[cfg(feature = "streams")]
use crate::item::DecodeError;

/// Why a record could not be carried on with.
///
/// Made of a text by `?` or `into()`. The text appears in errors and in dead letters: say which rule was broken, not what the
/// record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    kind: ReasonKind,
    text: Cow<'static, str>,
}

/// What kind of thing went wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReasonKind {
    /// An operator's closure said so: the record is invalid.
    Invalid,
    /// A lookup found nothing.
    Absent,
    /// A lookup failed, also when tried again.
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

    /// A reason that reads as the error does, its causes included.
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

    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ReasonKind {
        self.kind
    }

    /// The reason in words.
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

/// A record that could not be carried on with.
///
/// `Debug` and `Display` show all but the record.
#[derive(Clone)]
#[non_exhaustive]
pub struct DeadLetter<R> {
    /// The operator's name, or the sink's.
    pub operator: Arc<str>,
    /// Why.
    pub reason: Reason,
    /// Where the source has the record.
    pub position: Position,
    /// The record as the source gave it, or what `dead_letter_with` made of it.
    pub record: R,
}

impl<R> fmt::Display for DeadLetter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.operator, self.position, self.reason)
    }
}

impl<R> fmt::Debug for DeadLetter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("operator", &self.operator)
            .field("reason", &self.reason)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// The dead-letter output of a pipeline, or that there is none. Sealed.
pub trait DeadLetters<T>: Send + 'static {
    /// What a dead letter carries of the source's record.
    type Record: Clone + Send + 'static;
    /// Where dead letters go.
    #[doc(hidden)]
    type Sink: Sink<DeadLetter<Self::Record>>;
    /// What makes the one of the other.
    #[doc(hidden)]
    type Convert: FnMut(&T) -> Self::Record + Send + 'static;

    #[doc(hidden)]
    fn into_parts(self) -> (Self::Convert, Option<Self::Sink>);
}

/// No dead-letter output: the first bad record stops the pipeline.
#[derive(Debug)]
pub struct NoDeadLetters(pub(super) ());

impl<T: Send + 'static> DeadLetters<T> for NoDeadLetters {
    type Record = ();
    type Sink = Self;
    type Convert = fn(&T);

    fn into_parts(self) -> (Self::Convert, Option<Self>) {
        (|_| (), None)
    }
}

impl Sink<DeadLetter<()>> for NoDeadLetters {
    async fn write(
        &mut self,
        _letter: DeadLetter<()>,
        _delivery: Delivery,
    ) -> Result<(), SinkError> {
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Dead letters go to a sink.
#[derive(Debug)]
pub struct DeadLettersTo<F, D> {
    pub(super) convert: F,
    pub(super) sink: D,
}

impl<T, R, F, D> DeadLetters<T> for DeadLettersTo<F, D>
where
    R: Clone + Send + 'static,
    F: FnMut(&T) -> R + Send + 'static,
    D: Sink<DeadLetter<R>>,
{
    type Record = R;
    type Sink = D;
    type Convert = F;

    fn into_parts(self) -> (F, Option<D>) {
        (self.convert, Some(self.sink))
    }
}
