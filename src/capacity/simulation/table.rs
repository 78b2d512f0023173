//! The capacity of the simulated table.

use std::time::Duration;

/// Units a second that a partition takes.
const PARTITION: f64 = 1000.0;

/// The way in which capacity is granted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Refill {
    Dripping,
    /// At once, at each whole second after this one.
    BySecond(f64),
}

pub(super) struct Table {
    pub(super) rate: f64,
    /// The share of writes that is refused whatever is left.
    pub(super) background: f64,
    /// The share of requests that is refused whole whatever is left.
    pub(super) background_requests: f64,
    /// At the end of each so many seconds, this share of the writes is refused for so many.
    pub(super) gaps: Option<(f64, f64)>,
    pub(super) gap_share: f64,
    /// Units a second that a partition takes, and keeps for a second of these.
    pub(super) partition_units: f64,
    pub(super) partition_kept: f64,
    /// Seconds of the rate that it keeps.
    kept: f64,
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
            background: 0.0,
            background_requests: 0.0,
            gaps: None,
            gap_share: 1.0,
            partition_units: PARTITION,
            partition_kept: 1.0,
            kept: 300.0,
            level: 0.0,
            refill,
            at: 0.0,
            partitions: Vec::new(),
            left: true,
        }
    }

    pub(super) fn full(mut self) -> Self {
        self.level = self.rate * self.kept;
        self
    }

    pub(super) fn partitions(mut self, count: usize) -> Self {
        self.partitions = vec![self.partition_units * self.partition_kept; count];
        self
    }

    pub(super) fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
        self.level = self.level.min(rate * self.kept);
    }

    /// Drops what is kept beyond so many seconds of the rate, now and from now on.
    pub(super) fn keep_at_most(&mut self, seconds: f64) {
        self.kept = seconds;
        self.level = self.level.min(self.rate * seconds);
    }

    /// Returns whether a refusal bears the reason that partitions are the limit: the table has
    /// units left, and refuses for no other reason.
    pub(super) fn reports_partitions(&self) -> bool {
        self.left
            && self.background == 0.0
            && self.background_requests == 0.0
            && self.gaps.is_none()
    }

    /// Returns how many writes of a request are taken, each of one unit.
    pub(super) fn take_request(
        &mut self,
        now: Duration,
        writes: usize,
        rng: &mut fastrand::Rng,
    ) -> usize {
        let in_gap = self
            .gaps
            .is_some_and(|(every, length)| now.as_secs_f64() % every >= every - length);
        let whole = self.background_requests > 0.0 && rng.f64() < self.background_requests;
        if whole {
            return 0;
        }
        let refused = if in_gap {
            self.gap_share
        } else {
            self.background
        };
        (0..writes).filter(|_| self.take(now, refused, rng)).count()
    }

    /// Returns whether a write of one unit is taken; a share is refused in any case.
    fn take(&mut self, now: Duration, refused: f64, rng: &mut fastrand::Rng) -> bool {
        self.advance(now.as_secs_f64());
        let count = self.partitions.len();
        let partition = (count > 0).then(|| rng.usize(..count));
        self.left = self.level >= 1.0;
        let narrow = partition.is_some_and(|at| self.partitions[at] < 1.0);
        if !self.left || narrow || (refused > 0.0 && rng.f64() < refused) {
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
        self.level = (self.level + seconds * self.rate).min(self.rate * self.kept);
        for partition in &mut self.partitions {
            let most = self.partition_units * self.partition_kept;
            *partition = (*partition + seconds * self.partition_units).min(most);
        }
    }
}
