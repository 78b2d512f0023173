//! A limit that is lowered by a little and comes back.
//!
//! It caps a burst at what partitions take, and a hot key at what its partition takes. After a cut
//! it goes back to where it was by the cubic function of CUBIC (RFC 9438): at first fast, at last
//! slowly, and then beyond, ever faster.

use std::time::Duration;

/// The share that a cut takes off a ceiling.
///
/// Chosen small: every search for the right rate causes refusals of other keys in the same
/// partition.
pub(super) const CUT_SHARE: f64 = 0.1;

/// The least time between two cuts. Chosen: by then the writes that were refused have been sent
/// again.
pub(super) const MIN_CUT_INTERVAL: Duration = Duration::from_millis(250);

/// The factor of the cubic function, for a ceiling of 1, in 1 / s³.
///
/// Chosen: after a usual cut a ceiling is back in 4.4 s. The table's other users may do something
/// else by then.
const CUBIC_FACTOR: f64 = 0.0012;

/// The share of itself that a ceiling grows by each second beyond what was too much. Chosen: the
/// partition's neighbors must not suffer from each attempt.
const BEYOND_SHARE: f64 = 0.01;

/// The seconds after which growth beyond goes ever faster: capacity has come.
const PATIENCE_SECONDS: f64 = 15.0;

/// See the module's documentation. In units a second.
#[derive(Clone, Debug)]
pub(super) struct Ceiling {
    cut_at: Duration,
    /// The limit before the cut, and after it.
    from: f64,
    floor: f64,
}

impl Ceiling {
    /// Creates a ceiling of `from`, cut by this share of it.
    pub(super) fn new(now: Duration, from: f64, cut_share: f64) -> Self {
        Self {
            cut_at: now,
            from,
            floor: from * (1.0 - cut_share),
        }
    }

    pub(super) fn cut_at(&self) -> Duration {
        self.cut_at
    }

    /// Returns the limit at a time.
    pub(super) fn at(&self, now: Duration) -> f64 {
        let since = now.saturating_sub(self.cut_at).as_secs_f64();
        let steepness = self.from.max(1.0) * CUBIC_FACTOR;
        let back_after = ((self.from - self.floor) / steepness).cbrt();
        let after = since - back_after;
        if after < 0.0 {
            return self.from + steepness * after.powi(3);
        }
        let impatient = (after - PATIENCE_SECONDS).max(0.0);
        self.from * (1.0 + BEYOND_SHARE * after) + steepness * impatient.powi(3)
    }
}
