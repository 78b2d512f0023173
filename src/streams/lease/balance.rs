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
use super::sync::Rows;

/// The most leases that a worker asks for in one look at the table. A hand-over takes about a
/// second: a thousand shards spread within a minute, and no worker stops many readers at once.
const MOST_HANDED_OVER: usize = 20;

/// The lease table as one worker last saw it.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    rows: Rows,
    /// Each row's counter, and the time by this worker's clock at which it was first seen.
    since: HashMap<ShardId, (u64, Duration)>,
    /// Workers of another library that are alive: they were seen to renew.
    strangers: BTreeSet<String>,
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
    pub(crate) fn scanned(&mut self, rows: impl IntoIterator<Item = LeaseRow>, seen: Duration) {
        self.rows = rows
            .into_iter()
            .map(|row| (row.shard.clone(), row))
            .collect();
        self.since.retain(|shard, _| self.rows.contains_key(shard));
        for row in self.rows.values() {
            let since = self.since.entry(row.shard.clone());
            let since = since.or_insert((row.counter, seen));
            if since.0 != row.counter {
                *since = (row.counter, seen);
                let stranger = row.reader().filter(|reader| !is_ours(reader));
                self.strangers.extend(stranger.map(str::to_owned));
            }
        }
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
        let finished = |parent| self.rows.get(parent).is_none_or(LeaseRow::is_finished);
        let after_parents = match lineage.confirmed_parent(&row.shard) {
            Some(parent) => finished(parent),
            None => {
                let listed = lineage.graph().parent(&row.shard);
                row.parents.iter().all(finished) && listed.is_none_or(finished)
            }
        };
        !row.is_finished() && after_parents
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
        for row in self.rows.values().filter(|row| self.is_ready(row, lineage)) {
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
mod tests {
    use super::super::row::Checkpoint;
    use super::*;
    use proptest::prelude::*;

    const FAILOVER: Duration = Duration::from_secs(10);

    fn lease(name: &str, owner: &str) -> LeaseRow {
        LeaseRow {
            owner: (!owner.is_empty()).then(|| owner.to_owned()),
            counter: 1,
            ..LeaseRow::new(ShardId::new(name), Checkpoint::TrimHorizon)
        }
    }

    fn plan(observed: &Observed, held: &[&str], now: u64) -> Vec<(String, Manner)> {
        let held = held.iter().map(|name| ShardId::new(name)).collect();
        let now = Duration::from_secs(now);
        let mut rng = fastrand::Rng::with_seed(7);
        let takes = observed.plan("me", &held, &Lineage::default(), now, FAILOVER, &mut rng);
        let named = takes
            .into_iter()
            .map(|take| (take.row.shard.to_string(), take.manner));
        named.collect()
    }

    #[test]
    fn workers_of_another_library_are_seen_once_they_write() {
        let mut observed = Observed::default();
        let [one, other] = ["kcl-worker-1", "host-7-00000000deadbeef"];
        let mut rows = [lease("a", one), lease("b", other)];
        observed.scanned(rows.clone(), Duration::ZERO);
        assert!(observed.strangers().is_empty(), "they may be dead");
        rows.iter_mut().for_each(|row| row.counter += 1);
        observed.scanned(rows, Duration::from_secs(1));
        assert!(observed.strangers().iter().eq([one]));
    }

    #[test]
    fn a_lease_lapses_when_its_counter_has_stood_still_by_this_workers_clock() {
        let mut observed = Observed::default();
        observed.scanned([lease("a", "dead")], Duration::from_secs(5));
        assert_eq!(plan(&observed, &[], 14), []);
        assert_eq!(
            observed.next_lapse("me", FAILOVER),
            Some(Duration::from_secs(15))
        );
        observed.scanned([lease("a", "dead")], Duration::from_secs(12));
        assert_eq!(plan(&observed, &[], 15), [("a".to_owned(), Manner::Lapsed)]);
        let mut renewed = lease("a", "dead");
        renewed.counter = 2;
        observed.scanned([renewed], Duration::from_secs(15));
        assert_eq!(plan(&observed, &[], 24), []);
        assert_eq!(plan(&observed, &[], 25).len(), 1);
    }

    #[test]
    fn a_lease_that_stays_free_is_taken_whoever_should_have_it() {
        let rows = [("a", "me"), ("b", "me"), ("c", "closing"), ("d", "")];
        let mut observed = Observed::default();
        observed.scanned(rows.map(|(name, owner)| lease(name, owner)), Duration::ZERO);
        assert_eq!(plan(&observed, &["a", "b"], 1), []);
        let taken = plan(&observed, &["a", "b"], 2);
        assert_eq!(taken, [("d".to_owned(), Manner::Free)]);
    }

    #[test]
    fn a_child_waits_for_its_parent_and_a_finished_lease_is_nobodys() {
        let mut observed = Observed::default();
        let mut child = lease("b", "");
        child.parents.insert(ShardId::new("a"));
        observed.scanned([lease("a", ""), child.clone()], Duration::ZERO);
        assert_eq!(plan(&observed, &[], 0), [("a".to_owned(), Manner::Free)]);
        let mut parent = lease("a", "other");
        parent.checkpoint = Checkpoint::ShardEnd;
        observed.scanned([parent, child.clone()], Duration::ZERO);
        assert_eq!(plan(&observed, &[], 99), [("b".to_owned(), Manner::Free)]);
        observed.scanned([child], Duration::ZERO);
        assert_eq!(
            plan(&observed, &[], 0).len(),
            1,
            "its parent's row was deleted"
        );
    }

    #[test]
    fn a_lease_that_is_handed_over_is_taken_when_it_names_only_this_worker() {
        let mut coming = lease("a", "me");
        coming.checkpoint_owner = Some("old".to_owned());
        let mut observed = Observed::default();
        observed.scanned([coming.clone()], Duration::ZERO);
        assert_eq!(plan(&observed, &[], 9), []);
        assert_eq!(
            plan(&observed, &[], 10),
            [("a".to_owned(), Manner::Lapsed)],
            "the old owner died"
        );
        observed.scanned([lease("a", "me")], Duration::ZERO);
        assert_eq!(plan(&observed, &[], 9), [("a".to_owned(), Manner::Named)]);
    }

    #[test]
    fn the_most_loaded_worker_is_asked_until_it_has_at_most_one_more() {
        let rows = (0..9).map(|n| lease(&format!("s{n}"), if n < 7 { "a" } else { "b" }));
        let mut observed = Observed::default();
        observed.scanned(rows, Duration::ZERO);
        let asked = plan(&observed, &[], 0);
        assert_eq!(asked.len(), 3, "{asked:?}");
        assert!(asked.iter().all(|(_, manner)| *manner == Manner::HandOver));
    }

    /// Workers that read and write one table, each at its own pace.
    struct Fleet {
        table: Rows,
        workers: Vec<(String, Observed, BTreeSet<ShardId>)>,
        rng: fastrand::Rng,
    }

    impl Fleet {
        fn new(leases: usize, workers: usize, seed: u64) -> Self {
            let rows = (0..leases).map(|n| lease(&format!("shardId-{n:04}"), ""));
            Self {
                table: rows.map(|row| (row.shard.clone(), row)).collect(),
                workers: (0..workers)
                    .map(|n| (format!("w{n}"), Observed::default(), BTreeSet::new()))
                    .collect(),
                rng: fastrand::Rng::with_seed(seed),
            }
        }

        /// Lets one worker look and write, perhaps to rows that others have changed since.
        fn step(&mut self, at: usize, now: Duration) {
            let (name, observed, held) = &mut self.workers[at];
            held.retain(|shard| {
                let row = self.table.get_mut(shard).expect("a row");
                row.counter += 1;
                if row.checkpoint_owner.as_deref() == Some(name.as_str()) {
                    row.checkpoint_owner = None;
                    return false;
                }
                row.owner.as_deref() == Some(name.as_str())
            });
            if self.rng.u8(..4) > 0 {
                observed.scanned(self.table.values().cloned(), now);
            }
            for take in observed.plan(
                name,
                held,
                &Lineage::default(),
                now,
                FAILOVER,
                &mut self.rng,
            ) {
                let row = self.table.get_mut(&take.row.shard).expect("a row");
                let unchanged = row.counter == take.row.counter && row.owner == take.row.owner;
                match take.manner {
                    Manner::HandOver
                        if row.owner == take.row.owner && row.checkpoint_owner.is_none() =>
                    {
                        row.checkpoint_owner = row.owner.replace(name.clone());
                        row.counter += 1;
                    }
                    Manner::Named | Manner::Free | Manner::Lapsed if unchanged => {
                        row.owner = Some(name.clone());
                        row.checkpoint_owner = None;
                        row.counter += 1;
                        held.insert(take.row.shard);
                    }
                    _ => {}
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_lease_has_one_reader_and_loads_come_within_one(
            leases in 0_usize..40, workers in 1_usize..6, gone in 0_usize..3, seed in any::<u64>(),
        ) {
            let mut fleet = Fleet::new(leases, workers, seed);
            let mut order = fastrand::Rng::with_seed(seed);
            for second in 0..120_u64 {
                if second == 40 {
                    // These are killed: they write no more.
                    let left = fleet.workers.len().saturating_sub(gone).max(1);
                    fleet.workers.truncate(left);
                }
                let mut turns: Vec<usize> = (0..fleet.workers.len()).collect();
                order.shuffle(&mut turns);
                for at in turns {
                    fleet.step(at, Duration::from_secs(second));
                }
                let mut readers = BTreeSet::new();
                for shard in fleet.workers.iter().flat_map(|(_, _, held)| held) {
                    prop_assert!(readers.insert(shard.clone()), "two readers of {}", shard);
                }
            }
            let loads: Vec<usize> = fleet.workers.iter().map(|(_, _, held)| held.len()).collect();
            prop_assert_eq!(loads.iter().sum::<usize>(), leases);
            let (most, least) = (loads.iter().max().unwrap(), loads.iter().min().unwrap());
            prop_assert!(most - least <= 1, "{:?}", loads);
        }
    }
}
