//! The position of one partition.

use super::numbered_queue::NumberedQueue;

/// Records handed out, which of them are done, and how far everything is.
#[derive(Debug)]
pub(crate) struct Contiguous<P> {
    /// The records from the first one on that is not done.
    records: NumberedQueue<Slot<P>>,
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
            records: NumberedQueue::new(),
            moved: None,
        }
    }

    /// Notes a record that is handed out, and returns its number.
    pub(crate) fn push(&mut self, position: P) -> u64 {
        let done = false;
        self.records.push(Slot { position, done })
    }

    /// Returns the number of the first record that is not done, or of the next one where all are.
    pub(crate) fn first(&self) -> u64 {
        self.records.first()
    }

    /// Returns the number that the next record will have.
    #[cfg(feature = "streams")]
    pub(crate) fn next(&self) -> u64 {
        self.records.next()
    }

    /// Returns whether all records are done.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the position of a record that is not done.
    #[cfg(feature = "kafka")]
    pub(crate) fn open(&self, number: u64) -> Option<&P> {
        let slot = self.records.get(number).filter(|slot| !slot.done);
        slot.map(|slot| &slot.position)
    }

    /// Returns the position of a record that is not done, to be changed.
    #[cfg(feature = "kafka")]
    pub(crate) fn open_mut(&mut self, number: u64) -> Option<&mut P> {
        let slot = self.records.get_mut(number).filter(|slot| !slot.done);
        slot.map(|slot| &mut slot.position)
    }

    /// Notes that a record is done. Returns whether the watermark moved.
    pub(crate) fn done(&mut self, number: u64) -> bool {
        let Some(slot) = self.records.get_mut(number) else {
            return false;
        };
        slot.done = true;
        let mut moved = false;
        while let Some(slot) = self.records.pop_front_if(|slot| slot.done) {
            self.moved = Some(slot.position);
            moved = true;
        }
        moved
    }

    /// Returns the position of the last record with everything up to it done, where it moved since this was last asked.
    pub(crate) fn take_watermark(&mut self) -> Option<P> {
        self.moved.take()
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
        assert_eq!((records.first(), records.is_empty()), (2, false));
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
                prop_assert_eq!(records.first(), up_to as u64);
                prop_assert_eq!(records.is_empty(), up_to == 40);
                if ask {
                    last = records.take_watermark().or(last);
                    prop_assert_eq!(last.map_or(0, |last| last + 1), up_to as u64);
                }
            }
        }
    }
}
