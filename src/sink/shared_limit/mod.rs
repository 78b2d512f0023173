//! A limit over all tables of a handle: on requests in flight, or on bytes in the buffers.
//!
//! Each table has a [`Share`]. It takes what it needs if there is room, else it waits in line and is
//! woken once it has been granted:
//!
//! - Of bytes, a table that holds nothing may always take: the buffers of others may stay full for
//!   hours. So each table makes progress, and the limit is exceeded by one record of each table at most.
//! - Requests are never more than the limit, however many tables there are. Each
//!   ends by its timeout, so a table without one has its turn.
//! - Up to its even share (limit / open tables) a table takes what is free, ahead of those that
//!   hold more.
//! - Beyond that it takes only what no other table waits for, and leaves [`RESERVE`] of the limit
//!   free. A table that is throttled or hangs gives back slowly: the others need room to begin with.
//!
//! What one table waits for is granted in the order of asking, so that a large record is not passed
//! for ever by small ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tokio::sync::Notify;

/// The part of the limit, one in so many, that tables above their even share leave free.
///
/// Chosen: of the default limits 32 requests and 32 MiB.
const RESERVE: usize = 8;

/// A limit and its use. See the module's documentation.
#[derive(Debug)]
pub(super) struct SharedLimit {
    limit: usize,
    /// Set where a table that holds nothing waits like any other.
    strict: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    tables: Slab<Table>,
    /// The tables that wait, in the order of asking.
    line: BTreeMap<u64, usize>,
    next_turn: u64,
}

/// The use that one table makes of the limit.
#[derive(Debug)]
struct Table {
    /// What it holds, with what it was granted.
    used: usize,
    /// What it was granted, and has not taken yet.
    granted: usize,
    /// Its turn in line, and what it waits for.
    waits: Option<(u64, usize)>,
    wake: Arc<Notify>,
}

impl SharedLimit {
    /// Makes a limit on bytes, which a table that holds nothing may exceed.
    pub(super) fn of_bytes(limit: usize) -> Arc<Self> {
        Self::new(limit, false)
    }

    /// Makes a limit on requests, which is never exceeded.
    pub(super) fn of_requests(limit: usize) -> Arc<Self> {
        Self::new(limit, true)
    }

    fn new(limit: usize, strict: bool) -> Arc<Self> {
        Arc::new(Self {
            limit,
            strict,
            state: Mutex::new(State::default()),
        })
    }

    /// Adds a table, which is woken by `wake` when it was granted what it waits for.
    pub(super) fn join(self: &Arc<Self>, wake: &Arc<Notify>) -> Share {
        let at = self.lock().tables.insert(Table {
            used: 0,
            granted: 0,
            waits: None,
            wake: Arc::clone(wake),
        });
        Share {
            shared: Arc::clone(self),
            at,
        }
    }

    /// Returns the limit.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the free part of the limit for a table that would then hold this much.
    fn room(&self, state: &State, holds: usize) -> usize {
        let free = self.limit.saturating_sub(state.used);
        if holds <= self.even_share(state) {
            free
        } else if state.tables.len() > 1 {
            free.saturating_sub(self.limit / RESERVE)
        } else {
            free
        }
    }

    /// Returns the even share of a table, which is never nothing: where there are more tables than
    /// requests, one without a request goes ahead of those that have one.
    fn even_share(&self, state: &State) -> usize {
        (self.limit / state.tables.len().max(1)).max(1)
    }

    /// Returns whether a table may take whatever else is taken.
    fn always_admits(&self, table: &Table) -> bool {
        table.used == 0 && !self.strict
    }

    /// Returns whether a table that does not wait may take an amount now.
    fn admits(&self, state: &State, table: &Table, amount: usize) -> bool {
        let holds = table.used.saturating_add(amount);
        if self.always_admits(table) {
            return true;
        }
        let first = table.waits.map_or(u64::MAX, |(turn, _)| turn);
        let even_share = self.even_share(state);
        let mut ahead = state
            .line
            .range(..first)
            .filter_map(|(_, at)| state.tables.get(*at));
        let passes_others = if holds <= even_share {
            ahead.any(|other| other.holds_then() <= even_share)
        } else {
            state.line.values().any(|at| {
                let other = state.tables.get(*at);
                other.is_some_and(|other| !std::ptr::eq(other, table))
            })
        };
        !passes_others && amount <= self.room(state, holds)
    }

    /// Grants what is free to those that wait. Returns what wakes them.
    fn grant(&self, state: &mut State) -> Vec<Arc<Notify>> {
        let mut woken = Vec::new();
        while let Some(at) = self.next_in_line(state) {
            let Some(table) = state.tables.get(at) else {
                break;
            };
            let Some((turn, amount)) = table.waits else {
                break;
            };
            let holds = table.holds_then();
            if !self.always_admits(table) && amount > self.room(state, holds) {
                break;
            }
            state.line.remove(&turn);
            state.used = state.used.saturating_add(amount);
            if let Some(table) = state.tables.get_mut(at) {
                table.waits = None;
                table.used = holds;
                table.granted = table.granted.saturating_add(amount);
                woken.push(Arc::clone(&table.wake));
            }
        }
        woken
    }

    /// Returns the table whose turn it is: the first that holds nothing, or stays within its even
    /// share, else the first.
    fn next_in_line(&self, state: &State) -> Option<usize> {
        let even_share = self.even_share(state);
        let within = |at: &&usize| {
            let table = state.tables.get(**at);
            table.is_some_and(|table| table.used == 0 || table.holds_then() <= even_share)
        };
        let line = || state.line.values();
        line().find(within).or_else(|| line().next()).copied()
    }
}

impl Table {
    /// Returns what it holds once it has what it waits for.
    fn holds_then(&self) -> usize {
        let waits = self.waits.map_or(0, |(_, amount)| amount);
        self.used.saturating_add(waits)
    }
}

/// A table's share of a limit, which ends with it.
#[derive(Debug)]
pub(super) struct Share {
    shared: Arc<SharedLimit>,
    at: usize,
}

impl Share {
    /// Takes an amount if there is room. Else the table waits for it if it is to `wait`, and is woken
    /// when it can take it.
    pub(super) fn try_take(&self, amount: usize, wait: bool) -> bool {
        let mut state = self.shared.lock();
        let State {
            used,
            tables,
            line,
            next_turn,
        } = &mut *state;
        let Some(table) = tables.get_mut(self.at) else {
            return false;
        };
        // What was granted is taken, or given back where it is not enough any more.
        let granted = std::mem::take(&mut table.granted);
        if granted > 0 && granted >= amount {
            self.give_back(state, granted - amount);
            return true;
        }
        table.used = table.used.saturating_sub(granted);
        *used = used.saturating_sub(granted);
        let turn = table.waits.map_or(*next_turn, |(turn, _)| turn);
        if wait {
            *next_turn += u64::from(table.waits.is_none());
            table.waits = Some((turn, amount));
            line.insert(turn, self.at);
        }
        let Some(table) = state.tables.get(self.at) else {
            return false;
        };
        let admitted = self.shared.admits(&state, table, amount);
        if admitted {
            self.leave_line(&mut state);
            state.used = state.used.saturating_add(amount);
            if let Some(table) = state.tables.get_mut(self.at) {
                table.used = table.used.saturating_add(amount);
            }
        }
        if granted > 0 {
            // Others may have what is left of it.
            self.give_back(state, 0);
        }
        admitted
    }

    /// Gives an amount back.
    pub(super) fn free(&self, amount: usize) {
        if amount > 0 {
            self.give_back(self.shared.lock(), amount);
        }
    }

    /// Waits no more, and gives back what was granted meanwhile.
    pub(super) fn stop_waiting(&self) {
        let mut state = self.shared.lock();
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
        state.used = state.used.saturating_sub(amount);
        if let Some(table) = state.tables.get_mut(self.at) {
            table.used = table.used.saturating_sub(amount);
        }
        let woken = self.shared.grant(&mut state);
        drop(state);
        for table in woken {
            table.notify_one();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        self.leave_line(&mut state);
        if let Some(table) = state.tables.try_remove(self.at) {
            state.used = state.used.saturating_sub(table.used);
        }
        let woken = self.shared.grant(&mut state);
        drop(state);
        for table in woken {
            table.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
