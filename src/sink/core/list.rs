//! Doubly linked lists through the slots of a slab.
//!
//! A write that leaves a queue by another way than its head (expired, superseded, handed back) has
//! to leave nothing behind: with queues that keep such a write until it reaches the head, writes
//! that expire behind a stuck head pile up without a bound. A list gives a slot back in constant
//! time.

use slab::Slab;

/// The neighbors of a slot in its list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Links {
    previous: Option<usize>,
    next: Option<usize>,
}

/// A value that can stand in one list.
pub(super) trait Linked {
    fn links(&self) -> &Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// The ends of a list.
#[derive(Debug, Default)]
pub(super) struct List {
    first: Option<usize>,
    last: Option<usize>,
}

impl List {
    pub(super) fn first(&self) -> Option<usize> {
        self.first
    }

    pub(super) fn last(&self) -> Option<usize> {
        self.last
    }

    /// Adds a slot that stands in no list.
    pub(super) fn push_back<T: Linked>(&mut self, slots: &mut Slab<T>, at: usize) {
        let previous = self.last.replace(at);
        link(slots, at, previous, None);
        match previous {
            Some(previous) => set_next(slots, previous, Some(at)),
            None => self.first = Some(at),
        }
    }

    /// Adds a slot that stands in no list, ahead of one that is in this list.
    pub(super) fn insert_before<T: Linked>(
        &mut self,
        slots: &mut Slab<T>,
        at: usize,
        other: usize,
    ) {
        let previous = slots.get(other).and_then(|other| other.links().previous);
        link(slots, at, previous, Some(other));
        set_previous(slots, other, Some(at));
        match previous {
            Some(previous) => set_next(slots, previous, Some(at)),
            None => self.first = Some(at),
        }
    }

    /// Removes a slot of this list.
    pub(super) fn remove<T: Linked>(&mut self, slots: &mut Slab<T>, at: usize) {
        let links = slots
            .get_mut(at)
            .map(|slot| std::mem::take(slot.links_mut()));
        let Links { previous, next } = links.unwrap_or_default();
        match previous {
            Some(previous) => set_next(slots, previous, next),
            None => self.first = next,
        }
        match next {
            Some(next) => set_previous(slots, next, previous),
            None => self.last = previous,
        }
    }
}

fn link<T: Linked>(slots: &mut Slab<T>, at: usize, previous: Option<usize>, next: Option<usize>) {
    if let Some(slot) = slots.get_mut(at) {
        *slot.links_mut() = Links { previous, next };
    }
}

fn set_previous<T: Linked>(slots: &mut Slab<T>, at: usize, previous: Option<usize>) {
    if let Some(slot) = slots.get_mut(at) {
        slot.links_mut().previous = previous;
    }
}

fn set_next<T: Linked>(slots: &mut Slab<T>, at: usize, next: Option<usize>) {
    if let Some(slot) = slots.get_mut(at) {
        slot.links_mut().next = next;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    impl Linked for Links {
        fn links(&self) -> &Links {
            self
        }

        fn links_mut(&mut self) -> &mut Links {
            self
        }
    }

    fn contents(list: &List, slots: &Slab<Links>) -> (Vec<usize>, Vec<usize>) {
        let next = |at: &usize| slots.get(*at).and_then(|slot| slot.next);
        let previous = |at: &usize| slots.get(*at).and_then(|slot| slot.previous);
        let forward = std::iter::successors(list.first(), next).collect();
        let backward = std::iter::successors(list.last(), previous).collect();
        (forward, backward)
    }

    proptest! {
        #[test]
        fn a_list_is_a_sequence(steps in prop::collection::vec((0..3_u8, any::<usize>()), 0..200)) {
            let (mut list, mut slots) = (List::default(), Slab::new());
            let mut model = VecDeque::new();
            for (step, place) in steps {
                let found = (!model.is_empty()).then(|| place % model.len());
                match (step, found) {
                    (1, Some(place)) => {
                        let at = slots.insert(Links::default());
                        list.insert_before(&mut slots, at, model[place]);
                        model.insert(place, at);
                    }
                    (2, Some(place)) => {
                        let at = model.remove(place).expect("an element");
                        list.remove(&mut slots, at);
                        slots.remove(at);
                    }
                    _ => {
                        let at = slots.insert(Links::default());
                        list.push_back(&mut slots, at);
                        model.push_back(at);
                    }
                }
                let (forward, backward) = contents(&list, &slots);
                prop_assert_eq!(&forward, &Vec::from(model.clone()));
                prop_assert_eq!(backward, forward.into_iter().rev().collect::<Vec<_>>());
            }
        }
    }
}
