//! The one place that reads the time.

use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Time since the sink was opened. Follows tokio's clock, so that paused tests decide it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(super) fn now(self) -> Duration {
        self.start.elapsed()
    }

    /// Sleeps until a time of this clock.
    pub(super) fn until(self, time: Duration) -> Sleep {
        let far = Duration::from_secs(365 * 24 * 60 * 60);
        let time = self
            .start
            .checked_add(time)
            .unwrap_or(self.start + self.now() + far);
        tokio::time::sleep_until(time)
    }
}
