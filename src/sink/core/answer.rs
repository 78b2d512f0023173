//! What an answer means for the writes of its request.

use std::time::Duration;

use super::access::{Standing, Suspect, Suspicion, Why};
use super::entry::State;
use super::feedback::ConsumedAnswer;
use super::lane::Ticket;
use super::request::InFlight;
use super::{Core, Outcome, RejectReason};
use crate::capacity::Consumption;
use crate::item::{self, Item, Key};
use crate::retry::{ErrorClass, ServiceError};
use crate::sink::outcome::WriteKind;
use crate::sink::payload::Payload;
use crate::transport::Operation;

/// A batch's answer.
#[derive(Debug)]
pub(crate) struct BatchOutcome {
    /// The keys of the writes that were not processed.
    pub(crate) unprocessed: Vec<Key>,
    /// What the others consumed, where that was asked.
    pub(crate) consumed: Option<Consumption>,
}

impl<C, F> Core<C, F> {
    /// Takes a batch's answer. One for an unknown request (aborted) is ignored.
    pub(crate) fn on_batch(
        &mut self,
        now: Duration,
        id: u64,
        answer: Result<BatchOutcome, ServiceError>,
    ) {
        let Some(request) = self.requests.remove(&id) else {
            return;
        };
        let outcome = match answer {
            Ok(outcome) => outcome,
            Err(error) => return self.on_error(now, request, &error),
        };
        let BatchOutcome {
            mut unprocessed,
            consumed,
        } = outcome;
        let items = request.writes.len();
        let mut left = Vec::new();
        let mut written = Vec::with_capacity(items);
        for ticket in request.writes {
            let Some(entry) = self.entries.get(ticket.at) else {
                continue;
            };
            let line = entry.lines.as_slice().first();
            let key = line.and_then(|&line| self.keys.key(line));
            let found = unprocessed.iter().position(|back| Some(back) == key);
            match found {
                Some(place) => {
                    unprocessed.swap_remove(place);
                    left.push(ticket);
                }
                None => written.push(ticket),
            }
        }
        if !unprocessed.is_empty() {
            // It names writes that we did not send: not to be trusted about the others either.
            written.append(&mut left);
            let error = ServiceError::garbled("it names writes that were not sent");
            let writes = written;
            return self.on_error(now, InFlight { writes, ..request }, &error);
        }
        self.access.let_in();
        self.note_taken(now, &written, consumed.as_ref());
        if left.is_empty() {
            self.budgets.accepted(now, request.sent_at, items);
            self.note_answer(now, request.sent_at);
        } else {
            self.note_refused(now, request.sent_at, &left, &written, None);
        }
        if !written.is_empty() {
            self.succeeded(now, request.id, request.operation, request.asked);
        }
        for ticket in written {
            self.settle(now, ticket, Outcome::Written);
        }
        self.throttled(now, &left, request.isolated, None);
        self.expire_answered(now, &left);
        self.buffer_pool.keep(request.body);
    }

    /// Takes the answer to a call that is not a batch.
    pub(crate) fn on_call(
        &mut self,
        now: Duration,
        id: u64,
        answer: Result<Option<Consumption>, ServiceError>,
    ) {
        let Some(request) = self.requests.remove(&id) else {
            return;
        };
        match answer {
            Ok(consumed) => {
                self.note_taken(now, &request.writes, consumed.as_ref());
                let writes = request.writes.len();
                self.budgets.accepted(now, request.sent_at, writes);
                self.note_answer(now, request.sent_at);
                self.succeeded(now, request.id, request.operation, request.asked);
                for ticket in request.writes {
                    self.settle(now, ticket, Outcome::Written);
                }
            }
            Err(error) => self.on_error(now, request, &error),
        }
    }

    /// The request of this number was carried out.
    fn succeeded(&mut self, now: Duration, id: u64, operation: Operation, asked: bool) {
        self.budget.deposit(now);
        self.access.succeeded(now, operation);
        if asked {
            self.consumed = ConsumedAnswer::Given;
        }
        self.groups.prove(id);
        let proven = self.groups.take_proven();
        self.reject_refusals(now, proven);
    }

    fn on_error(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
        let writes = request.writes.clone();
        self.decide(now, request, error);
        self.expire_answered(now, &writes);
    }

    /// Decides by the class of an error what becomes of the writes of its request.
    fn decide(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
        if error.may_have_applied() {
            for ticket in &request.writes {
                if let Some(entry) = self.entries.get_mut(ticket.at) {
                    entry.may_have_applied = true;
                }
            }
        }
        match error.class() {
            ErrorClass::Throttled => {
                self.access.allowed(request.operation);
                self.note_refused(now, request.sent_at, &request.writes, &[], Some(error));
                self.throttled(now, &request.writes, request.isolated, Some(error));
            }
            ErrorClass::Transient | ErrorClass::Ambiguous => {
                if error.is_credentials() && self.access.refused(now) {
                    return self.fail_with(now, &request, error);
                }
                self.failed_attempt(now, request, error);
            }
            ErrorClass::Refused => self.suspected(now, request, error),
            ErrorClass::Invalid | ErrorClass::Permanent => {
                self.access.allowed(request.operation);
                self.refused(now, request, error);
            }
            ErrorClass::Fatal if error.is_misconfigured() => self.fail_with(now, &request, error),
            ErrorClass::Fatal if error.is_for_action() => {
                self.access.let_in();
                self.action_refused(now, request, error);
            }
            ErrorClass::Fatal => self.table_refused(now, request, error),
        }
    }

    /// Nothing more can be written.
    fn fail_with(&mut self, now: Duration, request: &InFlight, error: &ServiceError) {
        self.fail(now, error.clone());
        self.unwritten(now, &request.writes);
    }

    /// Any request would have been refused: the credentials, the signature, or the table itself are
    /// the cause.
    fn table_refused(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
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
    fn action_refused(&mut self, now: Duration, mut request: InFlight, error: &ServiceError) {
        if self.failed.is_some() {
            return self.unwritten(now, &request.writes);
        }
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
    fn suspected(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
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
        if self.failed.is_some() {
            return self.unwritten(now, &request.writes);
        }
        let &[ticket] = &request.writes[..] else {
            let under_way = request.isolated || self.groups.is_empty();
            if under_way {
                self.bisect(now, request);
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
            return self.reject(now, ticket, error.clone());
        }
        self.decide_group(now, ticket, false);
        // Where nothing passes it goes with the others again, and costs no request of its own.
        request.isolated = plain && suspect == Suspect::Alone;
        self.failed_attempt(now, request, error);
    }

    /// Rejects a write that the service refused.
    pub(super) fn reject(&mut self, now: Duration, ticket: Ticket, error: ServiceError) {
        let Some(entry) = self.entries.get(ticket.at) else {
            return;
        };
        let record = entry.write.to_record(&self.table);
        let reason = RejectReason::Refused {
            error,
            may_have_applied: entry.may_have_applied,
        };
        self.settle(now, ticket, Outcome::Rejected { reason, record });
    }

    /// The attempt failed for a reason that may pass.
    fn failed_attempt(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
        let mut retries = Vec::with_capacity(request.writes.len());
        for ticket in request.writes {
            let Some(entry) = self.entries.get_mut(ticket.at) else {
                continue;
            };
            entry.failures = entry.failures.saturating_add(1);
            entry.throttles = 0;
            entry.write.last_error = Some(error.clone());
            let unsure = entry.may_have_applied;
            if unsure && !entry.may_be_sent_again(now, self.rules.token_life) {
                let record = entry.write.to_record(&self.table);
                self.settle(
                    now,
                    ticket,
                    Outcome::Unknown {
                        existing: None,
                        record,
                    },
                );
                continue;
            }
            if self
                .rules
                .max_attempts
                .is_some_and(|most| entry.failures >= most)
            {
                let record = entry.write.to_record(&self.table);
                let reason = RejectReason::AttemptsExhausted {
                    attempts: entry.write.attempts,
                    may_have_applied: unsure,
                    last: error.clone(),
                };
                self.settle(now, ticket, Outcome::Rejected { reason, record });
                continue;
            }
            retries.push((ticket, entry.failures));
        }
        if retries.is_empty() {
            return;
        }
        let paid_at = self.budget.withdraw(now);
        self.requeue(now, retries, paid_at, request.isolated);
    }

    /// The service refuses what is in the request.
    fn refused(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
        if request.asked && self.consumed == ConsumedAnswer::Refused && !error.is_failed_condition()
        {
            // It was refused for what is not asked any more.
            let writes = request.writes.iter().map(|ticket| (*ticket, 1)).collect();
            return self.requeue(now, writes, now, request.isolated);
        }
        let &[ticket] = &request.writes[..] else {
            if self.failed.is_some() {
                return self.unwritten(now, &request.writes);
            }
            return self.bisect(now, request);
        };
        let Some(entry) = self.entries.get_mut(ticket.at) else {
            return;
        };
        entry.write.last_error = Some(error.clone());
        if let Some(outcome) = condition_failed(entry, error, &self.table) {
            self.groups.prove(request.id);
            self.settle(now, ticket, outcome);
            return;
        }
        if self.failed.is_some() {
            return self.unwritten(now, &request.writes);
        }
        if error.class() == ErrorClass::Permanent {
            // It is about this write alone. Any other refusal may be about the table.
            return self.reject(now, ticket, error.clone());
        }
        entry.state = State::RefusedAlone;
        let group = match entry.group {
            Some(group) => group,
            None => {
                let group = self.groups.open(1, request.id);
                entry.group = Some(group);
                group
            }
        };
        let verdict = self.groups.add_refusal(group, ticket, error.clone());
        self.apply(now, verdict);
    }

    /// Hands back what is queued of an action that was closed.
    fn hand_back_action(&mut self, now: Duration, operation: Operation, cause: &ServiceError) {
        let queued = self.entries.iter().filter(|(_, entry)| {
            let queued = !matches!(entry.state, State::InFlight | State::DeadLettered(_));
            queued && entry.write.payload.operation() == operation
        });
        let mut tickets: Vec<Ticket> = queued
            .map(|(at, entry)| Ticket { seq: entry.seq, at })
            .collect();
        tickets.sort_unstable();
        self.unwritten_for(now, &tickets, Some(cause));
    }

    /// Hands back the writes of a request whose answer came after the table failed, or its action was
    /// closed.
    pub(super) fn unwritten(&mut self, now: Duration, writes: &[Ticket]) {
        let cause = self.failed.clone();
        self.unwritten_for(now, writes, cause.as_ref());
    }

    fn unwritten_for(&mut self, now: Duration, writes: &[Ticket], cause: Option<&ServiceError>) {
        for &ticket in writes {
            let group = self
                .entries
                .get_mut(ticket.at)
                .and_then(|entry| entry.group.take());
            let Some(entry) = self.entries.get(ticket.at) else {
                continue;
            };
            // The outcome of one before may have decided about this one too.
            if !entry.is_live(ticket.seq) || matches!(entry.state, State::DeadLettered(_)) {
                continue;
            }
            let outcome = Outcome::Unwritten {
                may_have_applied: entry.may_have_applied,
                record: Some(entry.write.to_record(&self.table)),
                cause: cause.cloned(),
            };
            self.remove(now, ticket, outcome);
            if let Some(group) = group {
                let verdict = self.groups.decided(group, false);
                self.apply(now, verdict);
            }
        }
    }
}

/// The outcome of a write whose condition did not hold; `None` where the refusal is another.
fn condition_failed<C>(
    entry: &super::Entry<C>,
    error: &ServiceError,
    table: &std::sync::Arc<str>,
) -> Option<Outcome> {
    let existing = error.failed_condition()?;
    let existing = existing.map(Item::from_json);
    if !entry.may_have_applied {
        return Some(Outcome::ConditionFailed { existing });
    }
    // An earlier attempt may have been the one that made the condition fail.
    let Payload::Single { part, .. } = &entry.write.payload else {
        // A transaction's token answers a repetition with success, so this one was not applied.
        return Some(Outcome::ConditionFailed { existing });
    };
    let ours = match (part.kind, &existing) {
        (WriteKind::Put, Some(found)) => item::same(found.as_json(), &part.data),
        (WriteKind::Delete, None) => true,
        (WriteKind::Put, None) | (WriteKind::Delete, Some(_)) => false,
        (WriteKind::Update | WriteKind::Check, _) => false,
    };
    if ours {
        return Some(Outcome::Written);
    }
    // Never applied, or applied and then changed by somebody else.
    Some(Outcome::Unknown {
        existing,
        record: entry.write.to_record(table),
    })
}
