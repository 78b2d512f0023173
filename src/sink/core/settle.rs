//! The ways out of the queue: settled, dead-lettered, or handed back.

use std::time::Duration;

use super::Core;
use super::entry::{Entry, State};
use super::isolation::NextStep;
use super::lane::Ticket;
use crate::retry::ServiceError;
use crate::sink::outcome::{Outcome, RejectReason};
use crate::transport::Operation;

/// The largest number of times that a write is sent again because its refusal proves nothing, while
/// descriptions are refused too.
///
/// Chosen: outages that recur are few, and a server that describes no table refuses for ever.
const MAX_UNPROVEN_REPEATS: u8 = 3;

impl<C, F> Core<C, F> {
    /// Ends the table: all writes are handed back, those in flight as maybe applied.
    pub(crate) fn abort(&mut self, now: Duration) {
        self.requests.clear();
        self.hand_back(now, true);
    }

    /// Fails the table: writes that wait are handed back, those in flight await their answers.
    pub(crate) fn fail(&mut self, now: Duration, error: ServiceError) {
        if self.failed.is_none() {
            self.failed = Some(error);
        }
        self.hand_back(now, false);
    }

    /// Hands back all writes that wait, and those in flight too if they have no answer any more.
    fn hand_back(&mut self, now: Duration, in_flight_too: bool) {
        self.isolation.clear();
        let before = self.outbox.settled();
        for ticket in self.queue.tickets(|_| true) {
            let entry = self.queue.queued(ticket, "a write has no place any more");
            let Some(entry) = entry else {
                continue;
            };
            let sent = matches!(entry.state, State::InFlight);
            if (sent || matches!(entry.state, State::DeadLettered(_))) && !in_flight_too {
                continue;
            }
            let outcome = match &mut entry.state {
                State::DeadLettered(outcome) => std::mem::replace(&mut **outcome, Outcome::Written),
                _ => Outcome::Unwritten {
                    may_have_applied: entry.write.attempts.may_have_applied || sent,
                    record: Some(entry.write.to_record(&self.table)),
                    cause: self.failed.clone(),
                },
            };
            let cause = self.failed.clone();
            self.end_older(ticket, false, cause.as_ref());
            self.remove(now, ticket, outcome);
        }
        // A place is as old as the first of its writes, of which others may be newer.
        self.outbox.sort_after(before);
    }

    /// Gives a write its outcome. A dead letter keeps its key until the handler has answered, so
    /// that a snapshot taken before that restores in order.
    pub(super) fn settle(&mut self, now: Duration, ticket: Ticket, outcome: Outcome) {
        if self.rules.dead_letters && outcome.is_dead_letter() {
            let state = State::DeadLettered(Box::new(outcome.clone()));
            self.queue.set_state(ticket, state);
            self.outbox.dead_letter(ticket, outcome);
            self.decide_group(now, ticket);
            return;
        }
        let Some(entry) = self.queue.queued(ticket, "a settled write is not queued") else {
            return;
        };
        let group = entry.write.group.take();
        self.remove(now, ticket, outcome);
        self.decide(now, group);
    }

    /// Notes in its group that a write has an outcome or waits for one no more.
    pub(super) fn decide_group(&mut self, now: Duration, ticket: Ticket) {
        let entry = self.queue.get_mut(ticket);
        let group = entry.and_then(|entry| entry.write.group.take());
        self.decide(now, group);
    }

    fn decide(&mut self, now: Duration, group: Option<u64>) {
        if let Some(group) = group {
            let step = self.isolation.decided(group);
            self.apply(now, step);
        }
    }

    /// Carries out the next step of a bisection group.
    pub(super) fn apply(&mut self, now: Duration, step: NextStep) {
        match step {
            NextStep::Open => {}
            NextStep::Describe => self.isolation.description.request(),
            NextStep::Reject(refusals) => self.reject_refusals(now, refusals),
        }
    }

    /// Sends writes once more that were refused alone, now that others pass, or the table is
    /// described.
    ///
    /// They may have been refused in an outage that is over since: only two refusals with a proof
    /// in between are no single outage. Where the service refuses every request, more are needed.
    pub(super) fn reject_refusals(&mut self, now: Duration, refusals: Vec<(Ticket, ServiceError)>) {
        let invalid = self.isolation.description.is_invalid();
        let max_repeats = if invalid { MAX_UNPROVEN_REPEATS } else { 1 };
        for (ticket, error) in refusals {
            let Some(entry) = self.refused_alone(ticket) else {
                continue;
            };
            entry.write.group = None;
            if entry.write.attempts.repeats >= max_repeats {
                self.reject_refused(now, ticket, error);
                continue;
            }
            entry.write.attempts.repeats += 1;
            if invalid || !entry.write.payload.is_plain() {
                // Those of an outage fill batches again.
                self.queue.make_ready(now, ticket, true);
            } else {
                self.isolate(vec![ticket], now, false);
            }
        }
    }

    /// Returns a write that was refused alone; `None` where it has its outcome since.
    fn refused_alone(&mut self, ticket: Ticket) -> Option<&mut Entry<C>> {
        let entry = self.queue.get_mut(ticket);
        entry.filter(|entry| matches!(entry.state, State::RefusedAlone))
    }

    /// Sends the oldest write again that waits for a description, since none is available. If it is
    /// carried out, it proves the table unchanged for the others.
    pub(super) fn try_refused(&mut self, now: Duration) {
        let Some(ticket) = self.isolation.take_oldest() else {
            return;
        };
        if let Some(entry) = self.refused_alone(ticket) {
            entry.write.group = None;
            let isolated = entry.write.payload.is_plain();
            self.isolation.description.begin_trying();
            self.requeue(now, vec![(ticket, 1)], true, isolated);
        }
    }

    /// Sends all writes again that were refused alone, and begins their bisections anew.
    pub(super) fn send_again(&mut self, now: Duration, proven: Vec<(Ticket, ServiceError)>) {
        let others = self.isolation.take_all();
        self.queue.leave_groups();
        for (ticket, _) in proven.into_iter().chain(others) {
            if self.refused_alone(ticket).is_some() {
                self.queue.make_ready(now, ticket, true);
            }
        }
    }

    /// Removes a write from the queue, and gives it its outcome.
    pub(super) fn remove(&mut self, now: Duration, ticket: Ticket, outcome: Outcome) {
        if let Some(write) = self.settle_older(now, ticket, &outcome) {
            return self.complete(write, ticket.at, outcome);
        }
        let passed = matches!(outcome, Outcome::Written | Outcome::ConditionFailed { .. });
        if let Some(entry) = self.queue.remove(now, ticket, passed) {
            // Its retry was not used.
            self.retries.budget.refund(u32::from(entry.paid));
            self.complete(entry.write, ticket.at, outcome);
        }
    }

    /// Rejects a write that the service refused.
    pub(super) fn reject_refused(&mut self, now: Duration, ticket: Ticket, error: ServiceError) {
        if let Some(entry) = self.queue.queued(ticket, "a rejected write is not queued") {
            let may_have_applied = entry.write.attempts.may_have_applied;
            let reason = RejectReason::Refused {
                error,
                may_have_applied,
            };
            self.reject(now, ticket, reason);
        }
    }

    pub(super) fn reject(&mut self, now: Duration, ticket: Ticket, reason: RejectReason) {
        if let Some(entry) = self.queue.queued(ticket, "a rejected write is not queued") {
            let record = entry.write.to_record(&self.table);
            self.settle(now, ticket, Outcome::Rejected { reason, record });
        }
    }

    /// Settles a write that must not be sent again, and whose answer was lost.
    pub(super) fn unknown(&mut self, now: Duration, ticket: Ticket) {
        if let Some(entry) = self.queue.queued(ticket, "an unknown write is not queued") {
            let record = entry.write.to_record(&self.table);
            let existing = None;
            self.settle(now, ticket, Outcome::Unknown { existing, record });
        }
    }

    /// Hands back the queued writes of an action that was closed.
    pub(super) fn hand_back_action(
        &mut self,
        now: Duration,
        operation: Operation,
        cause: &ServiceError,
    ) {
        let tickets = self.queue.tickets(|entry| {
            let queued = !matches!(entry.state, State::InFlight | State::DeadLettered(_));
            queued && entry.write.payload.operation() == operation
        });
        self.unwritten_for(now, &tickets, Some(cause));
    }

    /// Hands back the writes of a request whose answer came after the table failed, or its action
    /// was closed.
    pub(super) fn unwritten(&mut self, now: Duration, writes: &[Ticket]) {
        let cause = self.failed.clone();
        self.unwritten_for(now, writes, cause.as_ref());
    }

    pub(super) fn unwritten_for(
        &mut self,
        now: Duration,
        writes: &[Ticket],
        cause: Option<&ServiceError>,
    ) {
        for &ticket in writes {
            // The outcome of one before may have decided about this one too.
            let Some(entry) = self.queue.get_mut(ticket) else {
                continue;
            };
            let group = entry.write.group.take();
            let refused_alone = match entry.state {
                State::DeadLettered(_) => continue,
                State::RefusedAlone => group,
                _ => None,
            };
            let outcome = Outcome::Unwritten {
                may_have_applied: entry.write.attempts.may_have_applied,
                record: Some(entry.write.to_record(&self.table)),
                cause: cause.cloned(),
            };
            self.remove(now, ticket, outcome);
            match refused_alone {
                // Its group has counted it.
                Some(group) => self.isolation.forget(group, ticket),
                None => self.decide(now, group),
            }
        }
    }
}
