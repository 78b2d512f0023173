//! The share of writes that is refused whatever is sent.

/// The largest background share that is measured. More is treated as a lack of capacity.
///
/// Chosen above the 50 % that C4 promises, so that noise in a measured 50 % is not cut off.
pub(super) const MAX_SHARE: f64 = 0.6;

/// The number of writes from which on a sample is large: its share alone decides.
///
/// It is also the weight of "no refusals at all" at the start, which the first probe outweighs, and
/// the most refused writes that are remembered to be given back: four batches, so that what one has
/// too many the next may have too few. Chosen: a standard error of one point at a share of 1 %.
pub(super) const LARGE_SAMPLE_WRITES: f64 = 100.0;

/// The number of probes that the share is averaged over.
///
/// Simulation: a standard error of one point at 1,000 units a second and a share of 30 %.
const AVERAGED_PROBES: f64 = 10.0;

/// The excess over the background share that is tolerated, in shares of the writes.
///
/// Simulation: below it, noise leads to cuts; far above it, that much of an overload stays.
const MIN_MARGIN: f64 = 0.005;

/// The same, in standard errors of the measured share. At twice that a probe contradicts the
/// average.
///
/// Simulation; one probe in some hundred is three standard errors off by chance.
const MARGIN_STANDARD_ERRORS: f64 = 1.5;

/// The least number of refused writes in excess that counts.
///
/// Chosen: a single refusal says nothing.
const MIN_EXCESS_WRITES: f64 = 2.0;

/// The evidence beyond that, as the logarithm of the odds.
///
/// By Wald's approximation, independent refusals reach it in one of e^(2 × 5) excursions.
const EVIDENCE_LOG_ODDS: f64 = 5.0;

/// Writes sent, and how many of them were refused.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::capacity) struct Tally {
    pub(in crate::capacity) sent: f64,
    pub(in crate::capacity) refused: f64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.refused += other.refused;
    }

    pub(super) fn share(self) -> f64 {
        if self.sent > 0.0 {
            self.refused / self.sent
        } else {
            0.0
        }
    }

    pub(super) fn is_whole(self) -> bool {
        self.refused >= self.sent
    }
}

/// Refused writes that the background explains, and that were not given back yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refunds {
    writes: f64,
}

impl Refunds {
    /// Returns the share of the refused writes of an answer to be given back. `background` and
    /// `lone` are the shares refused whatever is sent: singly, and in requests refused alone.
    pub(super) fn take(&mut self, of: Tally, background: f64, lone: f64) -> f64 {
        let share = 1.0 - (1.0 - background) * (1.0 - lone);
        self.writes = (self.writes + share * of.sent).min(LARGE_SAMPLE_WRITES);
        let refund = of.refused.min(self.writes);
        self.writes -= refund;
        refund / of.refused.max(1.0)
    }
}

/// The measured background share, and the number of writes that the measurement rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Background {
    share: f64,
    writes: f64,
}

impl Background {
    pub(super) fn new() -> Self {
        Self {
            share: 0.0,
            writes: LARGE_SAMPLE_WRITES,
        }
    }

    pub(super) fn share(self) -> f64 {
        self.share
    }

    /// Returns whether there is none.
    pub(super) fn is_none(self) -> bool {
        self.share <= 0.0
    }

    /// Returns the variance of one write's outcome. It is never quite zero: one refusal and one
    /// success are added to what was seen.
    fn variance(self) -> f64 {
        let share = (self.share * self.writes + 1.0) / (self.writes + 2.0);
        share * (1.0 - share)
    }

    fn margin(self) -> f64 {
        let error = (self.variance() / self.writes).sqrt();
        (MARGIN_STANDARD_ERRORS * error).max(MIN_MARGIN)
    }

    /// Returns the score from which on the rate counts as too high.
    pub(super) fn threshold(self) -> f64 {
        MIN_EXCESS_WRITES + EVIDENCE_LOG_ODDS * self.variance() / self.margin()
    }

    /// Returns the number of refused writes beyond those that the background share explains.
    pub(super) fn score(self, seen: Tally) -> f64 {
        seen.refused - (self.share + self.margin()) * seen.sent
    }

    /// Returns the share of the writes not refused by the background that was refused for lack of
    /// capacity.
    pub(super) fn excess(self, seen: Tally) -> f64 {
        (seen.share() - self.share) / (1.0 - self.share)
    }

    /// Returns the least of that share that is certain.
    pub(super) fn certain_excess(self, seen: Tally) -> f64 {
        let certain = self.score(seen) - self.threshold();
        (certain / (seen.sent * (1.0 - self.share))).clamp(0.0, 0.95)
    }

    /// Returns whether two shares differ by no more than chance explains.
    pub(super) fn agree(self, one: Tally, other: Tally) -> bool {
        let distance = one.share() - other.share();
        let variance = self.variance().max(one.share() * (1.0 - one.share()));
        distance * distance <= 4.0 * variance * (1.0 / one.sent + 1.0 / other.sent.max(1.0))
    }

    /// Takes in a probe.
    ///
    /// A usual one is averaged. A far lower share is believed at once. A far higher one may be an
    /// overload that the probe was too high for. It is believed only up to the share that was
    /// refused around a cut, which the cut then did not change.
    pub(super) fn learn(&mut self, probe: Tally, of_probe: f64, around_cut: Option<Tally>) {
        let miss = probe.refused - self.share * probe.sent;
        let variance = self.variance() * probe.sent * (1.0 + probe.sent / self.writes);
        if miss * miss <= (2.0 * MARGIN_STANDARD_ERRORS).powi(2) * variance + 1.0 {
            let most = (AVERAGED_PROBES * of_probe).max(probe.sent);
            self.writes = (self.writes + probe.sent).min(most);
            self.share += miss / self.writes;
        } else if miss < 0.0 {
            *self = Self {
                share: probe.share(),
                writes: probe.sent,
            };
        } else if let Some(around) = around_cut {
            *self = Self {
                share: probe.share().min(around.share()),
                writes: probe.sent,
            };
        }
        self.share = self.share.clamp(0.0, MAX_SHARE);
    }
}
