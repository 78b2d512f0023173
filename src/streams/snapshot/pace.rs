//! When the next page may be scanned, and how many items it may hold.
//!
//! `capacity::bucket` is the sink's and never gives more at once than its burst, in whole units; a page of a scan takes what it takes, which
//! only its answer tells. So this keeps one number: when all that was taken so far has been paid for.

use std::time::Duration;

/// Items that the first page asks for, before anything is known of their size.
const FIRST: usize = 16;
/// Read units of a page, before anything is known: those of 16 items of 4 KB.
const FIRST_UNITS: f64 = 16.0;
/// A page holds 1 MB at most (API reference of `Scan`): strongly consistent reads of 4 KB.
const FULL_PAGE_UNITS: f64 = 256.0;

#[derive(Debug)]
pub(super) struct Pace {
    /// Units a second.
    rate: f64,
    paid: Duration,
    /// Units that an item takes, as the last answer has it.
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

    /// When the next page may be asked for.
    pub(super) fn due(&self) -> Duration {
        self.paid
    }

    /// How many items to ask for: no more than a second's units bring, if they are like those before.
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

    /// A page is asked for: what it will probably take. To be told when it is answered.
    pub(super) fn sent(&mut self, now: Duration) -> f64 {
        let predicted = match self.units_per_item {
            Some(_) => self.rate.min(FULL_PAGE_UNITS),
            None => FIRST_UNITS,
        };
        self.paid = self.paid.max(now) + self.time(predicted);
        predicted
    }

    /// What was predicted of a page is known: what it took, and how many items it brought.
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
        /// Pages follow one another as fast as they may; each takes what nobody foresaw.
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
