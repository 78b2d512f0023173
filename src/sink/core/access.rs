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
//! | one action | others of it were carried out | a record may be the cause: its batch is bisected |
//!
//! Batches of puts and deletes are what most tables are for: if they are denied, and no other action was
//! carried out either, the table fails.

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
/// that make it the cause, once it has been refused for [`GRACE`].
///
/// Chosen: where half of all requests fail by chance, one write in a thousand is refused at all of its
/// attempts in that time.
const CONDEMNING_REFUSALS: u32 = 5;

/// The least number of refusals that go on. Chosen: two may be two blips with nothing sent between.
const LASTING_REFUSALS: u32 = 3;

/// The refusals of a table and of its actions.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// Refusals of all requests; `None` once one was let in.
    refusals: Option<Refusals>,
    actions: HashMap<Operation, Action>,
}

/// The successes and refusals of one action.
#[derive(Debug, Default)]
struct Action {
    successes: u64,
    succeeded_at: Option<Duration>,
    /// Denials, and refusals with a code that is not known.
    denied: Option<Refusals>,
    unclear: Option<Refusals>,
    closed: Option<Closed>,
}

/// The reason for which an action is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It may not be used, or the server does not have it.
    Denied,
    /// A code that is not known.
    Unclear,
}

/// Refusals that have not paused for [`GRACE`].
#[derive(Clone, Copy, Debug)]
struct Refusals {
    since: Duration,
    last: Duration,
    count: u32,
    /// The action's successes before the first of them.
    successes_before: u64,
}

impl Refusals {
    fn new(now: Duration, successes_before: u64) -> Self {
        Self {
            since: now,
            last: now,
            count: 0,
            successes_before,
        }
    }

    /// Returns whether they have gone on since a time.
    fn last_since(self, now: Duration, since: Duration) -> bool {
        self.count >= LASTING_REFUSALS && now.saturating_sub(since) >= GRACE
    }
}

/// An action that may not be used.
#[derive(Debug)]
struct Closed {
    error: ServiceError,
    /// The time from which on it is tried again.
    until: Duration,
}

/// The consequence of an action's refusals.
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
    /// Notes that a request was let in, whatever became of it, or that nothing was tried for a while.
    pub(super) fn let_in(&mut self) {
        self.refusals = None;
    }

    /// Notes that a request of an action was let in, and would have been denied before that.
    pub(super) fn allowed(&mut self, operation: Operation) {
        self.refusals = None;
        if let Some(action) = self.actions.get_mut(&operation) {
            action.denied = None;
        }
    }

    /// Notes that a request was carried out.
    pub(super) fn succeeded(&mut self, now: Duration, operation: Operation) {
        self.refusals = None;
        let action = self.actions.entry(operation).or_default();
        action.successes += 1;
        action.succeeded_at = Some(now);
        action.closed = None;
    }

    /// Notes that a request was refused as any would be. Returns whether the grace is over.
    pub(super) fn refused(&mut self, now: Duration) -> bool {
        let refusals = self.refusals.get_or_insert(Refusals::new(now, 0));
        refusals.count += 1;
        refusals.last_since(now, refusals.since)
    }

    /// Returns whether requests of any kind are refused at present.
    pub(super) fn is_refused(&self) -> bool {
        self.refusals.is_some()
    }

    /// Notes that a request was refused as others of its action may be.
    pub(super) fn action_refused(
        &mut self,
        now: Duration,
        operation: Operation,
        why: Why,
    ) -> Standing {
        let action = self.actions.entry(operation).or_default();
        let successes = action.successes;
        let refusals = match why {
            Why::Denied => &mut action.denied,
            Why::Unclear => &mut action.unclear,
        };
        if refusals.is_some_and(|refusals| now.saturating_sub(refusals.last) >= GRACE) {
            *refusals = None;
        }
        let refusals = refusals.get_or_insert(Refusals::new(now, successes));
        refusals.last = now;
        refusals.count += 1;
        let refusals = *refusals;
        if why == Why::Denied && action.closed.is_some() {
            return Standing::Closed;
        }
        let works_since = refusals.since.max(action.succeeded_at.unwrap_or_default());
        if refusals.last_since(now, works_since) {
            Standing::Refused
        } else if successes > refusals.successes_before
            && (why == Why::Unclear || refusals.last_since(now, refusals.since))
        {
            Standing::Partial
        } else {
            Standing::Passing
        }
    }

    /// Returns the number of requests of an action that were carried out.
    pub(super) fn successes(&self, operation: Operation) -> u64 {
        self.actions
            .get(&operation)
            .map_or(0, |action| action.successes)
    }

    /// Returns whether another action was carried out since this one is denied, or shortly before.
    pub(super) fn others_work(&self, now: Duration, operation: Operation) -> bool {
        let denied = self.actions.get(&operation);
        let denied = denied.and_then(|action| action.denied);
        let from = denied
            .map_or(now, |denied| denied.since)
            .saturating_sub(GRACE);
        self.actions.iter().any(|(other, action)| {
            *other != operation && action.succeeded_at.is_some_and(|at| at >= from)
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
    since: Duration,
    /// The action's successes at the last of them that counted.
    successes: u64,
    refusals: u32,
}

/// The consequence of a refusal of a write by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspect {
    /// Nothing of its action was carried out since the last one: it says nothing.
    OneOfAll,
    /// Others were carried out.
    Alone,
    /// It is the cause.
    Cause,
}

impl Suspicion {
    pub(super) fn new(now: Duration, successes: u64) -> Self {
        Self {
            since: now,
            successes,
            refusals: 0,
        }
    }

    /// Counts a refusal, if others of the action were carried out since the last one that counted.
    pub(super) fn refused(&mut self, now: Duration, successes: u64) -> Suspect {
        if successes <= self.successes {
            return Suspect::OneOfAll;
        }
        self.successes = successes;
        self.refusals += 1;
        let lasting = now.saturating_sub(self.since) >= GRACE;
        if lasting && self.refusals >= CONDEMNING_REFUSALS {
            Suspect::Cause
        } else {
            Suspect::Alone
        }
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
        assert_eq!(
            access.action_refused(s(0), UPDATES, Why::Denied),
            Standing::Passing
        );
        assert_eq!(
            access.action_refused(s(29), UPDATES, Why::Denied),
            Standing::Passing
        );
        assert_eq!(
            access.action_refused(s(30), UPDATES, Why::Denied),
            Standing::Refused
        );
        assert!(access.close(s(30), UPDATES, denied()));
        assert!(access.closed(s(59), UPDATES).is_some());
        assert!(access.closed(s(59), PUTS).is_none());
        assert!(access.closed(s(60), UPDATES).is_none());
        assert_eq!(
            access.action_refused(s(61), UPDATES, Why::Denied),
            Standing::Closed
        );
        assert!(!access.close(s(61), UPDATES, denied()), "no news");
        access.succeeded(s(95), UPDATES);
        assert!(access.closed(s(95), UPDATES).is_none());
        assert_eq!(
            access.action_refused(s(96), UPDATES, Why::Denied),
            Standing::Passing
        );
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
            assert_eq!(
                access.action_refused(s(now), PUTS, Why::Denied),
                expected,
                "{now}"
            );
            access.succeeded(s(now), PUTS);
        }
        assert!(access.others_work(s(100), UPDATES));
        assert!(!access.others_work(s(100), PUTS));
        assert!(!access.others_work(s(200), UPDATES));
        // Refusals that paused are others.
        access.succeeded(s(150), PUTS);
        assert_eq!(
            access.action_refused(s(151), PUTS, Why::Denied),
            Standing::Passing
        );
    }

    #[test]
    fn only_refusals_between_successes_make_a_write_the_cause_and_not_before_the_grace_is_over() {
        let mut suspicion = Suspicion::new(s(0), 7);
        for now in 0..100 {
            assert_eq!(
                suspicion.refused(s(now), 7),
                Suspect::OneOfAll,
                "nothing passes"
            );
        }
        for successes in 8..12 {
            assert_eq!(suspicion.refused(s(100), successes), Suspect::Alone);
            assert_eq!(suspicion.refused(s(100), successes), Suspect::OneOfAll);
        }
        assert_eq!(suspicion.refused(s(100), 12), Suspect::Cause);
        let mut suspicion = Suspicion::new(s(0), 0);
        for successes in 1..100 {
            assert_eq!(suspicion.refused(s(29), successes), Suspect::Alone);
        }
        assert_eq!(suspicion.refused(s(30), 100), Suspect::Cause);
    }

    #[test]
    fn two_blips_with_nothing_sent_between_are_not_an_outage() {
        let mut access = Access::default();
        assert!(!access.refused(s(0)));
        assert!(!access.refused(s(40)));
        let mut access = Access::default();
        assert_eq!(
            access.action_refused(s(0), PUTS, Why::Unclear),
            Standing::Passing
        );
        assert_eq!(
            access.action_refused(s(20), PUTS, Why::Unclear),
            Standing::Passing
        );
        assert_eq!(
            access.action_refused(s(40), PUTS, Why::Unclear),
            Standing::Refused
        );
        assert_eq!(
            access.action_refused(s(40), PUTS, Why::Denied),
            Standing::Passing
        );
    }
}
