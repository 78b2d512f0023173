//! The order in which values that wait for an asynchronous operator are started.

use std::collections::{HashMap, VecDeque};

/// At most so many run at once, and partitions take turns. The last quarter is for partitions of
/// which none runs: one partition, all of whose records are slow, does not keep the others from
/// going on.
pub(super) struct Scheduler<J> {
    max: usize,
    running: usize,
    partitions: HashMap<u64, Partition<J>>,
    /// The partitions in which something waits, each once, the next first.
    order: VecDeque<u64>,
}

struct Partition<J> {
    running: usize,
    waiting: VecDeque<J>,
}

impl<J> Scheduler<J> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            running: 0,
            partitions: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn offer(&mut self, partition: u64, job: J) {
        let queue = self
            .partitions
            .entry(partition)
            .or_insert_with(|| Partition {
                running: 0,
                waiting: VecDeque::new(),
            });
        if queue.waiting.is_empty() {
            self.order.push_back(partition);
        }
        queue.waiting.push_back(job);
    }

    /// Returns the next job that may start now.
    pub(super) fn next(&mut self) -> Option<J> {
        let common = self.max - self.max / 4;
        let at = if self.running < common {
            0
        } else if self.running < self.max {
            let partitions = &self.partitions;
            let idle = |partition: &u64| {
                partitions
                    .get(partition)
                    .is_some_and(|partition| partition.running == 0)
            };
            self.order.iter().position(idle)?
        } else {
            return None;
        };
        let number = self.order.remove(at)?;
        let partition = self.partitions.get_mut(&number)?;
        let job = partition.waiting.pop_front()?;
        if !partition.waiting.is_empty() {
            self.order.push_back(number);
        }
        partition.running += 1;
        self.running += 1;
        Some(job)
    }

    /// Notes that a job that was started in this partition has ended.
    pub(super) fn finished(&mut self, partition: u64) {
        let Some(queue) = self.partitions.get_mut(&partition) else {
            return;
        };
        queue.running -= 1;
        self.running -= 1;
        if queue.running == 0 && queue.waiting.is_empty() {
            self.partitions.remove(&partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<J>(scheduler: &mut Scheduler<J>) -> Vec<J> {
        std::iter::from_fn(|| scheduler.next()).collect()
    }

    #[test]
    fn partitions_take_turns_and_the_bound_holds() {
        let mut scheduler = Scheduler::new(3);
        for job in ["a1", "a2", "a3"] {
            scheduler.offer(1, job);
        }
        scheduler.offer(2, "b1");
        assert_eq!(all(&mut scheduler), ["a1", "b1", "a2"]);
        scheduler.finished(2);
        assert_eq!(all(&mut scheduler), ["a3"]);
        for _ in 0..3 {
            scheduler.finished(1);
        }
        assert!(scheduler.partitions.is_empty() && scheduler.order.is_empty());
    }

    #[test]
    fn one_slow_partition_leaves_a_quarter_to_others() {
        let mut scheduler = Scheduler::new(8);
        for job in 0..20 {
            scheduler.offer(1, (1, job));
        }
        assert_eq!(all(&mut scheduler).len(), 6);
        scheduler.offer(2, (2, 0));
        scheduler.offer(2, (2, 1));
        scheduler.offer(3, (3, 0));
        scheduler.offer(4, (4, 0));
        assert_eq!(all(&mut scheduler), [(2, 0), (3, 0)]);
        scheduler.finished(2);
        assert_eq!(
            all(&mut scheduler),
            [(4, 0)],
            "partition 2 has waited, 4 has nothing running"
        );
    }
}
