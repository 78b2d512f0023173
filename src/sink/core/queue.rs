//! The queued writes: their places, their keys' lines, and what each of them waits for.
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

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use slab::Slab;

use super::access::Suspicion;
use super::deadlines::Due;
use super::entry::{Entry, Places, State, Write};
use super::keys::Keys;
use super::lane::{Lane, Stay, Ticket};
use super::submission::SubmissionKeys;
use crate::capacity::{BudgetKey, WriteCost};
use crate::item::Key;

/// The most writes that one call moves whose time has come.
///
/// Chosen: about a millisecond of work, so that other tasks of the runtime have their turn.
const MAX_STEP: usize = 1_000;

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
        entry.older.push_back(older);
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

    /// Puts the newest of the writes back whose place this one has taken, and returns this one; `None`
    /// where it has taken none.
    pub(super) fn restore_older(&mut self, now: Duration, ticket: Ticket) -> Option<Write<C>> {
        let back = self.get_mut(ticket)?.older.pop_back()?;
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
        clears_suspicion: bool,
    ) -> Option<Entry<C>> {
        self.set_state(ticket, State::InFlight);
        self.get(ticket)?;
        let entry = self.entries.remove(ticket.at);
        for &place in entry.places.as_slice() {
            if clears_suspicion && let Some(suspicion) = self.keys.suspicion(place) {
                *suspicion = None;
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

    /// Forgets the deadline of a write that leaves its slot.
    pub(super) fn drop_deadline(&mut self, write: &Write<C>, at: usize) {
        if let Some(due) = Due::of(write, at) {
            self.deadlines.remove(&due);
        }
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

    /// Parks a write until a budget has units for it. One that was parked elsewhere keeps the place of
    /// its age.
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

    /// Moves the delayed writes on whose time has come: into their lanes, or among those that have to
    /// be paid for. At most [`MAX_STEP`] at a time.
    pub(super) fn mature(&mut self, now: Duration) {
        for _ in 0..MAX_STEP {
            let due = self.delayed.first().filter(|(until, _)| *until <= now);
            let Some(&(until, ticket)) = due else {
                return;
            };
            let state = self.get(ticket).map(|entry| &entry.state);
            if let Some(State::Delayed { unpaid: true, .. }) = state {
                self.set_state(ticket, State::Unpaid(until));
            } else {
                self.make_ready(now, ticket, true);
            }
        }
    }

    /// Returns the first write whose retry is to be paid for, and since when it waits.
    pub(super) fn first_unpaid(&self) -> Option<(Duration, Ticket)> {
        self.unpaid.first().copied()
    }

    /// Removes the deadlines that have passed, up to [`MAX_STEP`] of them.
    pub(super) fn take_due(&mut self, now: Duration) -> Vec<Due> {
        let mut due = Vec::new();
        while due.len() < MAX_STEP
            && let Some(first) = self.deadlines.first()
            && first.time <= now
        {
            due.extend(self.deadlines.pop_first());
        }
        due
    }

    /// Adds the deadlines again that have passed of a write and of those whose place it has taken.
    pub(super) fn renew_due(&mut self, now: Duration, ticket: Ticket) {
        let entry = self.entries.get(ticket.at);
        if let Some(entry) = entry.filter(|entry| entry.seq == ticket.seq) {
            let writes = entry.older.iter().chain([&entry.write]);
            let due = writes.filter_map(|write| Due::of(write, ticket.at));
            self.deadlines.extend(due.filter(|due| due.time <= now));
        }
    }

    /// Returns whether a deadline has passed.
    pub(super) fn has_due(&self, now: Duration) -> bool {
        self.deadlines.first().is_some_and(|due| due.time <= now)
    }

    /// Returns the next time at which a write is late, or is to be sent again.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        let due = self.deadlines.first().map(|due| due.time);
        let delayed = self.delayed.first().map(|(until, _)| *until);
        due.into_iter().chain(delayed).min()
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

    /// Returns the number of a write, and the suspicion against the writes of its key.
    pub(super) fn suspicion(
        &mut self,
        ticket: Ticket,
    ) -> Option<(u64, &mut Option<Box<Suspicion>>)> {
        let entry = self.get(ticket)?;
        let (number, place) = (entry.write.number, *entry.places.as_slice().first()?);
        Some((number, self.keys.suspicion(place)?))
    }

    /// Returns the lane of the puts and deletes that go in batches.
    pub(super) fn batched(&self) -> &Lane {
        &self.batched
    }

    /// Returns the first write of the batched lane.
    pub(super) fn first_batched(&self) -> Option<(Ticket, &Entry<C>)> {
        let ticket = self.batched.first(&self.entries)?;
        Some((ticket, self.get(ticket)?))
    }

    /// Returns the first write of the single lane.
    pub(super) fn first_single(&self) -> Option<(Ticket, &Entry<C>)> {
        let ticket = self.single.first(&self.entries)?;
        Some((ticket, self.get(ticket)?))
    }

    /// Returns the first write that is parked for a budget.
    pub(super) fn first_parked(&self, key: BudgetKey) -> Option<(Ticket, &Entry<C>)> {
        let ticket = self.parked.get(&key)?.first(&self.entries)?;
        Some((ticket, self.get(ticket)?))
    }

    /// Returns the first writes of the batched and the single lane, and since when each waits.
    pub(super) fn heads(&self) -> [Option<(Ticket, Duration)>; 2] {
        [self.first_batched(), self.first_single()].map(|head| {
            let (ticket, entry) = head?;
            match entry.state {
                State::Ready(stay) => Some((ticket, stay.since)),
                _ => None,
            }
        })
    }

    /// Returns whether a write can be sent.
    pub(super) fn has_ready(&self) -> bool {
        self.batched.count() + self.single.count() > 0
    }

    /// Returns whether a write waits for a retry.
    pub(super) fn has_delayed(&self) -> bool {
        !(self.delayed.is_empty() && self.unpaid.is_empty())
    }

    /// Returns the lanes of parked writes, by the budget that they wait for.
    pub(super) fn parked(&self) -> &BTreeMap<BudgetKey, Lane> {
        &self.parked
    }

    /// Returns the number of writes that wait for hot keys.
    pub(super) fn behind_hot_keys(&self) -> usize {
        let lanes = self.parked.iter();
        lanes
            .filter(|(key, _)| matches!(key, BudgetKey::HotKey(_)))
            .map(|(_, lane)| lane.count())
            .sum()
    }

    /// Returns the index that the most writes wait for.
    pub(super) fn fullest_index(&self) -> Option<usize> {
        let indexes = self.parked.iter().filter_map(|(key, lane)| match key {
            BudgetKey::Index(at) => Some((lane.count(), *at)),
            BudgetKey::HotKey(_) => None,
        });
        indexes.max().map(|(_, at)| at)
    }

    /// Returns the costs of writes.
    pub(super) fn costs(&self, tickets: &[Ticket]) -> Vec<WriteCost> {
        let entries = tickets.iter().filter_map(|ticket| self.get(*ticket));
        entries.map(|entry| entry.write.cost).collect()
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
