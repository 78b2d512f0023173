//! The level of an on-demand table: the units that it takes at the moment, which grow with use.

use std::time::Duration;

/// Time in which a table that is used up doubles what it takes (AWS: "On-demand capacity mode",
/// throttled above twice the previous peak within 30 minutes).
const DOUBLING: f64 = 30.0 * 60.0;
/// Share of the level from which on the table counts as used up.
const UTILIZED_RATIO: f64 = 0.9;
/// The grain in which use is looked at: long enough that a burst in it is no lasting use.
const WINDOW: Duration = Duration::from_secs(10);

/// The level of an on-demand table.
#[derive(Clone, Debug)]
pub(super) struct Level {
    units: f64,
    max: Option<f64>,
    window: Duration,
    /// The units that the table had consumed when the window began.
    consumed: f64,
}

impl Level {
    pub(super) fn new(units: f64, now: Duration) -> Self {
        Self {
            units,
            max: None,
            window: now,
            consumed: 0.0,
        }
    }

    /// Returns the units that the table's partitions can take together.
    pub(super) fn units(&self) -> f64 {
        self.units
    }

    /// Returns the part of it that is allowed.
    pub(super) fn allowed(&self) -> f64 {
        self.max.map_or(self.units, |max| max.min(self.units))
    }

    /// Returns whether the maximum that the owner set holds the table back, not the level.
    pub(super) fn at_max(&self) -> bool {
        self.max.is_some_and(|max| max <= self.units)
    }

    pub(super) fn set_max(&mut self, max: Option<f64>) {
        self.max = max;
    }

    /// Lifts the level to at least this.
    pub(super) fn lift(&mut self, units: f64) {
        self.units = self.units.max(units);
    }

    /// Begins to watch at this time.
    pub(super) fn watch_from(&mut self, now: Duration, consumed: f64) {
        self.window = now;
        self.consumed = consumed;
    }

    /// The end of the window that is over at this time, if one is.
    pub(super) fn window_over(&self, now: Duration) -> Option<Duration> {
        let end = self.window + WINDOW;
        (end <= now).then_some(end)
    }

    /// Ends the window that is over: grows after one that was used up, and skips the idle ones
    /// that follow one.
    pub(super) fn end_window(&mut self, now: Duration, consumed: f64) {
        let used = consumed - self.consumed;
        let seconds = WINDOW.as_secs_f64();
        if used >= UTILIZED_RATIO * self.units * seconds {
            let grown = self.units * (seconds / DOUBLING).exp2();
            self.units = grown.min(self.max.map_or(grown, |max| max.max(self.units)));
        }
        self.consumed = consumed;
        self.window += WINDOW;
        let idle = now.saturating_sub(self.window).as_secs() / WINDOW.as_secs();
        self.window += WINDOW * u32::try_from(idle).unwrap_or(u32::MAX);
    }
}
