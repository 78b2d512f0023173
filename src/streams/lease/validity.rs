//! The time for which a lease is valid, and when its next write is due for that alone.

use std::time::Duration;

/// The time by which work on a lease ends before others may take the lease: timers are not exact.
pub(super) const MARGIN: Duration = Duration::from_millis(50);

/// The validity of a lease, from the times of its writes.
#[derive(Debug)]
pub(super) struct Validity {
    failover: Duration,
    /// Set where no other worker can take the lease.
    lasts: bool,
    /// The time at which the last accepted write was sent.
    renewed: Duration,
    /// The time at which the last write was sent, accepted or not.
    tried: Duration,
    /// The failed writes since the last one that was answered.
    failures: u32,
}

impl Validity {
    /// Returns the validity of a lease that a write sent at `taken` took.
    pub(super) fn new(taken: Duration, failover: Duration) -> Self {
        Self {
            failover,
            lasts: false,
            renewed: taken,
            tried: taken,
            failures: 0,
        }
    }

    /// Returns the validity of a lease that never lapses.
    pub(super) fn lasting(self) -> Self {
        Self {
            lasts: true,
            ..self
        }
    }

    /// Returns when the lease lapses, unless a write is accepted before.
    pub(super) fn until(&self) -> Duration {
        if self.lasts {
            return Duration::MAX;
        }
        self.renewed + self.failover.saturating_sub(MARGIN)
    }

    /// Returns when to write again after a failure, or `None` where the last write was answered.
    pub(super) fn retry_due(&self) -> Option<Duration> {
        // Several attempts fit in before the failover time ends and the lease lapses.
        let pause = self.failover / 20 * self.failures.min(2);
        self.has_failed().then(|| self.tried + pause)
    }

    /// Returns when to renew the lease.
    pub(super) fn renewal_due(&self) -> Duration {
        self.renewed + self.failover / 3
    }

    /// Returns whether the last write failed, and may have been applied all the same.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Notes that a write sent at `sent` was accepted.
    pub(super) fn accepted(&mut self, sent: Duration) {
        self.renewed = sent;
        self.tried = sent;
        self.failures = 0;
    }

    /// Notes that a write sent at `sent` failed.
    pub(super) fn failed(&mut self, sent: Duration) {
        self.tried = sent;
        self.failures += 1;
    }

    /// Notes that a write sent at `sent` was refused. Failures before it still count, until
    /// [`explained`](Self::explained).
    pub(super) fn refused(&mut self, sent: Duration) {
        self.tried = sent;
    }

    /// Notes that the row showed what became of the failed writes.
    pub(super) fn explained(&mut self) {
        self.failures = 0;
    }
}
