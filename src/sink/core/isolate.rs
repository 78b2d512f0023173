//! The isolation of a bad record, so that it never fails the other records of its batch.
//!
//! A batch that the service refuses for its contents is sent again in halves until each bad record
//! is alone. The writes of such a batch form a group. A write that is refused alone is not rejected
//! at once. If another write of the group is written, the table is unchanged, and the refused
//! writes are rejected. If all fail alike, the table itself may have changed: it is described again
//! before any write is rejected.

use std::collections::HashMap;

use super::lane::Ticket;
use crate::retry::ServiceError;

/// The writes of one batch under bisection.
#[derive(Debug)]
struct Group {
    /// The number of writes without a result of their own.
    undecided: usize,
    /// Set if a write of the group was written.
    written: bool,
    /// The writes that were refused alone and are not rejected yet.
    refusals: Vec<(Ticket, ServiceError)>,
    /// The request that was refused; numbers rise with the time of sending.
    since: u64,
}

/// The next step for a group.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Wait for the others.
    Open,
    /// These are rejected.
    Reject(Vec<(Ticket, ServiceError)>),
    /// All failed alike and nothing shows that the table is unchanged: describe it.
    Describe,
}

/// The groups of batches under bisection.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: HashMap<u64, Group>,
    next: u64,
    /// The newest request up to which the table is proven to be unchanged: one that was carried
    /// out, or the one that was next when a description was requested.
    proven: Option<u64>,
}

impl Groups {
    /// Opens a group of `count` writes, refused in the request of number `since`.
    pub(super) fn open(&mut self, count: usize, since: u64) -> u64 {
        let id = self.next;
        self.next += 1;
        self.groups.insert(
            id,
            Group {
                undecided: count,
                written: false,
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
    pub(super) fn decided(&mut self, id: u64, written: bool) -> Verdict {
        if let Some(group) = self.groups.get_mut(&id) {
            group.undecided = group.undecided.saturating_sub(1);
            group.written |= written;
        }
        self.judge(id)
    }

    /// Adds a write of the group that was refused alone, and returns the next step.
    pub(super) fn add_refusal(&mut self, id: u64, ticket: Ticket, error: ServiceError) -> Verdict {
        if let Some(group) = self.groups.get_mut(&id) {
            group.undecided = group.undecided.saturating_sub(1);
            group.refusals.push((ticket, error));
        }
        self.judge(id)
    }

    fn judge(&mut self, id: u64) -> Verdict {
        let Some(group) = self.groups.get_mut(&id) else {
            return Verdict::Open;
        };
        let proven = group.written || self.proven.is_some_and(|request| request > group.since);
        let verdict = if group.refusals.is_empty() || (group.undecided > 0 && !proven) {
            Verdict::Open
        } else if proven {
            Verdict::Reject(std::mem::take(&mut group.refusals))
        } else {
            Verdict::Describe
        };
        if group.undecided == 0 && group.refusals.is_empty() {
            self.groups.remove(&id);
        }
        verdict
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

    /// Removes all groups, since nothing is sent any more.
    pub(super) fn clear(&mut self) {
        self.groups.clear();
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
