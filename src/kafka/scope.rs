//! The scope of one user of a shared producer: its flush epochs, and its unobserved errors.
//!
//! Users of one producer share its buffer and its connections, not their errors: a pipeline must not end, nor lose a
//! record, for the failure of another user's record, and its flush must not wait for another's records.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::error::KafkaError;
use super::unobserved::{OutageNumber, UnobservedRecords};
use crate::progress::FlushEpochs;

/// The most failures of look-ups that are kept for their callers.
///
/// Chosen: more topics than one caller of `try_send` begins at a time. One that is forgotten is looked up again.
const MAX_FAILED_LOOK_UPS: usize = 100;

pub(super) struct CallerScope {
    state: Mutex<State>,
}

struct State {
    epochs: FlushEpochs<oneshot::Sender<()>>,
    unobserved: UnobservedRecords,
    /// The number of failures that were kept when they became too many.
    stopped: Option<usize>,
    failed_look_ups: FailedLookUps,
    /// The error of an outage that failed records of this scope, until it is given out.
    outage: Option<KafkaError>,
    /// Of the last outage.
    number: OutageNumber,
}

/// The failures of look-ups that `try_send` began, until its next call for the topic.
#[derive(Default)]
struct FailedLookUps {
    /// Each with its number, counted up.
    by_topic: HashMap<Arc<str>, (u64, KafkaError)>,
    next: u64,
}

impl CallerScope {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                epochs: FlushEpochs::new(),
                unobserved: UnobservedRecords::new(),
                stopped: None,
                failed_look_ups: FailedLookUps::default(),
                outage: None,
                number: OutageNumber::default(),
            }),
        }
    }

    /// Counts a record in, and returns its epoch, unless the scope has stopped.
    pub(super) fn enter(&self) -> Result<u64, KafkaError> {
        let mut state = self.state.lock();
        state.check()?;
        Ok(state.epochs.enter())
    }

    /// Returns the error of a scope that has stopped.
    pub(super) fn check(&self) -> Result<(), KafkaError> {
        self.state.lock().check()
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

    /// Keeps the failure of a record that no receipt gives out. Too many stop the scope.
    pub(super) fn keep_unobserved(&self, error: KafkaError, outage: Option<OutageNumber>) {
        let stopped = self.state.lock().keep(error, outage);
        if let Some(reason) = stopped {
            tracing::error!(%reason, "a handle of kafka's sink has stopped");
        }
    }

    /// Returns the failures that no receipt gave out, once, and with them the outage that they are of; where there is none,
    /// the `fatal` error of the sink, or that of a scope that has stopped.
    pub(super) fn report(&self, fatal: Option<KafkaError>) -> Result<(), KafkaError> {
        let mut state = self.state.lock();
        if state.unobserved.has_outage(state.number) {
            state.outage = None;
        }
        let failures = state.unobserved.take();
        if !failures.is_empty() {
            return Err(KafkaError::Unobserved { failures });
        }
        fatal.map_or_else(|| state.check(), Err)
    }

    /// Keeps the failure of a look-up that `try_send` began.
    pub(super) fn look_up_failed(&self, topic: Arc<str>, error: KafkaError) {
        self.state.lock().failed_look_ups.keep(topic, error);
    }

    /// Returns the failure of a topic's look-up, once.
    pub(super) fn take_failed_look_up(&self, topic: &str) -> Result<(), KafkaError> {
        let failed = self.state.lock().failed_look_ups.by_topic.remove(topic);
        failed.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Notes that records failed by an outage: nothing more is accepted until the error is given out.
    /// Returns the number of the outage.
    pub(super) fn halt(&self, error: &KafkaError) -> OutageNumber {
        let mut state = self.state.lock();
        if state.outage.is_none() {
            state.outage = Some(error.clone());
            state.number.advance();
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
    fn check(&self) -> Result<(), KafkaError> {
        self.stopped
            .map_or(Ok(()), |failures| Err(KafkaError::Stopped { failures }))
    }

    /// Keeps a failure; returns the error of the scope if it stops by it.
    fn keep(&mut self, error: KafkaError, outage: Option<OutageNumber>) -> Option<KafkaError> {
        self.unobserved.keep(error, outage);
        if self.stopped.is_some() {
            return None;
        }
        self.stopped = Some(self.unobserved.too_many()?);
        self.check().err()
    }

    fn given_out(&mut self, outage: Option<OutageNumber>) {
        if outage == Some(self.number) {
            self.outage = None;
        }
    }
}

impl FailedLookUps {
    /// Keeps a failure, in place of the oldest where there are too many.
    fn keep(&mut self, topic: Arc<str>, error: KafkaError) {
        self.by_topic.insert(topic, (self.next, error));
        self.next += 1;
        if self.by_topic.len() <= MAX_FAILED_LOOK_UPS {
            return;
        }
        let oldest = self.by_topic.iter().min_by_key(|(_, (number, _))| *number);
        if let Some(oldest) = oldest.map(|(topic, _)| topic.clone()) {
            self.by_topic.remove(&oldest);
        }
    }
}

/// Logs the failures that are left once the last handle, receipt and record are gone.
impl Drop for CallerScope {
    fn drop(&mut self) {
        let kept = self.state.get_mut().unobserved.take();
        let Some(first) = kept.first() else {
            return;
        };
        let records: usize = kept.iter().map(|failed| failed.records).sum();
        let error = &first.error;
        tracing::error!(records, %error, "records failed, and no flush or close is left to report them");
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
#[path = "scope_tests.rs"]
mod tests;
