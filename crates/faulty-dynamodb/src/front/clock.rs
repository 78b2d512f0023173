//! The one place that reads the time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use tokio::time::Instant;

use crate::store::streams::Moment;

/// The service's clock: the wall clock at its start, moved on by tokio's time, and set forward or
/// back at will. Under paused time it stands and jumps with the runtime.
#[derive(Debug)]
pub(crate) struct Clock {
    wall: Duration,
    start: Instant,
    skew_millis: AtomicI64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            wall,
            start: Instant::now(),
            skew_millis: AtomicI64::new(0),
        }
    }

    /// Time since the fake was made, by tokio's clock.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.start)
    }

    /// The moment of tokio's clock at this time since the fake was made.
    pub(crate) fn instant(&self, elapsed: Duration) -> Instant {
        self.start + elapsed
    }

    pub(crate) fn set_skew_millis(&self, millis: i64) {
        self.skew_millis.store(millis, Ordering::Relaxed);
    }

    /// Milliseconds since 1970, skewed.
    pub(crate) fn unix_millis(&self) -> i64 {
        let millis = i64::try_from((self.wall + self.elapsed()).as_millis()).unwrap_or(i64::MAX);
        millis.saturating_add(self.skew_millis.load(Ordering::Relaxed))
    }

    /// Now, by tokio's clock and by the wall's.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            now: self.elapsed(),
            unix_millis: self.unix_millis(),
        }
    }

    /// Seconds since 1970, as DynamoDB writes times.
    pub(crate) fn unix_seconds(&self) -> f64 {
        Duration::from_millis(u64::try_from(self.unix_millis()).unwrap_or(0)).as_secs_f64()
    }

    /// The content of a `Date` header.
    pub(crate) fn http_date(&self) -> String {
        DateTime::from_secs(self.unix_millis().div_euclid(1000))
            .fmt(DateTimeFormat::HttpDate)
            .unwrap_or_default()
    }

    /// Returns the distance of a request's `X-Amz-Date` (`20250131T235959Z`) from this clock.
    pub(crate) fn distance(&self, amz_date: &str) -> Option<Duration> {
        let part = |from: usize, to: usize| amz_date.get(from..to);
        let text = format!(
            "{}-{}-{}T{}:{}:{}Z",
            part(0, 4)?,
            part(4, 6)?,
            part(6, 8)?,
            part(9, 11)?,
            part(11, 13)?,
            part(13, 15)?
        );
        let date = DateTime::from_str(&text, DateTimeFormat::DateTime).ok()?;
        let millis = date.to_millis().ok()?;
        Some(Duration::from_millis(self.unix_millis().abs_diff(millis)))
    }
}
