//! Which budget a refusal concerns, and what happens to it.

use std::time::Duration;

use super::budget::Budget;
use super::budgets::{Budgets, FollowUp, WriteCost};
use super::control::{Base, Refusal};
use super::limit::ThrottleCause;
use super::table_capacity::CapacityMode;
use crate::retry::{ThrottlingLimit, ThrottlingReason};

/// For how long a reason that was reported holds for refusals without one.
const REPORTED_CAUSE_LIFETIME: Duration = Duration::from_secs(10);

/// The most often that a reason is asked for by a request of one write.
const MIN_PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The share of a request's writes, beside those of hot keys, up to which refusals are put down to
/// the hot keys' partitions.
const HOT_NEIGHBOR_MAX_SHARE: f64 = 0.2;

/// The refused writes of a request of so many.
#[derive(Clone, Copy)]
struct Refused {
    items: usize,
    refused: usize,
    units: u32,
    sent_at: Duration,
}

impl Refused {
    fn of<'a>(items: usize, sent_at: Duration, costs: impl Iterator<Item = &'a WriteCost>) -> Self {
        let (refused, units) = costs.fold((0, 0_u32), |(count, units), cost| {
            (count + 1, units.saturating_add(cost.units))
        });
        Self {
            items,
            refused,
            units,
            sent_at,
        }
    }
}

impl Budgets {
    /// Writes were refused: `left`, while `passed` of the same request were not. `reasons` are those the
    /// service tells.
    pub(crate) fn refused(
        &mut self,
        now: Duration,
        sent_at: Duration,
        left: &[WriteCost],
        passed: &[WriteCost],
        reasons: &[ThrottlingReason],
    ) -> FollowUp {
        let reported = reasons.iter().map(|reason| self.cause_of(reason));
        let reported = reported
            .filter(|cause| *cause != ThrottleCause::NotReported)
            .max_by_key(|cause| priority(*cause));
        if let Some(cause) = reported {
            self.reported_cause = Some((cause, now));
        }
        let cause = reported.unwrap_or_else(|| self.infer_cause(now, left, passed));
        self.last_cause = Some((cause, now));
        let adaptive = self.config.rate.is_adaptive();
        let items = left.len() + passed.len();
        if let ThrottleCause::Index(at) | ThrottleCause::MaxOnDemandIndex(at) = cause {
            if adaptive {
                let refused = Refused::of(items, sent_at, left.iter());
                let why = match cause {
                    ThrottleCause::Index(_) => Refusal::Capacity,
                    _ => Refusal::Maximum,
                };
                self.index_refused(now, at, refused, why);
                self.describe_soon = true;
            }
            return FollowUp::default();
        }
        // A key stands out by its refusals, unless it is reported that they are no key's.
        let by_key = adaptive && (reported.is_none() || cause == ThrottleCause::KeyRange);
        if by_key {
            for cost in left {
                self.hot_keys.refused(
                    now,
                    cost.partition,
                    reported == Some(ThrottleCause::KeyRange),
                );
            }
        }
        let hot_keys = &self.hot_keys;
        let cold = left
            .iter()
            .filter(|cost| !by_key || !hot_keys.contains(cost.partition));
        let refused = Refused::of(items, sent_at, cold);
        if refused.refused == 0 {
            return FollowUp::default();
        }
        let mut follow_up = FollowUp {
            slow_account: reported == Some(ThrottleCause::Account),
            table_refusals: refused.refused,
            probe_cause: false,
        };
        let why = match cause {
            ThrottleCause::Table | ThrottleCause::Account => Refusal::Capacity,
            ThrottleCause::MaxOnDemand => Refusal::Maximum,
            ThrottleCause::KeyRange if !adaptive => return FollowUp::default(),
            // One write's key range says nothing of the others'.
            ThrottleCause::KeyRange if items == 1 || self.beside_hot_keys(now, refused) => {
                return FollowUp::default();
            }
            // It is by its partitions that a table on demand has its limit.
            ThrottleCause::KeyRange if self.mode() == CapacityMode::OnDemand => Refusal::Capacity,
            ThrottleCause::KeyRange => Refusal::Partitions,
            _ if self.beside_hot_keys(now, refused) => return FollowUp::default(),
            _ => {
                // Where nothing is known, the reaction is the same whatever the reason.
                follow_up.probe_cause = self.is_known() && self.take_probe(now);
                Refusal::Untold
            }
        };
        let bursting = self.table.control.is_bursting();
        self.describe_soon |= !bursting && why != Refusal::Partitions;
        // With units to spare, a few refusals that nobody explains are not the table's.
        let few = refused.refused * 2 <= items;
        if why == Refusal::Untold && few && !bursting && !self.table.control.is_used(now) {
            follow_up.table_refusals = 0;
            return follow_up;
        }
        let Refused { refused, units, .. } = refused;
        self.table
            .refused(now, sent_at, (items, refused), units, why);
        follow_up
    }

    /// Whether these few are refused since they share their partition with a hot key.
    fn beside_hot_keys(&mut self, now: Duration, refused: Refused) -> bool {
        let spare = !self.table.control.is_used(now);
        #[expect(clippy::cast_precision_loss, reason = "at most 100 writes")]
        let few = refused.refused as f64 <= refused.items as f64 * HOT_NEIGHBOR_MAX_SHARE
            || refused.items == 1;
        few && self.hot_keys.explains(now, spare)
    }

    fn index_refused(&mut self, now: Duration, at: usize, of: Refused, why: Refusal) {
        let Refused {
            items,
            refused,
            units,
            sent_at,
        } = of;
        let counts = (items, refused);
        match self.indexes.get_mut(at) {
            Some(Some(index)) => index.refused(now, sent_at, counts, units, why),
            // Nothing is known of it: it is found out.
            Some(none) => {
                let mut index = Budget::new(now, Base::Unknown, false);
                index.refused(now, sent_at, counts, units, why);
                *none = Some(index);
            }
            None => self.table.refused(now, sent_at, counts, units, why),
        }
    }

    fn take_probe(&mut self, now: Duration) -> bool {
        let due = self
            .probed_at
            .is_none_or(|at| now.saturating_sub(at) >= MIN_PROBE_INTERVAL);
        if due {
            self.probed_at = Some(now);
        }
        due
    }

    /// What was cause, where it was not reported.
    fn infer_cause(
        &self,
        now: Duration,
        left: &[WriteCost],
        passed: &[WriteCost],
    ) -> ThrottleCause {
        // What all that were refused have in common and none that was taken.
        if !passed.is_empty() {
            let common = left.iter().fold(u32::MAX, |bits, cost| bits & cost.indexes);
            let others = passed.iter().fold(0, |bits, cost| bits | cost.indexes);
            let candidates = common & !others;
            if candidates.count_ones() == 1 {
                return ThrottleCause::Index(candidates.trailing_zeros() as usize);
            }
        }
        let enter = |index: usize| left.iter().all(|cost| cost.enters(index));
        match self.reported_cause {
            Some((cause, at)) if now.saturating_sub(at) < REPORTED_CAUSE_LIFETIME => match cause {
                ThrottleCause::Index(index) | ThrottleCause::MaxOnDemandIndex(index)
                    if !enter(index) =>
                {
                    ThrottleCause::NotReported
                }
                cause => cause,
            },
            _ => ThrottleCause::NotReported,
        }
    }

    /// Each reason as we know it: every kind of limit has its reaction.
    fn cause_of(&self, reason: &ThrottlingReason) -> ThrottleCause {
        let index = || {
            let name = reason.resource()?.rsplit_once("/index/")?.1;
            self.kinds.iter().position(|kind| kind.name == name)
        };
        match reason.limit() {
            ThrottlingLimit::TableProvisioned => ThrottleCause::Table,
            ThrottlingLimit::IndexProvisioned => {
                index().map_or(ThrottleCause::NotReported, ThrottleCause::Index)
            }
            ThrottlingLimit::TableKeyRange | ThrottlingLimit::IndexKeyRange => {
                ThrottleCause::KeyRange
            }
            ThrottlingLimit::TableAccountLimit | ThrottlingLimit::IndexAccountLimit => {
                ThrottleCause::Account
            }
            ThrottlingLimit::TableMaxOnDemand => ThrottleCause::MaxOnDemand,
            ThrottlingLimit::IndexMaxOnDemand => {
                index().map_or(ThrottleCause::NotReported, ThrottleCause::MaxOnDemandIndex)
            }
            ThrottlingLimit::Unknown(_) => ThrottleCause::NotReported,
        }
    }
}

/// Of several reasons, the one to react to: the most particular.
fn priority(cause: ThrottleCause) -> u8 {
    match cause {
        ThrottleCause::NotReported => 0,
        ThrottleCause::KeyRange => 1,
        ThrottleCause::Table => 2,
        ThrottleCause::MaxOnDemand => 3,
        ThrottleCause::Index(_) | ThrottleCause::MaxOnDemandIndex(_) => 4,
        ThrottleCause::Account => 5,
    }
}
