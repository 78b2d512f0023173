//! The attribution of a refusal to a record: it is the cause if it is refused again and again while
//! others are carried out.

use std::time::Duration;

use super::{REFUSAL_GRACE, RefusalKind, Tally};
use crate::transport::Operation;

/// The least number of refusals of a write by itself that attribute them to its record. Each must
/// come after others of its action were carried out, and the first [`REFUSAL_GRACE`] ago.
const MIN_ATTRIBUTED_REFUSALS: u32 = 5;

/// The chance below which refusals are attributed to the record: that a write like all others is
/// refused as often.
///
/// Chosen: in an outage that refuses nine requests in ten, no write of a full buffer is rejected.
const MAX_ATTRIBUTION_CHANCE: f64 = 1e-7;

/// The evidence against a record: refusals of its write, sent by itself, that need not be caused by
/// it. Denials of all writes of its key by the same action count too.
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
    /// The number of refusals, and of those that counted.
    all: u64,
    refusals: u32,
}

/// The attribution of a refusal of a write by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sink::core) enum Attribution {
    /// Nothing of its action was carried out since the last one: the refusal is no evidence.
    OneOfAll,
    /// Others of its action were carried out, and this one is refused alone.
    Alone,
    /// The record is the cause of its refusals.
    Record,
}

impl RecordEvidence {
    /// Returns the evidence before the first refusal is counted. `tally` is that of the action, the
    /// write's first refusal included.
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

    /// Returns whether it also concerns a write that is refused now: the same write, or one of the
    /// same key. A transaction has more keys than one.
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

    /// Returns the chance of as many refusals in a row, if a request is refused as often as those
    /// of others.
    ///
    /// The rate of refusals is estimated by the rule of succession: a few other requests prove
    /// little.
    fn chance(&self) -> f64 {
        let number = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        let successes = number(self.last.successes - self.before.successes);
        let refusals = self.last.refusals - self.before.refusals;
        let refusals = number(refusals.saturating_sub(self.all));
        let share = (refusals + 1.0) / (refusals + successes + 2.0);
        share.powf(f64::from(self.refusals))
    }
}
