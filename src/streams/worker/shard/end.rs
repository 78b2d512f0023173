//! The end of a shard, as far as reading has shown it.

use std::time::Duration;

/// The pages without another, in a row, after which a shard may be at its end.
const ENDS_NEEDED: u32 = 2;

/// The state of a shard's end. A single page without another proves nothing: the end is *suspected*
/// by one, *confirmed* by two in a row, and *reached* once the listing agrees or a read says so.
#[derive(Debug, Default)]
pub(super) struct EndOfShard {
    reached: bool,
    /// The pages in a row that had no other behind them.
    pages: u32,
    /// The time until which a guard of the shard's end is waited for.
    finish_by: Option<Duration>,
}

impl EndOfShard {
    /// Returns whether the shard has been read to its end.
    pub(super) fn is_reached(&self) -> bool {
        self.reached
    }

    /// Returns whether the last page had no other behind it.
    pub(super) fn is_suspected(&self) -> bool {
        self.pages > 0
    }

    /// Returns whether enough pages had no other behind them, and the end is not reached yet.
    pub(super) fn is_confirmed(&self) -> bool {
        !self.reached && self.pages >= ENDS_NEEDED
    }

    /// Returns whether a listing may show that a suspected end is one.
    pub(super) fn waits_for_listing(&self) -> bool {
        self.is_suspected() && !self.reached
    }

    /// Notes a page; `is_last` where it has no other behind it.
    pub(super) fn page(&mut self, is_last: bool) {
        self.pages = if is_last {
            self.pages.saturating_add(1)
        } else {
            0
        };
    }

    /// Notes that the shard has been read to its end.
    pub(super) fn reach(&mut self) {
        self.reached = true;
    }

    /// Returns the time until which a guard of the end is waited for: this long from the first call.
    pub(super) fn finish_within(&mut self, now: Duration, drain: Duration) -> Duration {
        *self.finish_by.get_or_insert(now + drain)
    }

    pub(super) fn finish_by(&self) -> Option<Duration> {
        self.finish_by
    }
}
