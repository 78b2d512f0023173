//! The units a second that a budget is known to have.

use std::time::Duration;

/// The time in which on-demand throughput may double (developer guide, "On-demand capacity mode").
const DOUBLING_SECONDS: f64 = 1800.0;

/// The longest pause in an outage, in which nothing is taken: in it capacity that is granted by the
/// second comes.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The longest wait of writes for enough units to fill their request. Chosen: a refused write waits
/// as long before it is sent again.
pub(super) const MAX_FILL_TIME: Duration = Duration::from_millis(50);

/// The period by which a table may grant its units, in seconds: capacity is in units a second.
///
/// It takes as long to see what is granted, and nothing at all for longer than that is an outage.
pub(super) const CAPACITY_PERIOD_SECONDS: f64 = 1.0;

/// The share of a rate from which on it counts as used. Chosen: a sender that waits for units uses
/// a little less than all.
pub(super) const UTILIZED_RATIO: f64 = 0.9;

/// The least number of units a second that a description means.
///
/// A share of a small table may be below one unit. Zero would stop the sink for good.
const MIN_UNITS_PER_SECOND: f64 = 0.001;

/// The units a second that a budget is known to have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Allowance {
    /// Provisioned units a second, this sink's share of them.
    Provisioned(f64),
    /// Units a second that the service takes on demand, and the maximum where one is set.
    OnDemand { warm: f64, max: f64 },
    /// Nothing. The rate is found from the answers.
    Unknown,
    /// The user's number, whatever is refused.
    Fixed(f64),
    /// No limit, whatever is refused.
    Unlimited,
}

impl Allowance {
    /// Returns whether the user has decided, so that answers change nothing.
    pub(super) fn is_fixed(self) -> bool {
        matches!(self, Self::Fixed(_) | Self::Unlimited)
    }

    fn max(self) -> Option<f64> {
        match self {
            Self::OnDemand { max, .. } => Some(max),
            Self::Provisioned(_) | Self::Unknown | Self::Fixed(_) | Self::Unlimited => None,
        }
    }
}

/// An allowance, and its growth where it is on demand.
#[derive(Debug)]
pub(super) struct KnownUnits {
    allowance: Allowance,
    /// The growth of on-demand throughput since it was described, as a factor.
    grown: f64,
    /// Set once the maximum of an on-demand table was met: it does not grow.
    at_maximum: bool,
}

impl KnownUnits {
    pub(super) fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            grown: 1.0,
            at_maximum: false,
        }
    }

    pub(super) fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// Returns the units a second that are known to be there.
    pub(super) fn per_second(&self) -> Option<f64> {
        let units = match self.allowance {
            Allowance::Provisioned(units) | Allowance::Fixed(units) => units,
            Allowance::OnDemand { warm, max } => (warm * self.grown).min(max),
            Allowance::Unknown | Allowance::Unlimited => return None,
        };
        Some(units.max(MIN_UNITS_PER_SECOND))
    }

    /// Notes that the maximum of an on-demand table was met.
    pub(super) fn met_maximum(&mut self) {
        self.at_maximum = true;
    }

    /// Lets on-demand units grow where so many a second were asked for, for a time, and none were
    /// refused.
    pub(super) fn grow(&mut self, demand: f64, passed: Duration) {
        let used = self
            .per_second()
            .is_some_and(|known| demand >= known * UTILIZED_RATIO);
        if matches!(self.allowance, Allowance::OnDemand { .. }) && used && !self.at_maximum {
            self.grown *= (passed.as_secs_f64().min(1.0) / DOUBLING_SECONDS).exp2();
        }
    }

    /// Takes another allowance. Returns whether it differs.
    pub(super) fn set(&mut self, allowance: Allowance) -> bool {
        if allowance == self.allowance {
            return false;
        }
        let old = self.per_second();
        self.at_maximum &= self.allowance.max() == allowance.max();
        self.grown = match (self.allowance, allowance, old) {
            // It has taken that much already.
            (Allowance::OnDemand { .. }, Allowance::OnDemand { warm, .. }, Some(old)) => {
                (old / warm.max(MIN_UNITS_PER_SECOND)).max(1.0)
            }
            _ => 1.0,
        };
        self.allowance = allowance;
        true
    }
}
