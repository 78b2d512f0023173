//! Failures whose receipts were dropped: one rule for every sink.
//!
//! A failure that no receipt has given out is kept, and the next flush or close of its handle
//! reports it, never a later write. Past a bound the handle stops: it accepts nothing more, what it
//! has accepted is carried out, and its failures are kept too, which the buffer bounds. So a
//! program that drops every receipt and never flushes is stopped before it has lost much, in bounded
//! memory.

/// The most failures that may wait for a flush or a close before a handle stops.
pub(crate) const MAX_UNOBSERVED: usize = 1_000;

/// Failures `E` that the next flush or close reports, and the bound on them.
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

    /// Returns the last failure of which this is true.
    #[cfg(any(test, feature = "kafka"))]
    pub(crate) fn rfind_mut(&mut self, is_it: impl Fn(&E) -> bool) -> Option<&mut E> {
        self.failures
            .iter_mut()
            .rev()
            .find(|failure| is_it(failure))
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
    fn the_last_of_several_that_match_is_found() {
        let mut unobserved = Unobserved::new(MAX_UNOBSERVED, usize::MAX);
        for failure in [(1, "a"), (2, "b"), (1, "c")] {
            unobserved.keep(failure, 0);
        }
        let found = unobserved.rfind_mut(|(group, _)| *group == 1);
        assert_eq!(found, Some(&mut (1, "c")));
        assert!(unobserved.rfind_mut(|(group, _)| *group == 3).is_none());
    }
}
