//! The order of what an asynchronous operator finishes in any order.

use std::collections::{HashMap, VecDeque};

/// A queue for each lane: what is finished goes on once all that entered its lane before has.
pub(super) struct Lanes<T> {
    lanes: HashMap<u64, Lane<T>>,
}

struct Lane<T> {
    /// The number of the front place.
    first: u64,
    places: VecDeque<Place<T>>,
}

enum Place<T> {
    Open,
    Passed(T),
    /// Nothing goes on.
    Gone,
}

/// A place in a lane.
#[derive(Debug)]
pub(super) struct Ticket {
    lane: u64,
    number: u64,
}

impl Ticket {
    pub(super) fn lane(&self) -> u64 {
        self.lane
    }
}

impl<T> Lanes<T> {
    pub(super) fn new() -> Self {
        let lanes = HashMap::new();
        Self { lanes }
    }

    /// Whether nothing is ahead in this lane.
    pub(super) fn is_clear(&self, lane: u64) -> bool {
        !self.lanes.contains_key(&lane)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Takes the next place of a lane. It must be settled.
    pub(super) fn enter(&mut self, lane: u64) -> Ticket {
        let queue = self.lanes.entry(lane).or_insert_with(|| Lane {
            first: 0,
            places: VecDeque::new(),
        });
        queue.places.push_back(Place::Open);
        let number = queue.first + queue.places.len() as u64 - 1;
        Ticket { lane, number }
    }

    /// Says what goes on from a place, and passes on all that waited for just that.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a place is settled once: its ticket is used up"
    )]
    pub(super) fn settle(&mut self, ticket: Ticket, value: Option<T>, mut pass: impl FnMut(T)) {
        let Some(lane) = self.lanes.get_mut(&ticket.lane) else {
            return;
        };
        let place = usize::try_from(ticket.number - lane.first)
            .ok()
            .and_then(|at| lane.places.get_mut(at));
        if let Some(place) = place {
            *place = value.map_or(Place::Gone, Place::Passed);
        }
        while let Some(place) = lane.places.front() {
            if matches!(place, Place::Open) {
                return;
            }
            lane.first += 1;
            if let Some(Place::Passed(value)) = lane.places.pop_front() {
                pass(value);
            }
        }
        // Lanes come and go; a queue for each that ever was would have no bound.
        self.lanes.remove(&ticket.lane);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_lane_waits_for_its_front_and_no_other_lane_does() {
        let mut lanes = Lanes::new();
        let slow = lanes.enter(1);
        let quick = lanes.enter(1);
        let other = lanes.enter(2);
        let mut out = Vec::new();
        lanes.settle(quick, Some("quick"), |value| out.push(value));
        lanes.settle(other, Some("other"), |value| out.push(value));
        assert_eq!(out, ["other"]);
        assert!(lanes.is_clear(2) && !lanes.is_clear(1));
        lanes.settle(slow, None, |value| out.push(value));
        assert_eq!(out, ["other", "quick"]);
        assert!(lanes.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_finishes_when_each_lane_is_in_its_order_and_whole(
            entries in proptest::collection::vec((0_u64..3, any::<bool>()), 1..60),
            order in Just((0..60_usize).collect::<Vec<_>>()).prop_shuffle(),
            late in 0_usize..60,
        ) {
            let mut lanes = Lanes::new();
            let mut tickets: Vec<Option<Ticket>> = Vec::new();
            let mut out: Vec<(u64, usize)> = Vec::new();
            // Some enter only after others were settled.
            let early = entries.len().saturating_sub(late);
            for (lane, _) in &entries[..early] {
                tickets.push(Some(lanes.enter(*lane)));
            }
            for round in 0..2 {
                for at in &order {
                    if let Some(ticket) = tickets.get_mut(*at).and_then(Option::take) {
                        let (lane, passes) = entries[*at];
                        lanes.settle(ticket, passes.then_some((lane, *at)), |value| out.push(value));
                    }
                }
                if round == 0 {
                    for (lane, _) in &entries[early..] {
                        tickets.push(Some(lanes.enter(*lane)));
                    }
                }
            }
            prop_assert!(lanes.is_empty());
            for lane in 0..3 {
                let wanted: Vec<usize> = (0..entries.len())
                    .filter(|at| entries[*at] == (lane, true))
                    .collect();
                let got: Vec<usize> = out.iter().filter(|(l, _)| *l == lane).map(|(_, at)| *at).collect();
                prop_assert_eq!(got, wanted);
            }
        }
    }
}
