//! The failures of a client's connections, for its operators: log lines and health, as [`crate::health`] decides.
//!
//! librdkafka reports each attempt at each broker, several a second while a cluster is down, and goes on by itself. Here
//! that is one line when it lasts, one a minute while it does, and one when it is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;

use super::error::KafkaError;
use crate::clock::Clock;
use crate::health::{Health, OperationReporter};

/// The longest time between two attempts: librdkafka's `reconnect.backoff.max.ms`, and its time-out of a connection.
const LONGEST_GAP: Duration = Duration::from_secs(40);

/// The shortest time for which no broker is reached before the reason counts as one that stays. A
/// name server that is not ready yet, as at the start of a pod, gives the same errors.
const LASTING: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Connection {
    clock: Clock,
    reporter: OperationReporter,
    last: Mutex<LastError>,
    /// Set while there is a last error, so that successes need no lock otherwise: there is one a record.
    has_failed: AtomicBool,
}

/// The last error that was about one broker.
#[derive(Debug, Default)]
struct LastError {
    reason: String,
    code: Option<RDKafkaErrorCode>,
    /// The time since which no broker was reached.
    all_down: Option<Duration>,
}

impl Connection {
    /// Returns the state of a client without failures.
    pub(super) fn new(client: &str) -> Self {
        Self {
            clock: Clock::start(),
            reporter: OperationReporter::new(&Arc::from(client), "connection", LONGEST_GAP),
            last: Mutex::default(),
            has_failed: AtomicBool::new(false),
        }
    }

    /// Notes an error after which librdkafka goes on by itself. While a broker is reached, failures of others say
    /// nothing of the client; they are the reason once none is reached.
    pub(super) fn failed(&self, code: Option<RDKafkaErrorCode>, reason: &str) {
        let mut last = self.last.lock();
        self.has_failed.store(true, Ordering::Relaxed);
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            tracing::debug!(reason, "librdkafka goes on by itself");
            reason.clone_into(&mut last.reason);
            last.code = code;
            return;
        }
        last.all_down.get_or_insert(self.clock.now());
        let cause = if last.reason.is_empty() {
            reason.to_owned()
        } else {
            format!("{reason}: {}", last.reason)
        };
        drop(last);
        self.reporter.failed(cause);
    }

    /// Returns the last error that was about one broker.
    pub(super) fn last_error(&self) -> Option<String> {
        let last = self.last.lock();
        (!last.reason.is_empty()).then(|| last.reason.clone())
    }

    /// Returns the error of a client that has reached no broker for a while, for a reason that
    /// waiting does not change: names that do not resolve, and certificates that are not accepted.
    pub(super) fn in_vain(&self) -> Option<KafkaError> {
        self.in_vain_at(self.clock.now())
    }

    fn in_vain_at(&self, now: Duration) -> Option<KafkaError> {
        use RDKafkaErrorCode as Code;
        let last = self.last.lock();
        let lasting = matches!(
            last.code,
            Some(Code::Resolve | Code::SSL | Code::Authentication)
        );
        let down = last
            .all_down
            .is_some_and(|since| now.saturating_sub(since) >= LASTING);
        (down && lasting).then(|| KafkaError::NotConnected {
            reason: last.reason.as_str().into(),
        })
    }

    /// Notes that a broker answered.
    pub(super) fn succeeded(&self) {
        if self.has_failed.load(Ordering::Relaxed) {
            let mut last = self.last.lock();
            *last = LastError::default();
            self.has_failed.store(false, Ordering::Relaxed);
        }
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

#[cfg(test)]
mod tests {
    use super::super::test_log::Log;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_a_line_with_its_cause_once_it_lasts_no_more_than_one_a_minute_and_one_at_its_end()
     {
        let (log, _collecting) = Log::collect();
        let connection = Connection::new("kafka producer");
        let began = connection.clock.now();
        let (mut times, mut seen) = (Vec::new(), 0);
        // librdkafka reports each attempt at each broker.
        for _ in 0..300 * 4 {
            let refused =
                "127.0.0.1:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused";
            connection.failed(Some(RDKafkaErrorCode::BrokerTransportFailure), refused);
            connection.failed(
                Some(RDKafkaErrorCode::AllBrokersDown),
                "1/1 brokers are down",
            );
            connection.advance();
            let lines = log.lines("WARN");
            if lines.len() > seen {
                seen = lines.len();
                times.push((connection.clock.now() - began).as_secs());
                let line = &lines[seen - 1];
                assert!(line.contains("1/1 brokers are down"), "{line}");
                assert!(line.contains("Connection refused"), "{line}");
            }
            tokio::time::advance(Duration::from_millis(250)).await;
        }
        assert_eq!((times, seen), (vec![1, 61, 122, 244], 4));
        assert!(!connection.health().is_healthy());

        for _ in 0..60 {
            connection.succeeded();
            connection.advance();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(connection.health().is_healthy());
        let over = log.lines("succeeds again");
        assert_eq!(over.len(), 1, "{over:?}");
        assert_eq!(log.lines("WARN").len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_does_not_resolve_ends_a_look_up_only_once_it_lasts() {
        let connection = Connection::new("test");
        connection.failed(Some(RDKafkaErrorCode::Resolve), "no such host");
        connection.failed(Some(RDKafkaErrorCode::AllBrokersDown), "1/1 down");
        let later = |secs| connection.in_vain_at(Duration::from_secs(secs));
        assert!(later(0).is_none() && later(2).is_none());
        assert!(matches!(later(3), Some(KafkaError::NotConnected { .. })));
        connection.succeeded();
        assert!(later(3).is_none(), "a broker answered");
    }
}
