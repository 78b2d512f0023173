//! Who of those that wait for an asynchronous operator goes next.

use std::collections::{HashMap, VecDeque};

/// At most so many run at once, and lanes take turns. The last quarter is for lanes of which none runs: one lane, all of
/// whose records are slow, does not keep the others from going on.
pub(super) struct Turns<J> {
    most: usize,
    running: usize,
    lanes: HashMap<u64, Lane<J>>,
    /// The lanes in which something waits, each once, the next first.
    order: VecDeque<u64>,
}

struct Lane<J> {
    running: usize,
    waiting: VecDeque<J>,
}

impl<J> Turns<J> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            running: 0,
            lanes: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn offer(&mut self, lane: u64, job: J) {
        let queue = self.lanes.entry(lane).or_insert_with(|| Lane {
            running: 0,
            waiting: VecDeque::new(),
        });
        if queue.waiting.is_empty() {
            self.order.push_back(lane);
        }
        queue.waiting.push_back(job);
    }

    /// What may start now.
    pub(super) fn next(&mut self) -> Option<J> {
        let common = self.most - self.most / 4;
        let at = if self.running < common {
            0
        } else if self.running < self.most {
            let lanes = &self.lanes;
            let idle = |lane: &u64| lanes.get(lane).is_some_and(|lane| lane.running == 0);
            self.order.iter().position(idle)?
        } else {
            return None;
        };
        let number = self.order.remove(at)?;
        let lane = self.lanes.get_mut(&number)?;
        let job = lane.waiting.pop_front()?;
        if !lane.waiting.is_empty() {
            self.order.push_back(number);
        }
        lane.running += 1;
        self.running += 1;
        Some(job)
    }

    /// One that was started in this lane has ended.
    pub(super) fn finished(&mut self, lane: u64) {
        let Some(queue) = self.lanes.get_mut(&lane) else {
            return;
        };
        queue.running -= 1;
        self.running -= 1;
        if queue.running == 0 && queue.waiting.is_empty() {
            self.lanes.remove(&lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<J>(turns: &mut Turns<J>) -> Vec<J> {
        std::iter::from_fn(|| turns.next()).collect()
    }

    #[test]
    fn lanes_take_turns_and_the_bound_holds() {
        let mut turns = Turns::new(3);
        for job in ["a1", "a2", "a3"] {
            turns.offer(1, job);
        }
        turns.offer(2, "b1");
        assert_eq!(all(&mut turns), ["a1", "b1", "a2"]);
        turns.finished(2);
        assert_eq!(all(&mut turns), ["a3"]);
        for _ in 0..3 {
            turns.finished(1);
        }
        assert!(turns.lanes.is_empty() && turns.order.is_empty());
    }

    #[test]
    fn one_slow_lane_leaves_a_quarter_to_others() {
        let mut turns = Turns::new(8);
        for job in 0..20 {
            turns.offer(1, (1, job));
        }
        assert_eq!(all(&mut turns).len(), 6);
        turns.offer(2, (2, 0));
        turns.offer(2, (2, 1));
        turns.offer(3, (3, 0));
        turns.offer(4, (4, 0));
        assert_eq!(all(&mut turns), [(2, 0), (3, 0)]);
        turns.finished(2);
        assert_eq!(
            all(&mut turns),
            [(4, 0)],
            "lane 2 has waited, 4 has nothing running"
        );
    }
}
