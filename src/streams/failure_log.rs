//! The failures of a source, for its operators: log lines, and the source's health, as [`crate::health`] decides.
//!
//! An operation fails for as long as it fails for any shard: success for others does not help that one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::ShardId;
use super::error::StreamsError;
use crate::clock::Clock;
use crate::health::{Health, LastError, Reporter};
use crate::retry::ServiceError;
use parking_lot::Mutex;

/// The operation name under which a handler's failures are noted.
pub(crate) const HANDLER: &str = "handler";

pub(crate) struct FailureLog {
    clock: Clock,
    /// Set while anything fails, so that successes need no lock otherwise.
    any: AtomicBool,
    state: Mutex<State>,
}

struct State {
    reporter: Reporter,
    /// The shards for which each operation fails; `None` for the source as a whole.
    failing: BTreeMap<&'static str, BTreeSet<Option<ShardId>>>,
    last: Option<LastError>,
    ended: Option<String>,
}

impl FailureLog {
    /// Creates the state of a source without failures. `longest_gap` is the longest time between two attempts of a retry.
    pub(crate) fn new(table: &str, clock: Clock, longest_gap: Duration) -> Self {
        Self {
            clock,
            any: AtomicBool::new(false),
            state: Mutex::new(State {
                reporter: Reporter::new(&Arc::from(table), longest_gap),
                failing: BTreeMap::new(),
                last: None,
                ended: None,
            }),
        }
    }

    /// Notes a request that failed and is sent again.
    pub(crate) fn failed(
        &self,
        operation: &'static str,
        shard: Option<&ShardId>,
        error: &ServiceError,
    ) {
        let mut state = self.state.lock();
        state.reporter.failed(self.clock.now(), operation, error);
        self.note(&mut state, operation, shard, error.to_string());
    }

    /// Notes a handler that failed, or did not take a dead letter, and is called again.
    pub(crate) fn handler_failed(&self, shard: &ShardId, problem: &str) {
        let cause = format!("shard {shard}: {problem}");
        let mut state = self.state.lock();
        let now = self.clock.now();
        state.reporter.failed_with(now, HANDLER, cause.clone());
        self.note(&mut state, HANDLER, Some(shard), cause);
    }

    fn note(
        &self,
        state: &mut State,
        operation: &'static str,
        shard: Option<&ShardId>,
        cause: String,
    ) {
        self.any.store(true, Ordering::Relaxed);
        let failing = state.failing.entry(operation).or_default();
        failing.insert(shard.cloned());
        state.last = Some(LastError {
            operation,
            cause,
            at: self.clock.time_of_day(),
        });
    }

    /// Notes a request, or a call of a handler, that succeeded.
    pub(crate) fn succeeded(&self, operation: &'static str, shard: Option<&ShardId>) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        let Some(failing) = state.failing.get_mut(operation) else {
            return;
        };
        failing.remove(&shard.cloned());
        if failing.is_empty() {
            state.failing.remove(operation);
            state.reporter.succeeded(operation);
            self.any.store(!state.failing.is_empty(), Ordering::Relaxed);
        }
    }

    /// Forgets the failures of a shard that this worker no longer reads.
    pub(crate) fn forget(&self, shard: &ShardId) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        let State {
            reporter, failing, ..
        } = &mut *state;
        failing.retain(|operation, shards| {
            shards.remove(&Some(shard.clone()));
            if shards.is_empty() {
                reporter.dismissed(operation);
            }
            !shards.is_empty()
        });
        self.any.store(!failing.is_empty(), Ordering::Relaxed);
    }

    /// Logs the failures that have begun to last, or are over, by now.
    pub(crate) fn advance(&self) {
        self.state.lock().reporter.advance(self.clock.now());
    }

    /// Logs and notes the error with which the source ended.
    pub(crate) fn ended(&self, error: &StreamsError) {
        tracing::error!(%error, "the source has ended");
        self.state.lock().ended = Some(error.to_string());
    }

    pub(crate) fn health(&self) -> Health {
        let state = self.state.lock();
        match &state.ended {
            Some(cause) => Health::Ended {
                cause: cause.clone(),
            },
            None => state.reporter.health(self.clock.now()),
        }
    }

    pub(crate) fn last_error(&self) -> Option<LastError> {
        self.state.lock().last.clone()
    }
}
