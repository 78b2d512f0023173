//! Flush epochs: a flush waits for all records accepted before it.
//!
//! Records are counted by epoch. A flush closes the current epoch, if it has a record, and resolves
//! when no record of it or of an earlier one is outstanding; later records don't hold it up.
//!
//! Only epochs with an outstanding record are kept, and flushes whose callers have given up are
//! forgotten: however many flushes are asked for while a record is stuck, its records and the
//! callers that wait bound what they take. So epochs are kept by number in a map: one in the middle
//! goes before the stuck one at the front does.

use std::collections::{BTreeMap, VecDeque};

/// The number of flushes from which those are looked for that were given up.
///
/// Chosen: so few that they take next to no memory.
const MIN_TO_FORGET: usize = 64;

/// Outstanding records by epoch, and the flushes `F` that wait for them.
#[derive(Debug)]
pub(crate) struct FlushEpochs<F> {
    current: u64,
    /// The outstanding records of the current epoch.
    outstanding: usize,
    /// The outstanding records of the epochs before, where there are any.
    earlier: BTreeMap<u64, usize>,
    /// Each with the first epoch that it does not wait for, in order.
    flushes: VecDeque<(u64, F)>,
    /// The number of flushes at which those that were given up are looked for again.
    forget_at: usize,
}

impl<F> FlushEpochs<F> {
    pub(crate) fn new() -> Self {
        Self {
            current: 0,
            outstanding: 0,
            earlier: BTreeMap::new(),
            flushes: VecDeque::new(),
            forget_at: MIN_TO_FORGET,
        }
    }

    /// Counts a record in. Returns its epoch.
    pub(crate) fn enter(&mut self) -> u64 {
        self.outstanding += 1;
        self.current
    }

    /// Counts a record out; flushes that are done go to `done`.
    pub(crate) fn leave(&mut self, epoch: u64, done: &mut Vec<F>) {
        if epoch == self.current {
            self.outstanding = self.outstanding.saturating_sub(1);
        } else if let Some(outstanding) = self.earlier.get_mut(&epoch) {
            *outstanding = outstanding.saturating_sub(1);
            if *outstanding == 0 {
                self.earlier.remove(&epoch);
                self.settle(done);
            }
        }
    }

    /// Registers a flush of all that was counted in so far.
    pub(crate) fn flush(&mut self, flush: F, done: &mut Vec<F>) {
        if self.outstanding > 0 {
            self.earlier.insert(self.current, self.outstanding);
            self.outstanding = 0;
            self.current += 1;
        }
        self.flushes.push_back((self.current, flush));
        self.settle(done);
    }

    /// Forgets the flushes that were given up, once there are twice as many as were left before.
    pub(crate) fn forget(&mut self, is_given_up: impl Fn(&F) -> bool) {
        if self.flushes.len() >= self.forget_at {
            self.flushes.retain(|(_, flush)| !is_given_up(flush));
            self.flushes.shrink_to(2 * self.flushes.len());
            self.forget_at = MIN_TO_FORGET.max(2 * self.flushes.len());
        }
    }

    /// Returns whether a flush waits.
    pub(crate) fn is_flushing(&self) -> bool {
        !self.flushes.is_empty()
    }

    /// Returns the number of epochs and flushes for which there is memory.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.earlier.len() + self.flushes.capacity()
    }

    fn settle(&mut self, done: &mut Vec<F>) {
        let oldest = self.earlier.first_key_value();
        let oldest = oldest.map_or(self.current, |(&epoch, _)| epoch);
        while let Some((_, flush)) = self.flushes.pop_front_if(|(before, _)| *before <= oldest) {
            done.push(flush);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_waits_for_earlier_records_only() {
        let mut epochs = FlushEpochs::new();
        let mut done = Vec::new();
        let a = epochs.enter();
        epochs.flush(1, &mut done);
        let b = epochs.enter();
        epochs.flush(2, &mut done);
        let _later = epochs.enter();
        assert!(done.is_empty());
        epochs.leave(b, &mut done);
        assert!(done.is_empty(), "flush 2 waits for the older record too");
        epochs.leave(a, &mut done);
        assert_eq!(done, [1, 2]);
        assert!(!epochs.is_flushing());
    }

    #[test]
    fn a_flush_of_nothing_is_done_at_once() {
        let mut epochs = FlushEpochs::new();
        let mut done = Vec::new();
        epochs.flush((), &mut done);
        assert_eq!(done.len(), 1);
        epochs.flush((), &mut done);
        assert_eq!(done.len(), 2, "and so is one after it");
    }

    #[test]
    fn flushes_that_were_given_up_are_bounded_by_the_records_and_by_those_that_wait() {
        let mut epochs = FlushEpochs::new();
        let mut done = Vec::new();
        let given_up = |flush: &u32| *flush != 0;
        let stuck = epochs.enter();
        for flush in 0..100_000 {
            let passed = epochs.enter();
            epochs.forget(given_up);
            epochs.flush(flush, &mut done);
            epochs.leave(passed, &mut done);
        }
        assert!(done.is_empty(), "a record is stuck");
        assert!(epochs.flushes.len() <= MIN_TO_FORGET);
        assert!(epochs.kept() <= 1 + 4 * MIN_TO_FORGET);
        assert!(epochs.earlier.len() <= 1, "the others have no record");
        epochs.leave(stuck, &mut done);
        assert_eq!(done.first(), Some(&0), "the one that waits");
        assert!(!epochs.is_flushing());
    }

    #[test]
    fn a_flush_without_a_record_since_the_last_one_does_not_wait_for_later_ones() {
        let mut epochs = FlushEpochs::new();
        let mut done = Vec::new();
        let write = epochs.enter();
        epochs.flush(1, &mut done);
        epochs.flush(2, &mut done);
        let later = epochs.enter();
        epochs.leave(write, &mut done);
        assert_eq!(done, [1, 2]);
        epochs.leave(later, &mut done);
        assert_eq!(epochs.enter(), later, "no flush has closed it");
    }
}
