//! Whether refusals come of the rate at all.
//!
//! Where nothing is known of a table, refusals may have another cause than too high a rate: a few keys
//! that share a partition, a fault of the service. Slower and slower writes would not end them, and
//! starve the others. A table that is short of capacity refuses far less after the rate was cut by a
//! fifth; where as much is refused as before, the rate was not to blame.

use std::time::Duration;

/// The share of refusals up to which there is doubt: a table of which so much more is asked than it
/// has is short.
const MOST: f64 = 0.1;

/// What the rate must have been cut to for the comparison.
const CUT_TO: f64 = 0.8;

/// For how long the rate is then not blamed, unless far more is refused.
const TRUST: Duration = Duration::from_secs(60);

/// The longest between refusals that are compared.
const APART: Duration = Duration::from_secs(10);

/// What refusals say of the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is too high.
    Guilty,
    /// It has been found not to be the cause.
    Innocent,
    /// That has just been found: what was cut comes back.
    Acquitted,
}

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doubt {
    first: Option<Refused>,
    trusted: Option<Refused>,
}

/// Which share was refused, at which rate, and when.
#[derive(Clone, Copy, Debug)]
struct Refused {
    at: Duration,
    rate: f64,
    ratio: f64,
}

impl Doubt {
    pub(super) fn judge(&mut self, now: Duration, rate: f64, ratio: f64) -> Verdict {
        if ratio > MOST {
            *self = Self::default();
            return Verdict::Guilty;
        }
        if let Some(trusted) = self.trusted {
            if now.saturating_sub(trusted.at) < TRUST && ratio <= trusted.ratio * 2.0 {
                return Verdict::Innocent;
            }
            self.trusted = None;
        }
        let seen = Refused {
            at: now,
            rate,
            ratio,
        };
        match self.first {
            Some(first) if now.saturating_sub(first.at) < APART && ratio > first.ratio / 2.0 => {
                if rate <= first.rate * CUT_TO {
                    self.first = None;
                    self.trusted = Some(seen);
                    return Verdict::Acquitted;
                }
            }
            _ => self.first = Some(seen),
        }
        Verdict::Guilty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(at: u64) -> Duration {
        Duration::from_secs(at)
    }

    #[test]
    fn what_a_cut_does_not_change_is_not_the_rates_fault() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.judge(second(1), 100.0, 0.02), Verdict::Guilty);
        assert_eq!(doubt.judge(second(2), 95.0, 0.02), Verdict::Guilty);
        assert_eq!(doubt.judge(second(3), 79.0, 0.018), Verdict::Acquitted);
        assert_eq!(doubt.judge(second(4), 500.0, 0.03), Verdict::Innocent);
        assert_eq!(doubt.judge(second(5), 500.0, 0.05), Verdict::Guilty);
    }

    #[test]
    fn what_a_cut_mends_is() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.judge(second(1), 100.0, 0.08), Verdict::Guilty);
        assert_eq!(doubt.judge(second(3), 85.0, 0.01), Verdict::Guilty);
        assert_eq!(doubt.judge(second(4), 100.0, 0.3), Verdict::Guilty);
        assert_eq!(doubt.judge(second(5), 50.0, 0.3), Verdict::Guilty);
    }

    #[test]
    fn trust_ends() {
        let mut doubt = Doubt::default();
        doubt.judge(second(1), 100.0, 0.02);
        assert_eq!(doubt.judge(second(2), 80.0, 0.02), Verdict::Acquitted);
        assert_eq!(doubt.judge(second(61), 100.0, 0.02), Verdict::Innocent);
        assert_eq!(doubt.judge(second(63), 100.0, 0.02), Verdict::Guilty);
    }
}
