//! The one place of the benchmarks where clocks are read.

use std::time::{Duration, Instant, SystemTime};

use aws_smithy_types::date_time::{DateTime, Format};
use rustix::time::{ClockId, clock_gettime};

pub(crate) fn http_date() -> String {
    DateTime::from(now())
        .fmt(Format::HttpDate)
        .expect("the present is an HTTP date")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark is where the clock is read"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark is where the clock is read"
)]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// What this process has used, user and system.
pub(crate) fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("CPU time is not negative")
}

/// Keeps the thread until `time`. The system's timers are some 60 us late; tokio's round up to
/// whole milliseconds, which is why those don't do here.
pub(crate) fn sleep_until(time: Instant) {
    let left = time.saturating_duration_since(instant());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
