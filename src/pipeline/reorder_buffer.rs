//! The order of values that an asynchronous operator finishes in any order.

use std::collections::HashMap;

use crate::progress::NumberedQueue;

/// A queue for each partition: a finished value goes on once all that entered its partition before
/// have.
pub(super) struct ReorderBuffer<T> {
    partitions: HashMap<u64, NumberedQueue<Slot<T>>>,
}

enum Slot<T> {
    Open,
    /// The value that goes on, if one does.
    Settled(Option<T>),
}

/// A place in a partition.
#[derive(Debug)]
pub(super) struct Ticket {
    partition: u64,
    number: u64,
}

impl Ticket {
    pub(super) fn partition(&self) -> u64 {
        self.partition
    }
}

impl<T> ReorderBuffer<T> {
    pub(super) fn new() -> Self {
        let partitions = HashMap::new();
        Self { partitions }
    }

    /// Returns whether nothing is ahead in this partition.
    pub(super) fn is_clear(&self, partition: u64) -> bool {
        !self.partitions.contains_key(&partition)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Takes the next place of a partition. It must be settled.
    pub(super) fn enter(&mut self, partition: u64) -> Ticket {
        let queue = self.partitions.entry(partition);
        let number = queue.or_insert_with(NumberedQueue::new).push(Slot::Open);
        Ticket { partition, number }
    }

    /// Sets the value that goes on from a place, and passes on all that waited for it.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a place is settled once: its ticket is used up"
    )]
    pub(super) fn settle(&mut self, ticket: Ticket, value: Option<T>, mut pass: impl FnMut(T)) {
        let Some(queue) = self.partitions.get_mut(&ticket.partition) else {
            return;
        };
        if let Some(slot) = queue.get_mut(ticket.number) {
            *slot = Slot::Settled(value);
        }
        while let Some(slot) = queue.pop_front_if(|slot| matches!(slot, Slot::Settled(_))) {
            if let Slot::Settled(Some(value)) = slot {
                pass(value);
            }
        }
        // Partitions come and go; a queue for each that ever was would have no bound.
        if queue.is_empty() {
            self.partitions.remove(&ticket.partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_partition_waits_for_its_front_and_no_other_does() {
        let mut partitions = ReorderBuffer::new();
        let slow = partitions.enter(1);
        let quick = partitions.enter(1);
        let other = partitions.enter(2);
        let mut out = Vec::new();
        partitions.settle(quick, Some("quick"), |value| out.push(value));
        partitions.settle(other, Some("other"), |value| out.push(value));
        assert_eq!(out, ["other"]);
        assert!(partitions.is_clear(2) && !partitions.is_clear(1));
        partitions.settle(slow, None, |value| out.push(value));
        assert_eq!(out, ["other", "quick"]);
        assert!(partitions.is_empty());
    }

    proptest! {
        #[test]
        fn each_partition_is_in_its_order_and_whole_in_whichever_order_values_finish(
            entries in proptest::collection::vec((0_u64..3, any::<bool>()), 1..60),
            order in Just((0..60_usize).collect::<Vec<_>>()).prop_shuffle(),
            late in 0_usize..60,
        ) {
            let mut partitions = ReorderBuffer::new();
            let mut tickets: Vec<Option<Ticket>> = Vec::new();
            let mut out: Vec<(u64, usize)> = Vec::new();
            // Some enter only after others were settled.
            let early = entries.len().saturating_sub(late);
            for (partition, _) in &entries[..early] {
                tickets.push(Some(partitions.enter(*partition)));
            }
            for round in 0..2 {
                for at in &order {
                    if let Some(ticket) = tickets.get_mut(*at).and_then(Option::take) {
                        let (partition, passes) = entries[*at];
                        partitions.settle(ticket, passes.then_some((partition, *at)), |value| out.push(value));
                    }
                }
                if round == 0 {
                    for (partition, _) in &entries[early..] {
                        tickets.push(Some(partitions.enter(*partition)));
                    }
                }
            }
            prop_assert!(partitions.is_empty());
            for partition in 0..3 {
                let expected: Vec<usize> = (0..entries.len())
                    .filter(|at| entries[*at] == (partition, true))
                    .collect();
                let got: Vec<usize> = out.iter().filter(|(l, _)| *l == partition).map(|(_, at)| *at).collect();
                prop_assert_eq!(got, expected);
            }
        }
    }
}
