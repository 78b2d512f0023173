//! How a write leaves: settled, dead-lettered, or handed back.

use std::time::Duration;

use super::entry::State;
use super::isolate::Verdict;
use super::lane::Ticket;
use super::{Core, DeadLettered};
use crate::retry::ServiceError;
use crate::sink::outcome::{Outcome, RejectReason};
use crate::transport::Operation;

/// The most times that a write is sent again because its refusal is in doubt, while descriptions are
/// refused too.
///
/// Chosen: outages that come back are few, and a server that describes no table refuses for ever.
const MAX_DOUBTS: u8 = 3;

impl<C, F> Core<C, F> {
    /// Ends all: what waits is handed back, what is in flight counts as maybe applied.
    pub(crate) fn abort(&mut self, now: Duration) {
        self.requests.clear();
        self.hand_back(now, true);
    }

    /// The table has failed: what waits is handed back; what is in flight keeps its answer.
    pub(crate) fn fail(&mut self, now: Duration, error: ServiceError) {
        if self.failed.is_none() {
            self.failed = Some(error);
        }
        self.hand_back(now, false);
    }

    pub(super) fn hand_back(&mut self, now: Duration, in_flight_too: bool) {
        self.isolated.clear();
        self.delayed.clear();
        self.unpaid.clear();
        self.groups.clear();
        let outstanding = self.entries.iter();
        let outstanding = outstanding.map(|(at, entry)| Ticket { seq: entry.seq, at });
        let mut outstanding: Vec<Ticket> = outstanding.collect();
        outstanding.sort_unstable();
        let before = self.settled.len();
        for ticket in outstanding {
            let Some(entry) = self.entries.get_mut(ticket.at) else {
                continue;
            };
            let sent = matches!(entry.state, State::InFlight);
            if (sent || matches!(entry.state, State::DeadLettered(_))) && !in_flight_too {
                continue;
            }
            let outcome = match &mut entry.state {
                State::DeadLettered(outcome) => std::mem::replace(&mut **outcome, Outcome::Written),
                _ => {
                    let record = entry.write.to_record(&self.table);
                    Outcome::Unwritten {
                        may_have_applied: entry.may_have_applied || sent,
                        record: Some(record),
                        cause: self.failed.clone(),
                    }
                }
            };
            let cause = self.failed.clone();
            self.end_older(ticket, false, cause.as_ref());
            self.remove(now, ticket, outcome);
        }
        // A place is as old as the first of its writes, of which others may be newer.
        if let Some(handed_back) = self.settled.get_mut(before..) {
            handed_back.sort_unstable_by_key(|settled| settled.number);
        }
    }

    /// Gives a write its outcome. A dead letter keeps its key until the handler has answered, so
    /// that a snapshot taken meanwhile restores in order.
    pub(super) fn settle(&mut self, now: Duration, ticket: Ticket, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(ticket.at) else {
            return;
        };
        if self.rules.dead_letters && outcome.is_dead_letter() {
            self.leave_lane(ticket);
            if let Some(entry) = self.entries.get_mut(ticket.at) {
                entry.state = State::DeadLettered(Box::new(outcome.clone()));
                self.dead_letters.push(DeadLettered {
                    ticket: (ticket.at, ticket.seq),
                    outcome,
                });
            }
            self.decide_group(now, ticket, false);
            return;
        }
        let written = outcome.is_written();
        let group = entry.group.take();
        self.remove(now, ticket, outcome);
        if let Some(group) = group {
            let verdict = self.groups.decided(group, written);
            self.apply(now, verdict);
        }
    }

    pub(super) fn decide_group(&mut self, now: Duration, ticket: Ticket, written: bool) {
        let group = self
            .entries
            .get_mut(ticket.at)
            .and_then(|entry| entry.group.take());
        if let Some(group) = group {
            let verdict = self.groups.decided(group, written);
            self.apply(now, verdict);
        }
    }

    /// Carries out what a bisection group decided.
    pub(super) fn apply(&mut self, now: Duration, verdict: Verdict) {
        match verdict {
            Verdict::Open => {}
            Verdict::Describe => self.description.want(),
            Verdict::Reject(refusals) => self.reject_refusals(now, refusals),
        }
    }

    /// Sends writes once more that were refused alone, now that others pass, or the table is described.
    ///
    /// They may have been refused in an outage that is over since: only two refusals with a proof in
    /// between are no single outage. Where the service refuses whatever is sent to it, more are asked for.
    pub(super) fn reject_refusals(&mut self, now: Duration, refusals: Vec<(Ticket, ServiceError)>) {
        let invalid = self.description.is_invalid();
        for (ticket, error) in refusals {
            let Some(entry) = self.entries.get_mut(ticket.at) else {
                continue;
            };
            if !entry.is_live(ticket.seq) || !matches!(entry.state, State::RefusedAlone) {
                continue;
            }
            entry.group = None;
            let most = if invalid { MAX_DOUBTS } else { 1 };
            if entry.doubts >= most {
                self.reject_refused(now, ticket, error);
                continue;
            }
            entry.doubts += 1;
            if invalid || !entry.write.payload.is_plain() {
                // Those of an outage fill batches again.
                self.make_ready(now, ticket, true);
            } else {
                self.isolate(vec![ticket], now, false);
            }
        }
    }

    /// Sends the oldest write again that waits for a description, since none is to be had: it may pass by
    /// now, and so prove the others.
    pub(super) fn try_refused(&mut self, now: Duration) {
        let Some(ticket) = self.groups.take_oldest() else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(ticket.at)
            && entry.is_live(ticket.seq)
            && matches!(entry.state, State::RefusedAlone)
        {
            entry.group = None;
            self.description.begin_trying();
            let isolated = entry.write.payload.is_plain();
            self.requeue(now, vec![(ticket, 1)], true, isolated);
        }
    }

    /// Sends all writes again that were refused alone, and begins their bisections anew.
    pub(super) fn send_again(&mut self, now: Duration, proven: Vec<(Ticket, ServiceError)>) {
        let others = self.groups.take_all();
        for (_, entry) in &mut self.entries {
            entry.group = None;
        }
        for (ticket, _) in proven.into_iter().chain(others) {
            let Some(entry) = self.entries.get(ticket.at) else {
                continue;
            };
            if !entry.is_live(ticket.seq) || !matches!(entry.state, State::RefusedAlone) {
                continue;
            }
            self.make_ready(now, ticket, true);
        }
    }

    /// If the write is in a lane, it leaves it.
    pub(super) fn leave_lane(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get(ticket.at) else {
            return;
        };
        match entry.state {
            State::Ready if entry.write.payload.is_plain() => self.batched.forget(entry.weight()),
            State::Ready => self.single.forget(entry.weight()),
            State::Parked(key) => self.parked.forget(key, entry.weight()),
            _ => {}
        }
    }

    pub(super) fn remove(&mut self, now: Duration, ticket: Ticket, outcome: Outcome) {
        self.leave_lane(ticket);
        if let Some(write) = self.settle_older(now, ticket, &outcome) {
            return self.complete(write, ticket.at, outcome);
        }
        let Some(entry) = self.entries.try_remove(ticket.at) else {
            return;
        };
        // Its retry was not used.
        self.budget.refund(u32::from(entry.paid));
        let passed = matches!(outcome, Outcome::Written | Outcome::ConditionFailed { .. });
        for &line in entry.lines.as_slice() {
            if passed && let Some(suspicion) = self.keys.suspicion(line) {
                *suspicion = None;
            }
            if let Some(at) = self.keys.leave(line, ticket.at)
                && let Some(follower) = self.entries.get(at)
                && matches!(follower.state, State::Blocked)
            {
                let seq = follower.seq;
                self.make_ready(now, Ticket { seq, at }, true);
            }
        }
        self.complete(entry.write, ticket.at, outcome);
    }

    /// Rejects a write that the service refused.
    pub(super) fn reject_refused(&mut self, now: Duration, ticket: Ticket, error: ServiceError) {
        if let Some(entry) = self.entries.get(ticket.at) {
            let may_have_applied = entry.may_have_applied;
            let reason = RejectReason::Refused {
                error,
                may_have_applied,
            };
            self.reject(now, ticket, reason);
        }
    }

    pub(super) fn reject(&mut self, now: Duration, ticket: Ticket, reason: RejectReason) {
        if let Some(entry) = self.entries.get(ticket.at) {
            let record = entry.write.to_record(&self.table);
            self.settle(now, ticket, Outcome::Rejected { reason, record });
        }
    }

    /// Settles a write that must not be sent again, and whose answer was lost.
    pub(super) fn unknown(&mut self, now: Duration, ticket: Ticket) {
        if let Some(entry) = self.entries.get(ticket.at) {
            let record = entry.write.to_record(&self.table);
            let existing = None;
            self.settle(now, ticket, Outcome::Unknown { existing, record });
        }
    }

    /// Hands back what is queued of an action that was closed.
    pub(super) fn hand_back_action(
        &mut self,
        now: Duration,
        operation: Operation,
        cause: &ServiceError,
    ) {
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

    pub(super) fn unwritten_for(
        &mut self,
        now: Duration,
        writes: &[Ticket],
        cause: Option<&ServiceError>,
    ) {
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
