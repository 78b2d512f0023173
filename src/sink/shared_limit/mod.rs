//! A limit over all tables of a handle: on requests in flight, or on bytes in the buffers.
//!
//! Each table has a [`Share`]. It takes an amount if there is room, else it waits in line and is
//! woken once the amount was granted:
//!
//! - Up to its floor (limit / [`FLOORS`] / open tables, at least 1) a table takes at once. The others
//!   leave that much free for it, limit / [`FLOORS`] for all tables that begin, so that tables that
//!   hang or are throttled keep none from beginning.
//! - Up to its even share (limit / open tables) it takes what is free, ahead of those that hold more.
//! - Beyond that it takes only the room that no other table waits for.
//! - Of bytes, a table that holds none may always take a record. So each table makes progress beside
//!   others that are stuck, and the limit is exceeded by one record of each table at most. Of
//!   requests it may not: each of them ends, and the limit is one on connections. Where there are
//!   more tables than requests, the tables take turns.
//!
//! Amounts are granted in the order of asking, so that a large record is not passed for ever by small
//! ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use slab::Slab;
use tokio::sync::Notify;

/// The divisor of the limit that gives the sum of the tables' floors.
///
/// Chosen: of the default limits 32 requests and 32 MiB.
const FLOORS: usize = 8;

/// A limit and its use. See the module's documentation.
#[derive(Debug)]
pub(super) struct SharedLimit {
    limit: usize,
    /// Set if a table that holds nothing may always take.
    one_always: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    /// The amount that all tables lack up to their floors.
    lacking: usize,
    tables: Slab<Table>,
    /// The tables that wait, in the order of asking.
    line: BTreeMap<u64, usize>,
    next_turn: u64,
}

/// The use that one table makes of the limit.
#[derive(Debug)]
struct Table {
    /// The amount that it holds, with the amount that it was granted.
    used: usize,
    /// The amount that it was granted, and has not taken yet.
    granted: usize,
    /// Its turn in line, and the amount that it waits for.
    waits: Option<(u64, usize)>,
    wake: Arc<Notify>,
}

impl Table {
    /// Returns the amount that it holds once it has the amount that it waits for.
    fn holds_then(&self) -> usize {
        let waits = self.waits.map_or(0, |(_, amount)| amount);
        self.used.saturating_add(waits)
    }
}

impl SharedLimit {
    /// Returns a limit on bytes: a table that holds none may always take a record.
    pub(super) fn of_bytes(limit: usize) -> Arc<Self> {
        Self::new(limit, true)
    }

    /// Returns a limit on requests.
    pub(super) fn of_requests(limit: usize) -> Arc<Self> {
        Self::new(limit, false)
    }

    fn new(limit: usize, one_always: bool) -> Arc<Self> {
        Arc::new(Self {
            limit,
            one_always,
            state: Mutex::new(State::default()),
        })
    }

    /// Adds a table, which is woken by `wake` when it was granted the amount that it waits for.
    pub(super) fn join(self: &Arc<Self>, wake: &Arc<Notify>) -> Share {
        let mut state = self.state.lock();
        let at = state.tables.insert(Table {
            used: 0,
            granted: 0,
            waits: None,
            wake: Arc::clone(wake),
        });
        self.follow_tables(&mut state);
        drop(state);
        Share {
            shared: Arc::clone(self),
            at,
        }
    }

    /// Returns the limit.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    fn even_share(&self, state: &State) -> usize {
        (self.limit / state.tables.len().max(1)).max(1)
    }

    /// Returns the amount that is kept for the tables that are below their floors.
    fn kept(&self) -> usize {
        self.limit / FLOORS
    }

    /// Returns the amount that a table can have before others have more. A lone table leaves none for
    /// others. Where there are more tables than the kept amount, each still begins by 1 of it.
    fn floor(&self, state: &State) -> usize {
        match state.tables.len() {
            0 | 1 => 0,
            tables => (self.kept() / tables).max(self.kept().min(1)),
        }
    }

    /// Returns the free part of the limit for a table that would then hold this much.
    fn room(&self, state: &State, table: &Table, holds: usize) -> usize {
        let free = self.limit.saturating_sub(state.used);
        let floor = self.floor(state);
        if holds <= floor {
            return free;
        }
        let own = floor.saturating_sub(table.used);
        let kept_for_others = state.lacking.saturating_sub(own).min(self.kept());
        free.saturating_sub(kept_for_others)
    }

    /// Returns whether a table may take any amount, since it holds nothing.
    fn may_begin(&self, table: &Table) -> bool {
        self.one_always && table.used == 0
    }

    /// Returns whether a table that would then hold this much goes ahead of all that wait.
    fn goes_first(&self, state: &State, table: &Table, holds: usize) -> bool {
        holds <= self.floor(state) || self.may_begin(table)
    }

    /// Returns whether a table that waits stays within its even share by that.
    fn waits_within_share(&self, state: &State, at: usize) -> bool {
        let table = state.tables.get(at);
        table.is_some_and(|table| table.holds_then() <= self.even_share(state))
    }

    /// Returns whether there is room for an amount that a table asks for.
    fn fits(&self, state: &State, table: &Table, amount: usize) -> bool {
        let holds = table.used.saturating_add(amount);
        self.may_begin(table) || amount <= self.room(state, table, holds)
    }

    /// Returns whether a table would pass others that wait, by taking an amount now.
    fn passes(&self, state: &State, table: &Table, amount: usize) -> bool {
        let holds = table.used.saturating_add(amount);
        if self.goes_first(state, table, holds) {
            return false;
        }
        let even_share = self.even_share(state);
        let turn = table.waits.map_or(u64::MAX, |(turn, _)| turn);
        let mut line = state.line.iter();
        line.any(|(&other_turn, at)| {
            let within = self.waits_within_share(state, *at);
            match other_turn < turn {
                true if holds <= even_share => within,
                true => true,
                false => other_turn > turn && holds > even_share && within,
            }
        })
    }

    /// Sets the amount that a table holds.
    fn set_used(&self, state: &mut State, at: usize, used: usize) {
        let floor = self.floor(state);
        if let Some(table) = state.tables.get_mut(at) {
            let before = std::mem::replace(&mut table.used, used);
            let lacked = floor.saturating_sub(before);
            state.used = state.used.saturating_add(used).saturating_sub(before);
            state.lacking = state.lacking + floor.saturating_sub(used) - lacked;
        }
    }

    /// Follows a change of the number of tables.
    fn follow_tables(&self, state: &mut State) {
        let floor = self.floor(state);
        let tables = state.tables.iter();
        state.lacking = tables
            .map(|(_, table)| floor.saturating_sub(table.used))
            .sum();
    }

    /// Grants the free amount to the tables that wait. Returns their wakers.
    fn grant(&self, state: &mut State) -> Vec<Arc<Notify>> {
        let mut woken = Vec::new();
        while let Some(at) = self.next_to_grant(state) {
            let Some(table) = state.tables.get_mut(at) else {
                break;
            };
            let holds = table.holds_then();
            let Some((turn, amount)) = table.waits.take() else {
                debug_assert!(false, "a table in line does not wait");
                break;
            };
            table.granted = table.granted.saturating_add(amount);
            woken.push(Arc::clone(&table.wake));
            state.line.remove(&turn);
            self.set_used(state, at, holds);
        }
        woken
    }

    /// Returns the table that waits, whose turn it is, and for which there is room.
    fn next_to_grant(&self, state: &State) -> Option<usize> {
        let tables = || {
            let line = state.line.values();
            line.filter_map(|at| Some((*at, state.tables.get(*at)?)))
        };
        let fits = |table: &Table| {
            let amount = table.waits.map_or(0, |(_, amount)| amount);
            self.fits(state, table, amount)
        };
        let first = |(_, table): &(usize, &Table)| {
            self.goes_first(state, table, table.holds_then()) && fits(table)
        };
        if let Some((at, _)) = tables().find(first) {
            return Some(at);
        }
        let within = |(at, _): &(usize, &Table)| self.waits_within_share(state, *at);
        let next = tables().find(within).or_else(|| tables().next());
        next.filter(|(_, table)| fits(table)).map(|(at, _)| at)
    }
}

/// A table's share of a limit, which ends with it.
#[derive(Debug)]
pub(super) struct Share {
    shared: Arc<SharedLimit>,
    at: usize,
}

impl Share {
    /// Takes an amount if there is room. Else the table waits for it if it is to `wait`, and is
    /// woken when it can take it.
    pub(super) fn try_take(&self, amount: usize, wait: bool) -> bool {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        let next_turn = state.next_turn;
        let Some(table) = state.tables.get_mut(self.at) else {
            return false;
        };
        let granted = std::mem::take(&mut table.granted);
        if granted > 0 && granted >= amount {
            self.give_back(state, granted - amount);
            return true;
        }
        // A grant that is not enough any more is given back.
        let (used, before) = (table.used - granted, table.waits);
        if wait {
            let turn = before.map_or(next_turn, |(turn, _)| turn);
            table.waits = Some((turn, amount));
            state.line.insert(turn, self.at);
            state.next_turn += u64::from(before.is_none());
        }
        shared.set_used(&mut state, self.at, used);
        let admitted = state.tables.get(self.at).is_some_and(|table| {
            !shared.passes(&state, table, amount) && shared.fits(&state, table, amount)
        });
        if admitted {
            self.leave_line(&mut state);
            shared.set_used(&mut state, self.at, used.saturating_add(amount));
        }
        if granted > 0 || before.is_some() {
            // Others may have what this table does not wait for any more.
            self.give_back(state, 0);
        }
        admitted
    }

    /// Keeps an amount that the table holds and has no more use for at once, or gives it back to another
    /// that waits and stays within its even share.
    ///
    /// Given back and taken again, an amount would go to tables beyond their share in between.
    pub(super) fn try_keep(&self, amount: usize) -> bool {
        let shared = &self.shared;
        let state = shared.state.lock();
        let even_share = shared.even_share(&state);
        let crowded = state.tables.len() > shared.limit;
        let used = state.tables.get(self.at).map_or(0, |table| table.used);
        let mut line = state.line.values();
        let keeps = (used <= even_share && !crowded)
            || !line.any(|at| *at != self.at && shared.waits_within_share(&state, *at));
        if !keeps {
            self.give_back(state, amount);
        }
        keeps
    }

    /// Gives an amount back.
    pub(super) fn free(&self, amount: usize) {
        if amount > 0 {
            self.give_back(self.shared.state.lock(), amount);
        }
    }

    /// Ends the wait, and gives back the amount that was granted since.
    pub(super) fn stop_waiting(&self) {
        let mut state = self.shared.state.lock();
        self.leave_line(&mut state);
        let table = state.tables.get_mut(self.at);
        let granted = table.map_or(0, |table| std::mem::take(&mut table.granted));
        self.give_back(state, granted);
    }

    fn leave_line(&self, state: &mut State) {
        let table = state.tables.get_mut(self.at);
        if let Some((turn, _)) = table.and_then(|table| table.waits.take()) {
            state.line.remove(&turn);
        }
    }

    fn give_back(&self, mut state: MutexGuard<'_, State>, amount: usize) {
        let used = state.tables.get(self.at).map_or(0, |table| table.used);
        let used = used.saturating_sub(amount);
        self.shared.set_used(&mut state, self.at, used);
        self.wake_granted(state);
    }

    fn wake_granted(&self, mut state: MutexGuard<'_, State>) {
        let woken = self.shared.grant(&mut state);
        drop(state);
        for table in woken {
            table.notify_one();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        self.leave_line(&mut state);
        self.shared.set_used(&mut state, self.at, 0);
        state.tables.try_remove(self.at);
        self.shared.follow_tables(&mut state);
        self.wake_granted(state);
    }
}

#[cfg(test)]
mod tests;
