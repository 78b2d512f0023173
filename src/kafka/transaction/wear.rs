//! The judgement whether a producer may begin another transaction.
//!
//! **Problem.** A commit or an abort whose answer was lost is sent again, and the first may reach the broker after the
//! second: it then ends the *next* transaction, of the same producer and epoch. So may offsets that were sent twice get into it.
//! librdkafka sends a request again without a word, and the versions of the requests by which brokers tell the two apart it
//! does not speak.
//!
//! **Choice.** The time, which librdkafka can't hide. A request without an answer takes all of `socket.timeout.ms`. One
//! that was lost with its connection is sent again after `retry.backoff.ms`, 20 % less at the least, and offsets after 500 ms. So a
//! producer is worn whose commit, abort or offsets took nearly as long as that, whatever the reason. The loss of a
//! connection is no error event: librdkafka logs it below the level of errors. An error event, such as that a request
//! timed out, wears all the same, but for one of a broker that can't be reached, which need have no part in this; and so
//! does a commit or an abort that was answered with an error. The next producer's `init_transactions` raises the epoch, which ends all that is late.
//!
//! **Rejected.** Statistics, which count the tries (`req.EndTxn`, `txretries`): they come by an interval, so that each commit
//! would wait for the next, or they are too late. librdkafka's debug log, which has a line for each try: and one
//! for each other request.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// The longest commit or abort after which the producer goes on, however long librdkafka waits before a second try.
const SLOW: Duration = Duration::from_secs(1);
/// The longest sending of offsets after which it does: librdkafka sends them again after 500 ms, 20 % less at the least.
const SLOW_OFFSETS: Duration = Duration::from_millis(400);
/// The shortest `retry.backoff.ms`: with less, a second try would look like a broker's usual time.
pub(super) const MIN_BACKOFF: Duration = Duration::from_millis(100);

/// The times from which wear is seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct WearTimes {
    second_try: Duration,
}

impl WearTimes {
    /// Returns those of a client with this `socket.timeout.ms` and this `retry.backoff.ms`.
    pub(super) fn new(socket_timeout: Duration, backoff: Duration) -> Self {
        // A request without an answer is sent again after the one, one that was lost after 80 to 120 % of the other.
        let second_try = (socket_timeout * 9 / 10).min(backoff * 3 / 4);
        Self {
            second_try: second_try.min(SLOW),
        }
    }

    /// Returns whether a commit or an abort that took so long may have been sent twice.
    pub(super) fn is_end_worn(self, took: Duration) -> bool {
        took >= self.second_try
    }

    /// Returns whether offsets may have been sent twice.
    pub(super) fn are_offsets_worn(took: Duration) -> bool {
        took >= SLOW_OFFSETS
    }
}

/// The number of a client's error events.
#[derive(Debug, Default)]
pub(super) struct ErrorEvents(AtomicU64);

impl ErrorEvents {
    /// Notes one.
    pub(super) fn note(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    /// Returns how many there were.
    pub(super) fn count(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

/// The error events since a producer's first transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Baseline(Option<u64>);

impl Baseline {
    /// Notes the begin of a transaction. Events before the first say nothing of one.
    pub(super) fn begun(&mut self, events: &ErrorEvents) {
        self.0.get_or_insert_with(|| events.count());
    }

    /// Returns whether there were any since the first begin, in a transaction or between two.
    pub(super) fn has_errors(self, events: &ErrorEvents) -> bool {
        self.0.is_some_and(|before| events.count() > before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_commit_that_took_as_long_as_a_second_try_wears_without_any_error() {
        let times = WearTimes::new(MS * 3_000, MS * 100);
        assert!(!times.is_end_worn(MS * 74));
        assert!(times.is_end_worn(MS * 75));
        let long = WearTimes::new(MS * 3_000, MS * 10_000);
        assert!(!long.is_end_worn(MS * 999));
        assert!(long.is_end_worn(MS * 1_000));
        let short = WearTimes::new(MS * 500, MS * 10_000);
        assert!(!short.is_end_worn(MS * 449));
        assert!(short.is_end_worn(MS * 450), "it has had no answer");
    }

    #[test]
    fn offsets_are_worn_once_they_took_as_long_as_their_second_try() {
        assert!(!WearTimes::are_offsets_worn(MS * 399));
        assert!(WearTimes::are_offsets_worn(MS * 400));
    }

    #[test]
    fn an_error_between_two_transactions_counts_and_one_before_the_first_does_not() {
        let (events, mut baseline) = (ErrorEvents::default(), Baseline::default());
        events.note();
        assert!(!baseline.has_errors(&events));
        baseline.begun(&events);
        assert!(!baseline.has_errors(&events));
        // The transaction has ended, and the next is not begun.
        events.note();
        assert!(baseline.has_errors(&events));
        baseline.begun(&events);
        assert!(baseline.has_errors(&events), "it is not forgotten");
    }
}
