//! The attribution of a refusal to a record: it is the cause if it is refused again and again while
//! others are carried out.

use std::time::Duration;

use super::{REFUSAL_GRACE, RefusalKind, Tally};
use crate::transport::Operation;

/// The least number of refusals of a write by itself, each after others of its action were carried
/// out, that make it the cause, once it has been refused for [`REFUSAL_GRACE`].
const MIN_ATTRIBUTED_REFUSALS: u32 = 5;

/// The chance of being refused as often as the write was, for one that is like all others, below which
/// it is the cause.
///
/// Chosen: of all that a buffer holds in an outage of nine requests in ten, none is rejected.
const MAX_ATTRIBUTION_CHANCE: f64 = 1e-7;

/// The refusals of one write, sent by itself, for a reason that it need not be the cause of; where it
/// is denied, of all writes of its key by the same action.
#[derive(Clone, Copy, Debug)]
pub(in crate::sink::core) struct RecordEvidence {
    /// The number of the first of these writes, its action, and the reason.
    number: u64,
    operation: Operation,
    kind: RefusalKind,
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
pub(in crate::sink::core) enum Attribution {
    /// Nothing of its action was carried out since the last one: it says nothing.
    OneOfAll,
    /// Others were carried out.
    Alone,
    /// The record is the cause.
    Record,
}

impl RecordEvidence {
    /// `tally` is that of the action, with the write's first refusal.
    pub(in crate::sink::core) fn new(
        now: Duration,
        number: u64,
        operation: Operation,
        kind: RefusalKind,
        tally: Tally,
    ) -> Self {
        let before = Tally {
            refusals: tally.refusals.saturating_sub(1),
            ..tally
        };
        Self {
            number,
            operation,
            kind,
            since: now,
            before,
            last: before,
            all: 0,
            refusals: 0,
        }
    }

    /// Returns whether it is evidence against a write that is refused now. A transaction has more than
    /// the key.
    pub(in crate::sink::core) fn concerns(
        &self,
        number: u64,
        operation: Operation,
        kind: RefusalKind,
    ) -> bool {
        let of_key = (self.operation, self.kind, kind)
            == (operation, RefusalKind::Denied, RefusalKind::Denied)
            && operation != Operation::TransactWriteItems;
        self.number == number || of_key
    }

    /// Counts a refusal, if others of the action were carried out since the last one that counted.
    pub(in crate::sink::core) fn refused(&mut self, now: Duration, tally: Tally) -> Attribution {
        self.all += 1;
        if tally.successes <= self.last.successes {
            return Attribution::OneOfAll;
        }
        self.last = tally;
        self.refusals += 1;
        let lasting = now.saturating_sub(self.since) >= REFUSAL_GRACE;
        if lasting
            && self.refusals >= MIN_ATTRIBUTED_REFUSALS
            && self.chance() < MAX_ATTRIBUTION_CHANCE
        {
            Attribution::Record
        } else {
            Attribution::Alone
        }
    }

    /// Returns the chance of so many refusals, where a request is refused as often as those of others.
    ///
    /// How often that is, is estimated by the rule of succession: few others prove little.
    fn chance(&self) -> f64 {
        let number = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        let successes = number(self.last.successes - self.before.successes);
        let refusals = self.last.refusals - self.before.refusals;
        let refusals = number(refusals.saturating_sub(self.all));
        let share = (refusals + 1.0) / (refusals + successes + 2.0);
        share.powf(f64::from(self.refusals))
    }
}
