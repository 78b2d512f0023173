//! A cut that no probe has judged yet.

use super::background::{Background, MAX_SHARE, Tally};
use super::probe::SLOT_SECONDS;

/// The number of writes from which on a sample is large: its share alone decides.
pub(super) const LARGE_SAMPLE_WRITES: f64 = 100.0;

/// The seconds after a cut without a probe in which refusals may end by it.
///
/// Simulation, as the two below.
const QUIET_SECONDS: f64 = 0.2;

/// The share refused after a cut, as a ratio to the share before it, up to which the cut has ended
/// refusals.
const QUIET_RATIO: f64 = 0.25;

/// The largest background share at which a cut of known units is judged without a probe.
const MAX_QUIET_SHARE: f64 = 0.02;

/// The share refused after a cut of a known rate at which it falls to what is taken at once. Where nothing
/// is known, it is the largest share that a background may have.
///
/// Simulation: sinks that begin together at all known units then find their shares in seconds.
const FAR_KNOWN_SHARE: f64 = 0.3;

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingCut {
    /// The rate before it.
    rate: f64,
    /// The answers that led to it.
    cause: Tally,
    /// Set if it was deepened before it was judged.
    deepened: bool,
}

impl PendingCut {
    pub(super) fn new(rate: f64, cause: Tally) -> Self {
        Self {
            rate,
            cause,
            deepened: false,
        }
    }

    /// Returns the rate before it.
    pub(super) fn rate(self) -> f64 {
        self.rate
    }

    /// Returns this cut with its rate multiplied.
    pub(super) fn scaled(self, factor: f64) -> Self {
        Self {
            rate: self.rate * factor,
            ..self
        }
    }

    /// Returns the answers that led to it, and those after it.
    pub(super) fn around(self, after: Tally) -> Tally {
        let mut around = self.cause;
        around.add(after);
        around
    }

    /// Returns whether the background explains the refusals that led to it.
    pub(super) fn is_explained_by(self, background: Background) -> bool {
        background.score(self.cause) <= background.threshold() / 2.0
    }

    /// Returns whether it has surely ended the refusals, `seconds` after it.
    pub(super) fn has_helped(self, background: Background, seconds: f64, after: Tally) -> bool {
        background.share() <= MAX_QUIET_SHARE
            && seconds > QUIET_SECONDS
            && after.share() <= QUIET_RATIO * self.cause.share()
    }

    /// Returns whether so much is refused, `seconds` after it, that there is no time to wait for a
    /// probe. That is so once for each cut.
    pub(super) fn take_far_too_fast(
        &mut self,
        background: Background,
        is_known: bool,
        seconds: f64,
        after: Tally,
    ) -> bool {
        let far = if is_known && background.share() <= MAX_QUIET_SHARE {
            FAR_KNOWN_SHARE
        } else {
            MAX_SHARE
        };
        let is = !self.deepened
            && seconds >= SLOT_SECONDS
            && after.sent >= LARGE_SAMPLE_WRITES
            && !after.is_whole()
            && after.share() > far;
        self.deepened |= is;
        is
    }
}
