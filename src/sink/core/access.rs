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

/// The least number of refusals of a write by itself, each after others of its action were carried
/// out, that make it the cause, once it has been refused for [`GRACE`].
const CONDEMNING_REFUSALS: u32 = 5;

/// The chance of being refused as often as the write was, for one that is like all others, below which
/// it is the cause.
///
/// Chosen: of all that a buffer holds in an outage of nine requests in ten, none is rejected.
const CONDEMNING_CHANCE: f64 = 1e-7;

/// The least number of refusals that go on. Chosen: two may be two blips with nothing sent between.
const LASTING_REFUSALS: u32 = 3;

/// The refusals of a table and of its actions.
#[derive(Debug)]
pub(super) struct Access {
    /// The time without a refusal after which those before it are forgotten.
    pause: Duration,
    /// Refusals of all requests since one was let in.
    refusals: Option<Run>,
    actions: HashMap<Operation, Action>,
}

/// The successes and refusals of one action.
#[derive(Debug, Default)]
struct Action {
    tally: Tally,
    succeeded_at: Option<Duration>,
    /// Denials, and refusals with a code that is not known.
    denied: Evidence,
    unclear: Evidence,
    closed: Option<Closed>,
}

/// The numbers of requests of one action.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    successes: u64,
    refusals: u64,
}

/// Refusals of an action for one reason.
#[derive(Debug, Default)]
struct Evidence {
    /// Those since the action was last carried out.
    unbroken: Option<Run>,
    /// Those before as well.
    all: Option<Run>,
    /// The action's successes before the first of them.
    successes_before: u64,
}

/// The reason for which an action is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It may not be used, or the server does not have it.
    Denied,
    /// A code that is not known.
    Unclear,
}

/// Refusals without a pause.
#[derive(Clone, Copy, Debug)]
struct Run {
    since: Duration,
    last: Duration,
    count: u32,
}

impl Run {
    /// Adds a refusal to a run, or to a new one after a pause.
    fn add(run: &mut Option<Self>, now: Duration, pause: Duration) -> Self {
        let before = run.filter(|run| now.saturating_sub(run.last) < pause);
        *run.insert(Self {
            since: before.map_or(now, |run| run.since),
            last: now,
            count: before.map_or(0, |run| run.count) + 1,
        })
    }

    /// Returns whether they have gone on for [`GRACE`].
    fn is_lasting(self) -> bool {
        self.count >= LASTING_REFUSALS && self.last.saturating_sub(self.since) >= GRACE
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
    /// `longest_delay` is the longest between two attempts of a write.
    pub(super) fn new(longest_delay: Duration) -> Self {
        Self {
            pause: GRACE.max(longest_delay.saturating_mul(2)),
            refusals: None,
            actions: HashMap::new(),
        }
    }

    /// Notes that a request was let in, whatever became of it, or that nothing was tried for a while.
    pub(super) fn let_in(&mut self) {
        self.refusals = None;
    }

    /// Notes that a request of an action was let in, and would have been denied before that.
    pub(super) fn allowed(&mut self, operation: Operation) {
        self.refusals = None;
        if let Some(action) = self.actions.get_mut(&operation) {
            action.denied = Evidence::default();
            action.closed = None;
        }
    }

    /// Notes that a request was carried out.
    pub(super) fn succeeded(&mut self, now: Duration, operation: Operation) {
        self.refusals = None;
        let action = self.actions.entry(operation).or_default();
        action.tally.successes += 1;
        action.succeeded_at = Some(now);
        action.denied.unbroken = None;
        action.unclear.unbroken = None;
        action.closed = None;
    }

    /// Notes that a request was refused as any would be. Returns whether the grace is over.
    pub(super) fn refused(&mut self, now: Duration) -> bool {
        Run::add(&mut self.refusals, now, self.pause).is_lasting()
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
        let pause = self.pause;
        let action = self.actions.entry(operation).or_default();
        action.tally.refusals += 1;
        let successes = action.tally.successes;
        let evidence = match why {
            Why::Denied => &mut action.denied,
            Why::Unclear => &mut action.unclear,
        };
        let unbroken = Run::add(&mut evidence.unbroken, now, pause);
        let all = Run::add(&mut evidence.all, now, pause);
        if all.count == 1 {
            evidence.successes_before = successes;
        }
        let beside_others = successes > evidence.successes_before;
        if why == Why::Denied && action.closed.is_some() {
            Standing::Closed
        } else if unbroken.is_lasting() {
            Standing::Refused
        } else if beside_others && (why == Why::Unclear || all.is_lasting()) {
            Standing::Partial
        } else {
            Standing::Passing
        }
    }

    /// Returns the numbers of requests of an action.
    pub(super) fn tally(&self, operation: Operation) -> Tally {
        let action = self.actions.get(&operation);
        action.map(|action| action.tally).unwrap_or_default()
    }

    /// Returns whether another action was carried out since this one is denied, or shortly before.
    pub(super) fn others_work(&self, now: Duration, operation: Operation) -> bool {
        let denied = self.actions.get(&operation);
        let denied = denied.and_then(|action| action.denied.all);
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
    /// The action's requests before the first of them, and at the last of them that counted.
    before: Tally,
    last: Tally,
    /// All of them, and those that counted.
    all: u64,
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
    pub(super) fn new(now: Duration, tally: Tally) -> Self {
        Self {
            since: now,
            before: tally,
            last: tally,
            all: 0,
            refusals: 0,
        }
    }

    /// Counts a refusal, if others of the action were carried out since the last one that counted.
    pub(super) fn refused(&mut self, now: Duration, tally: Tally) -> Suspect {
        self.all += 1;
        if tally.successes <= self.last.successes {
            return Suspect::OneOfAll;
        }
        self.last = tally;
        self.refusals += 1;
        let lasting = now.saturating_sub(self.since) >= GRACE;
        if lasting && self.refusals >= CONDEMNING_REFUSALS && self.chance() < CONDEMNING_CHANCE {
            Suspect::Cause
        } else {
            Suspect::Alone
        }
    }

    /// Returns the chance of so many refusals, where a request is refused as often as those of others.
    fn chance(&self) -> f64 {
        let number = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        let successes = number(self.last.successes - self.before.successes);
        let refusals = self.last.refusals - self.before.refusals;
        let refusals = number(refusals.saturating_sub(self.all));
        let share = refusals / (refusals + successes);
        share.powf(f64::from(self.refusals))
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
        let mut access = Access::new(s(10));
        assert!(!access.refused(s(5)));
        assert!(!access.refused(s(34)));
        assert!(access.refused(s(35)));
        access.let_in();
        assert!(!access.is_refused());
        assert!(!access.refused(s(36)));
    }

    #[test]
    fn an_action_that_never_works_is_closed_and_tried_again_later() {
        let mut access = Access::new(s(10));
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
        let mut access = Access::new(s(10));
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

    fn tally(successes: u64, refusals: u64) -> Tally {
        Tally {
            successes,
            refusals,
        }
    }

    #[test]
    fn only_refusals_between_successes_make_a_write_the_cause_and_not_before_the_grace_is_over() {
        let mut suspicion = Suspicion::new(s(0), tally(7, 1));
        for now in 0..100 {
            assert_eq!(
                suspicion.refused(s(now), tally(7, 2 + now)),
                Suspect::OneOfAll,
                "nothing passes"
            );
        }
        let all = tally(8, 101).refusals;
        for successes in 8..12 {
            let now = tally(successes, all);
            assert_eq!(suspicion.refused(s(100), now), Suspect::Alone);
            assert_eq!(suspicion.refused(s(100), now), Suspect::OneOfAll);
        }
        assert_eq!(suspicion.refused(s(100), tally(12, all)), Suspect::Cause);
        let mut suspicion = Suspicion::new(s(0), tally(0, 0));
        for n in 1..100 {
            assert_eq!(suspicion.refused(s(29), tally(n, n)), Suspect::Alone);
        }
        assert_eq!(suspicion.refused(s(30), tally(100, 100)), Suspect::Cause);
    }

    #[test]
    fn a_write_is_not_the_cause_where_others_are_refused_as_often() {
        // Nine requests in ten are refused, of others too.
        let mut suspicion = Suspicion::new(s(0), tally(0, 0));
        let mut refused = 0;
        while suspicion.refused(s(100), tally(refused + 1, 10 * refused + 9)) != Suspect::Cause {
            refused += 1;
        }
        assert!((150..200).contains(&refused), "{refused}");
    }

    #[test]
    fn blips_that_a_success_parts_never_add_up() {
        let mut access = Access::new(s(10));
        // Refused for a moment each 25 s, and carried out after it.
        for blip in 0..40 {
            for why in [Why::Denied, Why::Unclear] {
                let standing = access.action_refused(s(25 * blip), UPDATES, why);
                assert_ne!(standing, Standing::Refused, "{blip}");
            }
            access.succeeded(s(25 * blip + 1), UPDATES);
        }
        for second in 1_000..1_010 {
            let standing = access.action_refused(s(second), UPDATES, Why::Denied);
            assert_ne!(standing, Standing::Refused, "ten seconds are no verdict");
        }
        // Nor do those that are far apart.
        let mut access = Access::new(s(10));
        for blip in 0..10 {
            assert!(!access.refused(s(1_200 * blip)));
            let standing = access.action_refused(s(1_200 * blip), PUTS, Why::Denied);
            assert_eq!(standing, Standing::Passing);
        }
    }

    #[test]
    fn attempts_that_are_far_apart_come_to_a_verdict_too() {
        let mut access = Access::new(s(300));
        let standings = [0, 290, 580].map(|second| {
            assert_eq!(access.refused(s(second)), second == 580);
            access.action_refused(s(second), UPDATES, Why::Denied)
        });
        assert_eq!(standings[2], Standing::Refused);
        access.close(s(580), UPDATES, denied());
        access.allowed(UPDATES);
        assert!(access.closed(s(581), UPDATES).is_none(), "it was let in");
        let standing = access.action_refused(s(582), UPDATES, Why::Denied);
        assert_eq!(standing, Standing::Passing);
    }

    #[test]
    fn two_blips_with_nothing_sent_between_are_not_an_outage() {
        let mut access = Access::new(s(10));
        assert!(!access.refused(s(0)));
        assert!(!access.refused(s(40)));
        let mut access = Access::new(s(10));
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
