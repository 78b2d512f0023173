//! The callers that wait for room.
//!
//! They stand in one line. A caller whose quota group has its share of the buffer waits apart, and
//! joins the line in the place of its arrival once its group has room.

use std::collections::{BTreeMap, HashMap};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::charge::Charge;
use super::prehashed::Prehashed;
use super::quota_groups::QuotaGroup;
use super::room::Room;

/// A caller's place in line; given up when dropped through
/// [`Admission::leave`](super::Admission::leave).
#[derive(Debug, Clone, Copy)]
pub(in crate::sink) struct Turn(usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Line,
    Apart(QuotaGroup),
    Granted,
}

/// Waiters by the number of their arrival.
type Queue = BTreeMap<u64, usize>;

#[derive(Debug)]
struct Waiter {
    arrival: u64,
    charge: Charge,
    place: Place,
    waker: Option<Waker>,
}

/// The callers that wait. See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiters: Slab<Waiter>,
    /// Waiters by the order of their arrival.
    line: Queue,
    /// Waiters whose group has its share, by group.
    apart: HashMap<QuotaGroup, Queue, Prehashed>,
    arrivals: u64,
}

impl Waiters {
    pub(super) fn is_line_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Returns the number of callers that wait or have not taken their room yet.
    pub(super) fn count(&self) -> usize {
        self.waiters.len()
    }

    /// Returns the group of a record that has its share of the buffer, or callers that wait for it.
    pub(super) fn full_group(&self, charge: Charge, room: &Room) -> Option<QuotaGroup> {
        room.groups.of(charge).find(|group| {
            room.is_full(*group) || (!self.apart.is_empty() && self.apart.contains_key(group))
        })
    }

    /// Adds a caller at the end of the line, or of its group's.
    pub(super) fn add(&mut self, charge: Charge, room: &Room) -> Turn {
        let apart = self.full_group(charge, room);
        let place = apart.map_or(Place::Line, Place::Apart);
        let arrival = self.arrivals;
        self.arrivals += 1;
        let at = self.waiters.insert(Waiter {
            arrival,
            charge,
            place,
            waker: None,
        });
        match apart {
            Some(group) => self.apart.entry(group).or_default().insert(arrival, at),
            None => self.line.insert(arrival, at),
        };
        Turn(at)
    }

    /// Removes a caller that was granted its room, and returns `true`. Returns `false` for a caller
    /// that does not wait. Keeps the waker of any other.
    pub(super) fn poll(&mut self, turn: Turn, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(waiter) = self.waiters.get_mut(turn.0) else {
            return Poll::Ready(false);
        };
        if waiter.place != Place::Granted {
            match &mut waiter.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        self.waiters.remove(turn.0);
        Poll::Ready(true)
    }

    /// Removes a caller, and frees the room that it was granted. Returns whether it was there.
    pub(super) fn leave(&mut self, turn: Turn, room: &mut Room) -> bool {
        let Some(waiter) = self.waiters.try_remove(turn.0) else {
            return false;
        };
        let charge = waiter.charge;
        match waiter.place {
            Place::Line => {
                self.line.remove(&waiter.arrival);
            }
            Place::Apart(group) => {
                if let Some(queue) = self.apart.get_mut(&group) {
                    queue.remove(&waiter.arrival);
                    if queue.is_empty() {
                        self.apart.remove(&group);
                    }
                }
            }
            Place::Granted => {
                room.free(charge);
                room.free_share(charge.bytes);
            }
        }
        self.promote_all(charge, room);
        true
    }

    /// Lets the next caller of each group of a record join the line.
    pub(super) fn promote_all(&mut self, charge: Charge, room: &Room) {
        if !self.apart.is_empty() {
            for group in room.groups.of(charge) {
                self.promote(group, room);
            }
        }
    }

    /// Lets the next of a group's callers join the line, if the group has room for it.
    fn promote(&mut self, group: QuotaGroup, room: &Room) {
        if room.is_full(group) {
            return;
        }
        let Some(queue) = self.apart.get_mut(&group) else {
            return;
        };
        let first = queue.pop_first();
        if queue.is_empty() {
            self.apart.remove(&group);
        }
        if let Some((arrival, at)) = first {
            self.move_to_line(arrival, at);
        }
    }

    /// Lets all callers of a group join the line.
    pub(super) fn join_line(&mut self, group: QuotaGroup) {
        for (arrival, at) in self.apart.remove(&group).unwrap_or_default() {
            self.move_to_line(arrival, at);
        }
    }

    fn move_to_line(&mut self, arrival: u64, at: usize) {
        if let Some(waiter) = self.waiters.get_mut(at) {
            waiter.place = Place::Line;
        }
        self.line.insert(arrival, at);
    }

    /// Grants room to the head of the line for as long as it fits. Returns the wakers of the
    /// callers.
    pub(super) fn grant(&mut self, room: &mut Room) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while let Some((&arrival, &at)) = self.line.first_key_value() {
            let Some(charge) = self.waiters.get(at).map(|waiter| waiter.charge) else {
                self.line.pop_first();
                continue;
            };
            let full = room.groups.of(charge).find(|group| room.is_full(*group));
            if let Some(group) = full {
                // It filled up while the caller stood in line.
                self.line.pop_first();
                self.apart.entry(group).or_default().insert(arrival, at);
                if let Some(waiter) = self.waiters.get_mut(at) {
                    waiter.place = Place::Apart(group);
                }
                continue;
            }
            if !room.fits(charge) {
                break;
            }
            if !room.try_share(charge, true) {
                room.wait_for_share();
                return wakers;
            }
            self.line.pop_first();
            room.take(charge);
            if let Some(waiter) = self.waiters.get_mut(at) {
                waiter.place = Place::Granted;
                wakers.extend(waiter.waker.take());
            }
        }
        room.stop_waiting_for_share();
        wakers
    }

    /// Returns the wakers of the callers that wait.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        let waiters = self.waiters.iter_mut();
        waiters
            .filter_map(|(_, waiter)| waiter.waker.take())
            .collect()
    }

    /// Gives memory back that is not in use.
    pub(super) fn shrink(&mut self) {
        if self.waiters.is_empty() {
            self.waiters = Slab::new();
        }
    }
}

/// Wakes callers. It runs without the lock, which they take at once.
pub(super) fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}
