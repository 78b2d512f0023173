//! Writes that may be sent now, oldest first.

use std::collections::VecDeque;
use std::time::Duration;

/// A write in a lane: its place in the table of entries, and its number, which tells a place used
/// again from the write that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) seq: u64,
    pub(super) at: usize,
}

/// One of the two lanes: batched, or single calls.
///
/// What comes back (a retry, or the next write of a key whose head is done) has a queue of its own
/// beside the arrivals; the older of the two heads goes first.
#[derive(Debug, Default)]
pub(super) struct Lane {
    returned: VecDeque<(Ticket, Duration)>,
    arrived: VecDeque<(Ticket, Duration)>,
    /// Live writes in the lane; the queues may hold stale tickets beside them.
    count: usize,
    bytes: usize,
}

impl Lane {
    pub(super) fn push(&mut self, ticket: Ticket, bytes: usize, now: Duration, returned: bool) {
        self.count += 1;
        self.bytes += bytes;
        if returned {
            self.returned.push_back((ticket, now));
        } else {
            self.arrived.push_back((ticket, now));
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A write left the lane other than by `pop`; its ticket stays behind, stale.
    pub(super) fn forget(&mut self, bytes: usize) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        if self.count == 0 {
            self.returned.clear();
            self.arrived.clear();
        }
    }

    /// A write in the lane was replaced by one of another size.
    pub(super) fn resize(&mut self, old: usize, new: usize) {
        self.bytes = (self.bytes + new).saturating_sub(old);
    }

    /// The oldest ticket at the head of the two queues and since when it waits; stale ones are
    /// dropped on the way.
    pub(super) fn peek(&mut self, live: impl Fn(Ticket) -> bool) -> Option<(Ticket, Duration)> {
        for queue in [&mut self.returned, &mut self.arrived] {
            while queue.front().is_some_and(|(ticket, _)| !live(*ticket)) {
                queue.pop_front();
            }
        }
        let queue = if self.returned_first() {
            &self.returned
        } else {
            &self.arrived
        };
        queue.front().copied()
    }

    /// Takes what `peek` showed.
    pub(super) fn pop(&mut self, bytes: usize) {
        if self.returned_first() {
            self.returned.pop_front();
        } else {
            self.arrived.pop_front();
        }
        self.forget(bytes);
    }

    /// By age: a busy key's next write comes back again and again, and must not hold up for ever
    /// what arrived before it.
    fn returned_first(&self) -> bool {
        match (self.returned.front(), self.arrived.front()) {
            (Some((returned, _)), Some((arrived, _))) => returned < arrived,
            (returned, _) => returned.is_some(),
        }
    }
}
