//! Flush epochs: a flush waits for all writes submitted before it.
//!
//! Writes are counted by epoch. A flush closes the current epoch, if it has a write, and resolves
//! when no write of it or of an earlier one is outstanding; later writes don't hold it up.
//!
//! Only epochs with an outstanding write are kept, and flushes whose callers have given up are
//! forgotten: however many flushes a stuck table is asked for, its writes and the callers that wait
//! bound what they take.

use std::collections::{BTreeMap, VecDeque};

/// The number of flushes from which those are looked for that were given up.
///
/// Chosen: so few that they take next to no memory.
const MIN_TO_FORGET: usize = 64;

/// Outstanding writes by epoch, and the flushes `F` that wait for them.
#[derive(Debug)]
pub(super) struct FlushEpochs<F> {
    current: u64,
    /// The outstanding writes of the current epoch.
    outstanding: usize,
    /// The outstanding writes of the epochs before, where there are any.
    earlier: BTreeMap<u64, usize>,
    /// Each with the first epoch that it does not wait for, in order.
    flushes: VecDeque<(u64, F)>,
    /// The number of flushes at which those that were given up are looked for again.
    forget_at: usize,
    draining: bool,
}

impl<F> FlushEpochs<F> {
    pub(super) fn new() -> Self {
        Self {
            current: 0,
            outstanding: 0,
            earlier: BTreeMap::new(),
            flushes: VecDeque::new(),
            forget_at: MIN_TO_FORGET,
            draining: false,
        }
    }

    /// Counts a write in. Returns its epoch.
    pub(super) fn enter(&mut self) -> u64 {
        self.outstanding += 1;
        self.current
    }

    /// Counts a write out; flushes that are done go to `done`.
    pub(super) fn leave(&mut self, epoch: u64, done: &mut Vec<F>) {
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
    pub(super) fn flush(&mut self, flush: F, done: &mut Vec<F>) {
        if self.outstanding > 0 {
            self.earlier.insert(self.current, self.outstanding);
            self.outstanding = 0;
            self.current += 1;
        }
        self.flushes.push_back((self.current, flush));
        self.settle(done);
    }

    /// Forgets the flushes that were given up, once there are twice as many as were left before.
    pub(super) fn forget(&mut self, is_given_up: impl Fn(&F) -> bool) {
        if self.flushes.len() >= self.forget_at {
            self.flushes.retain(|(_, flush)| !is_given_up(flush));
            self.flushes.shrink_to(2 * self.flushes.len());
            self.forget_at = MIN_TO_FORGET.max(2 * self.flushes.len());
        }
    }

    /// Counts as if a flush waited, from now on.
    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// Returns whether a flush waits.
    pub(super) fn is_flushing(&self) -> bool {
        self.draining || !self.flushes.is_empty()
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
    fn a_flush_waits_for_earlier_writes_only() {
        let mut epochs = FlushEpochs::new();
        let mut done = Vec::new();
        let a = epochs.enter();
        epochs.flush(1, &mut done);
        let b = epochs.enter();
        epochs.flush(2, &mut done);
        let _later = epochs.enter();
        assert!(done.is_empty());
        epochs.leave(b, &mut done);
        assert!(done.is_empty(), "flush 2 waits for the older write too");
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
    fn flushes_that_were_given_up_are_bounded_by_the_writes_and_by_those_that_wait() {
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
        assert!(done.is_empty(), "a write is stuck");
        assert!(epochs.flushes.len() <= MIN_TO_FORGET);
        assert!(epochs.flushes.capacity() <= 4 * MIN_TO_FORGET);
        assert!(epochs.earlier.len() <= 1, "the others have no write");
        epochs.leave(stuck, &mut done);
        assert_eq!(done.first(), Some(&0), "the one that waits");
        assert!(!epochs.is_flushing());
    }

    #[test]
    fn a_flush_without_a_write_since_the_last_one_does_not_wait_for_later_ones() {
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
