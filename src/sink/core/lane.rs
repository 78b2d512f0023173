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
    units: u64,
}

/// What a write takes of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// Bytes of the body.
    pub(super) bytes: usize,
    /// Write units.
    pub(super) units: u32,
}

impl Lane {
    pub(super) fn push(&mut self, ticket: Ticket, weight: Weight, now: Duration, returned: bool) {
        self.count += 1;
        self.bytes += weight.bytes;
        self.units += u64::from(weight.units);
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

    /// About how many units the first `writes` of the lane take.
    pub(super) fn units(&self, writes: usize) -> u32 {
        let share = |count: usize| u64::try_from(count).unwrap_or(u64::MAX).max(1);
        let units = if writes < self.count {
            self.units.saturating_mul(share(writes)) / share(self.count)
        } else {
            self.units
        };
        u32::try_from(units).unwrap_or(u32::MAX)
    }

    /// A write left the lane other than by `pop`; its ticket stays behind, stale.
    pub(super) fn forget(&mut self, weight: Weight) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(weight.bytes);
        self.units = self.units.saturating_sub(u64::from(weight.units));
        if self.count == 0 {
            self.returned.clear();
            self.arrived.clear();
        }
    }

    /// A write in the lane was replaced by one of another size.
    pub(super) fn resize(&mut self, old: Weight, new: Weight) {
        self.bytes = (self.bytes + new.bytes).saturating_sub(old.bytes);
        self.units = (self.units + u64::from(new.units)).saturating_sub(u64::from(old.units));
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
    pub(super) fn pop(&mut self, weight: Weight) {
        if self.returned_first() {
            self.returned.pop_front();
        } else {
            self.arrived.pop_front();
        }
        self.forget(weight);
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
