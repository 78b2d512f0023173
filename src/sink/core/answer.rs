//! What an answer means for the writes of its request.

use std::time::Duration;

use super::entry::State;
use super::lane::Ticket;
use super::request::InFlight;
use super::{CREDENTIALS_GRACE, Core, Outcome, RejectReason};
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
    /// What the others consumed, where that was asked.
    pub(crate) consumed: Option<Consumption>,
}

/// What describing the table gave.
#[derive(Clone, Debug)]
pub(crate) enum Described {
    /// Its keys are unchanged, or it may not be described: the refused records are the cause.
    Unchanged,
    /// Its keys changed, or it is gone.
    Changed(ServiceError),
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
        self.refused_credentials_since = None;
        self.note_taken(now, &written, consumed.as_ref());
        if left.is_empty() {
            self.budgets.accepted(now, request.sent_at, items);
            self.note_answer(now, request.sent_at);
        } else {
            self.note_refused(now, request.sent_at, &left, &written, None);
        }
        if !written.is_empty() {
            self.succeeded(now, request.id);
        }
        for ticket in written {
            self.settle(now, ticket, Outcome::Written);
        }
        self.throttled(now, &left, request.isolated, None);
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
                self.refused_credentials_since = None;
                self.note_taken(now, &request.writes, consumed.as_ref());
                let writes = request.writes.len();
                self.budgets.accepted(now, request.sent_at, writes);
                self.note_answer(now, request.sent_at);
                self.succeeded(now, request.id);
                for ticket in request.writes {
                    self.settle(now, ticket, Outcome::Written);
                }
            }
            Err(error) => self.on_error(now, request, &error),
        }
    }

    /// Takes the table's description, asked for by `take_describe`.
    pub(crate) fn on_described(&mut self, now: Duration, described: Described) {
        let asked_at = self.describing_since.take();
        match described {
            Described::Unchanged => {
                if let Some(asked_at) = asked_at {
                    self.groups.prove(asked_at);
                }
                let proven = self.groups.take_proven();
                self.reject_refusals(now, proven);
                // Groups whose requests went out after this description was requested need another
                // one.
                self.describe = self.groups.awaits_description();
            }
            Described::Changed(error) => self.fail(now, error),
        }
    }

    /// The request of this number was carried out.
    fn succeeded(&mut self, now: Duration, request: u64) {
        self.budget.deposit(now);
        self.groups.prove(request);
        let proven = self.groups.take_proven();
        self.reject_refusals(now, proven);
    }

    fn on_error(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
        if error.may_have_applied() {
            for ticket in &request.writes {
                if let Some(entry) = self.entries.get_mut(ticket.at) {
                    entry.may_have_applied = true;
                }
            }
        }
        if matches!(error.class(), ErrorClass::Throttled | ErrorClass::Permanent) {
            // Whoever is answered so was let in.
            self.refused_credentials_since = None;
        }
        match error.class() {
            ErrorClass::Throttled => {
                self.note_refused(now, request.sent_at, &request.writes, &[], Some(error));
                self.throttled(now, &request.writes, request.isolated, Some(error));
            }
            ErrorClass::Transient | ErrorClass::Ambiguous => {
                self.failed_attempt(now, request, error);
            }
            ErrorClass::Permanent => self.refused(now, request, error),
            ErrorClass::Fatal => {
                self.fail(now, error.clone());
                self.unwritten(now, &request.writes);
            }
        }
    }

    /// The attempt failed for a reason that may pass.
    fn failed_attempt(&mut self, now: Duration, request: InFlight, error: &ServiceError) {
        if error.is_credentials() {
            let since = *self.refused_credentials_since.get_or_insert(now);
            if now.saturating_sub(since) >= CREDENTIALS_GRACE {
                self.fail(now, error.clone());
                self.unwritten(now, &request.writes);
                return;
            }
        }
        let mut retries = Vec::with_capacity(request.writes.len());
        for ticket in request.writes {
            let Some(entry) = self.entries.get_mut(ticket.at) else {
                continue;
            };
            entry.failures = entry.failures.saturating_add(1);
            entry.throttles = 0;
            entry.last_error = Some(error.clone());
            let unsure = entry.may_have_applied;
            if unsure && !entry.may_be_sent_again(now, self.rules.token_life) {
                let record = entry.payload.to_record(&self.table);
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
                let record = entry.payload.to_record(&self.table);
                let reason = RejectReason::AttemptsExhausted {
                    attempts: entry.attempts,
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
        let &[ticket] = &request.writes[..] else {
            if self.failed.is_some() {
                return self.unwritten(now, &request.writes);
            }
            return self.bisect(now, request);
        };
        let Some(entry) = self.entries.get_mut(ticket.at) else {
            return;
        };
        entry.last_error = Some(error.clone());
        if let Some(outcome) = condition_failed(entry, error, &self.table) {
            self.groups.prove(request.id);
            self.settle(now, ticket, outcome);
            return;
        }
        if self.failed.is_some() {
            return self.unwritten(now, &request.writes);
        }
        if error.is_for_this_write_alone() {
            let record = entry.payload.to_record(&self.table);
            let may_have_applied = entry.may_have_applied;
            let reason = RejectReason::Refused {
                error: error.clone(),
                may_have_applied,
            };
            self.settle(now, ticket, Outcome::Rejected { reason, record });
            return;
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

    /// Hands back the writes of a request whose answer came after the table failed.
    pub(super) fn unwritten(&mut self, now: Duration, writes: &[Ticket]) {
        for &ticket in writes {
            let Some(entry) = self.entries.get(ticket.at) else {
                continue;
            };
            let may_have_applied = entry.may_have_applied;
            let record = self.record(ticket);
            self.remove(
                now,
                ticket,
                Outcome::Unwritten {
                    may_have_applied,
                    record,
                },
            );
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
    let Payload::Single { part, .. } = &entry.payload else {
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
        record: entry.payload.to_record(table),
    })
}
