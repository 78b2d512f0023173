//! The time of a lookup operator's last success.

use std::time::Duration;

use crate::clock::Clock;

/// The time after which a lookup that fails while others succeed is warned of, and between two
/// warnings.
const WARN_AFTER: Duration = Duration::from_secs(60);

/// The time of the stage, and of its last lookup that was answered: a key that goes on failing is
/// worth a line only where others do not.
pub(super) struct Successes {
    clock: Clock,
    last: Duration,
}

impl Successes {
    pub(super) fn start() -> Self {
        Self {
            clock: Clock::start(),
            last: Duration::ZERO,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Notes a lookup that was answered.
    pub(super) fn note(&mut self) {
        self.last = self.clock.now();
    }

    /// Returns whether a key that has failed since then, and was last warned of then, is to be warned
    /// of now.
    pub(super) fn is_warning_due(&self, since: Duration, warned: Duration) -> bool {
        self.last > since && self.now().saturating_sub(warned) >= WARN_AFTER
    }
}
