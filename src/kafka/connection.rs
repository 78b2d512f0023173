//! The failures of a client's connections, for its operators: log lines and health, as [`crate::health`] decides.
//!
//! librdkafka reports each attempt at each broker, several a second while a cluster is down, and goes on by itself. Here
//! that is one line when it lasts, one a minute while it does, and one when it is over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use crate::health::{Health, OperationReporter};

/// The longest time between two attempts: librdkafka's `reconnect.backoff.max.ms`, and its time-out of a connection.
const LONGEST_GAP: Duration = Duration::from_secs(40);

#[derive(Debug)]
pub(super) struct Connection {
    reporter: OperationReporter,
    /// The last error that was about one broker, or none.
    last: Mutex<String>,
}

impl Connection {
    /// Returns the state of a client without failures.
    pub(super) fn new(client: &str) -> Self {
        Self {
            reporter: OperationReporter::new(&Arc::from(client), "connection", LONGEST_GAP),
            last: Mutex::default(),
        }
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
        self.reporter.failed(cause);
    }

    /// Notes that a broker answered.
    pub(super) fn succeeded(&self) {
        self.reporter.succeeded();
    }

    /// Logs what has begun to last, or is over, by now. To be called now and then.
    pub(super) fn advance(&self) {
        self.reporter.advance();
    }

    pub(super) fn health(&self) -> Health {
        self.reporter.health()
    }
}
