//! Where records come from.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

pub(super) use super::endpoint_error::EndpointError as SourceError;
use crate::progress::Ack;

/// What a pipeline reads: a table's changes, a Kafka topic, anything that gives records in order within lanes.
///
/// A lane is what has an order and a position of its own: a shard, a partition. A source bounds, for each lane, how many
/// records it hands out beyond the first one that is not acknowledged: so one slow lane can't fill the pipeline, whose own
/// bound counts all lanes.
pub trait Source: Send + 'static {
    /// One record.
    type Item: Send + 'static;

    /// Waits for the next records, in order within each lane; `None` at the end. One batch should stay well below what a
    /// pipeline holds in flight (by default 10,000 records and 64 MiB), since a batch is held as a whole.
    ///
    /// # Cancel safety
    ///
    /// Must be cancel safe: a call that is dropped has handed out nothing.
    fn next(&mut self) -> impl Future<Output = NextRecords<Self::Item>> + Send;

    /// Takes in nothing more. `next` is not called again; what is out may still be acknowledged. May be called twice.
    fn stop(&mut self);

    /// Stores the positions of what was acknowledged and gives up ownership of the lanes. Must not wait for records that
    /// were not acknowledged: there may be some, after an error.
    fn close(self) -> impl Future<Output = Result<(), SourceError>> + Send;
}

/// What [`Source::next`] gives.
pub type NextRecords<T> = Option<Result<Vec<Sourced<T>>, SourceError>>;

/// A record as its source hands it out.
pub struct Sourced<T> {
    /// The record.
    pub value: T,
    /// Where it stands in its lane.
    pub position: Position,
    /// The duty to say when its effects are durable.
    pub ack: Ack,
    /// What it takes of the pipeline's `max_in_flight_bytes`; 0 where it is not known.
    pub bytes: usize,
}

/// Shows all but the record.
impl<T> fmt::Debug for Sourced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sourced")
            .field("position", &self.position)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Where a record stands: its lane, and a number or text that is unique within it.
///
/// Shown as `shard-1@42`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    lane: Arc<str>,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Number(u64),
    Text(Arc<str>),
}

impl Position {
    /// A numbered position, such as an offset of a partition.
    pub fn number(lane: Arc<str>, number: u64) -> Self {
        let at = At::Number(number);
        Self { lane, at }
    }

    /// A position that is a text, such as the sequence number of a shard.
    pub fn text(lane: Arc<str>, text: impl Into<Arc<str>>) -> Self {
        let at = At::Text(text.into());
        Self { lane, at }
    }

    /// The lane, as its source names it.
    #[must_use]
    pub fn lane(&self) -> &Arc<str> {
        &self.lane
    }

    /// Returns the text, where the position is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.at {
            At::Number(_) => None,
            At::Text(text) => Some(text),
        }
    }

    /// The number, where the position is one.
    #[must_use]
    pub fn as_number(&self) -> Option<u64> {
        match self.at {
            At::Number(number) => Some(number),
            At::Text(_) => None,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Number(number) => write!(f, "{}@{number}", self.lane),
            At::Text(text) => write!(f, "{}@{text}", self.lane),
        }
    }
}
