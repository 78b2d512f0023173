//! Refusals that no record causes: of rights, of credentials, of the table itself.
//!
//! A roll-out of a policy, of a key, of a load balancer refuses all requests for some seconds, and
//! is over. So such refusals are tried again for [`GRACE`] before they count. Then it matters what
//! they refuse:
//!
//! | refused | and meanwhile | then |
//! |---|---|---|
//! | whatever was sent | nothing was let in | the table fails |
//! | one action | none of it was carried out | that action is closed, and tried again later |
//! | one action | others of it were carried out | a record is the cause: its batch is bisected |
//!
//! An action that the table cannot do without, since no other was carried out either, fails it.

use std::collections::HashMap;
use std::time::Duration;

use crate::retry::ServiceError;
use crate::transport::Operation;

/// The time for which such refusals are tried again.
///
/// Chosen: a provider has rotated credentials by then, and a new policy has reached all servers
/// (IAM: usually seconds). A pipeline still learns of it soon.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// The number of refusals of a write by itself, each after others of its action were carried out,
/// that make it the cause.
///
/// Chosen: where half of all requests fail by chance, one write in sixty is refused so often.
const CONDEMNING_REFUSALS: u32 = 5;

/// The refusals of a table and of its actions.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// Since when all requests were refused; `None` once one was let in.
    refused_since: Option<Duration>,
    actions: HashMap<Operation, Action>,
}

/// What is known of one action.
#[derive(Debug, Default)]
struct Action {
    successes: u64,
    succeeded_at: Option<Duration>,
    refusals: Option<Refusals>,
    closed: Option<Closed>,
}

/// Refusals that have not paused for [`GRACE`].
#[derive(Clone, Copy, Debug)]
struct Refusals {
    since: Duration,
    last: Duration,
    /// The action's successes before the first of them.
    successes_before: u64,
}

/// An action that may not be used.
#[derive(Debug)]
struct Closed {
    error: ServiceError,
    /// The time from which on it is tried again.
    until: Duration,
}

/// What the refusals of an action come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// They may pass: they have not gone on for [`GRACE`].
    Passing,
    /// They go on, while others of the action are carried out.
    Partial,
    /// Nothing of the action was carried out for [`GRACE`].
    Refused,
    /// The same, and the action was closed before.
    Closed,
}

impl Access {
    /// Forgets refusals, since nothing was tried meanwhile.
    pub(super) fn forget(&mut self) {
        self.refused_since = None;
    }

    /// Notes that a request was let in, whatever became of it.
    pub(super) fn let_in(&mut self) {
        self.refused_since = None;
    }

    /// Notes that a request was carried out.
    pub(super) fn succeeded(&mut self, now: Duration, operation: Operation) {
        self.refused_since = None;
        let action = self.actions.entry(operation).or_default();
        action.successes += 1;
        action.succeeded_at = Some(now);
        action.closed = None;
    }

    /// Notes that a request was refused as any would be. Returns whether the grace is over.
    pub(super) fn refused(&mut self, now: Duration) -> bool {
        let since = *self.refused_since.get_or_insert(now);
        now.saturating_sub(since) >= GRACE
    }

    /// Returns whether requests of any kind are refused at present.
    pub(super) fn is_refused(&self) -> bool {
        self.refused_since.is_some()
    }

    /// Notes that a request was refused as others of its action may be.
    pub(super) fn action_refused(&mut self, now: Duration, operation: Operation) -> Standing {
        let action = self.actions.entry(operation).or_default();
        if action
            .refusals
            .is_some_and(|refusals| now.saturating_sub(refusals.last) >= GRACE)
        {
            action.refusals = None;
        }
        let refusals = action.refusals.get_or_insert(Refusals {
            since: now,
            last: now,
            successes_before: action.successes,
        });
        refusals.last = now;
        let since = refusals.since;
        let lasting = now.saturating_sub(since) >= GRACE;
        let others_pass = action.successes > refusals.successes_before;
        if action.closed.is_some() {
            Standing::Closed
        } else if self.is_refused_for_long(now, operation) {
            Standing::Refused
        } else if lasting && others_pass {
            Standing::Partial
        } else {
            Standing::Passing
        }
    }

    /// Returns whether nothing of an action that is refused was carried out for [`GRACE`].
    pub(super) fn is_refused_for_long(&self, now: Duration, operation: Operation) -> bool {
        self.actions.get(&operation).is_some_and(|action| {
            action.refusals.is_some_and(|refusals| {
                let succeeded_at = action.succeeded_at.unwrap_or_default();
                now.saturating_sub(refusals.since.max(succeeded_at)) >= GRACE
            })
        })
    }

    /// Returns whether requests of an action were carried out since it began to be refused.
    pub(super) fn others_pass(&self, operation: Operation) -> bool {
        self.actions.get(&operation).is_some_and(|action| {
            let refusals = action.refusals;
            refusals.is_some_and(|refusals| action.successes > refusals.successes_before)
        })
    }

    /// Returns the number of requests of an action that were carried out.
    pub(super) fn successes(&self, operation: Operation) -> u64 {
        self.actions
            .get(&operation)
            .map_or(0, |action| action.successes)
    }

    /// Returns whether another action was carried out within the last [`GRACE`].
    pub(super) fn others_work(&self, now: Duration, operation: Operation) -> bool {
        self.actions.iter().any(|(other, action)| {
            let recent = action
                .succeeded_at
                .is_some_and(|at| now.saturating_sub(at) < GRACE);
            *other != operation && recent
        })
    }

    /// Closes an action for [`GRACE`]. Returns whether it was open.
    pub(super) fn close(
        &mut self,
        now: Duration,
        operation: Operation,
        error: ServiceError,
    ) -> bool {
        let action = self.actions.entry(operation).or_default();
        let closed = Closed {
            error,
            until: now.saturating_add(GRACE),
        };
        action.closed.replace(closed).is_none()
    }

    /// Returns the error that closed an action, unless it is time to try it again.
    pub(super) fn closed(&self, now: Duration, operation: Operation) -> Option<&ServiceError> {
        let closed = self.actions.get(&operation)?.closed.as_ref()?;
        (now < closed.until).then_some(&closed.error)
    }
}

/// The refusals of one write, sent by itself, for a reason that it need not be the cause of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspicion {
    /// The action's successes at the last of them that counted.
    successes: u64,
    refusals: u32,
}

impl Suspicion {
    pub(super) fn new(successes: u64) -> Self {
        Self {
            successes,
            refusals: 0,
        }
    }

    /// Counts a refusal, if others of the action were carried out since the last one that counted.
    /// Returns whether the write is the cause.
    pub(super) fn refused(&mut self, successes: u64) -> bool {
        if successes > self.successes {
            self.successes = successes;
            self.refusals += 1;
        }
        self.refusals >= CONDEMNING_REFUSALS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::{ErrorClass, Failure};

    const PUTS: Operation = Operation::BatchWriteItem;
    const UPDATES: Operation = Operation::UpdateItem;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn denied() -> ServiceError {
        Failure::new(ErrorClass::Fatal, "AccessDeniedException").into()
    }

    #[test]
    fn what_is_refused_has_thirty_seconds_unless_something_is_let_in() {
        let mut access = Access::default();
        assert!(!access.refused(s(5)));
        assert!(!access.refused(s(34)));
        assert!(access.refused(s(35)));
        access.let_in();
        assert!(!access.is_refused());
        assert!(!access.refused(s(36)));
    }

    #[test]
    fn an_action_that_never_works_is_closed_and_tried_again_later() {
        let mut access = Access::default();
        assert_eq!(access.action_refused(s(0), UPDATES), Standing::Passing);
        assert_eq!(access.action_refused(s(29), UPDATES), Standing::Passing);
        assert_eq!(access.action_refused(s(30), UPDATES), Standing::Refused);
        assert!(access.close(s(30), UPDATES, denied()));
        assert!(access.closed(s(59), UPDATES).is_some());
        assert!(access.closed(s(59), PUTS).is_none());
        assert!(access.closed(s(60), UPDATES).is_none());
        assert_eq!(access.action_refused(s(61), UPDATES), Standing::Closed);
        assert!(!access.close(s(61), UPDATES, denied()), "no news");
        access.succeeded(s(95), UPDATES);
        assert!(access.closed(s(95), UPDATES).is_none());
        assert_eq!(access.action_refused(s(96), UPDATES), Standing::Passing);
    }

    #[test]
    fn refusals_beside_successes_last_and_close_nothing() {
        let mut access = Access::default();
        access.succeeded(s(0), PUTS);
        for now in 1..100 {
            let lasting = now >= 31;
            let expected = if lasting {
                Standing::Partial
            } else {
                Standing::Passing
            };
            assert_eq!(access.action_refused(s(now), PUTS), expected, "{now}");
            assert_eq!(access.others_pass(PUTS), now > 1);
            access.succeeded(s(now), PUTS);
        }
        assert!(access.others_work(s(100), UPDATES));
        assert!(!access.others_work(s(100), PUTS));
        assert!(!access.others_work(s(200), UPDATES));
        // Refusals that paused are others.
        access.succeeded(s(150), PUTS);
        assert_eq!(access.action_refused(s(151), PUTS), Standing::Passing);
    }

    #[test]
    fn only_refusals_between_successes_of_others_make_a_write_the_cause() {
        let mut suspicion = Suspicion::new(7);
        for _ in 0..100 {
            assert!(!suspicion.refused(7), "nothing passes");
        }
        for successes in 8..12 {
            assert!(!suspicion.refused(successes));
            assert!(!suspicion.refused(successes));
        }
        assert!(suspicion.refused(12));
    }
}
