//! One bad record never fails its neighbours.
//!
//! A batch that the service refuses for what is in it is sent again in halves until the culprit is
//! alone. The writes of such a batch form a group. A verdict on one of them is held back until a
//! neighbour was written (then the table is as we think it is, and the culprits are culprits) or
//! until all have failed alike: then it may be the table that changed, and it is described again
//! before anything is rejected.

use std::collections::HashMap;

use super::lane::Ticket;
use crate::retry::ServiceError;

#[derive(Debug)]
struct Group {
    undecided: usize,
    written: bool,
    condemned: Vec<(Ticket, ServiceError)>,
    /// The request that was refused; numbers rise with the time of sending.
    since: u64,
}

/// What to do with a group now.
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
    /// How far the table has proved to be as we think: the newest request that was carried out, or
    /// the one that would have gone out when a description was asked for.
    proven: Option<u64>,
}

impl Groups {
    /// A group of `count` writes, refused in the request of number `since`.
    pub(super) fn open(&mut self, count: usize, since: u64) -> u64 {
        let id = self.next;
        self.next += 1;
        self.groups.insert(
            id,
            Group {
                undecided: count,
                written: false,
                condemned: Vec::new(),
                since,
            },
        );
        id
    }

    /// The request of this number was carried out.
    pub(super) fn prove(&mut self, request: u64) {
        self.proven = self.proven.max(Some(request));
    }

    /// One of the group has an outcome of its own.
    pub(super) fn decided(&mut self, id: u64, written: bool) -> Verdict {
        if let Some(group) = self.groups.get_mut(&id) {
            group.undecided = group.undecided.saturating_sub(1);
            group.written |= written;
        }
        self.judge(id)
    }

    /// One of the group was refused alone.
    pub(super) fn condemn(&mut self, id: u64, ticket: Ticket, error: ServiceError) -> Verdict {
        if let Some(group) = self.groups.get_mut(&id) {
            group.undecided = group.undecided.saturating_sub(1);
            group.condemned.push((ticket, error));
        }
        self.judge(id)
    }

    fn judge(&mut self, id: u64) -> Verdict {
        let Some(group) = self.groups.get_mut(&id) else {
            return Verdict::Open;
        };
        let proven = group.written || self.proven.is_some_and(|request| request > group.since);
        let verdict = if group.condemned.is_empty() || (group.undecided > 0 && !proven) {
            Verdict::Open
        } else if proven {
            Verdict::Reject(std::mem::take(&mut group.condemned))
        } else {
            Verdict::Describe
        };
        if group.undecided == 0 && group.condemned.is_empty() {
            self.groups.remove(&id);
        }
        verdict
    }

    /// The groups whose members have all failed alike and whose guilt is proven by now.
    pub(super) fn guilty(&mut self) -> Vec<(Ticket, ServiceError)> {
        let mut guilty = Vec::new();
        if self.groups.is_empty() {
            return guilty;
        }
        let proven = self.proven;
        self.groups.retain(|_, group| {
            let done = group.undecided == 0 && proven.is_some_and(|request| request > group.since);
            if done {
                guilty.append(&mut group.condemned);
            }
            !done
        });
        guilty
    }

    /// Whether a group waits for the table's description.
    pub(super) fn in_doubt(&self) -> bool {
        self.groups.values().any(|group| group.undecided == 0)
    }

    /// Forgets all groups: nothing is sent any more.
    pub(super) fn clear(&mut self) {
        self.groups.clear();
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}
