//! Which budget a refusal concerns, and what happens to it.

use std::time::Duration;

use super::budget::Budget;
use super::budgets::{Budgets, Piece, Wanted};
use super::control::{Base, Refusal};
use super::known::CapacityMode;
use super::limit::Met;
use crate::retry::{ThrottlingLimit, ThrottlingReason};

/// For how long a reason that was told holds for refusals without one.
const REASON_HOLDS: Duration = Duration::from_secs(10);

/// The most often that a reason is asked for by a request of one write.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The share of a request's writes, beside those of hot keys, up to which refusals are put down to
/// the hot keys' partitions.
const FEW: f64 = 0.2;

/// The refused writes of a request of so many.
#[derive(Clone, Copy)]
struct Refused {
    items: usize,
    refused: usize,
    units: u32,
    sent_at: Duration,
}

impl Refused {
    fn of<'a>(items: usize, sent_at: Duration, pieces: impl Iterator<Item = &'a Piece>) -> Self {
        let (refused, units) = pieces.fold((0, 0_u32), |(count, units), piece| {
            (count + 1, units.saturating_add(piece.units))
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
        left: &[Piece],
        passed: &[Piece],
        reasons: &[ThrottlingReason],
    ) -> Wanted {
        let told = reasons.iter().map(|reason| self.met(reason));
        let told = told
            .filter(|met| *met != Met::Untold)
            .max_by_key(|met| weight(*met));
        if let Some(met) = told {
            self.told = Some((met, now));
        }
        let met = told.unwrap_or_else(|| self.conclude(now, left, passed));
        self.met_at = Some((met, now));
        let adaptive = self.wishes.rate.is_adaptive();
        let items = left.len() + passed.len();
        if let Met::Index(at) | Met::MaxOnDemandIndex(at) = met {
            if adaptive {
                let refused = Refused::of(items, sent_at, left.iter());
                let why = match met {
                    Met::Index(_) => Refusal::Capacity,
                    _ => Refusal::Maximum,
                };
                self.index_refused(now, at, refused, why);
                self.describe = true;
            }
            return Wanted::default();
        }
        // A key stands out by its refusals, unless it is told that they are no key's.
        let by_key = adaptive && (told.is_none() || met == Met::KeyRange);
        if by_key {
            for piece in left {
                self.hot
                    .refused(now, piece.partition, told == Some(Met::KeyRange));
            }
        }
        let hot = &self.hot;
        let cold = left
            .iter()
            .filter(|piece| !by_key || !hot.contains(piece.partition));
        let refused = Refused::of(items, sent_at, cold);
        if refused.refused == 0 {
            return Wanted::default();
        }
        let mut wanted = Wanted {
            account: told == Some(Met::Account),
            of_table: refused.refused,
            reason: false,
        };
        let why = match met {
            Met::Table | Met::Account => Refusal::Capacity,
            Met::MaxOnDemand => Refusal::Maximum,
            Met::KeyRange if !adaptive => return Wanted::default(),
            // One write's key range says nothing of the others'.
            Met::KeyRange if items == 1 || self.beside_hot_keys(now, refused) => {
                return Wanted::default();
            }
            // It is by its partitions that a table on demand has its limit.
            Met::KeyRange if self.mode() == CapacityMode::OnDemand => Refusal::Capacity,
            Met::KeyRange => Refusal::Partitions,
            _ if self.beside_hot_keys(now, refused) => return Wanted::default(),
            _ => {
                // Where nothing is known, the reaction is the same whatever the reason.
                wanted.reason = self.is_known() && self.ask(now);
                Refusal::Untold
            }
        };
        let bursting = self.table.control.is_bursting();
        self.describe |= !bursting && why != Refusal::Partitions;
        // With units to spare, a few refusals that nobody explains are not the table's.
        let few = refused.refused * 2 <= items;
        if why == Refusal::Untold && few && !bursting && !self.table.control.is_used(now) {
            wanted.of_table = 0;
            return wanted;
        }
        let Refused { refused, units, .. } = refused;
        self.table
            .refused(now, sent_at, (items, refused), units, why);
        wanted
    }

    /// Whether these few are refused since they share their partition with a hot key.
    fn beside_hot_keys(&mut self, now: Duration, refused: Refused) -> bool {
        let spare = !self.table.control.is_used(now);
        #[expect(clippy::cast_precision_loss, reason = "at most 100 writes")]
        let few = refused.refused as f64 <= refused.items as f64 * FEW || refused.items == 1;
        few && self.hot.explains(now, spare)
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

    fn ask(&mut self, now: Duration) -> bool {
        let due = self
            .asked_at
            .is_none_or(|at| now.saturating_sub(at) >= ASK_EVERY);
        if due {
            self.asked_at = Some(now);
        }
        due
    }

    /// What was met, where it was not told.
    fn conclude(&self, now: Duration, left: &[Piece], passed: &[Piece]) -> Met {
        // What all that were refused have in common and none that was taken.
        if !passed.is_empty() {
            let common = left
                .iter()
                .fold(u32::MAX, |bits, piece| bits & piece.indexes);
            let others = passed.iter().fold(0, |bits, piece| bits | piece.indexes);
            let suspects = common & !others;
            if suspects.count_ones() == 1 {
                return Met::Index(suspects.trailing_zeros() as usize);
            }
        }
        let enter = |index: usize| left.iter().all(|piece| piece.enters(index));
        match self.told {
            Some((met, at)) if now.saturating_sub(at) < REASON_HOLDS => match met {
                Met::Index(index) | Met::MaxOnDemandIndex(index) if !enter(index) => Met::Untold,
                met => met,
            },
            _ => Met::Untold,
        }
    }

    /// Each reason as we know it: every kind of limit has its reaction.
    fn met(&self, reason: &ThrottlingReason) -> Met {
        let index = || {
            let name = reason.resource()?.rsplit_once("/index/")?.1;
            self.kinds.iter().position(|known| known.name == name)
        };
        match reason.limit() {
            ThrottlingLimit::TableProvisioned => Met::Table,
            ThrottlingLimit::IndexProvisioned => index().map_or(Met::Untold, Met::Index),
            ThrottlingLimit::TableKeyRange | ThrottlingLimit::IndexKeyRange => Met::KeyRange,
            ThrottlingLimit::TableAccountLimit | ThrottlingLimit::IndexAccountLimit => Met::Account,
            ThrottlingLimit::TableMaxOnDemand => Met::MaxOnDemand,
            ThrottlingLimit::IndexMaxOnDemand => index().map_or(Met::Untold, Met::MaxOnDemandIndex),
            ThrottlingLimit::Unknown(_) => Met::Untold,
        }
    }
}

/// Of several reasons, the one to react to: the most particular.
fn weight(met: Met) -> u8 {
    match met {
        Met::Untold => 0,
        Met::KeyRange => 1,
        Met::Table => 2,
        Met::MaxOnDemand => 3,
        Met::Index(_) | Met::MaxOnDemandIndex(_) => 4,
        Met::Account => 5,
    }
}
