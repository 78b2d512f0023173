//! The consequences of refusals that no record causes (`access`).

use std::time::Duration;

use super::Core;
use super::access::{Standing, Suspect, Suspicion, Why};
use super::request::InFlight;
use crate::retry::ServiceError;
use crate::transport::Operation;

impl<C, F> Core<C, F> {
    /// Nothing more can be written.
    pub(super) fn fail_with(&mut self, now: Duration, request: &InFlight, error: &ServiceError) {
        self.fail(now, error.clone());
        self.unwritten(now, &request.writes);
    }

    /// Any request would have been refused: the credentials, the signature, or the table itself are
    /// the cause.
    pub(super) fn table_refused(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
        let over = self.access.refused(now);
        // A table that is missing is gone once its description says so too.
        let described = !error.is_missing() || self.description.is_denied();
        if over && described {
            return self.fail_with(now, &request, error);
        }
        self.description.want();
        self.failed_attempt(now, request, error);
    }

    /// The action may not be used, or not for a record of the request.
    pub(super) fn action_refused(
        &mut self,
        now: Duration,
        mut request: InFlight,
        error: &ServiceError,
    ) {
        let operation = request.operation;
        let standing = self.access.action_refused(now, operation, Why::Denied);
        match (standing, &request.writes[..]) {
            (Standing::Passing, _) => self.failed_attempt(now, request, error),
            (Standing::Partial, _) => self.suspect(now, request, error),
            (Standing::Refused, &[ticket]) => {
                self.decide_group(now, ticket, false);
                if self.groups.is_empty() {
                    return self.close(now, &request, error);
                }
                // The rest of its batch shows whether others pass.
                request.isolated = operation == Operation::BatchWriteItem;
                self.failed_attempt(now, request, error);
            }
            // One record's key may be the cause of all.
            (Standing::Refused, _) => self.suspect(now, request, error),
            (Standing::Closed, _) => self.close(now, &request, error),
        }
    }

    /// Closes the action of a request, or fails a table that has no other.
    fn close(&mut self, now: Duration, request: &InFlight, error: &ServiceError) {
        let operation = request.operation;
        if operation == Operation::BatchWriteItem && !self.access.others_work(now, operation) {
            return self.fail_with(now, request, error);
        }
        if self.access.close(now, operation, error.clone()) {
            self.closed = Some((operation, error.clone()));
        }
        self.unwritten_for(now, &request.writes, Some(error));
        self.hand_back_action(now, operation, error);
    }

    /// The service refused with a code that does not say whether a record is the cause.
    pub(super) fn suspected(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
        let standing = self
            .access
            .action_refused(now, request.operation, Why::Unclear);
        // Where nothing passes, a batch shows whether that is because of a record.
        if standing == Standing::Passing && request.writes.len() > 1 {
            self.failed_attempt(now, request, error);
        } else {
            self.suspect(now, request, error);
        }
    }

    /// Looks for the record that may be the cause of a refusal: a batch is bisected, one at a time, and
    /// a write by itself is rejected once it was refused again and again while others were carried out.
    fn suspect(&mut self, now: Duration, mut request: InFlight, error: &ServiceError) {
        let &[ticket] = &request.writes[..] else {
            let under_way = request.isolated || self.groups.is_empty();
            if under_way {
                self.bisect(now, request, true);
            } else {
                self.failed_attempt(now, request, error);
            }
            return;
        };
        let tally = self.access.tally(request.operation);
        let Some(entry) = self.entries.get_mut(ticket.at) else {
            return;
        };
        let plain = entry.write.payload.is_plain();
        let suspicion = entry.suspicion.get_or_insert(Suspicion::new(now, tally));
        let suspect = suspicion.refused(now, tally);
        if suspect == Suspect::Cause {
            entry.write.last_error = Some(error.clone());
            return self.reject_refused(now, ticket, error.clone());
        }
        self.decide_group(now, ticket, false);
        // Where nothing passes it goes with the others again, and costs no request of its own.
        request.isolated = plain && suspect == Suspect::Alone;
        self.failed_attempt(now, request, error);
    }
}
