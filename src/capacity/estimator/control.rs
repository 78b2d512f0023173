//! The rate, cut where more is refused than the background explains, and judged by probes.

use super::super::allowance::CAPACITY_PERIOD_SECONDS;
use super::background::{Background, LARGE_SAMPLE_WRITES, MAX_SHARE};
use super::cut::Cuts;
use super::level::Level;
use super::probe::{OF_TAKEN, Probe};

/// The rate after the first refusals within a second of the start, in units a second.
///
/// The documented limit of one partition. What was taken until then would be noise.
const START_UNITS_PER_SECOND: f64 = 1000.0;

/// The share refused in excess after a cut from which on the cut is deepened by it.
const DEEPEN_FROM_EXCESS: f64 = 0.25;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Control {
    created: f64,
    pub(super) level: Level,
    pub(super) background: Background,
    pub(super) cuts: Cuts,
    /// Set if each refusal says that the rate is too high. Those of an index do, since they have
    /// its reason, or have the index in common.
    is_certain: bool,
}

impl Control {
    pub(super) fn new(now: f64, known: Option<f64>, is_certain: bool) -> Self {
        Self {
            created: now,
            level: Level::new(known),
            background: Background::new(),
            cuts: Cuts::new(now, known.is_some()),
            is_certain,
        }
    }

    /// Cuts the rate by as much as a cut ever does, which no probe judges.
    pub(super) fn cut_for_sure(&mut self, now: f64) {
        self.level.cut(1.0);
        self.cuts.force(now);
    }

    /// Goes back to a rate of before. The answers since then say nothing of it.
    pub(super) fn restore(&mut self, now: f64, rate: f64) {
        self.level.restore(rate.max(self.level.rate()));
        self.cuts.undo(now);
    }

    /// Cuts the rate if the answers call for it. Returns whether it did.
    pub(super) fn react(&mut self, now: f64, delivered: f64) -> bool {
        if self.cuts.is_pending() {
            self.watch_cut(now, delivered)
        } else {
            self.score(now, delivered)
        }
    }

    /// Scores the answers. Returns whether that led to a cut.
    fn score(&mut self, now: f64, delivered: f64) -> bool {
        let cause = self.cuts.seen();
        let score = self.background.score(cause);
        if score <= 0.0 {
            self.cuts.forget_seen();
            return false;
        }
        if score < self.threshold() {
            return false;
        }
        let rate = self.level.rate();
        if rate.is_infinite() {
            // A rate to begin with, and no cut yet.
            self.level
                .set(if now - self.created < CAPACITY_PERIOD_SECONDS {
                    START_UNITS_PER_SECOND
                } else {
                    delivered
                });
            self.cuts.forget_sent(now);
            return true;
        }
        self.cuts.begin(now, rate);
        self.level.cut(self.background.excess(cause));
        true
    }

    /// Returns the score from which on the rate is cut.
    fn threshold(&self) -> f64 {
        if self.is_certain || self.may_share_evenly() {
            0.0
        } else {
            self.background.threshold()
        }
    }

    /// Returns whether the sink knows the table, has no more than an equal would have, and has met
    /// no background of refusals.
    ///
    /// Then each refusal is one sink too many at the same time, and all that see it should cut,
    /// which evens their shares out.
    pub(super) fn may_share_evenly(&self) -> bool {
        self.background.is_none() && self.level.may_be_even(self.level.rate())
    }

    /// Watches the pending cut before a probe judges it. Returns whether the rate fell further.
    fn watch_cut(&mut self, now: f64, delivered: f64) -> bool {
        // Sinks that know the table may then cut again, the larger ones more often, which evens
        // their shares out.
        let before = self.cuts.rate_before();
        if before.is_some_and(|rate| self.level.may_be_even(rate))
            && self.cuts.has_helped(now, self.background)
        {
            self.cuts.uphold(now);
            return false;
        }
        let is_known = self.level.is_known();
        if !self.cuts.take_far_too_fast(now, self.background, is_known) {
            return false;
        }
        let refused = self.cuts.seen().share();
        let rate = self.level.rate();
        let taken = delivered.max((1.0 - refused) * rate);
        self.level.set(rate.min(OF_TAKEN * taken));
        if refused > MAX_SHARE {
            self.cuts.uphold(now);
        }
        true
    }

    /// Judges by a probe that is over. It shows the background share, and with it whether the
    /// pending cut was right.
    pub(super) fn judge(&mut self, now: f64, probe: Probe) {
        if probe.seen.is_whole() {
            return;
        }
        let after = self.cuts.seen();
        let mut clean = probe.seen;
        if self.cuts.is_pending()
            && clean.sent >= LARGE_SAMPLE_WRITES
            && self.background.agree(clean, after)
        {
            // The answers after the cut say the same, more exactly.
            clean.add(after);
        }
        let around = self.cuts.is_pending().then(|| self.cuts.around());
        self.background.learn(clean, probe.seen.sent, around);
        if !self.may_share_evenly()
            && self.cuts.is_explained_by(self.background)
            && let Some(rate) = self.cuts.rate_before()
        {
            self.restore(now, rate);
        } else {
            self.deepen();
            self.cuts.uphold(now);
        }
    }

    /// Deepens the pending cut, if there is one, where as much is refused after it.
    pub(super) fn deepen(&mut self) {
        let excess = self.background.certain_excess(self.cuts.seen());
        if self.cuts.is_pending() && excess > DEEPEN_FROM_EXCESS {
            self.level
                .set(self.level.rate() * (1.0 - excess) * OF_TAKEN);
        }
    }
}
