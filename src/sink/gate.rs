//! The bounded way in: room by records and by bytes, given in the order of asking.
//!
//! ```text
//! callers ─▶ enter ──room──▶ inbox ─▶ worker
//!              │                        │ an outcome frees its record's room
//!              └─ no room ▶ waiters ◀───┘
//!                 (a hot key's callers wait apart)
//! ```
//!
//! A channel of `tokio` bounds a count; this one bounds bytes too, and keeps the room of a record
//! taken until the record has its outcome, not just until the worker has picked it up. A caller
//! that waits holds its record itself: dropped while it waits, it has submitted nothing.

mod crowds;
mod prehashed;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;
use tokio::sync::Notify;

use super::error::SubmitError;
use crowds::{Crowd, Crowds};
use prehashed::Prehashed;

/// What a record takes of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) bytes: usize,
    /// The hash of its partition key.
    pub(super) partition: u64,
    /// The indexes it enters, by a bit each.
    pub(super) indexes: u32,
}

impl Charge {
    /// That of a record that does not enter.
    pub(super) const NONE: Self = Self {
        bytes: 0,
        partition: 0,
        indexes: 0,
    };
}

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) records: usize,
    pub(super) bytes: usize,
    /// How many records one partition key may have in the buffer, or those that enter an index that is
    /// short.
    pub(super) share: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Line,
    Apart(Crowd),
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

#[derive(Debug)]
struct State<M> {
    inbox: Vec<M>,
    records: usize,
    bytes: usize,
    crowds: Crowds,
    waiters: Slab<Waiter>,
    /// Waiters by the order of their arrival.
    line: Queue,
    /// Those whose crowd has its share, by crowd.
    apart: HashMap<Crowd, Queue, Prehashed>,
    arrivals: u64,
    closed: Option<SubmitError>,
    /// The worker has ended: nobody receives any more.
    ended: bool,
    /// It did not end in order, but with its runtime.
    lost: bool,
    /// All handles are gone.
    orphaned: bool,
}

/// See the module's documentation. `M` is what goes through.
#[derive(Debug)]
pub(super) struct Gate<M> {
    bounds: Bounds,
    state: Mutex<State<M>>,
    wake: Notify,
}

/// A place in line; given up when dropped through [`Gate::leave`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn(usize);

impl<M> Gate<M> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: Mutex::new(State {
                inbox: Vec::new(),
                records: 0,
                bytes: 0,
                crowds: Crowds::default(),
                waiters: Slab::new(),
                line: Queue::new(),
                apart: HashMap::default(),
                arrivals: 0,
                closed: None,
                ended: false,
                lost: false,
                orphaned: false,
            }),
            wake: Notify::new(),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Passes the message in, out of `message`, if there is room and nobody waits before it.
    /// Returns whether it did.
    ///
    /// # Errors
    ///
    /// The reason why the gate is closed.
    pub(super) fn try_enter(
        &self,
        charge: Charge,
        message: &mut Option<M>,
    ) -> Result<bool, SubmitError> {
        let mut state = self.lock();
        if let Some(reason) = &state.closed {
            return Err(reason.clone());
        }
        if state.line.is_empty()
            && state.full_crowd(charge, self.bounds).is_none()
            && state.fits(charge, self.bounds)
        {
            state.take(charge);
            if let Some(message) = message.take() {
                self.push(&mut state, message);
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Returns the reason why the gate is closed, if it is.
    pub(super) fn closed(&self) -> Option<SubmitError> {
        self.lock().closed.clone()
    }

    /// Takes a place in line.
    pub(super) fn queue(&self, charge: Charge) -> Turn {
        let mut state = self.lock();
        let apart = state.full_crowd(charge, self.bounds);
        let place = apart.map_or(Place::Line, Place::Apart);
        let arrival = state.arrivals;
        state.arrivals += 1;
        let at = state.waiters.insert(Waiter {
            arrival,
            charge,
            place,
            waker: None,
        });
        match apart {
            Some(crowd) => state.apart.entry(crowd).or_default().insert(arrival, at),
            None => state.line.insert(arrival, at),
        };
        // Room may have been freed since the caller last looked.
        let wakers = state.grant(self.bounds);
        drop(state);
        wake_all(wakers);
        Turn(at)
    }

    /// Passes the message in once it is its turn. Takes it out of `message` when it does.
    pub(super) fn poll_turn(
        &self,
        turn: Turn,
        message: &mut Option<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SubmitError>> {
        let mut state = self.lock();
        if let Some(reason) = state.closed.clone() {
            return Poll::Ready(Err(reason));
        }
        let Some(waiter) = state.waiters.get_mut(turn.0) else {
            return Poll::Ready(Err(SubmitError::Closed));
        };
        if waiter.place != Place::Granted {
            match &mut waiter.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        state.waiters.remove(turn.0);
        if let Some(message) = message.take() {
            self.push(&mut state, message);
        }
        Poll::Ready(Ok(()))
    }

    /// Gives a place in line up, with the room it may have been granted.
    pub(super) fn leave(&self, turn: Turn) {
        let mut state = self.lock();
        let Some(waiter) = state.waiters.try_remove(turn.0) else {
            return;
        };
        let charge = waiter.charge;
        match waiter.place {
            Place::Line => {
                state.line.remove(&waiter.arrival);
            }
            Place::Apart(crowd) => {
                if let Some(queue) = state.apart.get_mut(&crowd) {
                    queue.remove(&waiter.arrival);
                    if queue.is_empty() {
                        state.apart.remove(&crowd);
                    }
                }
            }
            Place::Granted => state.free(charge),
        }
        state.promote_all(charge, self.bounds);
        let wakers = state.grant(self.bounds);
        drop(state);
        wake_all(wakers);
    }

    /// Frees the room of records that have their outcome.
    pub(super) fn release(&self, charges: impl Iterator<Item = Charge>) {
        let mut state = self.lock();
        for charge in charges {
            state.free(charge);
            state.promote_all(charge, self.bounds);
        }
        let wakers = state.grant(self.bounds);
        drop(state);
        wake_all(wakers);
    }

    /// Sets which indexes are short of capacity, by a bit each: what enters them may have only a share
    /// of the buffer from now on.
    pub(super) fn hold(&self, indexes: u32) {
        let mut state = self.lock();
        if state.crowds.held() == indexes {
            return;
        }
        for crowd in state.crowds.hold(indexes) {
            for (arrival, at) in state.apart.remove(&crowd).unwrap_or_default() {
                state.join_line(arrival, at);
            }
        }
        let wakers = state.grant(self.bounds);
        drop(state);
        wake_all(wakers);
    }

    /// Passes a message in that takes no room (a flush, a snapshot, a close), in order with the
    /// others. `false` where the worker has ended.
    pub(super) fn send(&self, message: M) -> bool {
        let mut state = self.lock();
        if !state.ended {
            self.push(&mut state, message);
        }
        !state.ended
    }

    /// Lets nothing more in: waiting and later callers get `reason`. The first reason stays.
    pub(super) fn close(&self, reason: SubmitError) {
        let mut state = self.lock();
        if state.closed.is_some() {
            // Nothing new to tell; waking the worker again and again would keep it spinning.
            return;
        }
        state.closed = Some(reason);
        let wakers: Vec<Waker> = state
            .waiters
            .iter_mut()
            .filter_map(|(_, waiter)| waiter.waker.take())
            .collect();
        drop(state);
        self.wake.notify_one();
        wake_all(wakers);
    }

    /// The worker has ended: whoever waits hears `reason`, and messages not yet received are
    /// dropped, which tells their senders.
    pub(super) fn end(&self, reason: SubmitError) {
        self.close(reason);
        let mut state = self.lock();
        state.lost = !state.ended;
        state.ended = true;
        let unheard = std::mem::take(&mut state.inbox);
        drop(state);
        drop(unheard);
    }

    /// The worker is about to end in order: nothing passes any more. Gives what was not received.
    pub(super) fn finish(&self) -> Vec<M> {
        let mut state = self.lock();
        state.ended = true;
        std::mem::take(&mut state.inbox)
    }

    /// Whether the worker was lost with its runtime, not ended by a close or an abort. One under way
    /// at that time did not come to its end.
    pub(super) fn is_lost(&self) -> bool {
        self.lock().lost
    }

    /// The last handle is gone: once all is done the worker may end.
    pub(super) fn orphan(&self) {
        self.lock().orphaned = true;
        self.wake.notify_one();
    }

    /// Whether all handles are gone and all that they sent was received.
    pub(super) fn is_orphaned(&self) -> bool {
        let state = self.lock();
        state.orphaned && state.inbox.is_empty()
    }

    pub(super) fn has_messages(&self) -> bool {
        !self.lock().inbox.is_empty()
    }

    /// Moves what came in to `inbox`, which must be empty.
    pub(super) fn receive(&self, inbox: &mut Vec<M>) {
        std::mem::swap(&mut self.lock().inbox, inbox);
    }

    /// Resolves when something came in, or the gate was closed. Cancel safe.
    pub(super) async fn arrival(&self) {
        self.wake.notified().await;
    }

    /// Records and bytes in the buffer now, and callers that wait.
    pub(super) fn level(&self) -> (usize, usize, usize) {
        let state = self.lock();
        (state.records, state.bytes, state.waiters.len())
    }

    fn push(&self, state: &mut State<M>, message: M) {
        let idle = state.inbox.is_empty();
        state.inbox.push(message);
        if idle {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        // No code that runs under the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> State<M> {
    /// The crowd of a record that has its share of the buffer, or callers that wait for it.
    fn full_crowd(&self, charge: Charge, bounds: Bounds) -> Option<Crowd> {
        self.crowds.of(charge).find(|crowd| {
            self.crowds.is_full(*crowd, bounds.share)
                || (!self.apart.is_empty() && self.apart.contains_key(crowd))
        })
    }

    fn fits(&self, charge: Charge, bounds: Bounds) -> bool {
        self.records < bounds.records && charge.bytes <= bounds.bytes.saturating_sub(self.bytes)
    }

    fn take(&mut self, charge: Charge) {
        self.records += 1;
        self.bytes += charge.bytes;
        self.crowds.take(charge);
    }

    fn free(&mut self, charge: Charge) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(charge.bytes);
        self.crowds.free(charge);
    }

    /// Lets the next caller of each crowd of a record join the line.
    fn promote_all(&mut self, charge: Charge, bounds: Bounds) {
        if !self.apart.is_empty() {
            for crowd in self.crowds.of(charge) {
                self.promote(crowd, bounds);
            }
        }
    }

    /// Lets the next of a crowd's callers join the line, if the crowd has room for it.
    fn promote(&mut self, crowd: Crowd, bounds: Bounds) {
        if self.crowds.is_full(crowd, bounds.share) {
            return;
        }
        let Some(queue) = self.apart.get_mut(&crowd) else {
            return;
        };
        let first = queue.pop_first();
        if queue.is_empty() {
            self.apart.remove(&crowd);
        }
        if let Some((arrival, at)) = first {
            self.join_line(arrival, at);
        }
    }

    fn join_line(&mut self, arrival: u64, at: usize) {
        if let Some(waiter) = self.waiters.get_mut(at) {
            waiter.place = Place::Line;
        }
        self.line.insert(arrival, at);
    }

    /// Grants room to the head of the line for as long as it fits.
    fn grant(&mut self, bounds: Bounds) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while let Some((&arrival, &at)) = self.line.first_key_value() {
            let Some(charge) = self.waiters.get(at).map(|waiter| waiter.charge) else {
                self.line.pop_first();
                continue;
            };
            let mut crowds = self.crowds.of(charge);
            let full = crowds.find(|crowd| self.crowds.is_full(*crowd, bounds.share));
            if let Some(crowd) = full {
                // It filled up while the caller stood in line.
                self.line.pop_first();
                self.apart.entry(crowd).or_default().insert(arrival, at);
                if let Some(waiter) = self.waiters.get_mut(at) {
                    waiter.place = Place::Apart(crowd);
                }
                continue;
            }
            if !self.fits(charge, bounds) {
                break;
            }
            self.line.pop_first();
            self.take(charge);
            if let Some(waiter) = self.waiters.get_mut(at) {
                waiter.place = Place::Granted;
                wakers.extend(waiter.waker.take());
            }
        }
        wakers
    }
}

fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
