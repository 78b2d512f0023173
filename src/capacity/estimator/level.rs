//! The rate itself: how far it goes up in time, and down at a cut.

use std::f64::consts::LN_2;

use super::super::bucket::MAX_UNITS_PER_SECOND;
use super::background::LARGE_SAMPLE_WRITES;
use super::probe::{BELOW_CAPACITY_FACTOR, SLOT_SECONDS};

/// The least rate, in units a second, where less is not known.
const MIN_UNKNOWN_UNITS_PER_SECOND: f64 = 1.0;

/// The growth of an unknown rate, in units / s² and per square root of the rate.
///
/// Simulation: at 1,000 units a second, a cut each four to six seconds.
const ROOT_GROWTH: f64 = 3.0;

/// The share of the known units that is gained each second.
///
/// Simulation: it decides how often sinks that share a table are refused, and how fast their shares
/// even out.
const KNOWN_GROWTH_SHARE: f64 = 0.02;

/// The time after a cut from which on growth doubles each second, in seconds.
///
/// Simulation: longer than from one cut to the next. By then others have left, or capacity has
/// come.
const PATIENCE_SECONDS: f64 = 8.0;

/// The fastest growth in a second, as a share of the rate. Where units are known, it is half of
/// that.
///
/// Simulation: three times the capacity is found in ten seconds, and saved-up units are not overrun
/// by far when they end.
const MAX_GROWTH_SHARE: f64 = 0.2;

/// The share of a known rate that is left after a cut: to a sink with next to no part of the known
/// units, less that part, and the minimum of that.
///
/// Simulation: shares even out faster where larger ones are cut more deeply. A quarter is cut by 35
/// %.
pub(super) const SMALL_CUT_FACTOR: f64 = 0.9;
pub(super) const DEEPEST_CUT_FACTOR: f64 = 0.55;

/// The share of the known units above which a sink has no equal beside it.
const EVEN_SHARE: f64 = 0.5;

/// The share of the known units above which a sink is nearly alone: fairness needs no deep cut and
/// no slow growth.
///
/// Simulation: moments in which all is refused then cost little more than their own time.
const LONE_SHARE: f64 = 0.7;

/// The least share that a cut leaves of an unknown rate.
///
/// Simulation: deep and rare cuts waste less than shallow ones.
const CUT_FACTOR: f64 = 0.7;

/// The share that a cut takes off an unknown rate, as a multiple of the share refused in excess.
///
/// Simulation: a few refused in excess, as partitions leave them that are not loaded alike, end at
/// a small cut.
const CUT_PER_EXCESS: f64 = 2.0;

/// The units held back after a cut, in seconds of the rate.
///
/// Simulation: the other sinks see the same shortage for less long. Longer rests of sinks that know
/// the table make their shares differ.
pub(super) const REST_SECONDS: f64 = 0.1;

/// A rate in units a second, and the units that are known to be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    known: Option<f64>,
    /// Infinite where nothing is known, until the first refusals.
    rate: f64,
}

impl Level {
    pub(super) fn new(known: Option<f64>) -> Self {
        Self {
            known,
            rate: known.unwrap_or(f64::INFINITY),
        }
    }

    pub(super) fn rate(self) -> f64 {
        self.rate
    }

    pub(super) fn is_known(self) -> bool {
        self.known.is_some()
    }

    /// Returns whether the rate is at least this share of the known units, or nothing is known.
    pub(super) fn has_share(self, share: f64) -> bool {
        self.known.is_none_or(|known| self.rate >= share * known)
    }

    /// Returns whether a rate is a share of the known units that an equal could have too.
    pub(super) fn may_be_even(self, rate: f64) -> bool {
        self.known.is_some_and(|known| rate <= EVEN_SHARE * known)
    }

    /// Sets the rate, within its bounds.
    pub(super) fn set(&mut self, rate: f64) {
        let most = self.known.unwrap_or(MAX_UNITS_PER_SECOND);
        // Where less than the least is known, that is the least.
        self.rate = rate.max(MIN_UNKNOWN_UNITS_PER_SECOND).min(most);
    }

    /// Goes back to the rate before a cut.
    pub(super) fn restore(&mut self, rate: f64) {
        self.rate = self.known.map_or(rate, |known| rate.min(known));
    }

    /// Sets the known units. Returns the factor by which a remembered rate changes, or `None` if it
    /// is of no use any more.
    ///
    /// If they increase, a rate below the old number stays below it in proportion. If they
    /// decrease, it stays: refusals lower it before a description shows the decrease. A sink that
    /// then has half of them takes all. It is alone, or will be refused at once.
    pub(super) fn set_known(&mut self, known: Option<f64>) -> Option<f64> {
        let old = std::mem::replace(&mut self.known, known);
        let factor = match (old, known) {
            (Some(old), Some(new)) => {
                Some((new / old).max(1.0)).filter(|_| new >= old || self.rate < EVEN_SHARE * new)
            }
            (None, None) => Some(1.0),
            (Some(_), None) | (None, Some(_)) => None,
        };
        match (old, known, factor) {
            (_, Some(new), None) => self.rate = new,
            (_, Some(_), Some(factor)) => self.set(self.rate * factor),
            (Some(old), None, _) if self.rate >= old => self.rate = f64::INFINITY,
            (_, None, _) => {}
        }
        factor
    }

    /// Lets the rate grow for a time. `since_cut` is none before the first cut.
    pub(super) fn grow(&mut self, seconds: f64, since_cut: Option<f64>) {
        if self.rate.is_finite() {
            self.set(self.rate + self.growth(since_cut) * seconds);
        }
    }

    /// Returns the units a second that the rate gains in a second.
    fn growth(self, since_cut: Option<f64>) -> f64 {
        let Some(since_cut) = since_cut else {
            // Doubled in each slot, a sixty-fold capacity is found in 1.5 s.
            return self.rate * LN_2 / SLOT_SECONDS;
        };
        let fastest = MAX_GROWTH_SHARE / 2.0;
        let (usual, most) = match self.known {
            Some(known) if self.rate > LONE_SHARE * known => (fastest * known, fastest),
            Some(known) => (KNOWN_GROWTH_SHARE * known, fastest),
            None => {
                // Where a second has less than a large sample, probes learn too little before the
                // rate is far too high.
                let slow = (self.rate / LARGE_SAMPLE_WRITES).min(1.0);
                (ROOT_GROWTH * self.rate.sqrt() * slow, MAX_GROWTH_SHARE)
            }
        };
        let impatient = (since_cut - PATIENCE_SECONDS).max(0.0);
        (usual * impatient.exp2()).min((most * self.rate).max(usual))
    }

    /// Cuts the rate, of which this share was refused in excess.
    pub(super) fn cut(&mut self, excess: f64) {
        let factor = match self.known {
            Some(known) if self.rate > LONE_SHARE * known => BELOW_CAPACITY_FACTOR,
            Some(known) => (SMALL_CUT_FACTOR - self.rate / known).max(DEEPEST_CUT_FACTOR),
            None => (1.0 - CUT_PER_EXCESS * excess).max(CUT_FACTOR),
        };
        self.set(self.rate * factor);
    }
}
