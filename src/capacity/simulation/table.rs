//! The capacity of the simulated table.

use std::time::Duration;

/// Units a second that a partition takes.
const PARTITION: f64 = 1000.0;

/// How capacity comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Refill {
    Dripping,
    /// At once, at each whole second after this one.
    BySecond(f64),
}

pub(super) struct Table {
    pub(super) rate: f64,
    /// The share of writes that is refused whatever is left.
    pub(super) fickle: f64,
    level: f64,
    refill: Refill,
    at: f64,
    partitions: Vec<f64>,
    left: bool,
}

impl Table {
    pub(super) fn new(rate: f64, refill: Refill) -> Self {
        Self {
            rate,
            fickle: 0.0,
            level: 0.0,
            refill,
            at: 0.0,
            partitions: Vec::new(),
            left: true,
        }
    }

    pub(super) fn full(mut self) -> Self {
        self.level = self.rate * 300.0;
        self
    }

    pub(super) fn partitions(mut self, count: usize) -> Self {
        self.partitions = vec![PARTITION; count];
        self
    }

    pub(super) fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
        self.level = self.level.min(rate * 300.0);
    }

    /// Whether the table had units left for the write that was refused last.
    pub(super) fn is_left(&self) -> bool {
        self.left
    }

    /// Whether a write of one unit is taken.
    pub(super) fn take(&mut self, now: Duration, rng: &mut fastrand::Rng) -> bool {
        self.advance(now.as_secs_f64());
        let count = self.partitions.len();
        let partition = (count > 0).then(|| rng.usize(..count));
        self.left = self.level >= 1.0;
        let narrow = partition.is_some_and(|at| self.partitions[at] < 1.0);
        if !self.left || narrow || (self.fickle > 0.0 && rng.f64() < self.fickle) {
            return false;
        }
        self.level -= 1.0;
        if let Some(at) = partition {
            self.partitions[at] -= 1.0;
        }
        true
    }

    fn advance(&mut self, now: f64) {
        let seconds = match self.refill {
            Refill::Dripping => now - self.at,
            Refill::BySecond(phase) => (now - phase).floor() - (self.at - phase).floor(),
        };
        self.at = now;
        self.level = (self.level + seconds * self.rate).min(self.rate * 300.0);
        for partition in &mut self.partitions {
            *partition = (*partition + seconds * PARTITION).min(PARTITION);
        }
    }
}
