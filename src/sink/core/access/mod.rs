//! Refusals that no record causes: of permissions, of credentials, of the table itself.
//!
//! A roll-out of a policy, of a key or of a load balancer refuses all requests for some seconds. So
//! such refusals are tried again for [`REFUSAL_GRACE`] before they count. Then the requests that
//! they refuse decide:
//!
//! | refused | in that time | then |
//! |---|---|---|
//! | whatever was sent | nothing was let in | the table fails |
//! | one action | none of it was carried out | that action is closed, and tried again later |
//! | one action | others of it were carried out | a record may be the cause: its batch is bisected |
//!
//! Only time without any other answer counts: neither successes nor failures of another kind, such
//! as those of a service that is down. Refusals that are left when that is over show only then.
//!
//! Most tables have batches of puts and deletes above all: if they are denied, and no other action
//! was carried out either, the table fails.
//!
//! A refusal is attributed to a record by its [evidence](RecordEvidence): the record is refused
//! again and again while others are carried out, far more often than chance allows. **Rejected:**
//! to reject a record after a number of refusals. An outage that refuses nine requests in ten would
//! then reject good records.
//!
//! `run` counts refusals that follow each other, `attribution` weighs those of one record. The
//! consequences are in `refusals`.

mod attribution;
mod run;

use std::collections::HashMap;
use std::time::Duration;

use crate::retry::ServiceError;
use crate::transport::Operation;

pub(super) use attribution::{Attribution, RecordEvidence};
pub(crate) use run::REFUSAL_GRACE;
use run::Run;

/// The largest number of refusal codes that are tracked apart.
const MAX_TRACKED_CODES: usize = 16;

/// The refusals of a table and of its actions.
#[derive(Debug)]
pub(super) struct Access {
    /// The time without a refusal after which those before it are forgotten.
    pause: Duration,
    /// Refusals of all requests since one was let in, by their codes.
    refusals: HashMap<Box<str>, Run>,
    /// Set if the table was called missing since a request was let in.
    missing: bool,
    /// Descriptions since then that called it missing too.
    described_missing: Option<Run>,
    actions: HashMap<Operation, Action>,
}

/// The successes and refusals of one action.
#[derive(Debug, Default)]
struct Action {
    tally: Tally,
    succeeded_at: Option<Duration>,
    /// Denials, and refusals with a code that is not known.
    denied: ActionEvidence,
    unclear: ActionEvidence,
    closed: Option<Closed>,
}

/// The numbers of requests of one action.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) successes: u64,
    pub(super) refusals: u64,
}

/// Refusals of an action for one reason.
#[derive(Debug, Default)]
struct ActionEvidence {
    /// The refusals since the action was last carried out.
    unbroken: Option<Run>,
    /// The refusals before that as well.
    all: Option<Run>,
    /// The action's successes before the first of them.
    successes_before: u64,
}

/// The reason for which an action is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalKind {
    /// It may not be used, or the server does not have it.
    Denied,
    /// A code that is not known.
    Unclear,
}

/// An action that may not be used.
#[derive(Debug)]
struct Closed {
    error: ServiceError,
    /// The first of the denials that closed it.
    since: Duration,
    /// The time from which on it is tried again.
    until: Duration,
}

/// The consequence of an action's refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActionStatus {
    /// They may pass: they have not gone on for [`REFUSAL_GRACE`].
    Passing,
    /// They go on, while others of the action are carried out.
    Partial,
    /// Nothing of the action was carried out for [`REFUSAL_GRACE`].
    Refused,
    /// The same, and the action was closed before.
    Closed,
}

impl Access {
    /// Returns the state of a table without refusals. `longest_delay` is the longest delay between
    /// two attempts of a write.
    pub(super) fn new(longest_delay: Duration) -> Self {
        Self {
            pause: REFUSAL_GRACE.max(longest_delay.saturating_mul(2)),
            refusals: HashMap::new(),
            missing: false,
            described_missing: None,
            actions: HashMap::new(),
        }
    }

    /// Notes that a request was let in, whatever its outcome.
    pub(super) fn let_in(&mut self) {
        self.refusals.clear();
        self.missing = false;
        self.described_missing = None;
    }

    /// Notes that a request of an action was let in, and would have been denied before that. The
    /// evidence against single records stays: one may be denied for its key.
    pub(super) fn allowed(&mut self, operation: Operation) {
        self.let_in();
        if let Some(action) = self.actions.get_mut(&operation) {
            action.denied.unbroken = None;
            action.closed = None;
        }
    }

    /// Notes that a request was carried out, or not for its condition alone.
    pub(super) fn succeeded(&mut self, now: Duration, operation: Operation) {
        self.let_in();
        let action = self.actions.entry(operation).or_default();
        action.tally.successes += 1;
        action.succeeded_at = Some(now);
        action.denied.unbroken = None;
        action.unclear.unbroken = None;
        action.closed = None;
    }

    /// Notes that a request was refused as any would be. Returns whether the grace is over.
    pub(super) fn refused(&mut self, now: Duration, error: &ServiceError) -> bool {
        self.missing |= error.is_missing();
        let mut run = self.refusals.remove(error.code());
        if self.refusals.len() >= MAX_TRACKED_CODES {
            // The codes are a server's: their number is not bounded otherwise.
            let oldest = self.refusals.iter().min_by_key(|(_, run)| run.last);
            if let Some(code) = oldest.map(|(code, _)| code.clone()) {
                self.refusals.remove(&code);
            }
        }
        let lasting = Run::add(&mut run, now, self.pause).is_lasting();
        self.refusals
            .extend(run.map(|run| (error.code().into(), run)));
        lasting
    }

    /// Notes that a request failed for a reason unrelated to permissions, credentials and the
    /// table.
    pub(super) fn failed(&mut self, operation: Operation) {
        for run in self.refusals.values_mut() {
            run.interrupted = true;
        }
        if let Some(action) = self.actions.get_mut(&operation) {
            Run::interrupt(&mut action.denied.unbroken);
            Run::interrupt(&mut action.unclear.unbroken);
        }
    }

    /// Returns whether requests of any kind are refused at present.
    pub(super) fn is_refused(&self) -> bool {
        !self.refusals.is_empty()
    }

    /// Notes that a description called the table missing. Returns whether it is gone: its writes
    /// have to say the same.
    pub(super) fn described_missing(&mut self, now: Duration) -> bool {
        let run = Run::add(&mut self.described_missing, now, Duration::MAX);
        self.missing && run.is_lasting()
    }

    /// Notes that a description gave no information about the table.
    pub(super) fn description_failed(&mut self) {
        Run::interrupt(&mut self.described_missing);
    }

    /// Notes that the table was described, or may not be.
    pub(super) fn described(&mut self) {
        self.described_missing = None;
    }

    /// Notes that a request was refused as others of its action may be.
    pub(super) fn action_refused(
        &mut self,
        now: Duration,
        operation: Operation,
        kind: RefusalKind,
    ) -> ActionStatus {
        let pause = self.pause;
        let action = self.actions.entry(operation).or_default();
        action.tally.refusals += 1;
        let successes = action.tally.successes;
        let evidence = match kind {
            RefusalKind::Denied => &mut action.denied,
            RefusalKind::Unclear => &mut action.unclear,
        };
        let unbroken = Run::add(&mut evidence.unbroken, now, pause);
        let all = Run::add(&mut evidence.all, now, pause);
        if all.count == 1 {
            evidence.successes_before = successes;
        }
        let beside_others = successes > evidence.successes_before;
        if kind == RefusalKind::Denied && action.closed.is_some() {
            ActionStatus::Closed
        } else if unbroken.is_lasting() {
            ActionStatus::Refused
        } else if beside_others && (kind == RefusalKind::Unclear || all.is_lasting()) {
            ActionStatus::Partial
        } else {
            ActionStatus::Passing
        }
    }

    /// Returns the numbers of requests of an action.
    pub(super) fn tally(&self, operation: Operation) -> Tally {
        let action = self.actions.get(&operation);
        action.map(|action| action.tally).unwrap_or_default()
    }

    /// Returns whether another action was carried out since this one is denied, or shortly before,
    /// and is open.
    pub(super) fn others_work(&self, now: Duration, operation: Operation) -> bool {
        let from = self
            .denied_since(now, operation)
            .saturating_sub(REFUSAL_GRACE);
        self.actions.iter().any(|(other, action)| {
            let works = action.closed.is_none() && action.succeeded_at.is_some_and(|at| at >= from);
            *other != operation && works
        })
    }

    /// Returns the time of the first denial of an action. While it is closed it is hardly tried:
    /// the denial that closed it counts, however long ago it was.
    fn denied_since(&self, now: Duration, operation: Operation) -> Duration {
        let action = self.actions.get(&operation);
        let closed = action.and_then(|action| action.closed.as_ref());
        let denied = action.and_then(|action| action.denied.all);
        let closed = closed.map(|closed| closed.since);
        closed.or(denied.map(|run| run.since)).unwrap_or(now)
    }

    /// Closes an action for [`REFUSAL_GRACE`]. Returns whether it was open.
    pub(super) fn close(
        &mut self,
        now: Duration,
        operation: Operation,
        error: ServiceError,
    ) -> bool {
        let closed = Closed {
            error,
            since: self.denied_since(now, operation),
            until: now.saturating_add(REFUSAL_GRACE),
        };
        let action = self.actions.entry(operation).or_default();
        action.closed.replace(closed).is_none()
    }

    /// Returns the error that closed an action, unless it is time to try it again.
    pub(super) fn closed(&self, now: Duration, operation: Operation) -> Option<&ServiceError> {
        let closed = self.actions.get(&operation)?.closed.as_ref()?;
        (now < closed.until).then_some(&closed.error)
    }
}
