//! Limits on what is under way, and the line of callers that wait for room.
//!
//! librdkafka bounds its queue too, but says only "full": a caller that is refused must try again, and none comes before
//! another. Here callers stand in line. Once some wait, permits are granted when a quarter of the buffer is free, not record
//! by record, so that a full buffer does not cost a wake-up for each record.
//!
//! Two semaphores, one of records and one of bytes, would not do: a caller holds its permit of the one while it waits for
//! the other, permits are too few for 64 GiB of bytes, and both wake a caller for each record.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::error::KafkaError;
use crate::admission::{Level, Limits};

/// Records and bytes under way, and callers that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Occupancy {
    pub(super) records: usize,
    pub(super) bytes: usize,
    pub(super) waiting: usize,
}

type Grant = Result<Permit, KafkaError>;

/// A caller in line, and the size of its record.
type Waiting = (usize, oneshot::Sender<Grant>);

struct State {
    level: Level,
    line: VecDeque<Waiting>,
    refusal: Option<KafkaError>,
}

pub(super) struct Admission {
    limits: Limits,
    state: Mutex<State>,
    /// Records accepted and not settled. Counted up under the lock, where a refusal is seen.
    accepted: AtomicUsize,
    /// Nothing is accepted and not settled.
    idle: Notify,
}

/// Room for a record; given back when dropped, unless [`enter`](Self::enter)ed.
pub(super) struct Permit {
    admission: Arc<Admission>,
    bytes: usize,
    entered: bool,
}

/// The part of the buffer that an accepted record gives back once it is settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entered {
    pub(super) bytes: usize,
}

/// A record whose room is free and whose outcome is to be given out.
#[must_use = "a close waits until it is settled"]
pub(super) struct Left(());

impl Admission {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            state: Mutex::new(State {
                level: Level::default(),
                line: VecDeque::new(),
                refusal: None,
            }),
            accepted: AtomicUsize::new(0),
            idle: Notify::new(),
        })
    }

    /// Returns a permit for a record of `bytes`, at once and without overtaking a caller; `None` where there is no room.
    pub(super) fn try_enter(self: &Arc<Self>, bytes: usize) -> Result<Option<Permit>, KafkaError> {
        let mut state = self.state.lock();
        state.check()?;
        Ok(self.admit(&mut state, bytes))
    }

    /// Waits in line for a permit. Cancel safe: dropped, the place in line is given up.
    pub(super) async fn enter(self: &Arc<Self>, bytes: usize) -> Grant {
        let granted = {
            let mut state = self.state.lock();
            state.check()?;
            if let Some(permit) = self.admit(&mut state, bytes) {
                return Ok(permit);
            }
            let (grant, granted) = oneshot::channel();
            state.line.push_back((bytes, grant));
            granted
        };
        granted.await.unwrap_or(Err(KafkaError::Closed))
    }

    /// Frees an accepted record's room. Before its outcome is given out: who has that may count on the room.
    pub(super) fn leave(self: &Arc<Self>, entered: Entered) -> Left {
        let mut state = self.state.lock();
        let left = self.free(&mut state, entered.bytes);
        drop(state);
        drop(left);
        Left(())
    }

    /// Counts a record out whose outcome was given out: a close waits for it.
    pub(super) fn settled(&self, Left(()): Left) {
        if self.accepted.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
    }

    /// Resolves once nothing is accepted and not settled. Cancel safe.
    pub(super) async fn idle(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.accepted.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Lets nothing more in: waiting and later callers get `reason`. A fatal error replaces a close, nothing replaces that.
    pub(super) fn refuse(&self, reason: &KafkaError) {
        let mut state = self.state.lock();
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
            // A caller that has stopped waiting needs none.
            let _ = caller.send(Err(reason.clone()));
        }
    }

    /// Returns why nothing more is let in, if nothing is.
    pub(super) fn refusal(&self) -> Option<KafkaError> {
        self.state.lock().refusal.clone()
    }

    pub(super) fn occupancy(&self) -> Occupancy {
        let state = self.state.lock();
        Occupancy {
            records: state.level.records,
            bytes: state.level.bytes,
            waiting: state.line.len(),
        }
    }

    fn admit(self: &Arc<Self>, state: &mut State, bytes: usize) -> Option<Permit> {
        let fits = state.line.is_empty() && self.limits.fits(state.level, bytes);
        fits.then(|| self.take(state, bytes))
    }

    fn take(self: &Arc<Self>, state: &mut State, bytes: usize) -> Permit {
        state.level.take(bytes);
        Permit {
            admission: self.clone(),
            bytes,
            entered: false,
        }
    }

    /// Frees room and grants it on; gives the permits of callers that have left the line, to be dropped without the lock.
    fn free(self: &Arc<Self>, state: &mut State, bytes: usize) -> Vec<Grant> {
        state.level.free(bytes);
        let mut left = Vec::new();
        if !self.limits.resumes(state.level) {
            return left;
        }
        while let Some((bytes, caller)) = state.pop_fitting(self.limits) {
            let permit = self.take(state, bytes);
            left.extend(caller.send(Ok(permit)).err());
        }
        left
    }
}

impl Permit {
    /// Accepts the record, unless nothing is let in any more: a close has not waited for it.
    pub(super) fn enter(mut self) -> Result<Entered, KafkaError> {
        let admission = self.admission.clone();
        let state = admission.state.lock();
        if let Err(refusal) = state.check() {
            // Dropped, the permit takes the lock.
            drop(state);
            return Err(refusal);
        }
        admission.accepted.fetch_add(1, Ordering::AcqRel);
        drop(state);
        self.entered = true;
        Ok(Entered { bytes: self.bytes })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.entered {
            let mut state = self.admission.state.lock();
            let left = self.admission.free(&mut state, self.bytes);
            drop(state);
            drop(left);
        }
    }
}

impl State {
    fn check(&self) -> Result<(), KafkaError> {
        self.refusal.clone().map_or(Ok(()), Err)
    }

    /// Takes the first caller out of the line if its record fits.
    fn pop_fitting(&mut self, limits: Limits) -> Option<Waiting> {
        let level = self.level;
        self.line
            .pop_front_if(|(bytes, _)| limits.fits(level, *bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures::{FutureExt as _, poll};
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    fn admission(records: usize, bytes: usize) -> Arc<Admission> {
        Admission::new(Limits { records, bytes })
    }

    fn settle(admission: &Arc<Admission>, entered: Entered) {
        admission.settled(admission.leave(entered));
    }

    fn enter(admission: &Arc<Admission>, bytes: usize) -> Option<Entered> {
        let permit = admission.try_enter(bytes).expect("open");
        permit.map(|permit| permit.enter().expect("open"))
    }

    #[tokio::test]
    async fn callers_get_room_in_the_order_in_which_they_came() {
        let admission = admission(2, 100);
        let first = enter(&admission, 1).expect("room");
        let second = enter(&admission, 1).expect("room");
        let mut a = std::pin::pin!(admission.enter(1));
        let mut b = std::pin::pin!(admission.enter(1));
        assert!(poll!(&mut a).is_pending());
        assert!(poll!(&mut b).is_pending());
        settle(&admission, second);
        assert!(poll!(&mut b).is_pending(), "a is before it");
        let Poll::Ready(Ok(permit)) = poll!(&mut a) else {
            panic!("a has room")
        };
        assert!(enter(&admission, 1).is_none(), "nobody overtakes b");
        drop(permit);
        assert!(poll!(&mut b).is_ready());
        settle(&admission, first);
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_gives_its_room_back() {
        let admission = admission(1, 100);
        let first = enter(&admission, 1).expect("room");
        let mut gone = Box::pin(admission.enter(1));
        let mut next = std::pin::pin!(admission.enter(1));
        assert!(poll!(&mut gone).is_pending());
        assert!(poll!(&mut next).is_pending());
        settle(&admission, first);
        drop(gone);
        assert!(poll!(&mut next).is_ready(), "granted on");
    }

    #[tokio::test]
    async fn bytes_bound_too_and_a_record_larger_than_the_buffer_goes_alone() {
        let admission = admission(10, 100);
        let large = enter(&admission, 500).expect("alone");
        assert!(enter(&admission, 1).is_none());
        settle(&admission, large);
        let _half = enter(&admission, 60).expect("room");
        assert!(enter(&admission, 60).is_none());
        assert!(enter(&admission, 40).is_some());
    }

    #[tokio::test]
    async fn a_close_waits_for_what_is_accepted_and_for_no_permit() {
        let admission = admission(10, 100);
        let _granted = admission.try_enter(1).expect("open").expect("room");
        admission
            .idle()
            .now_or_never()
            .expect("nothing is accepted");
        let accepted = enter(&admission, 1).expect("room");
        let mut idle = std::pin::pin!(admission.idle());
        let left = admission.leave(accepted);
        assert!(poll!(&mut idle).is_pending(), "its outcome is to come");
        admission.settled(left);
        assert!(poll!(&mut idle).is_ready());
    }

    #[test]
    fn a_permit_from_before_a_close_lets_nothing_in_behind_it() {
        let admission = admission(10, 100);
        let permit = admission.try_enter(1).expect("open").expect("room");
        admission.refuse(&KafkaError::Closed);
        assert!(admission.idle().now_or_never().is_some());
        assert!(matches!(permit.enter(), Err(KafkaError::Closed)));
        assert_eq!(
            admission.occupancy(),
            Occupancy::default(),
            "its room is free"
        );
    }

    #[tokio::test]
    async fn a_refusal_is_for_ever_and_a_fatal_one_stays() {
        let admission = admission(1, 100);
        let _under_way = enter(&admission, 1).expect("room");
        let mut waits = std::pin::pin!(admission.enter(1));
        assert!(poll!(&mut waits).is_pending());
        admission.refuse(&KafkaError::fatal(RDKafkaErrorCode::Fatal, "x"));
        admission.refuse(&KafkaError::Closed);
        assert!(matches!(
            poll!(&mut waits),
            Poll::Ready(Err(KafkaError::Fatal { .. }))
        ));
        assert!(matches!(
            admission.try_enter(1),
            Err(KafkaError::Fatal { .. })
        ));
    }
}
