//! The consequences of refusals that no record causes (`access`).

use std::time::Duration;

use super::Core;
use super::access::{ActionStatus, Attribution, RecordEvidence, RefusalKind};
use super::lane::Ticket;
use super::request::InFlight;
use crate::retry::ServiceError;
use crate::transport::Operation;

impl<C, F> Core<C, F> {
    /// Fails the table, and hands the writes of a request back.
    pub(super) fn fail_with(&mut self, now: Duration, request: &InFlight, error: &ServiceError) {
        self.fail(now, error.clone());
        self.unwritten(now, &request.writes);
    }

    /// Handles a refusal that any request would have met: the credentials, the signature, or the
    /// table itself are the cause.
    pub(super) fn table_refused(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
        let over = self.access.refused(now, error);
        // A table that is missing is gone once its description says so too.
        let described = !error.is_missing() || self.isolation.description.is_denied();
        if over && described {
            return self.fail_with(now, &request, error);
        }
        self.isolation.description.request();
        self.failed_attempt(now, request, error);
    }

    /// Handles a denial of an action, or of the action for a record of the request.
    pub(super) fn action_refused(
        &mut self,
        now: Duration,
        mut request: InFlight,
        error: &ServiceError,
    ) {
        let operation = request.operation;
        let standing = self
            .access
            .action_refused(now, operation, RefusalKind::Denied);
        match (standing, &request.writes[..]) {
            (ActionStatus::Passing, _) => self.failed_attempt(now, request, error),
            (ActionStatus::Partial, _) => self.attribute(now, request, error, RefusalKind::Denied),
            (ActionStatus::Refused, &[ticket]) => {
                self.decide_group(now, ticket);
                if operation != Operation::BatchWriteItem || !self.isolation.is_bisecting() {
                    return self.close(now, &request, error);
                }
                // The rest of its batch shows whether others are carried out.
                request.isolated = true;
                self.failed_attempt(now, request, error);
            }
            // One record's key may be the cause of all.
            (ActionStatus::Refused, _) => self.attribute(now, request, error, RefusalKind::Denied),
            (ActionStatus::Closed, _) => self.close(now, &request, error),
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

    /// Handles a refusal whose code does not show whether a record is the cause.
    pub(super) fn unclear_refused(
        &mut self,
        now: Duration,
        request: InFlight,
        error: &ServiceError,
    ) {
        let standing = self
            .access
            .action_refused(now, request.operation, RefusalKind::Unclear);
        // Where nothing is carried out, the bisection of a batch shows whether a record is the
        // cause.
        if standing == ActionStatus::Passing && request.writes.len() > 1 {
            self.failed_attempt(now, request, error);
        } else {
            self.attribute(now, request, error, RefusalKind::Unclear);
        }
    }

    /// Looks for the record that a refusal may be attributed to. A batch is bisected, one batch at
    /// a time. A write by itself is rejected once it was refused again and again while others were
    /// carried out.
    fn attribute(
        &mut self,
        now: Duration,
        mut request: InFlight,
        error: &ServiceError,
        kind: RefusalKind,
    ) {
        let &[ticket] = &request.writes[..] else {
            let next = request.isolated || !self.isolation.is_bisecting();
            if next {
                self.bisect(now, request, true);
            } else {
                self.failed_attempt(now, request, error);
            }
            return;
        };
        let attribution = self.add_evidence(now, ticket, request.operation, kind);
        if attribution == Attribution::Record {
            return self.reject_refused(now, ticket, error.clone());
        }
        self.decide_group(now, ticket);
        // Where nothing is carried out it goes with the others again, and costs no request of its
        // own.
        request.isolated =
            request.operation == Operation::BatchWriteItem && attribution == Attribution::Alone;
        self.failed_attempt(now, request, error);
    }

    /// Adds a refusal of a write by itself to the evidence, and returns its attribution.
    fn add_evidence(
        &mut self,
        now: Duration,
        ticket: Ticket,
        operation: Operation,
        kind: RefusalKind,
    ) -> Attribution {
        let tally = self.access.tally(operation);
        let Some((number, place)) = self.queue.evidence(ticket) else {
            self.queue.report("a refused write has no line");
            return Attribution::OneOfAll;
        };
        place.take_if(|known| !known.concerns(number, operation, kind));
        let new = || Box::new(RecordEvidence::new(now, number, operation, kind, tally));
        place.get_or_insert_with(new).refused(now, tally)
    }
}
