//! Requests: the choice of the next one, its writes and body, and those in flight.
//!
//! [`Core::next_request`](super::Core::next_request) asks each source of writes in turn:
//!
//! ```text
//! parts of a batch under bisection ─┐
//! writes parked for a budget ───────┼─▶ choice ─▶ sending ─▶ Request, InFlight
//! the batched and the single lane ──┘
//! ```
//!
//! A write is chosen before its body is built, so that a request never holds a write that can't be
//! sent.

mod choice;
mod sending;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::lane::Ticket;
use crate::transport::Operation;

/// A request to send.
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) operation: Operation,
    pub(crate) body: Bytes,
    pub(crate) items: usize,
    /// The highest attempt number among its writes, 1 for a first sending.
    pub(crate) attempt: u32,
}

/// A request whose answer is awaited.
pub(super) struct InFlight {
    pub(super) id: u64,
    pub(super) operation: Operation,
    pub(super) writes: Vec<Ticket>,
    pub(super) sent_at: Duration,
    pub(super) isolated: bool,
    /// The newest request up to which the table was proven to be unchanged when this one was sent.
    pub(super) proven: Option<u64>,
    /// Set if it asks for the units that it consumes.
    pub(super) asked: bool,
    /// The number of retries that the budget has paid for it.
    pub(super) payments: u32,
    /// The body, whose buffer is reused after the answer.
    pub(super) body: Bytes,
}

/// The requests in flight.
#[derive(Debug, Default)]
pub(super) struct Requests {
    in_flight: HashMap<u64, InFlight>,
    next: u64,
}

impl Requests {
    /// Returns the number of requests in flight.
    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Returns the number of the next request; numbers rise with the time of sending.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Adds a request with its number.
    fn add(&mut self, request: InFlight) {
        self.next += 1;
        self.in_flight.insert(request.id, request);
    }

    /// Removes a request that was answered; `None` where the table was aborted since.
    pub(super) fn take(&mut self, id: u64) -> Option<InFlight> {
        self.in_flight.remove(&id)
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut InFlight> {
        self.in_flight.get_mut(&id)
    }

    /// Returns the writes of a request.
    #[cfg(test)]
    pub(super) fn writes(&self, id: u64) -> &[Ticket] {
        self.in_flight
            .get(&id)
            .map_or(&[], |request| &request.writes)
    }

    /// Removes all requests.
    pub(super) fn clear(&mut self) {
        self.in_flight.clear();
    }
}

/// Sizes only: contents never reach a log.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("operation", &self.operation)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Sizes only: contents never reach a log.
impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("id", &self.id)
            .field("writes", &self.writes.len())
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The sum of the writes in a batch so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) len: usize,
    pub(super) units: u32,
}
