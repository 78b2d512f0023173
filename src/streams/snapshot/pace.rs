//! The time of the next page of a scan, and the number of its items.
//!
//! `capacity::bucket` belongs to the sink and never gives more at once than its burst, in whole
//! units. The units that a page of a scan takes are known only from its answer. So this keeps one
//! number: the time at which all units taken so far are paid for.

use std::time::Duration;

/// The items that a page requests before their size is known.
const FIRST: usize = 16;
/// The read units predicted for a page before any answer: those of 16 items of 4 KB.
const FIRST_UNITS: f64 = 16.0;
/// The read units of a page of 1 MB, its largest size (API reference of `Scan`): strongly
/// consistent reads of 4 KB.
const FULL_PAGE_UNITS: f64 = 256.0;

#[derive(Debug)]
pub(super) struct Pace {
    /// Units a second.
    rate: f64,
    paid: Duration,
    /// The units that an item takes, from the last answer.
    units_per_item: Option<f64>,
}

impl Pace {
    pub(super) fn new(units: usize) -> Self {
        Self {
            rate: u32::try_from(units).map_or(f64::MAX, f64::from).max(1.0),
            paid: Duration::ZERO,
            units_per_item: None,
        }
    }

    /// Returns when the next page may be requested.
    pub(super) fn due(&self) -> Duration {
        self.paid
    }

    /// Returns the number of items to request: at most one second's units, if like those before.
    pub(super) fn limit(&self) -> usize {
        let Some(each) = self.units_per_item else {
            return FIRST;
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what fits"
        )]
        let items = (self.rate / each.max(0.001)).clamp(1.0, 1_000_000.0) as usize;
        items
    }

    /// Charges a page that is requested with the units that it will probably take. Returns them for
    /// [`answered`](Self::answered).
    pub(super) fn sent(&mut self, now: Duration) -> f64 {
        let predicted = match self.units_per_item {
            Some(_) => self.rate.min(FULL_PAGE_UNITS),
            None => FIRST_UNITS,
        };
        self.paid = self.paid.max(now) + self.time(predicted);
        predicted
    }

    /// Replaces the prediction for a page by the units that it took, for this number of items.
    pub(super) fn answered(&mut self, predicted: f64, units: f64, items: usize) {
        let more = units - predicted;
        self.paid = if more >= 0.0 {
            self.paid + self.time(more)
        } else {
            self.paid.saturating_sub(self.time(-more))
        };
        if let Ok(items) = u32::try_from(items)
            && items > 0
        {
            self.units_per_item = Some(units / f64::from(items));
        }
    }

    fn time(&self, units: f64) -> Duration {
        Duration::try_from_secs_f64(units / self.rate).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Pages follow one another as fast as they may. Each takes units that were not predicted.
        #[test]
        fn over_time_no_more_units_are_taken_than_the_budget_has(
            rate in 1_usize..5_000,
            pages in prop::collection::vec((1.0_f64..300.0, 1_usize..2_000), 1..100),
        ) {
            let mut pace = Pace::new(rate);
            let mut now = Duration::ZERO;
            let mut taken = 0.0;
            for (units, items) in pages {
                now = now.max(pace.due());
                let allowed = now.as_secs_f64() * f64::from(u32::try_from(rate).unwrap());
                prop_assert!(taken <= allowed + 1.0, "{} of {}", taken, allowed);
                let predicted = pace.sent(now);
                pace.answered(predicted, units, items);
                prop_assert!(pace.limit() >= 1);
                taken += units;
            }
        }
    }
}
