//! Refusals that end, and come again at a far lower rate.
//!
//! Where a capacity is exceeded, refusals begin at about the same rate each time, since it grows
//! until it is refused. Where they begin at a far lower rate than not long ago, and had ended in
//! between, either there is less capacity now, or the rate did not cause them: a partition moves, a
//! service has bad moments. So the rate of before is tried, once the refusals have ended. Are there
//! next to none, it did not cause them, and for a while each cut ends with its refusals. Else the
//! lower rate is what there is.

use super::super::allowance::CAPACITY_PERIOD_SECONDS;
use super::FINDING_SECONDS;
use super::background::{Background, LARGE_SAMPLE_WRITES, Tally};
use super::cut::Window;
use super::level::DEEPEST_CUT_FACTOR;
use super::probe::{BELOW_CAPACITY_FACTOR, MIN_SAMPLE_WRITES, SLOT_SECONDS};

/// The seconds after which a trial may fail, and half of a large sample: early, as other sinks give
/// way to it.
///
/// Simulation: later, one of several sinks gets its way at their start.
const LEAST_TRIED_SECONDS: f64 = 0.05;

/// The part of what would be refused in excess, were the lower rate all there is, at which a trial
/// fails. The usual overshoot does not fail it.
///
/// Simulation: below it, bad moments that come each second fail it.
const FAILED_PART: f64 = 0.4;

/// A rate, and the time when refusals began at it.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    rate: f64,
    at: f64,
}

/// Refusals that go on.
#[derive(Clone, Copy, Debug)]
struct Episode {
    /// The rate at which they began.
    rate: f64,
    /// The rate to be tried after them.
    then: Option<f64>,
}

/// A rate that is tried. Meanwhile it is not cut.
#[derive(Clone, Copy, Debug)]
struct Trial {
    rate: f64,
    /// The rate at which refusals began before it.
    lower: f64,
}

/// The consequence of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Finding {
    /// Refusals have ended that may be unrelated: this rate should be tried.
    Try(f64),
    /// There is no more than about this rate.
    Failed(f64),
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Recurrence {
    /// The highest of late.
    highest: Option<Beginning>,
    episode: Option<Episode>,
    window: Window,
    trial: Option<Trial>,
    unrelated_until: f64,
}

impl Recurrence {
    pub(super) fn new(now: f64) -> Self {
        Self {
            highest: None,
            episode: None,
            window: Window::new(now),
            trial: None,
            unrelated_until: f64::NEG_INFINITY,
        }
    }

    /// Takes in that refusals led to a cut of this rate.
    pub(super) fn cut(&mut self, now: f64, rate: f64) {
        if self.episode.is_some() || rate.is_infinite() {
            return;
        }
        let mut episode = Episode { rate, then: None };
        self.window = Window::new(now);
        match self.highest {
            Some(highest) if now - highest.at < FINDING_SECONDS && rate < highest.rate => {
                // Above that, sinks that share a table try each other's part.
                if rate < DEEPEST_CUT_FACTOR * highest.rate {
                    episode.then = Some(highest.rate);
                }
            }
            _ => self.highest = Some(Beginning { rate, at: now }),
        }
        if now < self.unrelated_until {
            episode.then.get_or_insert(rate);
        }
        self.episode = Some(episode);
    }

    /// Returns whether a rate is being tried.
    pub(super) fn tries(&self) -> bool {
        self.trial.is_some()
    }

    /// Takes in an answer.
    pub(super) fn answered(
        &mut self,
        now: f64,
        of: Tally,
        background: Background,
    ) -> Option<Finding> {
        self.window.seen.add(of);
        let Window { from, seen } = self.window;
        if let Some(trial) = self.trial {
            return self.judge(now, trial, background);
        }
        if now - from < SLOT_SECONDS || seen.sent < 2.0 * MIN_SAMPLE_WRITES {
            return None;
        }
        self.window = Window::new(now);
        if background.score(seen) > 0.0 {
            return None;
        }
        let Episode { rate: lower, then } = self.episode.take()?;
        let rate = then?;
        self.trial = Some(Trial { rate, lower });
        Some(Finding::Try(rate))
    }

    fn judge(&mut self, now: f64, trial: Trial, background: Background) -> Option<Finding> {
        let Window { from, seen } = self.window;
        let excess = background.excess(seen);
        let failed = FAILED_PART * (1.0 - trial.lower / trial.rate);
        let failed = failed.max(1.0 - BELOW_CAPACITY_FACTOR);
        if now - from >= LEAST_TRIED_SECONDS
            && seen.sent >= LARGE_SAMPLE_WRITES / 2.0
            && excess > failed
        {
            self.trial = None;
            self.unrelated_until = f64::NEG_INFINITY;
            self.highest = Some(Beginning {
                rate: trial.lower,
                at: now,
            });
            return Some(Finding::Failed(trial.lower));
        }
        if now - from >= CAPACITY_PERIOD_SECONDS {
            self.trial = None;
            self.window = Window::new(now);
            self.unrelated_until = now + FINDING_SECONDS;
            self.highest = Some(Beginning {
                rate: trial.rate,
                at: now,
            });
        }
        None
    }
}
