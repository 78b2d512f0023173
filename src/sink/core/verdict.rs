//! The consequences of refusals that no record causes (`access`).

use std::time::Duration;

use super::Core;
use super::access::{Standing, Suspect, Suspicion, Why};
use super::lane::Ticket;
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
        let over = self.access.refused(now, error);
        // A table that is missing is gone once its description says so too.
        let described = !error.is_missing() || self.isolation.description.is_denied();
        if over && described {
            return self.fail_with(now, &request, error);
        }
        self.isolation.description.want();
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
            (Standing::Partial, _) => self.suspect(now, request, error, Why::Denied),
            (Standing::Refused, &[ticket]) => {
                self.decide_group(now, ticket, false);
                if operation != Operation::BatchWriteItem || !self.isolation.is_bisecting() {
                    return self.close(now, &request, error);
                }
                // The rest of its batch shows whether others pass.
                request.isolated = true;
                self.failed_attempt(now, request, error);
            }
            // One record's key may be the cause of all.
            (Standing::Refused, _) => self.suspect(now, request, error, Why::Denied),
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
            self.outbox.close(operation, error.clone());
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
            self.suspect(now, request, error, Why::Unclear);
        }
    }

    /// Looks for the record that may be the cause of a refusal: a batch is bisected, one at a time, and
    /// a write by itself is rejected once it was refused again and again while others were carried out.
    fn suspect(&mut self, now: Duration, mut request: InFlight, error: &ServiceError, why: Why) {
        let &[ticket] = &request.writes[..] else {
            let next = request.isolated || !self.isolation.is_bisecting();
            if next {
                self.bisect(now, request, true);
            } else {
                self.failed_attempt(now, request, error);
            }
            return;
        };
        let suspect = self.add_suspicion(now, ticket, request.operation, why);
        if suspect == Suspect::Cause {
            return self.reject_refused(now, ticket, error.clone());
        }
        self.decide_group(now, ticket, false);
        // Where nothing passes it goes with the others again, and costs no request of its own.
        request.isolated =
            request.operation == Operation::BatchWriteItem && suspect == Suspect::Alone;
        self.failed_attempt(now, request, error);
    }

    /// Counts a refusal of a write by itself.
    fn add_suspicion(
        &mut self,
        now: Duration,
        ticket: Ticket,
        operation: Operation,
        why: Why,
    ) -> Suspect {
        let tally = self.access.tally(operation);
        let Some((number, place)) = self.queue.suspicion(ticket) else {
            self.queue.report("a refused write has no line");
            return Suspect::OneOfAll;
        };
        place.take_if(|known| !known.concerns(number, operation, why));
        let new = || Box::new(Suspicion::new(now, number, operation, why, tally));
        place.get_or_insert_with(new).refused(now, tally)
    }
}
