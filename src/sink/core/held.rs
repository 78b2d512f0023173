//! Writes that wait for the budget of their partition key or of an index.
//!
//! Each such budget has a lane of its own, in which writes wait in the order of their turn while all
//! others go on. A write that comes out of it rides in the next batch, before what the common lane
//! has: it waited longer.

use std::collections::BTreeMap;
use std::time::Duration;

use super::entry::State;
use super::lane::{Lane, Ticket, Weight};
use super::request::Sum;
use super::{Core, Request};
use crate::capacity::{Lot, Piece};

/// How long an index counts as short after a write was last held back for it.
const SHORT_FOR: Duration = Duration::from_secs(1);

/// The lanes of held writes.
#[derive(Debug, Default)]
pub(super) struct Held {
    lanes: BTreeMap<Lot, Lane>,
    /// When the next of them may leave, as of the last look.
    pub(super) due_at: Option<Duration>,
    /// The indexes that writes were held back for, and when last.
    short: Vec<(usize, Duration)>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// How many writes wait for hot keys.
    pub(super) fn behind_keys(&self) -> usize {
        let keys = self.lanes.iter();
        keys.filter(|(lot, _)| matches!(lot, Lot::Key(_)))
            .map(|(_, lane)| lane.count())
            .sum()
    }

    /// The index with the most writes waiting.
    pub(super) fn index(&self) -> Option<usize> {
        let indexes = self.lanes.iter().filter_map(|(lot, lane)| match lot {
            Lot::Index(at) => Some((lane.count(), *at)),
            Lot::Key(_) => None,
        });
        indexes.max().map(|(_, at)| at)
    }

    pub(super) fn holds(&self, lot: Lot) -> bool {
        self.lanes.contains_key(&lot)
    }

    fn note_short(&mut self, index: usize, now: Duration) {
        match self.short.iter_mut().find(|(at, _)| *at == index) {
            Some((_, noted)) => *noted = now,
            None => self.short.push((index, now)),
        }
    }

    /// The indexes that writes wait for or waited for a moment ago, by a bit each.
    pub(super) fn short_indexes(&self, now: Duration) -> u32 {
        let short = self.short.iter().filter(|(at, noted)| {
            now.saturating_sub(*noted) < SHORT_FOR || self.holds(Lot::Index(*at))
        });
        short.fold(0, |bits, (at, _)| {
            bits | 1_u32.wrapping_shl(u32::try_from(*at).unwrap_or(0))
        })
    }

    /// The lots that hold writes.
    pub(super) fn lots(&self) -> impl Iterator<Item = Lot> {
        self.lanes.keys().copied()
    }

    pub(super) fn resize(&mut self, lot: Lot, old: Weight, new: Weight) {
        if let Some(lane) = self.lanes.get_mut(&lot) {
            lane.resize(old, new);
        }
    }

    /// A write left its lane other than to be sent.
    pub(super) fn forget(&mut self, lot: Lot, weight: Weight) {
        if let Some(lane) = self.lanes.get_mut(&lot) {
            lane.forget(weight);
            if lane.count() == 0 {
                self.lanes.remove(&lot);
            }
        }
    }
}

impl<C, F> Core<C, F> {
    /// Holds a write back that has just left its lane.
    pub(super) fn hold(&mut self, now: Duration, ticket: Ticket, lot: Lot) {
        if let Some(entry) = self.entries.get_mut(ticket.at) {
            let waited = matches!(entry.state, State::Held(_));
            entry.state = State::Held(lot);
            let lane = self.held.lanes.entry(lot).or_default();
            // By its age: it may have waited elsewhere.
            lane.push(ticket, entry.weight(), now, waited);
            // Its lot is looked at again before anybody sleeps.
            self.held.due_at = Some(now);
            if let Lot::Index(at) = lot {
                self.held.note_short(at, now);
            }
        }
    }

    /// Where a write has to wait: behind those that wait there already, or because its budget is used
    /// up.
    pub(super) fn lot_for(&mut self, now: Duration, piece: Piece) -> Option<Lot> {
        if !self.held.is_empty() {
            let key = Lot::Key(piece.partition);
            if self.held.holds(key) {
                return Some(key);
            }
            let index = |lot: &Lot| matches!(lot, Lot::Index(at) if piece.enters(*at));
            if let Some(lot) = self.held.lots().find(index) {
                return Some(lot);
            }
        }
        self.budgets.lot_of(now, piece, None)
    }

    /// Where a write has to wait that has waited in a lot.
    fn next_lot(&mut self, now: Duration, piece: Piece, passed: Lot) -> Option<Lot> {
        let behind =
            |lot: &Lot| *lot > passed && matches!(lot, Lot::Index(at) if piece.enters(*at));
        let behind = self.held.lots().find(behind);
        behind.or_else(|| self.budgets.lot_of(now, piece, Some(passed)))
    }

    /// The oldest write in the lanes.
    fn oldest_ticket(&mut self) -> Option<Ticket> {
        let heads = self.heads().into_iter().flatten();
        heads.map(|(ticket, _)| ticket).min()
    }

    /// The first write of a lot.
    fn first_held(&mut self, lot: Lot) -> Option<Ticket> {
        let entries = &self.entries;
        let lane = self.held.lanes.get_mut(&lot)?;
        let live = |ticket: Ticket| {
            entries.get(ticket.at).is_some_and(|entry| {
                entry.is_live(ticket.seq)
                    && matches!(entry.state, State::Held(found) if found == lot)
            })
        };
        lane.peek(live).map(|(ticket, _)| ticket)
    }

    /// Takes the first write of a lot out of it.
    fn release(&mut self, lot: Lot, weight: Weight) {
        if let Some(lane) = self.held.lanes.get_mut(&lot) {
            lane.pop(weight);
            if lane.count() == 0 {
                self.held.lanes.remove(&lot);
            }
        }
    }

    /// A request with held writes whose time has come.
    pub(super) fn held_request(&mut self, now: Duration) -> Option<Request> {
        let most = self.rules.max_batch_items;
        let lots: Vec<Lot> = self.held.lots().collect();
        let mut due = Vec::new();
        for lot in lots {
            let Some(first) = self.first_held(lot) else {
                continue;
            };
            let Some(least) = self.entries.get(first.at).map(|entry| entry.piece.units) else {
                continue;
            };
            let want = self.held.lanes.get(&lot).map_or(0, |lane| lane.units(most));
            match self.budgets.permit_lot(now, lot, want.max(least), least) {
                Ok(allowed) => due.push((first, lot, allowed)),
                Err(until) => {
                    let due_at = self.held.due_at.map_or(until, |due_at| due_at.min(until));
                    self.held.due_at = Some(due_at);
                }
            }
        }
        // By age, among themselves and with the lanes: nobody is passed for ever.
        due.sort_unstable();
        let &(first, _, _) = due.first()?;
        if self.oldest_ticket().is_some_and(|oldest| oldest < first) {
            // The lanes wake the table themselves.
            return None;
        }
        let least = self.entries.get(first.at)?.piece.units;
        let mut allowed = self.permitted(now, least, least)?;
        let mut writes = Vec::new();
        let mut sum = Sum::default();
        for (_, lot, mut of_lot) in due {
            while writes.len() < most
                && let Some(ticket) = self.first_held(lot)
            {
                if self.lapsed(now, ticket) {
                    continue;
                }
                let Some(entry) = self.entries.get(ticket.at) else {
                    break;
                };
                let (weight, piece, plain) =
                    (entry.weight(), entry.piece, entry.payload.is_plain());
                if piece.units > of_lot.max(1) && !writes.is_empty() {
                    break;
                }
                if let Some(next) = self.next_lot(now, piece, lot) {
                    self.release(lot, weight);
                    self.hold(now, ticket, next);
                    continue;
                }
                if !plain {
                    if !writes.is_empty() {
                        break;
                    }
                    self.release(lot, weight);
                    return self.send_call(now, ticket, piece);
                }
                let grown = sum.len + weight.bytes;
                let fits = self.bodies.batch_overhead() + grown <= self.rules.max_batch_bytes;
                if !writes.is_empty() && (piece.units > allowed || !fits) {
                    break;
                }
                self.release(lot, weight);
                self.budgets.take_piece(now, piece);
                of_lot = of_lot.saturating_sub(piece.units);
                allowed = allowed.saturating_sub(piece.units);
                sum.len = grown;
                sum.units = sum.units.saturating_add(piece.units);
                writes.push(ticket);
                if of_lot == 0 {
                    break;
                }
            }
        }
        if writes.is_empty() {
            self.held.due_at = Some(now);
            return None;
        }
        self.batch(now, writes, sum)
    }
}
