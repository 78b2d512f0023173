//! The log lines of failures that last.

use std::sync::Arc;
use std::time::Duration;

use super::failures::{Failure, Failures, Report, Urgency};
use super::{Health, how_often};
use crate::retry::{ErrorClass, ServiceError};

/// Reports the failures of one table, source or sink to the log.
#[derive(Debug)]
pub(crate) struct Reporter {
    /// The name of the resource, for the lines.
    resource: Arc<str>,
    failures: Failures,
}

impl Reporter {
    /// `longest_gap` is the longest time between two attempts of a request: its time-out and the delay.
    pub(crate) fn new(resource: &Arc<str>, longest_gap: Duration) -> Self {
        Self {
            resource: Arc::clone(resource),
            failures: Failures::new(longest_gap),
        }
    }

    /// Notes a request that the service failed. Verdicts on a record, and conditions that did not hold,
    /// are answers, and none of these.
    pub(crate) fn failed(&mut self, now: Duration, operation: &'static str, error: &ServiceError) {
        let urgency = match error.class() {
            ErrorClass::Fatal => Urgency::Now,
            ErrorClass::Throttled => Urgency::Starving,
            ErrorClass::Transient
            | ErrorClass::Ambiguous
            | ErrorClass::Refused
            | ErrorClass::Invalid
            | ErrorClass::Permanent => Urgency::Lasting,
        };
        let failure = Failure {
            operation,
            code: error.code().to_owned(),
            cause: error.to_string(),
            urgency,
        };
        let report = self.failures.failed(now, failure);
        self.log(report);
    }

    /// Notes what failed and is no request, in words of its own.
    #[cfg(any(feature = "kafka", feature = "pipeline", feature = "streams"))]
    pub(crate) fn failed_with(&mut self, now: Duration, operation: &'static str, cause: String) {
        let failure = Failure {
            operation,
            code: String::new(),
            cause,
            urgency: Urgency::Lasting,
        };
        let report = self.failures.failed(now, failure);
        self.log(report);
    }

    /// Notes a request of which nothing was carried out for want of capacity.
    pub(crate) fn starved(&mut self, now: Duration, operation: &'static str) {
        let failure = Failure {
            operation,
            code: "Unprocessed".to_owned(),
            cause: "all writes are left unprocessed, for want of capacity".to_owned(),
            urgency: Urgency::Starving,
        };
        let report = self.failures.failed(now, failure);
        self.log(report);
    }

    /// Notes a request that was carried out, in part at least.
    pub(crate) fn succeeded(&mut self, operation: &'static str) {
        self.failures.succeeded(operation);
    }

    /// Notes that an operation is not needed any more, for now.
    pub(crate) fn dismissed(&mut self, operation: &'static str) {
        self.failures.dismissed(operation);
    }

    /// Logs that an operation may not be used: its requests are not sent for now.
    pub(crate) fn closed(&mut self, operation: &'static str, error: &ServiceError) {
        self.failures.closed(operation, error.code());
        let resource = &*self.resource;
        tracing::error!(
            resource,
            operation,
            %error,
            "{operation} on {resource:?} may not be used: its writes are handed back, and it is tried \
             again from time to time"
        );
    }

    /// Logs what has begun to last, or is over, by now.
    pub(crate) fn advance(&mut self, now: Duration) {
        for report in self.failures.take_due(now) {
            self.log(Some(report));
        }
    }

    /// Returns when to call [`advance`](Self::advance).
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.failures.due_at()
    }

    /// Returns the health at this moment.
    pub(crate) fn health(&self, now: Duration) -> Health {
        self.failures.health(now)
    }

    fn log(&self, report: Option<Report>) {
        let resource = &*self.resource;
        match report {
            Some(Report::Lasts(Health::Failing {
                operation,
                cause,
                lasting,
                failures,
            })) => tracing::warn!(
                resource,
                operation,
                failures,
                "{operation} on {resource:?} has failed {}: {cause}; retrying",
                how_often(lasting, failures)
            ),
            Some(Report::Over {
                operation,
                lasted,
                failures,
            }) => tracing::info!(
                resource,
                operation,
                "{operation} on {resource:?} succeeds again, after {failures} failures in {} s",
                lasted.as_secs()
            ),
            Some(Report::Lasts(_)) | None => {}
        }
    }
}
