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

/// The partitions of the table, each with a bucket of its own. A table without any has one limit alone.
#[derive(Default)]
struct Partitions {
    /// Units a second that a partition takes.
    rate: f64,
    /// Seconds of its rate that a partition keeps.
    kept: f64,
    levels: Vec<f64>,
}

impl Partitions {
    /// Returns so many partitions, each of them full.
    fn new(count: usize, rate: f64, kept: f64) -> Self {
        Self {
            rate,
            kept,
            levels: vec![rate * kept; count],
        }
    }

    /// Returns the partition that a write goes to, drawn at random.
    fn draw(&self, rng: &mut fastrand::Rng) -> Option<usize> {
        let count = self.levels.len();
        (count > 0).then(|| rng.usize(..count))
    }

    fn has_unit(&self, at: usize) -> bool {
        self.levels[at] >= 1.0
    }

    fn take_unit(&mut self, at: usize) {
        self.levels[at] -= 1.0;
    }

    fn refill(&mut self, seconds: f64) {
        let max = self.rate * self.kept;
        for level in &mut self.levels {
            *level = (*level + seconds * self.rate).min(max);
        }
    }
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
    /// Seconds of the rate that it keeps.
    kept: f64,
    level: f64,
    refill: Refill,
    at: f64,
    partitions: Partitions,
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
            kept: 300.0,
            level: 0.0,
            refill,
            at: 0.0,
            partitions: Partitions::default(),
            left: true,
        }
    }

    pub(super) fn full(mut self) -> Self {
        self.level = self.rate * self.kept;
        self
    }

    /// Gives the table so many partitions as the service has them.
    pub(super) fn partitions(self, count: usize) -> Self {
        self.partitions_of(count, PARTITION, 1.0)
    }

    /// Gives the table so many partitions, each of this rate, that keep so many seconds of it.
    pub(super) fn partitions_of(mut self, count: usize, rate: f64, kept: f64) -> Self {
        self.partitions = Partitions::new(count, rate, kept);
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
        let partition = self.partitions.draw(rng);
        self.left = self.level >= 1.0;
        let narrow = partition.is_some_and(|at| !self.partitions.has_unit(at));
        if !self.left || narrow || (refused > 0.0 && rng.f64() < refused) {
            return false;
        }
        self.level -= 1.0;
        if let Some(at) = partition {
            self.partitions.take_unit(at);
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
        self.partitions.refill(seconds);
    }
}
