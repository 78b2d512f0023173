//! Failures by kind, and the moments at which they are reported.

use std::time::Duration;

use super::Health;

/// The age from which on a failure lasts. Chosen: three or four attempts with the default delays.
const LASTS_AFTER: Duration = Duration::from_secs(1);

/// The time without a write after which refusals for capacity last.
///
/// Chosen: capacity that is granted by the second, and a burst of others, are over by then.
const STARVES_AFTER: Duration = Duration::from_secs(10);

/// The time without a failure after which it is over. Chosen: the longest default delay of a retry.
const OVER_AFTER: Duration = Duration::from_secs(10);

/// The least time without a failure and without a success after which a kind says nothing: nothing is sent.
///
/// Chosen: several times what a request and the longest delay take together by default.
const MIN_SILENT_AFTER: Duration = Duration::from_secs(120);

/// The least time between two reports of one kind.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The most kinds that are kept apart. Codes come from a server: their number is not ours.
const MAX_KINDS: usize = 16;

/// A failed request, as far as it is reported.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) operation: &'static str,
    /// The code: failures of one operation and code are one kind.
    pub(super) code: String,
    /// The error in words, free of any content of an item.
    pub(super) cause: String,
    pub(super) urgency: Urgency,
}

/// The urgency with which a failure is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// At once: it cannot pass by itself.
    Now,
    /// Once it has lasted for [`LASTS_AFTER`].
    Lasting,
    /// Once it has lasted for [`STARVES_AFTER`]: it is the usual answer to load.
    Starving,
}

impl Urgency {
    fn after(self) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::Lasting => LASTS_AFTER,
            Self::Starving => STARVES_AFTER,
        }
    }
}

/// Failures of one kind, without a success of their operation between.
#[derive(Debug)]
struct Kind {
    failure: Failure,
    since: Duration,
    last: Duration,
    count: u64,
    reported_at: Option<Duration>,
    /// Set while no success has come since the last failure.
    current: bool,
    /// Set while requests of its operation are not sent for it.
    closed: bool,
    /// Set once its operation was not needed any more.
    dismissed: bool,
}

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// It lasts, as [`Health::Failing`] says.
    Lasts(Health),
    /// It is over, after so long and so many failures.
    Over {
        operation: &'static str,
        lasted: Duration,
        failures: u64,
    },
}

/// The failures of one table, source or sink. Times are since it was opened.
#[derive(Debug)]
pub(super) struct Failures {
    kinds: Vec<Kind>,
    /// The time without a failure and without a success after which a kind says nothing.
    silent_after: Duration,
}

impl Failures {
    /// `longest_gap` is the longest time between two failures of a request that is sent again and again.
    pub(super) fn new(longest_gap: Duration) -> Self {
        Self {
            kinds: Vec::new(),
            silent_after: MIN_SILENT_AFTER.max(longest_gap.saturating_mul(2)),
        }
    }

    /// Notes a failed request. Returns the line that it is worth.
    pub(super) fn failed(&mut self, now: Duration, failure: Failure) -> Option<Report> {
        let same = |kind: &Kind| {
            kind.failure.operation == failure.operation && kind.failure.code == failure.code
        };
        let at = match self.kinds.iter().position(same) {
            Some(at) => at,
            None => self.insert(now, failure.clone()),
        };
        let kind = self.kinds.get_mut(at)?;
        kind.failure = failure;
        kind.last = now;
        kind.current = true;
        kind.dismissed = false;
        kind.count += 1;
        let age = now.saturating_sub(kind.since);
        let due = match kind.reported_at {
            None => age >= kind.failure.urgency.after(),
            Some(reported_at) => {
                let age_then = reported_at.saturating_sub(kind.since);
                now.saturating_sub(reported_at) >= REPORT_INTERVAL.max(age_then)
            }
        };
        if !due {
            return None;
        }
        kind.reported_at = Some(now);
        Some(Report::Lasts(kind.health(now)))
    }

    fn insert(&mut self, now: Duration, failure: Failure) -> usize {
        if self.kinds.len() >= MAX_KINDS {
            // The one that was quiet for longest makes room; one that closed its operation is quiet by it.
            let kinds = self.kinds.iter().enumerate();
            let oldest = kinds.min_by_key(|(_, kind)| (kind.closed, kind.last));
            let oldest = oldest.map_or(0, |(at, _)| at);
            self.kinds.remove(oldest);
        }
        self.kinds.push(Kind {
            failure,
            since: now,
            last: now,
            count: 0,
            reported_at: None,
            current: true,
            closed: false,
            dismissed: false,
        });
        self.kinds.len() - 1
    }

    /// Notes a request of an operation that succeeded.
    pub(super) fn succeeded(&mut self, operation: &'static str) {
        for kind in &mut self.kinds {
            if kind.failure.operation == operation {
                kind.current = false;
                kind.closed = false;
                kind.dismissed = false;
            }
        }
        // A kind that was never reported is forgotten by its first success.
        self.kinds
            .retain(|kind| kind.current || kind.reported_at.is_some());
    }

    /// Notes that requests of an operation are not sent for now because of this failure: it lasts until
    /// one succeeds.
    pub(super) fn closed(&mut self, operation: &'static str, code: &str) {
        for kind in &mut self.kinds {
            kind.closed |= kind.failure.operation == operation && kind.failure.code == code;
        }
    }

    /// Notes that an operation is not needed any more. Its failures are not over: those that were reported
    /// are remembered for a while, so that they are not reported each time.
    pub(super) fn dismissed(&mut self, operation: &'static str) {
        self.kinds.retain_mut(|kind| {
            if kind.current && kind.failure.operation == operation {
                kind.current = false;
                kind.dismissed = true;
            }
            !kind.dismissed || kind.reported_at.is_some()
        });
    }

    /// Returns the lines that are due by now: of those that have begun to last, and that are over.
    pub(super) fn take_due(&mut self, now: Duration) -> Vec<Report> {
        let mut reports = Vec::new();
        let silent_after = self.silent_after;
        self.kinds.retain(|kind| {
            let ends = kind.ends_at(silent_after);
            ends.is_none_or(|at| now < at)
        });
        for kind in &mut self.kinds {
            if kind.lasts_at().is_some_and(|at| at <= now) {
                kind.reported_at = Some(now);
                reports.push(Report::Lasts(kind.health(now)));
            }
        }
        loop {
            let over = self.recoveries().find(|(_, over)| *over <= now);
            let Some((operation, _)) = over else { break };
            let of_it = |kind: &mut Kind| kind.failure.operation == operation && !kind.dismissed;
            let kinds: Vec<Kind> = self.kinds.extract_if(.., of_it).collect();
            let since = kinds.iter().map(|kind| kind.since).min();
            let last = kinds.iter().map(|kind| kind.last).max();
            reports.push(Report::Over {
                operation,
                lasted: last.unwrap_or(now).saturating_sub(since.unwrap_or(now)),
                failures: kinds.iter().map(|kind| kind.count).sum(),
            });
        }
        reports
    }

    /// Returns the operations that succeed again, whatever they had failed with, and when that is over.
    fn recoveries(&self) -> impl Iterator<Item = (&'static str, Duration)> + '_ {
        let kinds = || self.kinds.iter().filter(|kind| !kind.dismissed);
        kinds().filter_map(move |kind| {
            let operation = kind.failure.operation;
            let same = kinds().filter(|kind| kind.failure.operation == operation);
            let last = same.map(|kind| (!kind.current).then_some(kind.last));
            let last = last.collect::<Option<Vec<_>>>()?.into_iter().max()?;
            Some((operation, last.saturating_add(OVER_AFTER)))
        })
    }

    /// Returns when to call [`take_due`](Self::take_due).
    pub(super) fn due_at(&self) -> Option<Duration> {
        let due = self
            .kinds
            .iter()
            .flat_map(|kind| [kind.lasts_at(), kind.ends_at(self.silent_after)]);
        let over = self.recoveries().map(|(_, over)| over);
        due.flatten().chain(over).min()
    }

    /// Returns the health: of the failures of late, the one that has lasted for longest, if one lasts.
    pub(super) fn health(&self, now: Duration) -> Health {
        let lasting = self.kinds.iter().filter(|kind| {
            kind.current
                && kind.lasts_from().is_some_and(|from| from <= now)
                && kind.ends_at(self.silent_after).is_none_or(|at| now < at)
        });
        let lasting: Vec<&Kind> = lasting.collect();
        let newest = lasting.iter().map(|kind| kind.last).max();
        let of_late = lasting.into_iter().filter(|kind| {
            let quiet_for = newest.unwrap_or(now).saturating_sub(kind.last);
            kind.closed || quiet_for < OVER_AFTER
        });
        let oldest = of_late.min_by_key(|kind| kind.since);
        oldest.map_or(Health::Healthy, |kind| kind.health(now))
    }
}

impl Kind {
    /// Returns the time from which on it lasts. A single failure may be the last, unless it cannot pass.
    fn lasts_from(&self) -> Option<Duration> {
        let goes_on = self.count > 1 || self.failure.urgency == Urgency::Now;
        goes_on.then(|| self.since.saturating_add(self.failure.urgency.after()))
    }

    /// Returns when it lasts without another failure, if it was not reported yet.
    fn lasts_at(&self) -> Option<Duration> {
        let waits = self.current && self.reported_at.is_none();
        self.lasts_from().filter(|_| waits)
    }

    /// Returns when it is forgotten without having been over, unless it comes again.
    fn ends_at(&self, silent_after: Duration) -> Option<Duration> {
        let after = match (self.current, self.dismissed) {
            (true, _) if !self.closed => silent_after,
            (_, true) => REPORT_INTERVAL,
            _ => return None,
        };
        Some(self.last.saturating_add(after))
    }

    fn health(&self, now: Duration) -> Health {
        Health::Failing {
            operation: self.failure.operation,
            cause: self.failure.cause.clone(),
            lasting: now.saturating_sub(self.since),
            failures: self.count,
        }
    }
}
