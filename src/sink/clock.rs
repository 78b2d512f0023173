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
        tokio::time::sleep_until(self.start + time)
    }
}
