//! Writes that wait for the same thing, oldest first: to be batched, to be sent alone, or a budget.

use std::time::Duration;

use slab::Slab;

use super::entry::Entry;
use super::list::List;

/// A queued write: the slot of its place, and the place's number, which distinguishes it from
/// others that had the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) seq: u64,
    pub(super) at: usize,
}

/// The share of a request that a write takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// Bytes of the body.
    pub(super) bytes: usize,
    /// Write units.
    pub(super) units: u32,
}

/// A write's stay in a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    pub(super) since: Duration,
    /// Set if the write came back: for a retry, or since the head of its key's line is done.
    pub(super) returned: bool,
}

/// Writes in the order in which they are sent.
///
/// Writes that come back have a list of their own beside the arrivals. The older of the two heads
/// goes first: a busy key's next write comes back again and again, and must not delay for ever the
/// writes that arrived before it.
#[derive(Debug, Default)]
pub(super) struct Lane {
    returned: List,
    arrived: List,
    count: usize,
    bytes: usize,
    units: u64,
}

impl Lane {
    /// Adds a write that is in no lane.
    pub(super) fn push<C>(&mut self, entries: &mut Slab<Entry<C>>, at: usize, returned: bool) {
        let weight = entries.get(at).map(Entry::weight).unwrap_or_default();
        self.count += 1;
        self.bytes += weight.bytes;
        self.units += u64::from(weight.units);
        self.list(returned).push_back(entries, at);
    }

    /// Removes a write of this lane.
    pub(super) fn remove<C>(&mut self, entries: &mut Slab<Entry<C>>, at: usize, returned: bool) {
        let weight = entries.get(at).map(Entry::weight).unwrap_or_default();
        self.count -= 1;
        self.bytes -= weight.bytes;
        self.units -= u64::from(weight.units);
        self.list(returned).remove(entries, at);
    }

    /// Replaces the weight of a write of this lane.
    pub(super) fn resize(&mut self, old: Weight, new: Weight) {
        self.bytes = self.bytes + new.bytes - old.bytes;
        self.units = self.units + u64::from(new.units) - u64::from(old.units);
    }

    /// Returns the first write.
    pub(super) fn first<C>(&self, entries: &Slab<Entry<C>>) -> Option<Ticket> {
        let ticket = |list: &List| {
            let at = list.first()?;
            entries.get(at).map(|entry| Ticket { seq: entry.seq, at })
        };
        match (ticket(&self.returned), ticket(&self.arrived)) {
            (Some(returned), Some(arrived)) => Some(returned.min(arrived)),
            (returned, arrived) => returned.or(arrived),
        }
    }

    /// Returns the number of writes.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Returns the bytes that the writes take in the bodies of batches.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns about how many units the first `writes` of the lane take.
    pub(super) fn units(&self, writes: usize) -> u32 {
        let share = |count: usize| u64::try_from(count).unwrap_or(u64::MAX).max(1);
        let units = if writes < self.count {
            self.units.saturating_mul(share(writes)) / share(self.count)
        } else {
            self.units
        };
        u32::try_from(units).unwrap_or(u32::MAX)
    }

    fn list(&mut self, returned: bool) -> &mut List {
        if returned {
            &mut self.returned
        } else {
            &mut self.arrived
        }
    }
}
