//! The clock's skew: learned from answers that refuse a signature, applied to later signatures.
//!
//! The SDK's orchestrator corrects its own clock. This is for the direct way, and to separate
//! refusals that a corrected clock cures from those that nothing cures.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// The least skew for which a signature is refused: closer clocks are not the cause. DynamoDB takes
/// signatures of up to five minutes; the SDK's threshold is the same four (aws-runtime 1.10,
/// `service_clock_skew.rs`).
const MIN_REFUSED_SKEW: Duration = Duration::from_secs(4 * 60);

/// The time by which the service's clock is ahead of this machine's, in milliseconds.
#[derive(Debug)]
pub(super) struct Skew {
    millis: AtomicI64,
    corrects: bool,
}

impl Skew {
    /// Returns no skew so far, and never any if the client's configuration has correction disabled.
    pub(super) fn new(corrects: bool) -> Self {
        Self {
            millis: AtomicI64::new(0),
            corrects,
        }
    }

    /// Returns the time to sign with.
    pub(super) fn apply(&self, now: SystemTime) -> SystemTime {
        let millis = self.millis.load(Ordering::Relaxed);
        shift(now, millis)
    }

    /// Returns whether the signature was off by the answer's date so far that it was refused for
    /// that: the next one will be right.
    pub(super) fn explains(&self, answered_at: &str, signed_at: SystemTime) -> bool {
        self.corrects
            && parse_http_date(answered_at).is_some_and(|server| {
                millis_between(signed_at, server).unsigned_abs() > min_refused_millis()
            })
    }

    /// Learns the service's time from the date of an answer, `now` being ours, uncorrected.
    pub(super) fn learn(&self, answered_at: &str, now: SystemTime) {
        if self.corrects
            && let Some(server) = parse_http_date(answered_at)
        {
            self.set(server, now);
        }
    }

    /// Takes over a skew that is already known: `server` is the corrected `now`.
    pub(super) fn set(&self, server: SystemTime, now: SystemTime) {
        if self.corrects {
            self.millis
                .store(millis_between(now, server), Ordering::Relaxed);
        }
    }
}

fn min_refused_millis() -> u64 {
    u64::try_from(MIN_REFUSED_SKEW.as_millis()).unwrap_or(u64::MAX)
}

fn millis_between(from: SystemTime, to: SystemTime) -> i64 {
    match to.duration_since(from) {
        Ok(ahead) => i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX),
        Err(behind) => -i64::try_from(behind.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

fn shift(time: SystemTime, millis: i64) -> SystemTime {
    let by = Duration::from_millis(millis.unsigned_abs());
    let shifted = if millis >= 0 {
        time.checked_add(by)
    } else {
        time.checked_sub(by)
    };
    shifted.unwrap_or(time)
}

pub(super) fn parse_http_date(date: &str) -> Option<SystemTime> {
    DateTime::from_str(date, Format::HttpDate)
        .ok()
        .and_then(|date| date.try_into().ok())
}

/// Parses the time of a signature, `20250131T235959Z`, as `x-amz-date` gives it.
pub(super) fn parse_amz_date(date: &str) -> Option<SystemTime> {
    let dashed = format!(
        "{}-{}-{}T{}:{}:{}",
        date.get(0..4)?,
        date.get(4..6)?,
        date.get(6..8)?,
        date.get(9..11)?,
        date.get(11..13)?,
        date.get(13..)?,
    );
    DateTime::from_str(&dashed, Format::DateTime)
        .ok()
        .and_then(|date| date.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_signature_time_is_read() {
        assert_eq!(
            parse_amz_date("19700102T030405Z"),
            Some(at(86_400 + 3 * 3600 + 4 * 60 + 5))
        );
        for garbage in ["", "19700102", "19700102T030405", "1970010€T030405Z", "x"] {
            assert_eq!(parse_amz_date(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_skew_is_learned_both_ways() {
        for (date, expected) in [
            ("Thu, 01 Jan 1970 02:00:00 GMT", at(7200)),
            ("Thu, 01 Jan 1970 00:10:00 GMT", at(600)),
        ] {
            let skew = Skew::new(true);
            assert!(skew.explains(date, at(3600)));
            skew.learn(date, at(3600));
            assert_eq!(skew.apply(at(3600)), expected);
            assert!(!skew.explains(date, skew.apply(at(3600))));
        }
    }

    #[test]
    fn nothing_is_learned_from_garbage_or_when_disabled() {
        let skew = Skew::new(true);
        assert!(!skew.explains("yesterday", at(3600)));
        skew.learn("yesterday", at(3600));
        assert_eq!(skew.apply(at(3600)), at(3600));

        let skew = Skew::new(false);
        assert!(!skew.explains("Thu, 01 Jan 1970 02:00:00 GMT", at(3600)));
        skew.learn("Thu, 01 Jan 1970 02:00:00 GMT", at(3600));
        assert_eq!(skew.apply(at(3600)), at(3600));
    }

    #[test]
    fn a_small_difference_explains_nothing() {
        assert!(!Skew::new(true).explains("Thu, 01 Jan 1970 01:03:00 GMT", at(3600)));
    }
}
