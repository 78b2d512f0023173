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
mod tests {
    use super::*;
    use crate::retry::RetryPolicy;
    use proptest::prelude::*;

    fn rules(batch: usize, max_attempts: Option<u32>, bisect: bool) -> Rules {
        Rules {
            batch_records: batch,
            batch_window: Duration::ZERO,
            max_attempts,
            bisect,
            backoff: Backoff::new(&RetryPolicy::default()),
        }
    }

    fn rng() -> fastrand::Rng {
        fastrand::Rng::with_seed(7)
    }

    const LATE: Duration = Duration::from_secs(1_000_000);

    #[test]
    fn a_batch_waits_for_its_window_unless_it_is_full_or_nothing_more_comes() {
        let mut rules = rules(3, None, true);
        rules.batch_window = Duration::from_secs(5);
        let mut lanes = Lanes::new(1, rules);
        lanes.push('a', 0, Duration::from_secs(1));
        assert_eq!(lanes.due(), Some(Duration::from_secs(6)));
        assert!(lanes.next(Duration::from_secs(5)).is_none());
        lanes.push('b', 0, Duration::from_secs(2));
        lanes.push('c', 0, Duration::from_secs(2));
        lanes.push('d', 0, Duration::from_secs(2));
        let (_, piece) = lanes.next(Duration::from_secs(2)).expect("it is full");
        assert_eq!(piece.records, ['a', 'b', 'c']);
        assert!(lanes.next(LATE).is_none(), "one batch of a lane at a time");
        lanes.ended(0, piece, &Ending::Done, LATE, &mut rng());
        assert!(lanes.next(Duration::from_secs(3)).is_none());
        lanes.flush(true);
        assert!(lanes.next(Duration::from_secs(3)).is_some());
    }

    #[test]
    fn bisecting_finds_the_record_that_fails_and_counts_attempts_of_it_alone() {
        let mut lanes = Lanes::new(1, rules(8, Some(3), true));
        (0..8).for_each(|n| lanes.push(n, 0, Duration::ZERO));
        let (mut handled, mut given_up, mut rounds) = (Vec::new(), Vec::new(), 0);
        while let Some((at, piece)) = lanes.next(LATE) {
            rounds += 1;
            let ending = if piece.records.contains(&5) {
                Ending::Again { from: 0 }
            } else {
                Ending::Done
            };
            let after = lanes.ended(at, piece, &ending, Duration::ZERO, &mut rng());
            handled.extend(after.done);
            if !after.given_up.is_empty() {
                assert_eq!(after.failures, 3);
                given_up.extend(after.given_up);
                lanes.free(at);
            }
        }
        assert_eq!(handled, [0, 1, 2, 3, 4, 6, 7]);
        assert_eq!(given_up, [5]);
        assert_eq!(
            rounds,
            3 + 3 + 3,
            "splits, the failures of 5, the other pieces"
        );
    }

    #[test]
    fn without_bisecting_a_batch_is_given_up_whole() {
        let mut lanes = Lanes::new(1, rules(8, Some(2), false));
        (0..3).for_each(|n| lanes.push(n, 0, Duration::ZERO));
        let (at, piece) = lanes.next(LATE).expect("a batch");
        let after = lanes.ended(
            at,
            piece,
            &Ending::Again { from: 0 },
            Duration::ZERO,
            &mut rng(),
        );
        assert_eq!(after.given_up, [0; 0]);
        assert!(
            lanes.due().expect("again") > Duration::ZERO,
            "after a pause"
        );
        let (at, piece) = lanes.next(LATE).expect("again");
        let after = lanes.ended(at, piece, &Ending::Again { from: 0 }, LATE, &mut rng());
        assert_eq!(after.given_up, [0, 1, 2]);
        assert!(lanes.is_busy(), "until the dead letters are taken");
        lanes.free(at);
        assert!(!lanes.is_busy());
    }

    #[test]
    fn of_a_part_that_failed_only_the_rest_is_given_again() {
        let mut lanes = Lanes::new(1, rules(8, None, false));
        (0..5).for_each(|n| lanes.push(n, 0, Duration::ZERO));
        let (at, piece) = lanes.next(LATE).expect("a batch");
        let after = lanes.ended(at, piece, &Ending::Again { from: 2 }, LATE, &mut rng());
        assert_eq!(after.done, [0, 1]);
        let (at, piece) = lanes.next(LATE * 2).expect("again");
        assert_eq!(piece.records, [2, 3, 4]);
        let after = lanes.ended(at, piece, &Ending::Refused { at: 1 }, LATE, &mut rng());
        assert_eq!((after.done, after.given_up), (vec![2], vec![3]));
        lanes.free(at);
        let (_, piece) = lanes.next(LATE * 3).expect("those not looked at");
        assert_eq!(piece.records, [4]);
    }

    proptest! {
        #[test]
        fn every_record_ends_once_and_each_keys_records_in_order(
            keys in proptest::collection::vec(0_u64..12, 1..200),
            lanes in 1_usize..6, batch in 1_usize..9, bisect: bool, capped: bool, seed: u64,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut state = Lanes::new(lanes, rules(batch, capped.then_some(2), bisect));
            for (n, key) in keys.iter().enumerate() {
                state.push((*key, n), *key, Duration::ZERO);
            }
            let mut out: Vec<(usize, Piece<(u64, usize)>)> = Vec::new();
            let mut ended: Vec<(u64, usize)> = Vec::new();
            let mut now = Duration::ZERO;
            loop {
                now += Duration::from_secs(60);
                while let Some(next) = state.next(now) {
                    prop_assert!(next.1.records.len() <= batch);
                    for (_, piece) in &out {
                        let same = piece.records.iter().any(|(k, _)| next.1.records.iter().any(|(n, _)| n == k));
                        prop_assert!(!same, "two batches hold one key");
                    }
                    out.push(next);
                }
                if out.is_empty() {
                    break;
                }
                let (at, piece) = out.swap_remove(random.usize(..out.len()));
                let from = random.usize(..=piece.records.len());
                let ending = match random.u8(..4) {
                    0 => Ending::Again { from },
                    1 => Ending::Refused { at: from },
                    _ => Ending::Done,
                };
                let after = state.ended(at, piece, &ending, now, &mut random);
                ended.extend(after.done);
                if !after.given_up.is_empty() {
                    ended.extend(after.given_up);
                    state.free(at);
                }
            }
            prop_assert_eq!(ended.len(), keys.len());
            for key in 0..12 {
                let of_key: Vec<usize> = ended.iter().filter(|(k, _)| *k == key).map(|(_, n)| *n).collect();
                prop_assert!(of_key.is_sorted(), "{:?}", of_key);
            }
        }
    }
}
