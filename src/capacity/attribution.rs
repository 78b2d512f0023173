//! The attribution of a refusal to a budget, and the reaction to it.
//!
//! A refusal concerns the table, an index, a hot key or the account. The reason that the service
//! reports decides. Unprocessed items of a batch bear no reason: there, the cause is inferred from
//! what all refused writes have in common, or from a reason that was reported shortly before.

use std::time::Duration;

use super::budgets::{Budgets, FollowUp};
use super::limit::ThrottleCause;
use super::speed::{Answer, Refusal};
use super::table_capacity::CapacityMode;
use super::write_cost::WriteCost;
use crate::retry::{ThrottlingLimit, ThrottlingReason};

/// The time for which a reported reason also counts for refusals without one.
///
/// Chosen: a lasting shortage then costs one probe in ten seconds, and a change of its cause is
/// noticed within that time.
const REPORTED_CAUSE_LIFETIME: Duration = Duration::from_secs(10);

/// The least time between two requests of one write that are sent to obtain a reason.
///
/// Chosen: a probe carries one write where a batch would carry 25, so probes must stay rare.
const MIN_PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The largest share of a request's writes that may be refused beside a hot key and still be
/// attributed to the hot key's partition.
///
/// Chosen: where writes spread over five or more partitions, one partition has about a fifth of
/// them.
const HOT_NEIGHBOR_MAX_SHARE: f64 = 0.2;

/// The writes of one request that may be the table's concern.
#[derive(Clone, Copy)]
struct Refused {
    answer: Answer,
    /// Units of those that were refused.
    units: u32,
}

impl Refused {
    fn of<'a>(sent_at: Duration, taken: usize, costs: impl Iterator<Item = &'a WriteCost>) -> Self {
        let (refused, units) = costs.fold((0, 0_u32), |(count, units), cost| {
            (count + 1, units.saturating_add(cost.units))
        });
        Self {
            answer: Answer {
                sent_at,
                taken,
                refused,
            },
            units,
        }
    }
}

impl Budgets {
    /// Reacts to a request of which `left` were refused and `passed` were taken and settled.
    ///
    /// `reasons` are those that the service reported. They may be empty.
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
        if let ThrottleCause::Index(at) | ThrottleCause::MaxOnDemandIndex(at) = cause {
            if adaptive {
                let taken = passed.iter().filter(|cost| cost.enters(at)).count();
                let refused = Refused::of(sent_at, taken, left.iter());
                let why = match cause {
                    ThrottleCause::Index(_) => Refusal::Capacity,
                    _ => Refusal::Maximum,
                };
                let Refused { answer, units } = refused;
                if !self.indexes.refused(now, at, answer, units, why) {
                    self.table.answered(now, answer, units, why);
                }
                self.describe_soon = true;
            }
            self.taken(now, sent_at, passed.len(), Some(at));
            return FollowUp::default();
        }
        // Refusals count for their keys, unless the reported reason is another than a key range.
        let by_key = adaptive && (reported.is_none() || cause == ThrottleCause::KeyRange);
        let reported_range = reported == Some(ThrottleCause::KeyRange);
        let hot_keys = &mut self.hot_keys;
        // Each is counted as it is looked at, once.
        let cold = left
            .iter()
            .filter(|cost| !by_key || !hot_keys.refused(now, cost.partition, reported_range));
        let refused = Refused::of(sent_at, passed.len(), cold);
        let items = left.len() + passed.len();
        let Some(why) = self.of_table(now, cause, refused.answer, items) else {
            self.taken(now, sent_at, passed.len(), None);
            return FollowUp::default();
        };
        self.describe_soon |= !self.table.speed.is_bursting() && why != Refusal::Partitions;
        self.taken(now, sent_at, 0, None);
        let follow_up = FollowUp {
            slow_account: reported == Some(ThrottleCause::Account),
            // Without a known capacity the reaction is the same for every reason: no probe.
            probe_cause: why == Refusal::NotReported && self.is_known() && self.take_probe(now),
        };
        let Refused { answer, units } = refused;
        if self.is_unexplained(now, answer, why) {
            self.taken(now, sent_at, passed.len(), None);
        } else {
            self.table.answered(now, answer, units, why);
        }
        follow_up
    }

    /// Returns the reason of refusals as far as the table goes; `None` where they are not its
    /// concern. The request had `items` writes.
    fn of_table(
        &mut self,
        now: Duration,
        cause: ThrottleCause,
        cold: Answer,
        items: usize,
    ) -> Option<Refusal> {
        if cold.refused == 0 {
            return None;
        }
        match cause {
            ThrottleCause::Table | ThrottleCause::Account => Some(Refusal::Capacity),
            ThrottleCause::MaxOnDemand => Some(Refusal::Maximum),
            // The key range of one write, or of the writes beside a hot key, is no limit of the
            // table.
            ThrottleCause::KeyRange
                if !self.config.rate.is_adaptive()
                    || items == 1
                    || self.beside_hot_keys(now, cold, items) =>
            {
                None
            }
            // The capacity of an on-demand table is that of its partitions.
            ThrottleCause::KeyRange if self.mode() == CapacityMode::OnDemand => {
                Some(Refusal::Capacity)
            }
            ThrottleCause::KeyRange => Some(Refusal::Partitions),
            _ if self.beside_hot_keys(now, cold, items) => None,
            _ => Some(Refusal::NotReported),
        }
    }

    /// Returns whether a few writes were refused without a reason while no write waits for known
    /// units. They say nothing of the rate.
    fn is_unexplained(&self, now: Duration, cold: Answer, why: Refusal) -> bool {
        why == Refusal::NotReported
            && cold.refused <= cold.taken
            && self.is_known()
            && !self.table.speed.is_bursting()
            && !self.table.speed.binds(now)
    }

    /// Returns whether these refusals are few enough, and explained by a hot key in their
    /// partition.
    fn beside_hot_keys(&mut self, now: Duration, cold: Answer, items: usize) -> bool {
        let units_left = !self.table.speed.is_used(now);
        #[expect(clippy::cast_precision_loss, reason = "at most 100 writes")]
        let few = cold.refused as f64 <= items as f64 * HOT_NEIGHBOR_MAX_SHARE || items == 1;
        few && self.hot_keys.explains(now, units_left)
    }

    /// Returns whether a probe for a reason is due, and notes that it was sent.
    fn take_probe(&mut self, now: Duration) -> bool {
        let due = self
            .probed_at
            .is_none_or(|at| now.saturating_sub(at) >= MIN_PROBE_INTERVAL);
        if due {
            self.probed_at = Some(now);
        }
        due
    }

    /// Returns the probable cause of refusals without a reason.
    fn infer_cause(
        &self,
        now: Duration,
        left: &[WriteCost],
        passed: &[WriteCost],
    ) -> ThrottleCause {
        // An index that every refused write enters, and no write that was taken.
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

    /// Returns the cause that a reported reason stands for. Each cause has its own reaction.
    fn cause_of(&self, reason: &ThrottlingReason) -> ThrottleCause {
        let index = || {
            let name = reason.resource()?.rsplit_once("/index/")?.1;
            self.indexes.position(name)
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

/// Returns the priority of a cause: of several reasons, the one of the highest is reacted to.
///
/// The account comes first, since it concerns all tables. After it, the more specific cause wins.
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
