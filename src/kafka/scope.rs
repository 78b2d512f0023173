//! The scope of one user of a shared producer: its flush epochs, and its unobserved errors.
//!
//! Users of one producer share its buffer and its connections, not their errors: a pipeline must not end, nor lose a
//! record, for the failure of another user's record, and its flush must not wait for another's records.

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::error::KafkaError;
use crate::progress::FlushEpochs;

pub(super) struct CallerScope {
    state: Mutex<State>,
}

struct State {
    epochs: FlushEpochs<oneshot::Sender<()>>,
    /// The first error that no receipt gave out, with the outage that it is of.
    unobserved: Option<(KafkaError, Option<OutageNumber>)>,
    /// The error of an outage that failed records of this scope, until it is given out.
    outage: Option<KafkaError>,
    /// Of the last outage.
    number: OutageNumber,
}

/// The number of an outage: an error of an older one says nothing of a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OutageNumber(u64);

impl CallerScope {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                epochs: FlushEpochs::new(),
                unobserved: None,
                outage: None,
                number: OutageNumber::default(),
            }),
        }
    }

    /// Counts a record in, and returns its epoch.
    pub(super) fn enter(&self) -> u64 {
        self.state.lock().epochs.enter()
    }

    /// Counts a settled record out.
    pub(super) fn leave(&self, epoch: u64) {
        let mut done = Vec::new();
        self.state.lock().epochs.leave(epoch, &mut done);
        resolve(done);
    }

    /// Resolves once all that was accepted before is settled. Cancel safe.
    pub(super) async fn settled(&self) {
        let (flush, settled) = oneshot::channel();
        let mut done = Vec::new();
        {
            let mut state = self.state.lock();
            state.epochs.forget(oneshot::Sender::is_closed);
            state.epochs.flush(flush, &mut done);
        }
        resolve(done);
        // The scope has the sender for as long as this future borrows it.
        let _ = settled.await;
    }

    /// Keeps an error that no receipt gives out; only the first.
    pub(super) fn unobserved(&self, error: KafkaError, outage: Option<OutageNumber>) {
        self.state.lock().unobserved.get_or_insert((error, outage));
    }

    /// Takes the error that no receipt gave out, and with it the outage that it is of.
    pub(super) fn take_unobserved(&self) -> Option<KafkaError> {
        let mut state = self.state.lock();
        let (error, outage) = state.unobserved.take()?;
        state.given_out(outage);
        Some(error)
    }

    /// Notes that records failed by an outage: nothing more is accepted until the error is given out.
    /// Returns the number of the outage.
    pub(super) fn halt(&self, error: &KafkaError) -> OutageNumber {
        let mut state = self.state.lock();
        if state.outage.is_none() {
            state.outage = Some(error.clone());
            state.number.0 += 1;
        }
        state.number
    }

    /// Notes that the caller was given an error of this outage.
    pub(super) fn observed(&self, outage: Option<OutageNumber>) {
        self.state.lock().given_out(outage);
    }

    /// Returns the outage's error, which stays, and its number.
    pub(super) fn outage(&self) -> Option<(KafkaError, OutageNumber)> {
        let state = self.state.lock();
        state.outage.clone().map(|error| (error, state.number))
    }
}

impl State {
    fn given_out(&mut self, outage: Option<OutageNumber>) {
        if outage == Some(self.number) {
            self.outage = None;
        }
    }
}

/// Resolves flushes. It runs without the lock, which those woken may take.
fn resolve(flushes: Vec<oneshot::Sender<()>>) {
    for flush in flushes {
        // A caller that has given up needs no answer.
        let _ = flush.send(());
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures::{FutureExt as _, poll};

    use super::*;

    fn lost() -> KafkaError {
        KafkaError::Unreachable {
            waited: std::time::Duration::ZERO,
            reason: "x".into(),
        }
    }

    #[tokio::test]
    async fn a_flush_waits_for_what_was_before_it_and_nothing_else() {
        let scope = CallerScope::new();
        scope.settled().now_or_never().expect("nothing under way");
        let before = scope.enter();
        let mut flush = std::pin::pin!(scope.settled());
        assert!(poll!(&mut flush).is_pending());
        let after = scope.enter();
        let mut later = std::pin::pin!(scope.settled());
        assert!(poll!(&mut later).is_pending());
        scope.leave(before);
        assert_eq!(poll!(&mut flush), Poll::Ready(()));
        assert!(poll!(&mut later).is_pending());
        scope.leave(after);
        assert_eq!(poll!(&mut later), Poll::Ready(()));
    }

    #[test]
    fn flushes_that_were_given_up_take_no_memory_while_a_record_is_stuck() {
        let scope = CallerScope::new();
        let _stuck = scope.enter();
        for _ in 0..10_000 {
            let passed = scope.enter();
            assert!(scope.settled().now_or_never().is_none(), "one is stuck");
            scope.leave(passed);
        }
        assert!(scope.state.lock().epochs.kept() < 1_000);
    }

    #[test]
    fn an_unobserved_error_is_given_out_once_and_stands_for_the_outage() {
        let scope = CallerScope::new();
        let outage = scope.halt(&lost());
        scope.unobserved(lost(), Some(outage));
        scope.unobserved(KafkaError::Closed, None);
        assert!(matches!(
            scope.take_unobserved(),
            Some(KafkaError::Unreachable { .. })
        ));
        assert!(scope.take_unobserved().is_none() && scope.outage().is_none());
    }

    #[test]
    fn an_outage_lasts_until_its_error_is_given_out() {
        let scope = CallerScope::new();
        let outage = scope.halt(&lost());
        assert_eq!(scope.halt(&lost()), outage, "the same one");
        scope.observed(None);
        scope.unobserved(lost(), None);
        assert!(scope.take_unobserved().is_some());
        assert!(scope.outage().is_some(), "a look-up's error");
        scope.observed(Some(outage));
        assert!(scope.outage().is_none());
    }

    #[test]
    fn an_old_receipts_error_does_not_lift_a_new_outage() {
        let scope = CallerScope::new();
        let old = scope.halt(&lost());
        scope.observed(Some(old));
        let new = scope.halt(&lost());
        scope.observed(Some(old));
        assert_eq!(scope.outage().map(|(_, number)| number), Some(new));
    }
}
