//! The consequences of an answer for the writes of its request.

use std::time::Duration;

use super::entry::{State, Write};
use super::request::InFlight;
use super::throttle::ConsumedAnswer;
use super::{Core, Outcome, RejectReason};
use crate::capacity::Consumption;
use crate::item::{self, Item, Key};
use crate::retry::{ErrorClass, ServiceError};
use crate::sink::outcome::WriteKind;
use crate::sink::payload::Payload;

/// A batch's answer.
#[derive(Debug)]
pub(crate) struct BatchOutcome {
    /// The keys of the writes that were not processed.
    pub(crate) unprocessed: Vec<Key>,
    /// The consumption of the others, where it was requested.
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
        let Some(request) = self.requests.take(id) else {
            return;
        };
        self.on_batch_answer(now, request, answer);
        self.check(now);
    }

    fn on_batch_answer(
        &mut self,
        now: Duration,
        mut request: InFlight,
        answer: Result<BatchOutcome, ServiceError>,
    ) {
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
        for ticket in std::mem::take(&mut request.writes) {
            let key = self.queue.key(ticket);
            if key.is_none() {
                self.queue.report("a write in flight is not queued");
                continue;
            }
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
            self.throttle.budgets.accepted(now, request.sent_at, items);
            self.note_answer(now, request.sent_at);
        } else {
            self.note_refused(now, request.sent_at, &left, &written, None);
        }
        if !written.is_empty() {
            self.succeeded(now, &request);
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
        let Some(request) = self.requests.take(id) else {
            return;
        };
        match answer {
            Ok(consumed) => {
                self.note_taken(now, &request.writes, consumed.as_ref());
                let writes = request.writes.len();
                self.throttle.budgets.accepted(now, request.sent_at, writes);
                self.note_answer(now, request.sent_at);
                self.succeeded(now, &request);
                for ticket in request.writes {
                    self.settle(now, ticket, Outcome::Written);
                }
            }
            Err(error) => self.on_error(now, request, &error),
        }
        self.check(now);
    }

    /// Notes that a request was carried out, in part at least.
    fn succeeded(&mut self, now: Duration, request: &InFlight) {
        self.retries.budget.deposit(now);
        self.retries.budget.refund(request.payments);
        self.access.succeeded(now, request.operation);
        if request.asked {
            self.throttle.consumed = ConsumedAnswer::Given;
        }
        self.isolation.prove(request.id);
        let proven = self.isolation.take_proven();
        self.reject_refusals(now, proven);
        self.end_trial();
    }

    fn on_error(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
        let writes = request.writes.clone();
        self.react(now, request, error);
        self.expire_answered(now, &writes);
    }

    /// Handles an error by its class: decides the next step of each write of its request.
    fn react(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
        if error.may_have_applied() {
            for ticket in &request.writes {
                let entry = self
                    .queue
                    .queued(*ticket, "a write in flight is not queued");
                if let Some(entry) = entry {
                    entry.write.attempts.may_have_applied = true;
                }
            }
        }
        match error.class() {
            ErrorClass::Throttled => {
                if error.is_bare() {
                    // A gateway's, before any right was asked for.
                    self.access.failed(request.operation);
                } else {
                    self.access.allowed(request.operation);
                }
                self.note_refused(now, request.sent_at, &request.writes, &[], Some(error));
                self.throttled(now, &request.writes, request.isolated, Some(error));
            }
            ErrorClass::Transient | ErrorClass::Ambiguous => {
                if !error.is_credentials() {
                    self.access.failed(request.operation);
                } else if self.access.refused(now, error) {
                    return self.fail_with(now, &request, error);
                }
                self.failed_attempt(now, request, error);
            }
            ErrorClass::Refused | ErrorClass::Fatal if self.failed.is_some() => {
                self.unwritten(now, &request.writes);
            }
            ErrorClass::Refused => self.unclear_refused(now, request, error),
            ErrorClass::Invalid | ErrorClass::Permanent => {
                if error.is_failed_condition() {
                    self.access.succeeded(now, request.operation);
                } else {
                    self.access.allowed(request.operation);
                }
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

    /// Requeues the writes of an attempt that failed for a reason that may pass.
    pub(super) fn failed_attempt(
        &mut self,
        now: Duration,
        request: InFlight,
        error: &ServiceError,
    ) {
        let mut retries = Vec::with_capacity(request.writes.len());
        for ticket in request.writes {
            let Some(entry) = self.queue.queued(ticket, "a failed write is not queued") else {
                continue;
            };
            let attempts = &mut entry.write.attempts;
            attempts.failures = attempts.failures.saturating_add(1);
            attempts.throttles = 0;
            attempts.last_error = Some(error.clone());
            let (count, failures) = (attempts.count, attempts.failures);
            let unsure = attempts.may_have_applied;
            if unsure
                && !entry
                    .write
                    .may_be_sent_again(now, self.rules.token_lifetime)
            {
                self.unknown(now, ticket);
                continue;
            }
            let most = self.rules.max_attempts;
            if most.is_some_and(|most| failures >= most) {
                let reason = RejectReason::AttemptsExhausted {
                    attempts: count,
                    may_have_applied: unsure,
                    last: error.clone(),
                };
                self.reject(now, ticket, reason);
                continue;
            }
            retries.push((ticket, failures));
        }
        if retries.is_empty() {
            return;
        }
        self.requeue(now, retries, true, request.isolated);
    }

    /// Handles a refusal of the contents of a request.
    fn refused(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
        if request.asked
            && self.throttle.consumed == ConsumedAnswer::Refused
            && !error.is_failed_condition()
        {
            // It was refused for asking for the units that it consumes. Later requests don't ask.
            let writes = request.writes.iter().map(|ticket| (*ticket, 1)).collect();
            return self.requeue(now, writes, false, request.isolated);
        }
        let &[ticket] = &request.writes[..] else {
            if self.failed.is_some() {
                return self.unwritten(now, &request.writes);
            }
            return self.bisect(now, request, false);
        };
        let Some(entry) = self.queue.queued(ticket, "a refused write is not queued") else {
            return;
        };
        entry.write.attempts.last_error = Some(error.clone());
        if let Some(outcome) = condition_failed(&entry.write, error, &self.table) {
            self.isolation.prove(request.id);
            self.settle(now, ticket, outcome);
            return;
        }
        if self.failed.is_some() {
            return self.unwritten(now, &request.writes);
        }
        let first = *entry.write.attempts.refused_in.get_or_insert(request.id);
        // A refusal, then a proof that the table is unchanged, then another refusal: that is no
        // single outage.
        let proven = request.proven.is_some_and(|request| request > first)
            && !self.isolation.description.is_invalid();
        if proven || error.class() == ErrorClass::Permanent {
            // It is about this write alone. Any other refusal may be about the table.
            return self.reject_refused(now, ticket, error.clone());
        }
        let isolation = &mut self.isolation;
        let group = &mut entry.write.group;
        let group = *group.get_or_insert_with(|| isolation.open(1, request.id));
        self.queue.set_state(ticket, State::RefusedAlone);
        let step = self
            .isolation
            .add_refusal(group, request.id, ticket, error.clone());
        self.apply(now, step);
    }
}

/// Returns the outcome of a write whose condition did not hold; `None` where the refusal is
/// another.
fn condition_failed<C>(
    write: &Write<C>,
    error: &ServiceError,
    table: &std::sync::Arc<str>,
) -> Option<Outcome> {
    let existing = error.failed_condition()?;
    let existing = existing.map(Item::from_json);
    if !write.attempts.may_have_applied {
        return Some(Outcome::ConditionFailed { existing });
    }
    // An earlier attempt may have been the one that made the condition fail.
    let Payload::Single { part, .. } = &write.payload else {
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
    // Never applied, or applied and then changed by another client.
    Some(Outcome::Unknown {
        existing,
        record: write.to_record(table),
    })
}
