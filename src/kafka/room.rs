//! How much is under way, who waits for room, and what a flush waits for.
//!
//! librdkafka bounds its queue too, but says only "full": whoever is refused must try again, and none comes before another. Here
//! callers stand in line. Room is granted in strides, not record by record, so that a full buffer does not cost a wake-up
//! for each record. A flush draws a line under what was accepted so far and waits for that, not for an empty buffer, which
//! a busy sink would never have.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::error::KafkaError;

/// Room is granted to those who wait once this part of it is free: 1/8.
const STRIDE: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// Records and bytes under way, and callers that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) records: usize,
    pub(super) bytes: usize,
    pub(super) waiting: usize,
}

type Grant = Result<Permit, KafkaError>;

struct State {
    records: usize,
    bytes: usize,
    line: VecDeque<(usize, oneshot::Sender<Grant>)>,
    /// Records under way that were accepted between two flushes, the oldest first; never empty.
    strata: VecDeque<usize>,
    /// The number of the first of them.
    first: u64,
    refusal: Option<KafkaError>,
    /// The first error that nobody heard.
    unheard: Option<KafkaError>,
}

pub(super) struct Room {
    bounds: Bounds,
    state: Mutex<State>,
    /// A stratum is done.
    settled: Notify,
}

/// Room for a record; given back when dropped, unless [`entered`](Self::enter).
pub(super) struct Permit {
    room: Arc<Room>,
    bytes: usize,
    entered: bool,
}

/// What an accepted record gives back once it is settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entered {
    pub(super) bytes: usize,
    stratum: u64,
}

impl Room {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            state: Mutex::new(State {
                records: 0,
                bytes: 0,
                line: VecDeque::new(),
                strata: VecDeque::from([0]),
                first: 0,
                refusal: None,
                unheard: None,
            }),
            settled: Notify::new(),
        })
    }

    /// Room for a record of `bytes`, at once and without overtaking anybody; `None` where there is none.
    pub(super) fn try_enter(self: &Arc<Self>, bytes: usize) -> Result<Option<Permit>, KafkaError> {
        let mut state = self.lock();
        state.hear()?;
        Ok(
            (state.line.is_empty() && state.fits(bytes, self.bounds)).then(|| {
                state.take(bytes);
                self.permit(bytes)
            }),
        )
    }

    /// Waits in line for room. Cancel safe: dropped, the place in line is given up.
    pub(super) async fn enter(self: &Arc<Self>, bytes: usize) -> Grant {
        let granted = {
            let mut state = self.lock();
            state.hear()?;
            if state.line.is_empty() && state.fits(bytes, self.bounds) {
                state.take(bytes);
                return Ok(self.permit(bytes));
            }
            let (grant, granted) = oneshot::channel();
            state.line.push_back((bytes, grant));
            granted
        };
        granted.await.unwrap_or(Err(KafkaError::Closed))
    }

    /// A record is settled: its room is free.
    pub(super) fn leave(self: &Arc<Self>, entered: Entered) {
        let mut state = self.lock();
        if let Some(place) = entered
            .stratum
            .checked_sub(state.first)
            .and_then(|place| usize::try_from(place).ok())
            && let Some(count) = state.strata.get_mut(place)
        {
            *count = count.saturating_sub(1);
        }
        let mut done = false;
        while state.strata.len() > 1 && state.strata.front() == Some(&0) {
            state.strata.pop_front();
            state.first += 1;
            done = true;
        }
        let left = self.free(&mut state, entered.bytes);
        drop(state);
        drop(left);
        if done {
            self.settled.notify_waiters();
        }
    }

    /// Resolves once all that was accepted before is settled. Cancel safe.
    pub(super) async fn settled(&self) {
        let until = {
            let mut state = self.lock();
            if state.strata.iter().all(|count| *count == 0) {
                return;
            }
            if state.strata.back() != Some(&0) {
                state.strata.push_back(0);
            }
            state.first + state.strata.len() as u64 - 1
        };
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            if self.lock().first >= until {
                return;
            }
            settled.await;
        }
    }

    /// Lets nothing more in: waiting and later callers get `reason`. A fatal error replaces a close, nothing replaces that.
    pub(super) fn refuse(&self, reason: &KafkaError) {
        let mut state = self.lock();
        if state
            .refusal
            .as_ref()
            .is_some_and(|before| before.is_fatal() || !reason.is_fatal())
        {
            return;
        }
        state.refusal = Some(reason.clone());
        let line = std::mem::take(&mut state.line);
        drop(state);
        for (_, caller) in line {
            // Whoever has stopped waiting needs no news.
            let _ = caller.send(Err(reason.clone()));
        }
    }

    /// Why nothing more is let in, if it is not.
    pub(super) fn refusal(&self) -> Option<KafkaError> {
        self.lock().refusal.clone()
    }

    /// An error that nobody heard; only the first is kept.
    pub(super) fn unheard(&self, error: KafkaError) {
        self.lock().unheard.get_or_insert(error);
    }

    /// Takes the error that nobody heard, to be told now.
    pub(super) fn take_unheard(&self) -> Option<KafkaError> {
        self.lock().unheard.take()
    }

    pub(super) fn level(&self) -> Level {
        let state = self.lock();
        Level {
            records: state.records,
            bytes: state.bytes,
            waiting: state.line.len(),
        }
    }

    fn permit(self: &Arc<Self>, bytes: usize) -> Permit {
        Permit {
            room: self.clone(),
            bytes,
            entered: false,
        }
    }

    /// Frees room and grants it on; gives the permits of those who have left the line meanwhile, to be dropped without the lock.
    fn free(self: &Arc<Self>, state: &mut State, bytes: usize) -> Vec<Grant> {
        state.records = state.records.saturating_sub(1);
        state.bytes = state.bytes.saturating_sub(bytes);
        let mut left = Vec::new();
        if state.line.is_empty() || !state.has_stride(self.bounds) {
            return left;
        }
        while let Some((bytes, _)) = state.line.front()
            && state.fits(*bytes, self.bounds)
            && let Some((bytes, caller)) = state.line.pop_front()
        {
            state.take(bytes);
            left.extend(caller.send(Ok(self.permit(bytes))).err());
        }
        left
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The record goes to librdkafka now: a flush waits for it from here on.
    pub(super) fn enter(mut self) -> Entered {
        self.entered = true;
        let mut state = self.room.lock();
        let stratum = state.first + state.strata.len() as u64 - 1;
        if let Some(count) = state.strata.back_mut() {
            *count += 1;
        }
        Entered {
            bytes: self.bytes,
            stratum,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.entered {
            let mut state = self.room.lock();
            let left = self.room.free(&mut state, self.bytes);
            drop(state);
            drop(left);
        }
    }
}

impl State {
    /// What a caller has to hear before anything else.
    fn hear(&mut self) -> Result<(), KafkaError> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        self.unheard.take().map_or(Ok(()), Err)
    }

    /// A record larger than the whole buffer goes alone.
    fn fits(&self, bytes: usize, bounds: Bounds) -> bool {
        self.records == 0
            || (self.records < bounds.records && bytes <= bounds.bytes.saturating_sub(self.bytes))
    }

    fn has_stride(&self, bounds: Bounds) -> bool {
        self.records <= bounds.records - bounds.records.div_ceil(STRIDE)
            && self.bytes <= bounds.bytes - bounds.bytes / STRIDE
    }

    fn take(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures::{FutureExt as _, poll};

    use super::*;

    fn room(records: usize, bytes: usize) -> Arc<Room> {
        Room::new(Bounds { records, bytes })
    }

    fn enter(room: &Arc<Room>, bytes: usize) -> Option<Entered> {
        room.try_enter(bytes).expect("open").map(Permit::enter)
    }

    fn lost() -> KafkaError {
        KafkaError::UnknownTopic {
            topic: "t".into(),
            waited: None,
        }
    }

    #[tokio::test]
    async fn callers_get_room_in_the_order_in_which_they_came() {
        let room = room(2, 100);
        let first = enter(&room, 1).expect("room");
        let second = enter(&room, 1).expect("room");
        let mut a = std::pin::pin!(room.enter(1));
        let mut b = std::pin::pin!(room.enter(1));
        assert!(poll!(&mut a).is_pending());
        assert!(poll!(&mut b).is_pending());
        room.leave(second);
        assert!(poll!(&mut b).is_pending(), "a is before it");
        let Poll::Ready(Ok(permit)) = poll!(&mut a) else {
            panic!("a has room")
        };
        assert!(enter(&room, 1).is_none(), "nobody overtakes b");
        drop(permit);
        assert!(poll!(&mut b).is_ready());
        room.leave(first);
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_gives_its_room_back() {
        let room = room(1, 100);
        let first = enter(&room, 1).expect("room");
        let mut gone = Box::pin(room.enter(1));
        let mut next = std::pin::pin!(room.enter(1));
        assert!(poll!(&mut gone).is_pending());
        assert!(poll!(&mut next).is_pending());
        room.leave(first);
        drop(gone);
        assert!(poll!(&mut next).is_ready(), "granted on");
    }

    #[tokio::test]
    async fn bytes_bound_too_and_a_record_larger_than_the_buffer_goes_alone() {
        let room = room(10, 100);
        let large = enter(&room, 500).expect("alone");
        assert!(enter(&room, 1).is_none());
        room.leave(large);
        let _half = enter(&room, 60).expect("room");
        assert!(enter(&room, 60).is_none());
        assert!(enter(&room, 40).is_some());
    }

    #[tokio::test]
    async fn a_flush_waits_for_what_was_before_it_and_nothing_else() {
        let room = room(10, 100);
        room.settled().now_or_never().expect("nothing under way");
        let before = enter(&room, 1).expect("room");
        let mut flush = std::pin::pin!(room.settled());
        assert!(poll!(&mut flush).is_pending());
        let after = enter(&room, 1).expect("room");
        let mut later = std::pin::pin!(room.settled());
        assert!(poll!(&mut later).is_pending());
        room.leave(before);
        assert!(poll!(&mut flush).is_ready());
        assert!(poll!(&mut later).is_pending());
        room.leave(after);
        assert!(poll!(&mut later).is_ready());
    }

    #[tokio::test]
    async fn a_granted_place_that_nobody_uses_does_not_hold_up_a_flush() {
        let room = room(10, 100);
        let _granted = room.try_enter(1).expect("open").expect("room");
        room.settled().now_or_never().expect("nothing is accepted");
    }

    #[tokio::test]
    async fn an_unheard_error_is_told_once_and_a_refusal_for_ever() {
        let room = room(1, 100);
        room.unheard(lost());
        room.unheard(KafkaError::Closed);
        assert!(matches!(
            room.try_enter(1),
            Err(KafkaError::UnknownTopic { .. })
        ));
        let _under_way = enter(&room, 1).expect("told once");
        let mut waits = std::pin::pin!(room.enter(1));
        assert!(poll!(&mut waits).is_pending());
        room.refuse(&KafkaError::Fatal { reason: "x".into() });
        room.refuse(&KafkaError::Closed);
        assert!(matches!(
            poll!(&mut waits),
            Poll::Ready(Err(KafkaError::Fatal { .. }))
        ));
        assert!(matches!(room.try_enter(1), Err(KafkaError::Fatal { .. })));
    }
}
