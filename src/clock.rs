//! The one place that reads the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, Sleep};

/// Time since a sink or a source was opened. Follows tokio's clock, so that paused tests decide it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    started: SystemTime,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
            started: SystemTime::now(),
        }
    }

    pub(crate) fn now(self) -> Duration {
        self.start.elapsed()
    }

    /// Returns the time of day at which this clock was started, since 1970.
    pub(crate) fn opened(self) -> Duration {
        self.started
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
    }

    /// The time of day, by tokio's clock since the start: for ages of what carries one.
    pub(crate) fn time_of_day(self) -> SystemTime {
        self.started + self.now()
    }

    /// Sleeps until a time of this clock.
    pub(crate) fn until(self, time: Duration) -> Sleep {
        let far = Duration::from_secs(365 * 24 * 60 * 60);
        let time = self
            .start
            .checked_add(time)
            .unwrap_or(self.start + self.now() + far);
        tokio::time::sleep_until(time)
    }
}
