//! Records that are refused, with the reason.

use std::fmt;
use std::sync::Arc;

use super::delivery::{Delivery, Failure};
use super::endpoint_error::EndpointError;
use super::position::Position;
pub(super) use super::reason::Reason;
use super::sink::Sink;

/// A record that an operator or the sink refused, with the reason.
///
/// A record of which several values are refused, after a [`flat_map`](super::Pipeline::flat_map),
/// is one letter. It is written once all values of the record are settled.
///
/// A letter that the dead-letter output refuses ends the pipeline, and each new run at the same
/// record, until the cause is gone. In a Kafka topic that is most often its size: it is larger than
/// its record, so raise `message.max.bytes` of the sink that sends it and `max.message.bytes` of
/// the topic, or have [`dead_letter_with`](super::Pipeline::dead_letter_with) make something
/// smaller of the record.
///
/// `Debug` and `Display` show all but the record.
#[derive(Clone)]
#[non_exhaustive]
pub struct DeadLetter<R> {
    /// The name of the operator, or of the sink, that refused the first value.
    pub operator: Arc<str>,
    /// The reason for it.
    pub reason: Reason,
    /// The number of times that the operator tried: more than 1 only after a lookup that was tried
    /// again.
    pub attempts: u32,
    /// The position of the record in its source.
    pub position: Position,
    /// The record as the source gave it, or what `dead_letter_with` made of it.
    pub record: R,
    /// The distinct reasons for all values, in the order in which they came, and the first one with
    /// them. At most 16.
    pub refusals: Vec<Refusal>,
    /// The number of values whose reasons are not in `refusals`.
    pub unlisted: u32,
}

/// Values of one record that one operator, or the sink, refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The name of the operator, or of the sink.
    pub operator: Arc<str>,
    /// The reason.
    pub reason: Reason,
    /// The number of values.
    pub values: u32,
}

/// The most reasons of one letter: a record that becomes a million values must not become a million
/// texts.
const MAX_REFUSALS: usize = 16;

/// The refused values of one record, until all its values are settled.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    listed: Vec<Refusal>,
    unlisted: u32,
    attempts: u32,
}

impl Refusals {
    pub(super) fn add(&mut self, failure: Failure) {
        let Failure {
            operator,
            reason,
            attempts,
            ..
        } = failure;
        self.attempts = self.attempts.max(attempts);
        let same = |known: &&mut Refusal| known.operator == operator && known.reason == reason;
        if let Some(known) = self.listed.iter_mut().find(same) {
            known.values = known.values.saturating_add(1);
        } else if self.listed.len() < MAX_REFUSALS {
            self.listed.push(Refusal {
                operator,
                reason,
                values: 1,
            });
        } else {
            self.unlisted = self.unlisted.saturating_add(1);
        }
    }

    /// Returns the letter of the record; `None` where nothing was refused.
    pub(super) fn into_letter<R>(self, position: Position, record: R) -> Option<DeadLetter<R>> {
        let first = self.listed.first()?;
        Some(DeadLetter {
            operator: Arc::clone(&first.operator),
            reason: first.reason.clone(),
            attempts: self.attempts,
            position,
            record,
            refusals: self.listed,
            unlisted: self.unlisted,
        })
    }
}

impl<R> DeadLetter<R> {
    /// Returns the number of the record's values that were refused.
    #[must_use]
    pub fn refused_values(&self) -> u32 {
        let listed = self.refusals.iter().map(|refusal| refusal.values);
        listed.fold(self.unlisted, u32::saturating_add)
    }
}

impl<R> fmt::Display for DeadLetter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.operator, self.position, self.reason)?;
        match self.refused_values() {
            0 | 1 => Ok(()),
            values => write!(f, " (the first of {values} refused values)"),
        }
    }
}

impl<R> fmt::Debug for DeadLetter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("operator", &self.operator)
            .field("reason", &self.reason)
            .field("position", &self.position)
            .field("refused_values", &self.refused_values())
            .finish_non_exhaustive()
    }
}

/// The dead-letter output of a pipeline, or that there is none. Sealed.
pub trait DeadLetters<T>: Send + 'static {
    /// The form in which a dead letter carries the source's record.
    type Record: Clone + Send + 'static;
    /// The sink that dead letters go to.
    #[doc(hidden)]
    type Sink: Sink<DeadLetter<Self::Record>>;
    /// The function that makes the one of the other.
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
    ) -> Result<(), EndpointError> {
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        Ok(())
    }

    async fn close(self) -> Result<(), EndpointError> {
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
