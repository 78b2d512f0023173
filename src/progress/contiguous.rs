//! The position of one partition.

use std::collections::VecDeque;

/// Records handed out, which of them are done, and how far everything is.
#[derive(Debug)]
pub(crate) struct Contiguous<P> {
    /// The records from the first one on that is not done.
    open: VecDeque<Slot<P>>,
    /// The number of the front of `open`.
    first: u64,
    /// The position of the last record taken off the front, until it is asked for.
    moved: Option<P>,
}

#[derive(Debug)]
struct Slot<P> {
    position: P,
    done: bool,
}

impl<P> Contiguous<P> {
    pub(crate) fn new() -> Self {
        Self {
            open: VecDeque::new(),
            first: 0,
            moved: None,
        }
    }

    /// Notes a record that is handed out, and returns its number.
    pub(crate) fn push(&mut self, position: P) -> u64 {
        self.open.push_back(Slot {
            position,
            done: false,
        });
        self.next() - 1
    }

    /// Returns the number that the next record will have.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.open.len() as u64
    }

    /// Notes that a record is done. Returns whether the watermark moved.
    pub(crate) fn done(&mut self, number: u64) -> bool {
        let slot = number
            .checked_sub(self.first)
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| self.open.get_mut(at));
        let Some(slot) = slot else {
            return false;
        };
        slot.done = true;
        let mut moved = false;
        while self.open.front().is_some_and(|slot| slot.done) {
            self.moved = self.open.pop_front().map(|slot| slot.position);
            self.first += 1;
            moved = true;
        }
        moved
    }

    /// Returns the position of the last record with everything up to it done, where it moved since this was last asked.
    pub(crate) fn take_watermark(&mut self) -> Option<P> {
        self.moved.take()
    }

    /// Returns how many records are at or behind the first one that is not done.
    pub(crate) fn outstanding(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_watermark_waits_for_the_first_record_that_is_not_done() {
        let mut records = Contiguous::new();
        let numbers: Vec<u64> = (0..4).map(|n| records.push(n * 10)).collect();
        assert!(!records.done(numbers[1]));
        assert_eq!(records.take_watermark(), None);
        assert!(records.done(numbers[0]));
        assert_eq!(records.take_watermark(), Some(10));
        assert_eq!(records.take_watermark(), None);
        assert_eq!(records.outstanding(), 2);
        assert!(!records.done(numbers[0]), "a number is done once");
    }

    proptest! {
        #[test]
        fn the_watermark_is_never_past_a_record_that_is_not_done(
            order in Just((0_u64..40).collect::<Vec<_>>()).prop_shuffle(),
            asked in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let mut records = Contiguous::new();
            for number in 0..40_u64 {
                prop_assert_eq!(records.push(number), number);
            }
            let mut done = [false; 40];
            let mut last = None;
            for (number, ask) in order.into_iter().zip(asked) {
                records.done(number);
                done[usize::try_from(number).unwrap()] = true;
                let up_to = done.iter().take_while(|done| **done).count();
                prop_assert_eq!(records.outstanding(), 40 - up_to);
                if ask {
                    last = records.take_watermark().or(last);
                    prop_assert_eq!(last.map_or(0, |last| last + 1), up_to as u64);
                }
            }
        }
    }
}
