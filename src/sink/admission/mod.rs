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
//! The bytes count against the limit of all tables of the handle too ([`Share`](super::shared_limit::Share)), which is asked
//! last. Bytes that it grants later are passed on by the worker, which it wakes
//! ([`Admission::receive`]).
//!
//! | file | content |
//! |---|---|
//! | `charge` | the room that a record takes, and the bounds of all of it |
//! | `room` | the room in use, by records, bytes and quota group, and the share of all tables |
//! | `waiters` | the callers that wait for room, in the line or apart by their group |
//! | `life` | the end of the admission: closed, ended, lost, orphaned |
//! | `quota_groups` | records by partition key and by index |

mod charge;
mod life;
mod prehashed;
mod quota_groups;
mod room;
mod waiters;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::error::SubmitError;
use super::shared_limit::SharedLimit;
use life::Life;
use room::Room;
use waiters::{Waiters, wake_all};

pub(super) use charge::{Bounds, Charge};
pub(super) use waiters::Turn;

/// The state of an admission, all of it under one lock.
#[derive(Debug)]
struct State<M> {
    inbox: VecDeque<M>,
    room: Room,
    waiters: Waiters,
    life: Life,
}

/// The way into a table's buffer. See the module's documentation. `M` is a message to the worker.
#[derive(Debug)]
pub(super) struct Admission<M> {
    bounds: Bounds,
    state: Mutex<State<M>>,
    wake: Arc<Notify>,
}

impl<M> Admission<M> {
    /// Returns an open admission. `wake` wakes the worker, and `bytes` is the limit over all
    /// tables.
    pub(super) fn new(bounds: Bounds, wake: Arc<Notify>, bytes: &Arc<SharedLimit>) -> Self {
        Self {
            bounds,
            state: Mutex::new(State {
                inbox: VecDeque::new(),
                room: Room::new(bounds, bytes.join(&wake)),
                waiters: Waiters::default(),
                life: Life::default(),
            }),
            wake,
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Passes the message in, out of `message`, if there is room and no caller waits before it.
    /// Returns whether it did.
    ///
    /// # Errors
    ///
    /// The reason for which the admission is closed.
    pub(super) fn try_enter(
        &self,
        charge: Charge,
        message: &mut Option<M>,
    ) -> Result<bool, SubmitError> {
        let mut state = self.state.lock();
        if let Some(reason) = state.life.closed() {
            return Err(reason.clone());
        }
        let State { room, waiters, .. } = &mut *state;
        if waiters.is_line_empty()
            && waiters.full_group(charge, room).is_none()
            && room.fits(charge)
            && room.try_share(charge, false)
        {
            room.take(charge);
            if let Some(message) = message.take() {
                self.push(&mut state, message);
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Returns the reason for which the admission is closed, if it is.
    pub(super) fn closed(&self) -> Option<SubmitError> {
        self.state.lock().life.closed().cloned()
    }

    /// Takes a place in line.
    pub(super) fn queue(&self, charge: Charge) -> Turn {
        let mut state = self.state.lock();
        let State { room, waiters, .. } = &mut *state;
        let turn = waiters.add(charge, room);
        // Room may have been freed since the caller last looked.
        let wakers = waiters.grant(room);
        drop(state);
        wake_all(wakers);
        turn
    }

    /// Passes the message in once it is its turn. Takes it out of `message` when it does.
    ///
    /// # Errors
    ///
    /// The reason for which the admission is closed.
    pub(super) fn poll_turn(
        &self,
        turn: Turn,
        message: &mut Option<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SubmitError>> {
        let mut state = self.state.lock();
        if let Some(reason) = state.life.closed() {
            return Poll::Ready(Err(reason.clone()));
        }
        match state.waiters.poll(turn, cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(false) => return Poll::Ready(Err(SubmitError::Closed)),
            Poll::Ready(true) => {}
        }
        if let Some(message) = message.take() {
            self.push(&mut state, message);
        }
        Poll::Ready(Ok(()))
    }

    /// Gives a place in line up, with the room it may have been granted.
    pub(super) fn leave(&self, turn: Turn) {
        let mut state = self.state.lock();
        let State { room, waiters, .. } = &mut *state;
        if !waiters.leave(turn, room) {
            return;
        }
        let wakers = waiters.grant(room);
        drop(state);
        wake_all(wakers);
    }

    /// Frees the room of records that have their outcome.
    pub(super) fn release(&self, charges: impl Iterator<Item = Charge>) {
        let mut state = self.state.lock();
        let State { room, waiters, .. } = &mut *state;
        let mut bytes = 0;
        for charge in charges {
            bytes += charge.bytes;
            room.free(charge);
            waiters.promote_all(charge, room);
        }
        room.free_share(bytes);
        let wakers = waiters.grant(room);
        drop(state);
        wake_all(wakers);
    }

    /// Sets which indexes are short of capacity, a bit for each. From now on, records that enter
    /// them may have only a share of the buffer.
    pub(super) fn cap_indexes(&self, indexes: u32) {
        let mut state = self.state.lock();
        let State { room, waiters, .. } = &mut *state;
        if room.groups.capped() == indexes {
            return;
        }
        for group in room.groups.cap(indexes) {
            waiters.join_line(group);
        }
        let wakers = waiters.grant(room);
        drop(state);
        wake_all(wakers);
    }

    /// Passes a message in that takes no room (a flush, a snapshot, a close), in order with the
    /// others. Returns `false` where the worker has ended.
    pub(super) fn send(&self, message: M) -> bool {
        let mut state = self.state.lock();
        let ended = state.life.has_ended();
        if !ended {
            self.push(&mut state, message);
        }
        !ended
    }

    /// Closes the admission: waiting and later callers get `reason`. The first reason stays.
    pub(super) fn close(&self, reason: SubmitError) {
        let mut state = self.state.lock();
        if !state.life.close(reason) {
            // Waking the worker again and again would keep it spinning.
            return;
        }
        let wakers = state.waiters.take_wakers();
        drop(state);
        self.wake.notify_one();
        wake_all(wakers);
    }

    /// Notes that the worker has ended. Callers that wait get `reason`. Messages not yet received
    /// are dropped, which resolves the futures of their senders.
    pub(super) fn end(&self, reason: SubmitError) {
        self.close(reason);
        let mut state = self.state.lock();
        state.life.end();
        state.room.leave_share();
        let unreceived = std::mem::take(&mut state.inbox);
        drop(state);
        drop(unreceived);
    }

    /// Notes that the worker is about to end in order: nothing passes any more. Returns the
    /// messages that were not received.
    pub(super) fn finish(&self) -> VecDeque<M> {
        let mut state = self.state.lock();
        state.life.finish();
        state.room.leave_share();
        std::mem::take(&mut state.inbox)
    }

    /// Returns whether the worker was lost with its runtime, not ended by a close or an abort. A
    /// close or an abort under way at that time did not complete.
    pub(super) fn is_lost(&self) -> bool {
        self.state.lock().life.is_lost()
    }

    /// Notes that the last handle is gone: once all is done the worker may end.
    pub(super) fn orphan(&self) {
        self.state.lock().life.orphan();
        self.wake.notify_one();
    }

    /// Returns whether all handles are gone and all that they sent was received.
    pub(super) fn is_orphaned(&self) -> bool {
        let state = self.state.lock();
        state.life.is_orphaned() && state.inbox.is_empty()
    }

    pub(super) fn has_messages(&self) -> bool {
        !self.state.lock().inbox.is_empty()
    }

    /// Moves the messages to `inbox`, which must be empty.
    pub(super) fn receive(&self, inbox: &mut VecDeque<M>) {
        let mut state = self.state.lock();
        let State { room, waiters, .. } = &mut *state;
        let wakers = if room.waits_for_share() {
            waiters.grant(room)
        } else {
            Vec::new()
        };
        std::mem::swap(&mut state.inbox, inbox);
        drop(state);
        wake_all(wakers);
    }

    /// Gives memory back that is not in use.
    pub(super) fn shrink(&self) {
        let mut state = self.state.lock();
        state.inbox.shrink_to_fit();
        state.room.groups.shrink();
        state.waiters.shrink();
    }

    /// Resolves when a message came in, or the admission was closed. Cancel safe.
    pub(super) async fn arrival(&self) {
        self.wake.notified().await;
    }

    /// Returns the records and bytes in the buffer now, and the number of callers that wait.
    pub(super) fn level(&self) -> (usize, usize, usize) {
        let state = self.state.lock();
        let level = state.room.level();
        (level.records, level.bytes, state.waiters.count())
    }

    fn push(&self, state: &mut State<M>, message: M) {
        let idle = state.inbox.is_empty();
        state.inbox.push_back(message);
        if idle {
            self.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
