//! Failures that no receipt has given out, kept within bounds.
//!
//! One rule for the tables of the DynamoDB sink and the handles of Kafka's: such a failure is kept,
//! and the next flush or close reports it, never a later write. Past the bound the table or the
//! handle stops: it accepts nothing more, what it has accepted is carried out, and its failures are
//! kept too, which the buffer bounds. So a program that drops every receipt and never flushes is
//! stopped before it has lost much, in bounded memory. Kafka's keeps an entry for each cause, since
//! one cause may fail a whole buffer.
//!
//! An adapter of a table keeps failures for its owner in the same store. It does not stop: past its
//! bound a failure goes to the table.

/// The most failures that may wait for a flush or a close before a table or a handle stops.
pub(crate) const MAX_UNOBSERVED: usize = 1_000;

/// Failures `E` that are to be reported, and the bound on them.
#[derive(Debug)]
pub(crate) struct Unobserved<E> {
    failures: Vec<E>,
    bytes: usize,
    max_failures: usize,
    max_bytes: usize,
}

impl<E> Unobserved<E> {
    /// Returns an empty store that is full with this many failures, or once the records that they
    /// hold have this many bytes.
    pub(crate) fn new(max_failures: usize, max_bytes: usize) -> Self {
        Self {
            failures: Vec::new(),
            bytes: 0,
            max_failures,
            max_bytes,
        }
    }

    /// Keeps a failure that holds this many bytes of records, past the bound too.
    pub(crate) fn keep(&mut self, failure: E, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.failures.push(failure);
    }

    /// Returns whether the bound is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.failures.len() >= self.max_failures || self.bytes >= self.max_bytes
    }

    /// Returns the number of failures that are kept.
    pub(crate) fn len(&self) -> usize {
        self.failures.len()
    }

    /// Returns the failure that was kept when this many others were.
    #[cfg(any(test, feature = "kafka"))]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut E> {
        self.failures.get_mut(index)
    }

    /// Takes all failures, in the order in which they were kept.
    pub(crate) fn take(&mut self) -> Vec<E> {
        self.bytes = 0;
        std::mem::take(&mut self.failures)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_that_is_kept_is_taken_once_in_order_and_either_bound_fills(
            sizes in prop::collection::vec(0..50_usize, 0..40),
            (max_failures, max_bytes) in (1..20_usize, 1..500_usize),
            flushed_at in 0..40_usize,
        ) {
            let mut unobserved = Unobserved::new(max_failures, max_bytes);
            let (mut taken, mut since) = (Vec::new(), 0);
            for (number, bytes) in sizes.iter().enumerate() {
                if number == flushed_at {
                    taken.extend(unobserved.take());
                    since = number;
                    prop_assert_eq!((unobserved.len(), unobserved.is_full()), (0, false));
                }
                unobserved.keep(number, *bytes);
                let held: usize = sizes[since..=number].iter().sum();
                let kept = number + 1 - since;
                prop_assert_eq!(unobserved.len(), kept);
                prop_assert_eq!(unobserved.is_full(), kept >= max_failures || held >= max_bytes);
            }
            taken.extend(unobserved.take());
            prop_assert!(taken.into_iter().eq(0..sizes.len()));
        }
    }

    #[test]
    fn a_failure_is_found_by_its_place_until_it_is_taken() {
        let mut unobserved = Unobserved::new(MAX_UNOBSERVED, usize::MAX);
        for failure in ["a", "b"] {
            unobserved.keep(failure, 0);
        }
        assert_eq!(unobserved.get_mut(1), Some(&mut "b"));
        assert_eq!(unobserved.get_mut(2), None);
        unobserved.take();
        assert_eq!(unobserved.get_mut(1), None);
    }
}
