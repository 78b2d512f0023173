//! The choice of the leases that a worker takes.
//!
//! There is no coordinator: each worker reads the whole table and takes its part. A condition on
//! each write prevents two workers from taking the same lease. Only the worker's own clock is used:
//! a lease has lapsed when its counter has not moved for the failover time *since this worker first
//! saw it at that value*, so that no two clocks are ever compared.
//!
//! Free and lapsed leases are taken up to an even share. Then a worker that still has at least two
//! fewer than the most loaded one asks that one to hand some over. Once none has, all are within
//! one lease of each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::super::ShardId;
use super::super::graph::Lineage;
use super::row::LeaseRow;
use super::sync::{Rows, was_finished};

/// The most leases that a worker asks for in one look at the table. A hand-over takes about a
/// second: a thousand shards spread within a minute, and no worker stops many readers at once.
const MOST_HANDED_OVER: usize = 20;

/// The lease table as one worker last saw it.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    rows: Rows,
    /// Each row's counter, and the time by this worker's clock at which it was first seen.
    since: HashMap<ShardId, (u64, Duration)>,
    /// The time at which each worker that a row names was last seen to renew a lease.
    renewed: HashMap<String, Duration>,
    /// Workers of another library that are alive: they were seen to renew.
    strangers: BTreeSet<String>,
    /// The ARN of the stream that is read. Rows of another one are left alone.
    stream: Option<String>,
    /// Unfinished shards whose rows were deleted while a worker read them, each with the time at
    /// which its counter was last seen to move: their readers make the rows again.
    deleted: BTreeMap<ShardId, Duration>,
}

/// A lease to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Take {
    pub(crate) row: LeaseRow,
    pub(crate) manner: Manner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The row names this worker already.
    Named,
    /// No worker has it.
    Free,
    /// Its reader has not renewed it for the failover time.
    Lapsed,
    /// Its owner has more leases than this worker, and is asked to hand it over.
    HandOver,
}

impl Observed {
    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(crate) fn row(&self, shard: &ShardId) -> Option<&LeaseRow> {
        self.rows.get(shard)
    }

    /// Stores the rows of a scan of the whole table. `seen` is when the answer arrived: a counter
    /// in it may have been written just before, so its owner has the failover time from then on.
    ///
    /// Returns whether the row of an unfinished shard is gone: this crate deletes none, so it was
    /// deleted by hand.
    pub(crate) fn scanned(
        &mut self,
        rows: impl IntoIterator<Item = LeaseRow>,
        seen: Duration,
    ) -> bool {
        let rows = rows.into_iter().map(|row| (row.shard.clone(), row));
        let before = std::mem::replace(&mut self.rows, rows.collect());
        let is_gone = self.note_deleted(before.into_values());
        self.since.retain(|shard, _| self.rows.contains_key(shard));
        for row in self.rows.values() {
            let since = self.since.entry(row.shard.clone());
            let since = since.or_insert((row.counter, seen));
            if since.0 != row.counter {
                *since = (row.counter, seen);
                if let Some(reader) = row.reader() {
                    self.renewed.insert(reader.to_owned(), seen);
                    if !is_ours(reader) {
                        self.strangers.insert(reader.to_owned());
                    }
                }
            }
        }
        let names = |row: &LeaseRow| [row.owner.clone(), row.checkpoint_owner.clone()];
        let named: BTreeSet<String> = self.rows.values().flat_map(names).flatten().collect();
        self.renewed.retain(|worker, _| named.contains(worker));
        is_gone
    }

    fn note_deleted(&mut self, before: impl Iterator<Item = LeaseRow>) -> bool {
        let rows = &self.rows;
        self.deleted.retain(|shard, _| !rows.contains_key(shard));
        let mut is_gone = false;
        for row in before {
            if row.is_finished() || rows.contains_key(&row.shard) {
                continue;
            }
            // Read to its end since the last look: its children have begun.
            let is_parent = |child: &LeaseRow| child.parents.contains(&row.shard);
            if rows
                .values()
                .any(|row| row.is_past_parents() && is_parent(row))
            {
                continue;
            }
            is_gone = true;
            if row.reader().is_some()
                && let Some((_, moved)) = self.since.get(&row.shard)
            {
                self.deleted.insert(row.shard, *moved);
            }
        }
        is_gone
    }

    /// Returns whether the reader of a shard whose row was deleted may still make it again, at the
    /// position that it alone knows. If it has not done so when its lease lapses, it is dead.
    pub(crate) fn awaits_deleted(&self, now: Duration, failover: Duration) -> bool {
        self.deleted.values().any(|moved| now < *moved + failover)
    }

    /// Returns the leases that this worker reads and that a dead one has asked for. A worker that was
    /// never seen to renew a lease may be a new one, and counts as alive.
    pub(crate) fn asked_for_by_the_dead(
        &self,
        me: &str,
        now: Duration,
        failover: Duration,
    ) -> Vec<LeaseRow> {
        let mine = self.rows.values();
        let asked = mine.filter(|row| row.checkpoint_owner.as_deref() == Some(me));
        let dead = asked.filter(|row| {
            let asker = row.owner.as_ref().and_then(|owner| self.renewed.get(owner));
            asker.is_some_and(|last| *last + failover <= now)
        });
        dead.cloned().collect()
    }

    /// Returns the live workers of another library, whose names are none that this crate gives.
    pub(crate) fn strangers(&self) -> &BTreeSet<String> {
        &self.strangers
    }

    /// Stores one row that this worker wrote or was shown.
    pub(crate) fn saw(&mut self, row: LeaseRow, seen: Duration) {
        let since = self.since.entry(row.shard.clone());
        let since = since.or_insert((row.counter, seen));
        if since.0 != row.counter {
            *since = (row.counter, seen);
        }
        self.rows.insert(row.shard.clone(), row);
    }

    pub(crate) fn forget(&mut self, shard: &ShardId) {
        self.rows.remove(shard);
        self.since.remove(shard);
    }

    /// Returns when a lease that has a reader lapses, unless its counter moves before.
    fn lapses(&self, row: &LeaseRow, failover: Duration) -> Option<Duration> {
        row.reader()?;
        self.since
            .get(&row.shard)
            .map(|(_, since)| *since + failover)
    }

    /// Returns whether a shard may be read: it is not finished, and no unfinished parent has a row.
    ///
    /// A row may have been made without its parent, or with a wrong one, from a wrong listing. So
    /// the lineage is checked too, and decides alone where enough listings agree.
    fn is_ready(&self, row: &LeaseRow, lineage: &Lineage) -> bool {
        let finished = |parent: &ShardId| match self.rows.get(parent) {
            Some(parent) => parent.is_finished(),
            // Of a listed parent that no row shows as finished the row was deleted, and is made again.
            None => {
                let graph = lineage.graph();
                row.is_past_parents()
                    || !graph.contains(parent)
                    || was_finished(graph, &self.rows, parent)
            }
        };
        let after_parents = match lineage.confirmed_parent(&row.shard) {
            Some(parent) => finished(parent),
            None => {
                let listed = lineage.graph().parent(&row.shard);
                row.parents.iter().all(finished) && listed.is_none_or(finished)
            }
        };
        !row.is_finished() && after_parents && self.is_of_stream(row)
    }

    /// Returns the rows of the shards that may be read.
    pub(crate) fn ready(&self, lineage: &Lineage) -> impl Iterator<Item = &LeaseRow> {
        self.rows.values().filter(|row| self.is_ready(row, lineage))
    }

    /// Returns since when, by this worker's clock, a shard that this worker does not read is read by
    /// no other either: since its counter last moved. `None` where another worker reads it.
    pub(crate) fn unread_since(
        &self,
        row: &LeaseRow,
        me: &str,
        now: Duration,
        failover: Duration,
    ) -> Option<Duration> {
        let (_, since) = *self.since.get(&row.shard)?;
        let is_read = row.reader().is_some_and(|reader| reader != me) && now < since + failover;
        (!is_read).then_some(since)
    }

    /// Sets the stream that is read: a worker that reads another one of the table takes that one's rows.
    pub(crate) fn follow(&mut self, stream: &str) {
        self.stream = Some(stream.to_owned());
    }

    /// Returns whether a row is of the stream that is read, as far as the row names one.
    pub(crate) fn is_of_stream(&self, row: &LeaseRow) -> bool {
        let named = row.stream.as_ref().zip(self.stream.as_ref());
        named.is_none_or(|(row, stream)| row == stream)
    }

    /// Returns when the next lease of another worker lapses.
    pub(crate) fn next_lapse(&self, me: &str, failover: Duration) -> Option<Duration> {
        let others = self
            .rows
            .values()
            .filter(|row| row.reader().is_some_and(|reader| reader != me) && !row.is_finished());
        others.filter_map(|row| self.lapses(row, failover)).min()
    }

    /// Returns whether a lease that this worker has asked for is still being handed over.
    pub(crate) fn is_waiting(&self, me: &str) -> bool {
        let mut asked = self
            .rows
            .values()
            .filter(|row| row.checkpoint_owner.is_some());
        asked.any(|row| row.owner.as_deref() == Some(me))
    }

    /// Returns the number of live workers, this one included.
    pub(crate) fn workers(&self, me: &str, now: Duration, failover: Duration) -> usize {
        let alive = self.rows.values().filter(|row| !row.is_finished());
        let alive = alive.filter(|row| self.lapses(row, failover).is_some_and(|end| now < end));
        let mut workers: BTreeSet<&str> = alive.filter_map(|row| row.owner.as_deref()).collect();
        workers.insert(me);
        workers.len()
    }

    /// Returns the leases to take now. `held` are those that this worker has, whatever rows show.
    pub(crate) fn plan(
        &self,
        me: &str,
        held: &BTreeSet<ShardId>,
        lineage: &Lineage,
        now: Duration,
        failover: Duration,
        rng: &mut fastrand::Rng,
    ) -> Vec<Take> {
        let mut takes = Vec::new();
        let mut free = Vec::new();
        let mut of_others: BTreeMap<&str, Vec<&LeaseRow>> = BTreeMap::new();
        let (mut total, mut coming) = (0, 0);
        for row in self.ready(lineage) {
            total += 1;
            if held.contains(&row.shard) {
                continue;
            }
            let lapsed = self
                .lapses(row, failover)
                .is_some_and(|lapses| lapses <= now);
            match row.owner.as_deref() {
                // Handed over by now, or lapsed here without another worker having taken it.
                Some(owner) if owner == me && row.checkpoint_owner.is_none() => takes.push(Take {
                    row: row.clone(),
                    manner: Manner::Named,
                }),
                _ if row.reader().is_none() => free.push((row, Manner::Free)),
                _ if lapsed => free.push((row, Manner::Lapsed)),
                Some(owner) if owner == me => coming += 1,
                owner => of_others
                    .entry(owner.unwrap_or_default())
                    .or_default()
                    .push(row),
            }
        }
        let held = held.iter().filter(|shard| {
            let row = self.rows.get(*shard);
            row.is_none_or(|row| self.is_ready(row, lineage))
        });
        let mut mine = held.count() + coming + takes.len();
        let workers = of_others.len() + 1;
        let share = usize::div_ceil(total, workers);

        // Workers that look at the same moment should not all try the same lease first.
        rng.shuffle(&mut free);
        for (row, manner) in free {
            // The worker whose part it is may take no more, perhaps because it is about to stop.
            let long = match manner {
                Manner::Lapsed => failover + failover / 5,
                _ => failover / 5,
            };
            let since = self.since.get(&row.shard);
            let long_free = since.is_some_and(|(_, since)| *since + long <= now);
            if mine >= share && !long_free {
                continue;
            }
            takes.push(Take {
                row: row.clone(),
                manner,
            });
            mine += 1;
        }
        if !takes.is_empty() {
            return takes;
        }

        let mut loads: BTreeMap<&str, usize> = BTreeMap::new();
        for (owner, rows) in &mut of_others {
            loads.insert(owner, rows.len());
            rows.retain(|row| row.checkpoint_owner.is_none());
            rng.shuffle(rows);
        }
        while takes.len() < MOST_HANDED_OVER {
            let Some((owner, load)) = loads.iter().max_by_key(|(_, load)| **load) else {
                break;
            };
            if *load < mine + 2 {
                break;
            }
            let owner = *owner;
            let Some(row) = of_others.get_mut(owner).and_then(Vec::pop) else {
                break;
            };
            takes.push(Take {
                row: row.clone(),
                manner: Manner::HandOver,
            });
            mine += 1;
            if let Some(load) = loads.get_mut(owner) {
                *load -= 1;
            }
        }
        takes
    }
}

/// Returns whether a worker's name is from this crate: it ends with a 64-bit hexadecimal number.
fn is_ours(worker: &str) -> bool {
    let suffix = worker.rsplit_once('-').map_or("", |(_, suffix)| suffix);
    suffix.len() == 16 && suffix.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
#[path = "balance_tests.rs"]
mod tests;
