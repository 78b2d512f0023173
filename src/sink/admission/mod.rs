//! Admission to a table's buffer: room by records and by bytes, given in the order of asking.
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
//!
//! The bytes count against the limit of all tables of the handle too ([`Share`]), which is asked
//! last. What it grants later is passed on by the worker, which it wakes ([`Admission::receive`]).

mod prehashed;
mod quota_groups;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;
use tokio::sync::Notify;

use super::error::SubmitError;
use super::shared_limit::{Share, SharedLimit};
use prehashed::Prehashed;
use quota_groups::{QuotaGroup, QuotaGroups};

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

#[derive(Debug)]
struct State<M> {
    inbox: VecDeque<M>,
    /// The share of the bytes of all tables; none once the table takes no more.
    share: Option<Share>,
    /// Set while the head of the line waits for the share.
    waits_for_share: bool,
    records: usize,
    bytes: usize,
    groups: QuotaGroups,
    waiters: Slab<Waiter>,
    /// Waiters by the order of their arrival.
    line: Queue,
    /// Those whose group has its share, by group.
    apart: HashMap<QuotaGroup, Queue, Prehashed>,
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
pub(super) struct Admission<M> {
    bounds: Bounds,
    state: Mutex<State<M>>,
    wake: Arc<Notify>,
}

/// A place in line; given up when dropped through [`Admission::leave`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn(usize);

impl<M> Admission<M> {
    /// `wake` wakes the worker, and `bytes` is the limit over all tables.
    pub(super) fn new(bounds: Bounds, wake: Arc<Notify>, bytes: &Arc<SharedLimit>) -> Self {
        Self {
            bounds,
            state: Mutex::new(State {
                inbox: VecDeque::new(),
                share: Some(bytes.join(&wake)),
                waits_for_share: false,
                records: 0,
                bytes: 0,
                groups: QuotaGroups::default(),
                waiters: Slab::new(),
                line: Queue::new(),
                apart: HashMap::default(),
                arrivals: 0,
                closed: None,
                ended: false,
                lost: false,
                orphaned: false,
            }),
            wake,
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
    /// The reason why the admission is closed.
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
            && state.full_group(charge, self.bounds).is_none()
            && state.fits(charge, self.bounds)
            && state.try_share(charge, false)
        {
            state.take(charge);
            if let Some(message) = message.take() {
                self.push(&mut state, message);
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Returns the reason why the admission is closed, if it is.
    pub(super) fn closed(&self) -> Option<SubmitError> {
        self.lock().closed.clone()
    }

    /// Takes a place in line.
    pub(super) fn queue(&self, charge: Charge) -> Turn {
        let mut state = self.lock();
        let apart = state.full_group(charge, self.bounds);
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
            Some(group) => state.apart.entry(group).or_default().insert(arrival, at),
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
            Place::Apart(group) => {
                if let Some(queue) = state.apart.get_mut(&group) {
                    queue.remove(&waiter.arrival);
                    if queue.is_empty() {
                        state.apart.remove(&group);
                    }
                }
            }
            Place::Granted => {
                state.free(charge);
                state.free_share(charge.bytes);
            }
        }
        state.promote_all(charge, self.bounds);
        let wakers = state.grant(self.bounds);
        drop(state);
        wake_all(wakers);
    }

    /// Frees the room of records that have their outcome.
    pub(super) fn release(&self, charges: impl Iterator<Item = Charge>) {
        let mut state = self.lock();
        let mut bytes = 0;
        for charge in charges {
            bytes += charge.bytes;
            state.free(charge);
            state.promote_all(charge, self.bounds);
        }
        state.free_share(bytes);
        let wakers = state.grant(self.bounds);
        drop(state);
        wake_all(wakers);
    }

    /// Sets which indexes are short of capacity, by a bit each: what enters them may have only a share
    /// of the buffer from now on.
    pub(super) fn hold(&self, indexes: u32) {
        let mut state = self.lock();
        if state.groups.held() == indexes {
            return;
        }
        for group in state.groups.hold(indexes) {
            for (arrival, at) in state.apart.remove(&group).unwrap_or_default() {
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
        state.share = None;
        let unreceived = std::mem::take(&mut state.inbox);
        drop(state);
        drop(unreceived);
    }

    /// The worker is about to end in order: nothing passes any more. Gives what was not received.
    pub(super) fn finish(&self) -> VecDeque<M> {
        let mut state = self.lock();
        state.ended = true;
        state.share = None;
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
    pub(super) fn receive(&self, inbox: &mut VecDeque<M>) {
        let mut state = self.lock();
        let wakers = if state.waits_for_share {
            state.grant(self.bounds)
        } else {
            Vec::new()
        };
        std::mem::swap(&mut state.inbox, inbox);
        drop(state);
        wake_all(wakers);
    }

    /// Gives memory back that is not in use.
    pub(super) fn shrink(&self) {
        let mut state = self.lock();
        state.inbox.shrink_to_fit();
        state.groups.shrink();
        if state.waiters.is_empty() {
            state.waiters = Slab::new();
        }
    }

    /// Resolves when something came in, or the admission was closed. Cancel safe.
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
        state.inbox.push_back(message);
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
    /// The group of a record that has its share of the buffer, or callers that wait for it.
    fn full_group(&self, charge: Charge, bounds: Bounds) -> Option<QuotaGroup> {
        self.groups.of(charge).find(|group| {
            self.groups.is_full(*group, bounds.share)
                || (!self.apart.is_empty() && self.apart.contains_key(group))
        })
    }

    fn fits(&self, charge: Charge, bounds: Bounds) -> bool {
        self.records < bounds.records && charge.bytes <= bounds.bytes.saturating_sub(self.bytes)
    }

    /// Takes a record's bytes of the limit over all tables, or else waits for them if it is to.
    fn try_share(&self, charge: Charge, wait: bool) -> bool {
        let share = self.share.as_ref();
        share.is_none_or(|share| share.try_take(charge.bytes, wait))
    }

    fn free_share(&self, bytes: usize) {
        if let Some(share) = &self.share {
            share.free(bytes);
        }
    }

    fn take(&mut self, charge: Charge) {
        self.records += 1;
        self.bytes += charge.bytes;
        self.groups.take(charge);
    }

    fn free(&mut self, charge: Charge) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(charge.bytes);
        self.groups.free(charge);
    }

    /// Lets the next caller of each group of a record join the line.
    fn promote_all(&mut self, charge: Charge, bounds: Bounds) {
        if !self.apart.is_empty() {
            for group in self.groups.of(charge) {
                self.promote(group, bounds);
            }
        }
    }

    /// Lets the next of a group's callers join the line, if the group has room for it.
    fn promote(&mut self, group: QuotaGroup, bounds: Bounds) {
        if self.groups.is_full(group, bounds.share) {
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
            let mut groups = self.groups.of(charge);
            let full = groups.find(|group| self.groups.is_full(*group, bounds.share));
            if let Some(group) = full {
                // It filled up while the caller stood in line.
                self.line.pop_first();
                self.apart.entry(group).or_default().insert(arrival, at);
                if let Some(waiter) = self.waiters.get_mut(at) {
                    waiter.place = Place::Apart(group);
                }
                continue;
            }
            if !self.fits(charge, bounds) {
                break;
            }
            if !self.try_share(charge, true) {
                self.waits_for_share = true;
                return wakers;
            }
            self.line.pop_first();
            self.take(charge);
            if let Some(waiter) = self.waiters.get_mut(at) {
                waiter.place = Place::Granted;
                wakers.extend(waiter.waker.take());
            }
        }
        if std::mem::take(&mut self.waits_for_share)
            && let Some(share) = &self.share
        {
            share.stop_waiting();
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
