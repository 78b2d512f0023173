//! The failures of a client's connections, for its operators: log lines and health, as [`crate::health`] decides.
//!
//! librdkafka reports each attempt at each broker, several a second while a cluster is down, and goes on by itself. Here
//! that is one line when it lasts, one a minute while it does, and one when it is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::health::{Health, Reporter};

/// The name under which failures are reported.
const CONNECTION: &str = "connection";
/// The longest time between two attempts: librdkafka's `reconnect.backoff.max.ms`, and its time-out of a connection.
const LONGEST_GAP: Duration = Duration::from_secs(40);

#[derive(Debug)]
pub(super) struct Connection {
    clock: Clock,
    reporter: Mutex<Reporter>,
    /// Set while something fails, so that successes need no lock otherwise.
    failing: AtomicBool,
}

impl Connection {
    /// Returns the state of a client without failures.
    pub(super) fn new(client: &str) -> Self {
        Self {
            clock: Clock::start(),
            reporter: Mutex::new(Reporter::new(&Arc::from(client), LONGEST_GAP)),
            failing: AtomicBool::new(false),
        }
    }

    fn reporter(&self) -> MutexGuard<'_, Reporter> {
        self.reporter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a failure after which librdkafka goes on by itself.
    pub(super) fn failed(&self, reason: &str) {
        self.failing.store(true, Ordering::Relaxed);
        let now = self.clock.now();
        self.reporter()
            .failed_with(now, CONNECTION, reason.to_owned());
    }

    /// Notes that a broker answered.
    pub(super) fn succeeded(&self) {
        if self.failing.load(Ordering::Relaxed) {
            self.reporter().succeeded(CONNECTION);
        }
    }

    /// Logs what has begun to last, or is over, by now. To be called now and then.
    pub(super) fn advance(&self) {
        if !self.failing.load(Ordering::Relaxed) {
            return;
        }
        let now = self.clock.now();
        let mut reporter = self.reporter();
        reporter.advance(now);
        let is_over = reporter.wake_at().is_none();
        self.failing.store(!is_over, Ordering::Relaxed);
    }

    pub(super) fn health(&self) -> Health {
        self.reporter().health(self.clock.now())
    }
}
