//! Flush epochs: a flush waits for all writes submitted before it.
//!
//! Writes are counted by epoch. A flush closes the current epoch and resolves when no write of it
//! or of an earlier one is outstanding; later writes don't hold it up.

use std::collections::VecDeque;

/// Outstanding writes by epoch, and the flushes `F` that wait for them.
#[derive(Debug)]
pub(super) struct FlushEpochs<F> {
    first: u64,
    open: VecDeque<Epoch<F>>,
    draining: bool,
}

#[derive(Debug)]
struct Epoch<F> {
    outstanding: usize,
    flushes: Vec<F>,
}

impl<F> Epoch<F> {
    fn new() -> Self {
        Self {
            outstanding: 0,
            flushes: Vec::new(),
        }
    }
}

impl<F> FlushEpochs<F> {
    pub(super) fn new() -> Self {
        Self {
            first: 0,
            open: VecDeque::from([Epoch::new()]),
            draining: false,
        }
    }

    /// Counts a write in. Returns its epoch.
    pub(super) fn enter(&mut self) -> u64 {
        if self.open.is_empty() {
            self.open.push_back(Epoch::new());
        }
        if let Some(epoch) = self.open.back_mut() {
            epoch.outstanding += 1;
        }
        self.first + self.open.len() as u64 - 1
    }

    /// Counts a write out; flushes that are done go to `done`.
    pub(super) fn leave(&mut self, epoch: u64, done: &mut Vec<F>) {
        let place = usize::try_from(epoch.saturating_sub(self.first)).unwrap_or(usize::MAX);
        if let Some(epoch) = self.open.get_mut(place) {
            epoch.outstanding = epoch.outstanding.saturating_sub(1);
        }
        self.settle(done);
    }

    /// Registers a flush of all that was counted in so far.
    pub(super) fn flush(&mut self, flush: F, done: &mut Vec<F>) {
        if let Some(epoch) = self.open.back_mut() {
            epoch.flushes.push(flush);
        }
        self.open.push_back(Epoch::new());
        self.settle(done);
    }

    /// Counts as if a flush waited, from now on.
    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// Returns whether a flush waits.
    pub(super) fn is_flushing(&self) -> bool {
        self.draining || self.open.len() > 1
    }

    fn settle(&mut self, done: &mut Vec<F>) {
        while self.open.len() > 1
            && let Some(front) = self.open.front()
            && front.outstanding == 0
        {
            if let Some(epoch) = self.open.pop_front() {
                done.extend(epoch.flushes);
            }
            self.first += 1;
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
}
