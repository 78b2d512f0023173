//! The failures of a client's connections, for its operators: log lines and health, as [`crate::health`] decides.
//!
//! librdkafka reports each attempt at each broker, several a second while a cluster is down, and goes on by itself. Here
//! that is one line when it lasts, one a minute while it does, and one when it is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

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
    /// The last error that was about one broker, or none.
    last: Mutex<String>,
    /// Set while something fails, so that successes need no lock otherwise.
    failing: AtomicBool,
}

impl Connection {
    /// Returns the state of a client without failures.
    pub(super) fn new(client: &str) -> Self {
        Self {
            clock: Clock::start(),
            reporter: Mutex::new(Reporter::new(&Arc::from(client), LONGEST_GAP)),
            last: Mutex::default(),
            failing: AtomicBool::new(false),
        }
    }

    fn reporter(&self) -> MutexGuard<'_, Reporter> {
        self.reporter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an error after which librdkafka goes on by itself. While a broker is reached, trouble with others is none
    /// of the client's; it is the reason once none is.
    pub(super) fn failed(&self, code: Option<RDKafkaErrorCode>, reason: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            tracing::debug!(reason, "librdkafka goes on by itself");
            reason.clone_into(&mut last);
            return;
        }
        let cause = if last.is_empty() {
            reason.to_owned()
        } else {
            format!("{reason}: {last}")
        };
        drop(last);
        let now = self.clock.now();
        let mut reporter = self.reporter();
        self.failing.store(true, Ordering::Relaxed);
        reporter.failed_with(now, CONNECTION, cause);
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
