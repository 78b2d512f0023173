//! The failures of one operation that is tried again without end, noted by several tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Health, Reporter};
use crate::clock::Clock;
use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct OperationReporter {
    clock: Clock,
    operation: &'static str,
    reporter: Mutex<Reporter>,
    /// Set while something fails, so that successes need no lock otherwise.
    failing: AtomicBool,
}

impl OperationReporter {
    /// Returns a reporter without failures. `longest_gap` is the longest time between two attempts.
    pub(crate) fn new(resource: &Arc<str>, operation: &'static str, longest_gap: Duration) -> Self {
        Self {
            clock: Clock::start(),
            operation,
            reporter: Mutex::new(Reporter::new(resource, longest_gap)),
            failing: AtomicBool::new(false),
        }
    }

    /// Notes a failure, and logs what has begun to last by now.
    pub(crate) fn failed(&self, cause: String) {
        let now = self.clock.now();
        let mut reporter = self.reporter.lock();
        self.failing.store(true, Ordering::Relaxed);
        reporter.failed_with(now, self.operation, cause);
        reporter.advance(now);
    }

    /// Notes a success, and logs what is over by now.
    pub(crate) fn succeeded(&self) {
        if self.failing.load(Ordering::Relaxed) {
            self.reporter.lock().succeeded(self.operation);
            self.advance();
        }
    }

    /// Logs what has begun to last, or is over, by now.
    pub(crate) fn advance(&self) {
        if !self.failing.load(Ordering::Relaxed) {
            return;
        }
        let now = self.clock.now();
        let mut reporter = self.reporter.lock();
        reporter.advance(now);
        let is_over = reporter.health(now).is_healthy() && reporter.wake_at().is_none();
        self.failing.store(!is_over, Ordering::Relaxed);
    }

    pub(crate) fn health(&self) -> Health {
        self.reporter.lock().health(self.clock.now())
    }
}
