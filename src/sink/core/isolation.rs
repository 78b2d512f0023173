//! The isolation of a bad record, so that it never fails the other records of its batch.
//!
//! A batch that the service refuses for its contents is sent again in halves until each bad record
//! is alone. The writes of such a batch form a group. A write that is refused alone is not rejected
//! at once. If another write of the group is written, the table is unchanged, and the refused
//! writes are rejected. If all fail alike, the table itself may have changed: it is described again
//! before any write is rejected.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::description::Description;
use super::lane::Ticket;
use crate::retry::ServiceError;

/// The writes of one batch under bisection.
#[derive(Debug)]
struct Group {
    /// The number of writes without a result of their own.
    undecided: usize,
    /// The writes that were refused alone and are not rejected yet.
    refusals: Vec<(Ticket, ServiceError)>,
    /// The request that was refused; numbers rise with the time of sending.
    since: u64,
}

/// The next step for a group.
#[derive(Debug)]
pub(super) enum NextStep {
    /// Wait for the others.
    Open,
    /// These are rejected.
    Reject(Vec<(Ticket, ServiceError)>),
    /// All failed alike and nothing shows that the table is unchanged: describe it.
    Describe,
}

/// Part of a batch under bisection, to be sent as it is.
#[derive(Debug)]
pub(super) struct Part {
    /// Its number, which the state of its writes holds: others have left it.
    pub(super) number: u64,
    pub(super) writes: Vec<Ticket>,
    not_before: Duration,
    /// Set if the retry budget has to pay for it.
    pub(super) unpaid: bool,
}

/// The batches under bisection, and the descriptions of the table that their refusals ask for.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    groups: HashMap<u64, Group>,
    next_group: u64,
    parts: VecDeque<Part>,
    next_part: u64,
    /// Set if the next retry is for a write that is not under test.
    others_next: bool,
    pub(super) description: Description,
    /// The newest request up to which the table is proven to be unchanged: one that was carried
    /// out, or the one that was next when a description was requested.
    proven: Option<u64>,
}

impl Isolation {
    /// Opens a group of `count` writes, refused in the request of number `since`.
    pub(super) fn open(&mut self, count: usize, since: u64) -> u64 {
        let id = self.next_group;
        self.next_group += 1;
        self.groups.insert(
            id,
            Group {
                undecided: count,
                refusals: Vec::new(),
                since,
            },
        );
        id
    }

    /// Notes that the request of this number was carried out.
    pub(super) fn prove(&mut self, request: u64) {
        self.proven = self.proven.max(Some(request));
    }

    /// Returns the newest request up to which the table is proven to be unchanged.
    pub(super) fn proven(&self) -> Option<u64> {
        self.proven
    }

    /// Notes that one write of the group has an outcome, and returns the next step.
    pub(super) fn decided(&mut self, id: u64) -> NextStep {
        if let Some(group) = self.groups.get_mut(&id) {
            group.undecided = group.undecided.saturating_sub(1);
        }
        self.next_step(id)
    }

    /// Adds a write of the group that was refused alone, and returns the next step.
    ///
    /// A group that has ended without the write, which was in flight, is opened again for it.
    pub(super) fn add_refusal(
        &mut self,
        id: u64,
        request: u64,
        ticket: Ticket,
        error: ServiceError,
    ) -> NextStep {
        let group = self.groups.entry(id).or_insert_with(|| Group {
            undecided: 1,
            refusals: Vec::new(),
            since: request,
        });
        group.undecided = group.undecided.saturating_sub(1);
        group.refusals.push((ticket, error));
        self.next_step(id)
    }

    fn next_step(&mut self, id: u64) -> NextStep {
        let Some(group) = self.groups.get_mut(&id) else {
            return NextStep::Open;
        };
        // A write of the group that was written is such a proof.
        let proven = self.proven.is_some_and(|request| request > group.since);
        let step = if group.refusals.is_empty() || (group.undecided > 0 && !proven) {
            NextStep::Open
        } else if proven {
            NextStep::Reject(std::mem::take(&mut group.refusals))
        } else {
            NextStep::Describe
        };
        if group.undecided == 0 && group.refusals.is_empty() {
            self.groups.remove(&id);
        }
        step
    }

    /// Removes the groups whose writes have all failed alike, where the table is now proven
    /// unchanged, and returns their refusals.
    pub(super) fn take_proven(&mut self) -> Vec<(Ticket, ServiceError)> {
        let mut taken = Vec::new();
        if self.groups.is_empty() {
            return taken;
        }
        let proven = self.proven;
        self.groups.retain(|_, group| {
            let done = group.undecided == 0 && proven.is_some_and(|request| request > group.since);
            if done {
                taken.append(&mut group.refusals);
            }
            !done
        });
        taken
    }

    /// Drops the refusal of a write that has its outcome.
    pub(super) fn forget(&mut self, id: u64, ticket: Ticket) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.refusals.retain(|(refused, _)| *refused != ticket);
            if group.undecided == 0 && group.refusals.is_empty() {
                self.groups.remove(&id);
            }
        }
    }

    /// Removes the oldest write that waits for a description, and returns it.
    pub(super) fn take_oldest(&mut self) -> Option<Ticket> {
        let waiting = self.groups.iter().filter(|(_, group)| group.undecided == 0);
        let refused = waiting.flat_map(|(&id, group)| {
            let tickets = group.refusals.iter();
            tickets.map(move |(ticket, _)| (*ticket, id))
        });
        let (ticket, id) = refused.min()?;
        self.forget(id, ticket);
        Some(ticket)
    }

    /// Removes all groups, and returns the writes that were refused alone.
    pub(super) fn take_all(&mut self) -> Vec<(Ticket, ServiceError)> {
        let groups = std::mem::take(&mut self.groups);
        groups
            .into_values()
            .flat_map(|group| group.refusals)
            .collect()
    }

    /// Returns whether a group waits for the table's description.
    pub(super) fn awaits_description(&self) -> bool {
        self.groups.values().any(|group| group.undecided == 0)
    }

    /// Removes all groups and parts, since nothing is sent any more.
    pub(super) fn clear(&mut self) {
        self.groups.clear();
        self.parts.clear();
    }

    /// Adds a part of a batch, to be sent at this time. Returns its number.
    pub(super) fn add_part(
        &mut self,
        writes: Vec<Ticket>,
        not_before: Duration,
        unpaid: bool,
    ) -> u64 {
        let number = self.next_part;
        self.next_part += 1;
        self.parts.push_back(Part {
            number,
            writes,
            not_before,
            unpaid,
        });
        number
    }

    /// Removes the first part that can be sent now, and returns it. One that is unpaid can be if it
    /// is `payable`.
    pub(super) fn take_part(&mut self, now: Duration, payable: bool) -> Option<Part> {
        let ready = |part: &Part| part.not_before <= now && (payable || !part.unpaid);
        let place = self.parts.iter().position(ready)?;
        self.parts.remove(place)
    }

    /// Returns whether parts wait to be sent.
    pub(super) fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Returns whether a part waits for the retry budget alone.
    pub(super) fn has_unpaid_part(&self, now: Duration) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|part| part.unpaid && part.not_before <= now)
    }

    /// Returns the time at which the next part can be sent, if the budget has a retry at `paid_at`.
    pub(super) fn wake_at(&self, paid_at: Duration) -> Option<Duration> {
        let times = self.parts.iter().map(|part| {
            if part.unpaid {
                part.not_before.max(paid_at)
            } else {
                part.not_before
            }
        });
        times.min()
    }

    /// Sets whether the next retry is for a write that is not under test. The two have the retries
    /// by turns.
    pub(super) fn set_others_next(&mut self, others_next: bool) {
        self.others_next = others_next;
    }

    /// Returns whether the next retry is for a write that is not under test.
    pub(super) fn others_next(&self) -> bool {
        self.others_next
    }

    /// Returns whether a batch is under bisection. One that only waits for a description is not.
    pub(super) fn is_bisecting(&self) -> bool {
        self.groups.values().any(|group| group.undecided > 0)
    }

    /// Returns whether there is no group.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}
