//! Batches of one shard, several at a time, with each item's records in order.
//!
//! A record goes into a lane by its key. A lane has at most one batch out at a time, so the records
//! of one item are handled one batch after another. A batch that fails stays in its lane, whole or
//! in pieces, and delays only that lane.
//!
//! ```text
//! shard ─▶ by key ─┬▶ lane 0:  pieces to retry ─▶ waiting records ─▶ one batch out
//!                  └▶ lane 1:  …
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

#[derive(Debug)]
pub(crate) struct Lanes<R> {
    lanes: Vec<Lane<R>>,
    rules: Rules,
    /// Set while batches leave without waiting to be full or for their window.
    flushing: bool,
}

#[derive(Debug)]
struct Lane<R> {
    again: VecDeque<Piece<R>>,
    waiting: VecDeque<(R, Duration)>,
    not_before: Duration,
    busy: bool,
}

/// Records that are handled together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece<R> {
    pub(crate) records: Vec<R>,
    /// The number of times that they have failed.
    pub(crate) failures: u32,
}

/// The result of handling a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    /// The records before `from` are done; the others are to be handled again.
    Again {
        from: usize,
    },
    /// The records before `at` are done. The one at `at` can never be handled. Those after it have
    /// not been looked at.
    Refused {
        at: usize,
    },
}

/// The effects of a piece's [`Ending`].
#[derive(Debug, PartialEq)]
pub(crate) struct After<R> {
    pub(crate) done: Vec<R>,
    /// Records given up after `failures` failures. Their lane stays busy until [`Lanes::free`].
    pub(crate) given_up: Vec<R>,
    pub(crate) failures: u32,
}

impl<R> Lanes<R> {
    pub(crate) fn new(lanes: usize, rules: Rules) -> Self {
        let lane = || Lane {
            again: VecDeque::new(),
            waiting: VecDeque::new(),
            not_before: Duration::ZERO,
            busy: false,
        };
        Self {
            lanes: std::iter::repeat_with(lane).take(lanes.max(1)).collect(),
            rules,
            flushing: false,
        }
    }

    /// Adds a record whose key has this hash.
    pub(crate) fn push(&mut self, record: R, hash: u64, now: Duration) {
        let lanes = self.lanes.len() as u64;
        let at = usize::try_from(hash % lanes).unwrap_or(0);
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.waiting.push_back((record, now));
        }
    }

    /// Sets whether batches leave without waiting to be full or for their window.
    pub(crate) fn flush(&mut self, flushing: bool) {
        self.flushing = flushing;
    }

    /// Returns a batch that may be handled now, with its lane.
    pub(crate) fn next(&mut self, now: Duration) -> Option<(usize, Piece<R>)> {
        let (rules, flushing) = (&self.rules, self.flushing);
        self.lanes.iter_mut().enumerate().find_map(|(at, lane)| {
            let due = lane.due(rules, flushing)?;
            if due > now {
                return None;
            }
            lane.busy = true;
            let piece = lane.again.pop_front().unwrap_or_else(|| {
                let count = lane.waiting.len().min(rules.batch_records);
                Piece {
                    records: lane
                        .waiting
                        .drain(..count)
                        .map(|(record, _)| record)
                        .collect(),
                    failures: 0,
                }
            });
            Some((at, piece))
        })
    }

    /// Returns when the next batch may be handled, if nothing happens before.
    pub(crate) fn due(&self) -> Option<Duration> {
        let due = |lane: &Lane<R>| lane.due(&self.rules, self.flushing);
        self.lanes.iter().filter_map(due).min()
    }

    /// Applies the ending of a piece of this lane, and returns its effects.
    pub(crate) fn ended(
        &mut self,
        at: usize,
        piece: Piece<R>,
        ending: &Ending,
        now: Duration,
        rng: &mut fastrand::Rng,
    ) -> After<R> {
        let Piece {
            mut records,
            failures,
        } = piece;
        let mut after = After {
            done: Vec::new(),
            given_up: Vec::new(),
            failures,
        };
        let Some(lane) = self.lanes.get_mut(at) else {
            return after;
        };
        match *ending {
            Ending::Done => {
                after.done = records;
                lane.busy = false;
            }
            Ending::Refused { at } => {
                let mut rest = records.split_off(at.min(records.len()));
                after.done = records;
                after.failures = failures + 1;
                if rest.is_empty() {
                    lane.busy = false;
                    return after;
                }
                let unseen = rest.split_off(1);
                after.given_up = rest;
                if !unseen.is_empty() {
                    lane.again.push_front(Piece {
                        records: unseen,
                        failures,
                    });
                }
            }
            Ending::Again { from } => {
                let mut rest = records.split_off(from.min(records.len()));
                after.done = records;
                if rest.is_empty() {
                    lane.busy = false;
                    return after;
                }
                let progressed = !after.done.is_empty();
                if self.rules.bisect && rest.len() > 1 {
                    // A split does not count as an attempt. The halves are handled one after the
                    // other, which keeps the order.
                    let second = rest.split_off(rest.len() / 2);
                    for records in [second, rest] {
                        lane.again.push_front(Piece { records, failures });
                    }
                    lane.not_before = now + self.rules.backoff.delay(failures.max(1), rng);
                    lane.busy = false;
                    return after;
                }
                // Records that have only now reached the front of a piece have not failed before.
                let failures = if progressed { 1 } else { failures + 1 };
                after.failures = failures;
                if self.rules.max_attempts.is_some_and(|most| failures >= most) {
                    after.given_up = rest;
                    return after;
                }
                lane.again.push_front(Piece {
                    records: rest,
                    failures,
                });
                lane.not_before = now + self.rules.backoff.delay(failures, rng);
                lane.busy = false;
            }
        }
        after
    }

    /// Puts the records from `at` on back at the head of their lane. Returns the rest of the piece.
    pub(crate) fn put_back(&mut self, lane: usize, mut piece: Piece<R>, at: usize) -> Piece<R> {
        let records = piece.records.split_off(at.min(piece.records.len()));
        if let Some(lane) = self.lanes.get_mut(lane)
            && !records.is_empty()
        {
            lane.again.push_front(Piece {
                records,
                failures: piece.failures,
            });
        }
        piece
    }

    /// Frees a lane once the records that it had to give up are dead-lettered.
    pub(crate) fn free(&mut self, at: usize) {
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.busy = false;
        }
    }

    /// Returns whether a batch is out.
    pub(crate) fn is_busy(&self) -> bool {
        self.lanes.iter().any(|lane| lane.busy)
    }
}

impl<R> Lane<R> {
    fn due(&self, rules: &Rules, flushing: bool) -> Option<Duration> {
        if self.busy {
            return None;
        }
        if !self.again.is_empty() {
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
#[path = "lanes_tests.rs"]
mod tests;
