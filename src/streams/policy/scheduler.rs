//! Batches of one shard, several at a time, with each item's records in order.
//!
//! A record goes into a group by its key. A group has at most one batch out at a time, so the records
//! of one item are handled one batch after another. A batch that fails stays in its group, whole or
//! bisected, and delays only that group.
//!
//! ```text
//! shard ─▶ by key ─┬▶ group 0:  batches to retry ─▶ waiting records ─▶ one batch out
//!                  └▶ group 1:  …
//! ```
//!
//! No I/O, no clock: `now` is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use crate::retry::Backoff;

/// The limits of a batch, and the rules for one that fails.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) batch_records: usize,
    pub(crate) batch_window: Duration,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) bisect: bool,
    pub(crate) backoff: Backoff,
}

/// The scheduler of one shard's batches.
#[derive(Debug)]
pub(crate) struct Scheduler<R> {
    groups: Vec<KeyGroup<R>>,
    rules: Rules,
    /// Set while batches leave without waiting to be full or for their window.
    flushing: bool,
}

/// The keys whose records are handled one batch after another.
#[derive(Debug)]
struct KeyGroup<R> {
    retries: VecDeque<ScheduledBatch<R>>,
    waiting: VecDeque<(R, Duration)>,
    not_before: Duration,
    busy: bool,
}

/// Records that are handled together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScheduledBatch<R> {
    pub(crate) records: Vec<R>,
    /// The number of times that they have failed.
    pub(crate) failures: u32,
}

/// The result of handling a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    /// The records before `from` are done; the others are to be handled again.
    Retry {
        from: usize,
    },
    /// The records before `at` are done. The one at `at` can never be handled. Those after it have
    /// not been looked at.
    Refused {
        at: usize,
    },
}

/// The effects of a batch's [`Ending`].
#[derive(Debug, PartialEq)]
pub(crate) struct After<R> {
    pub(crate) done: Vec<R>,
    /// Records given up after `failures` failures. Their group stays busy until [`Scheduler::free`].
    pub(crate) given_up: Vec<R>,
    pub(crate) failures: u32,
}

impl<R> Scheduler<R> {
    pub(crate) fn new(groups: usize, rules: Rules) -> Self {
        let group = || KeyGroup {
            retries: VecDeque::new(),
            waiting: VecDeque::new(),
            not_before: Duration::ZERO,
            busy: false,
        };
        Self {
            groups: std::iter::repeat_with(group).take(groups.max(1)).collect(),
            rules,
            flushing: false,
        }
    }

    /// Returns whether there are several groups, so that the keys' hashes matter.
    pub(crate) fn is_parallel(&self) -> bool {
        self.groups.len() > 1
    }

    /// Adds a record whose key has this hash.
    pub(crate) fn push(&mut self, record: R, hash: u64, now: Duration) {
        let groups = self.groups.len() as u64;
        let at = usize::try_from(hash % groups).unwrap_or(0);
        if let Some(group) = self.groups.get_mut(at) {
            group.waiting.push_back((record, now));
        }
    }

    /// Sets whether batches leave without waiting to be full or for their window.
    pub(crate) fn flush(&mut self, flushing: bool) {
        self.flushing = flushing;
    }

    /// Returns a batch that may be handled now, with its group.
    pub(crate) fn next_batch(&mut self, now: Duration) -> Option<(usize, ScheduledBatch<R>)> {
        let (rules, flushing) = (&self.rules, self.flushing);
        self.groups.iter_mut().enumerate().find_map(|(at, group)| {
            let due = group.due(rules, flushing)?;
            if due > now {
                return None;
            }
            group.busy = true;
            let batch = group.retries.pop_front().unwrap_or_else(|| {
                let count = group.waiting.len().min(rules.batch_records);
                ScheduledBatch {
                    records: group
                        .waiting
                        .drain(..count)
                        .map(|(record, _)| record)
                        .collect(),
                    failures: 0,
                }
            });
            Some((at, batch))
        })
    }

    /// Returns when the next batch may be handled, if nothing happens before.
    pub(crate) fn due(&self) -> Option<Duration> {
        let due = |group: &KeyGroup<R>| group.due(&self.rules, self.flushing);
        self.groups.iter().filter_map(due).min()
    }

    /// Applies the ending of a batch of this group, and returns its effects.
    pub(crate) fn ended(
        &mut self,
        at: usize,
        batch: ScheduledBatch<R>,
        ending: &Ending,
        now: Duration,
        rng: &mut fastrand::Rng,
    ) -> After<R> {
        let ScheduledBatch {
            mut records,
            failures,
        } = batch;
        let mut after = After {
            done: Vec::new(),
            given_up: Vec::new(),
            failures,
        };
        let Some(group) = self.groups.get_mut(at) else {
            return after;
        };
        match *ending {
            Ending::Done => {
                after.done = records;
                group.busy = false;
            }
            Ending::Refused { at } => {
                let mut rest = records.split_off(at.min(records.len()));
                after.done = records;
                after.failures = failures + 1;
                if rest.is_empty() {
                    group.busy = false;
                    return after;
                }
                let unseen = rest.split_off(1);
                after.given_up = rest;
                if !unseen.is_empty() {
                    group.retries.push_front(ScheduledBatch {
                        records: unseen,
                        failures,
                    });
                }
            }
            Ending::Retry { from } => {
                let mut rest = records.split_off(from.min(records.len()));
                after.done = records;
                if rest.is_empty() {
                    group.busy = false;
                    return after;
                }
                let progressed = !after.done.is_empty();
                if self.rules.bisect && rest.len() > 1 {
                    // A split does not count as an attempt. The halves are handled one after the
                    // other, which keeps the order.
                    let second = rest.split_off(rest.len() / 2);
                    for records in [second, rest] {
                        group
                            .retries
                            .push_front(ScheduledBatch { records, failures });
                    }
                    group.not_before = now + self.rules.backoff.delay(failures.max(1), rng);
                    group.busy = false;
                    return after;
                }
                // Records that have only now reached the front of a batch have not failed before.
                let failures = if progressed { 1 } else { failures + 1 };
                after.failures = failures;
                if self.rules.max_attempts.is_some_and(|most| failures >= most) {
                    after.given_up = rest;
                    return after;
                }
                group.retries.push_front(ScheduledBatch {
                    records: rest,
                    failures,
                });
                group.not_before = now + self.rules.backoff.delay(failures, rng);
                group.busy = false;
            }
        }
        after
    }

    /// Puts the records from `at` on back at the head of their group. Returns the rest of the batch.
    pub(crate) fn put_back(
        &mut self,
        group: usize,
        mut batch: ScheduledBatch<R>,
        at: usize,
    ) -> ScheduledBatch<R> {
        let records = batch.records.split_off(at.min(batch.records.len()));
        if let Some(group) = self.groups.get_mut(group)
            && !records.is_empty()
        {
            group.retries.push_front(ScheduledBatch {
                records,
                failures: batch.failures,
            });
        }
        batch
    }

    /// Frees a group once the records that it had to give up are dead-lettered.
    pub(crate) fn free(&mut self, at: usize) {
        if let Some(group) = self.groups.get_mut(at) {
            group.busy = false;
        }
    }

    /// Returns whether a batch is out.
    pub(crate) fn is_busy(&self) -> bool {
        self.groups.iter().any(|group| group.busy)
    }
}

impl<R> KeyGroup<R> {
    fn due(&self, rules: &Rules, flushing: bool) -> Option<Duration> {
        if self.busy {
            return None;
        }
        if !self.retries.is_empty() {
            return Some(self.not_before);
        }
        let (_, oldest) = self.waiting.front()?;
        let full = self.waiting.len() >= rules.batch_records;
        Some(if full || flushing {
            Duration::ZERO
        } else {
            *oldest + rules.batch_window
        })
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
