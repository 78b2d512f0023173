//! The queued writes: their places, their keys' lines, and the queues in which they wait.
//!
//! A write stands in one queue at most, and its [`State`] says in which:
//!
//! ```text
//! Blocked        the lines of its keys
//! Ready          the batched or the single lane
//! Parked         the lane of a budget
//! Delayed        by time
//! Unpaid         by the time since which it waits
//! all others     none
//! ```
//!
//! [`set_state`](Queue::set_state) alone changes the state, and with it the queue. So no queue ever
//! holds a write that has left it, whatever it left for.
//!
//! `lanes` has the views of the lanes, `times` the deadlines and delays.

mod lanes;
mod times;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use slab::Slab;

use super::access::RecordEvidence;
use super::deadlines::Due;
use super::entry::{Entry, Places, State, Write};
use super::keys::Keys;
use super::lane::{Lane, Stay, Ticket};
use super::submission::SubmissionKeys;
use crate::capacity::BudgetKey;
use crate::item::Key;

/// Writes by the time that they wait for.
type ByTime = BTreeSet<(Duration, Ticket)>;

/// The writes without an outcome. See the module's documentation.
#[derive(Debug)]
pub(super) struct Queue<C> {
    entries: Slab<Entry<C>>,
    next_number: u64,
    keys: Keys,
    batched: Lane,
    single: Lane,
    parked: BTreeMap<BudgetKey, Lane>,
    delayed: ByTime,
    /// Writes of one request have the same time.
    unpaid: ByTime,
    deadlines: BTreeSet<Due>,
    /// A state that cannot be, once one was met.
    fault: Option<&'static str>,
}

impl<C> Default for Queue<C> {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
            next_number: 0,
            keys: Keys::default(),
            batched: Lane::default(),
            single: Lane::default(),
            parked: BTreeMap::new(),
            delayed: ByTime::new(),
            unpaid: ByTime::new(),
            deadlines: BTreeSet::new(),
            fault: None,
        }
    }
}

impl<C> Queue<C> {
    /// Returns the number of the next write.
    pub(super) fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the write of a ticket; `None` where it has its outcome.
    pub(super) fn get(&self, ticket: Ticket) -> Option<&Entry<C>> {
        let entry = self.entries.get(ticket.at);
        entry.filter(|entry| entry.seq == ticket.seq)
    }

    /// Returns the write of a ticket; `None` where it has its outcome.
    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Entry<C>> {
        let entry = self.entries.get_mut(ticket.at);
        entry.filter(|entry| entry.seq == ticket.seq)
    }

    /// Returns the write of a ticket, which must be queued: else `broken` is reported as a fault.
    pub(super) fn queued(&mut self, ticket: Ticket, broken: &'static str) -> Option<&mut Entry<C>> {
        if self.get(ticket).is_none() {
            self.report(broken);
        }
        self.get_mut(ticket)
    }

    /// Reports a state that cannot be: a panic in debug builds, the end of the table in others.
    pub(super) fn report(&mut self, broken: &'static str) {
        debug_assert!(false, "{broken}");
        self.fault.get_or_insert(broken);
    }

    /// Returns the first fault since the last call.
    pub(super) fn take_fault(&mut self) -> Option<&'static str> {
        self.fault.take()
    }

    /// Returns all writes, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Ticket, &Entry<C>)> {
        self.entries
            .iter()
            .map(|(at, entry)| (Ticket { seq: entry.seq, at }, entry))
    }

    /// Returns the tickets of those writes that are chosen, in the order of submission.
    pub(super) fn tickets(&self, choose: impl Fn(&Entry<C>) -> bool) -> Vec<Ticket> {
        let chosen = self.iter().filter(|(_, entry)| choose(entry));
        let mut tickets: Vec<Ticket> = chosen.map(|(ticket, _)| ticket).collect();
        tickets.sort_unstable();
        tickets
    }

    /// Ends the membership of all writes in groups.
    pub(super) fn leave_groups(&mut self) {
        for (_, entry) in &mut self.entries {
            entry.write.group = None;
        }
    }

    /// Returns the write of which a newer one of this key may take the place.
    pub(super) fn superseded_by(&self, key: &Key) -> Option<Ticket> {
        let at = self.keys.last(key)?;
        let entry = self.entries.get(at)?;
        let ticket = Ticket { seq: entry.seq, at };
        entry.may_be_superseded().then_some(ticket)
    }

    /// Adds a write at the end of the lines of its keys.
    pub(super) fn enter(&mut self, now: Duration, write: Write<C>, keys: SubmissionKeys) {
        let at = self.entries.vacant_key();
        self.deadlines.extend(Due::of(&write, at));
        let places = match keys {
            SubmissionKeys::One(key) => Places::One(self.keys.enter(key, at)),
            SubmissionKeys::Many(keys) => {
                let places = keys.into_iter().map(|key| self.keys.enter(key, at));
                Places::Many(places.collect())
            }
        };
        let ticket = self.insert(write, places);
        self.make_ready(now, ticket, false);
    }

    /// Adds a write whose deadline has passed, ahead of one that has its place in the same lines.
    /// Returns its ticket.
    pub(super) fn enter_before(&mut self, other: Ticket, write: Write<C>) -> Option<Ticket> {
        let at = self.entries.vacant_key();
        let Self { entries, keys, .. } = self;
        let other = entries
            .get(other.at)
            .filter(|entry| entry.seq == other.seq)?;
        let places = other.places.try_map(|place| keys.enter_before(place, at))?;
        Some(self.insert(write, places))
    }

    fn insert(&mut self, write: Write<C>, places: Places) -> Ticket {
        let seq = write.number;
        let at = self.entries.insert(Entry::new(write, places));
        Ticket { seq, at }
    }

    /// Puts a newer write into the place of another, which is kept beside it.
    pub(super) fn supersede(&mut self, ticket: Ticket, newer: Write<C>) {
        let due = Due::of(&newer, ticket.at);
        let Some(entry) = self.queued(ticket, "a superseded write is not queued") else {
            return;
        };
        let old = entry.weight();
        let older = std::mem::replace(&mut entry.write, newer);
        entry.older.insert(older.number, older);
        let new = entry.weight();
        match entry.state {
            State::Ready(_) => self.batched.resize(old, new),
            State::Parked(key, _) => {
                if let Some(lane) = self.parked.get_mut(&key) {
                    lane.resize(old, new);
                }
            }
            _ => {}
        }
        self.deadlines.extend(due);
    }

    /// Puts the newest of the writes back whose place this one has taken, and returns this one;
    /// `None` where it has taken none.
    pub(super) fn restore_older(&mut self, now: Duration, ticket: Ticket) -> Option<Write<C>> {
        let (_, back) = self.get_mut(ticket)?.older.pop_last()?;
        // Its queue has the weight of the write that leaves it.
        self.set_state(ticket, State::Blocked);
        let entry = self.get_mut(ticket)?;
        let left = std::mem::replace(&mut entry.write, back);
        self.make_ready(now, ticket, true);
        Some(left)
    }

    /// Removes a write, and makes those ready that waited for it alone.
    pub(super) fn remove(
        &mut self,
        now: Duration,
        ticket: Ticket,
        clears_evidence: bool,
    ) -> Option<Entry<C>> {
        self.set_state(ticket, State::InFlight);
        self.get(ticket)?;
        let entry = self.entries.remove(ticket.at);
        for &place in entry.places.as_slice() {
            if clears_evidence && let Some(evidence) = self.keys.evidence(place) {
                *evidence = None;
            }
            let Some(at) = self.keys.leave(place) else {
                continue;
            };
            match self.entries.get(at) {
                Some(follower) if matches!(follower.state, State::Blocked) => {
                    let seq = follower.seq;
                    self.make_ready(now, Ticket { seq, at }, true);
                }
                // A dead letter keeps its place and is not sent.
                Some(_) => {}
                None => self.report("the next write of a key is not queued"),
            }
        }
        Some(entry)
    }

    /// Moves a write into its lane once it is the head of its keys' lines.
    pub(super) fn make_ready(&mut self, now: Duration, ticket: Ticket, returned: bool) {
        let Some(entry) = self.get(ticket) else {
            return self.report("a write without a place is to be sent");
        };
        let mut places = entry.places.as_slice().iter();
        let state = if places.all(|&place| self.keys.is_head(place)) {
            State::Ready(Stay {
                since: now,
                returned,
            })
        } else {
            State::Blocked
        };
        self.set_state(ticket, state);
    }

    /// Parks a write until a budget has units for it. One that was parked elsewhere keeps the place
    /// of its age.
    pub(super) fn park(&mut self, now: Duration, ticket: Ticket, key: BudgetKey) {
        let entry = self.get(ticket);
        let returned = entry.is_some_and(|entry| matches!(entry.state, State::Parked(..)));
        let stay = Stay {
            since: now,
            returned,
        };
        self.set_state(ticket, State::Parked(key, stay));
    }

    /// Moves a write into a state, and from the queue of the state before into that of the new one.
    pub(super) fn set_state(&mut self, ticket: Ticket, state: State) {
        let Self {
            entries,
            batched,
            single,
            parked,
            delayed,
            unpaid,
            ..
        } = self;
        let at = ticket.at;
        let entry = entries.get_mut(at);
        let Some(entry) = entry.filter(|entry| entry.seq == ticket.seq) else {
            return self.report("a write without a place is given a state");
        };
        let common = if entry.write.payload.is_plain() {
            batched
        } else {
            single
        };
        match std::mem::replace(&mut entry.state, state) {
            State::Ready(stay) => common.remove(entries, at, stay.returned),
            State::Parked(key, stay) => {
                if let Some(lane) = parked.get_mut(&key) {
                    lane.remove(entries, at, stay.returned);
                    if lane.count() == 0 {
                        parked.remove(&key);
                    }
                }
            }
            State::Delayed { until, .. } => {
                delayed.remove(&(until, ticket));
            }
            State::Unpaid(since) => {
                unpaid.remove(&(since, ticket));
            }
            _ => {}
        }
        match entries.get(at).map(|entry| &entry.state) {
            Some(&State::Ready(stay)) => common.push(entries, at, stay.returned),
            Some(&State::Parked(key, stay)) => {
                let lane = parked.entry(key).or_default();
                lane.push(entries, at, stay.returned);
            }
            Some(&State::Delayed { until, .. }) => {
                delayed.insert((until, ticket));
            }
            Some(&State::Unpaid(since)) => {
                unpaid.insert((since, ticket));
            }
            _ => {}
        }
    }

    /// Returns the ticket of the write in a slot.
    pub(super) fn ticket_at(&self, at: usize) -> Option<Ticket> {
        let entry = self.entries.get(at)?;
        Some(Ticket { seq: entry.seq, at })
    }

    /// Returns the key of a write, of a transaction the first one.
    pub(super) fn key(&self, ticket: Ticket) -> Option<&Key> {
        let place = self.get(ticket)?.places.as_slice().first()?;
        self.keys.key(*place)
    }

    /// Returns the number of a write, and the evidence against the writes of its key.
    pub(super) fn evidence(
        &mut self,
        ticket: Ticket,
    ) -> Option<(u64, &mut Option<Box<RecordEvidence>>)> {
        let entry = self.get(ticket)?;
        let (number, place) = (entry.write.number, *entry.places.as_slice().first()?);
        Some((number, self.keys.evidence(place)?))
    }

    /// Gives the memory of an empty queue back.
    pub(super) fn shrink(&mut self) {
        if self.entries.is_empty() {
            self.entries = Slab::new();
            self.keys = Keys::default();
        }
    }

    /// Returns the number of writes.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the number of writes that its memory has room for.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.entries.capacity()
    }

    /// Returns the number of keys that have a queued write.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }
}
