use super::super::super::graph::{ListedShard, ShardGraph};
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

/// The row of a shard at this checkpoint, which follows another.
fn follower(name: &str, parent: &str, checkpoint: Checkpoint) -> LeaseRow {
    LeaseRow {
        parents: [ShardId::new(parent)].into(),
        ..LeaseRow::new(ShardId::new(name), checkpoint)
    }
}

#[test]
fn a_reader_whose_row_was_deleted_is_waited_for_until_its_lease_lapses() {
    let mut observed = Observed::default();
    let read = lease("a", "reader");
    assert!(!observed.scanned([read.clone(), lease("b", "")], Duration::ZERO));
    assert!(observed.scanned([], Duration::from_secs(1)));
    let waits = |observed: &Observed, now| {
        let now = Duration::from_secs(now);
        observed.awaits_deleted(now, FAILOVER)
    };
    assert!(waits(&observed, 9) && !waits(&observed, 10));
    assert!(!observed.scanned([read], Duration::from_secs(2)));
    assert!(!waits(&observed, 3), "it is there again");
}

#[test]
fn a_row_that_is_gone_because_its_children_have_begun_was_not_deleted_by_hand() {
    let mut observed = Observed::default();
    observed.scanned([lease("a", "reader")], Duration::ZERO);
    let seven = Checkpoint::parse("7").expect("a number");
    let child = follower("b", "a", seven);
    assert!(!observed.scanned([child], Duration::from_secs(1)));
    assert!(!observed.awaits_deleted(Duration::from_secs(1), FAILOVER));
}

#[test]
fn a_shard_waits_for_a_listed_parent_whose_row_was_deleted() {
    let mut graph = ShardGraph::default();
    let listed = |name: &str, parent: &str| ListedShard {
        id: ShardId::new(name),
        parent: (!parent.is_empty()).then(|| ShardId::new(parent)),
        first: None,
        closed: false,
    };
    graph
        .merge([listed("a", ""), listed("b", "a"), listed("c", "b")])
        .expect("a lineage");
    let mut lineage = Lineage::default();
    lineage.listed(&graph).expect("a lineage");
    let mut observed = Observed::default();
    let child = follower("c", "b", Checkpoint::TrimHorizon);
    observed.scanned([lease("a", ""), child], Duration::ZERO);
    let ready = |observed: &Observed, lineage: &Lineage| {
        let rows = observed.ready(lineage).map(|row| row.shard.to_string());
        rows.collect::<Vec<_>>()
    };
    assert_eq!(ready(&observed, &lineage), ["a"]);
    // A shard that is not listed any more has nothing left to be read.
    assert_eq!(ready(&observed, &Lineage::default()), ["a", "c"]);
}

#[test]
fn a_worker_that_asks_is_dead_once_the_leases_that_it_had_have_stood_still() {
    let mut observed = Observed::default();
    let mut asked = lease("a", "asker");
    asked.checkpoint_owner = Some("me".to_owned());
    let mut other = lease("b", "asker");
    observed.scanned([asked.clone(), other.clone()], Duration::ZERO);
    let dead = |observed: &Observed, now| {
        let now = Duration::from_secs(now);
        observed.asked_for_by_the_dead("me", now, FAILOVER).len()
    };
    assert_eq!(dead(&observed, 99), 0, "it may be new");
    other.counter += 1;
    observed.scanned([asked.clone(), other.clone()], Duration::from_secs(5));
    assert_eq!((dead(&observed, 14), dead(&observed, 15)), (0, 1));
    // Another worker took what it had.
    other.owner = Some("third".to_owned());
    other.counter += 1;
    observed.scanned([asked, other], Duration::from_secs(16));
    assert_eq!(dead(&observed, 16), 1);
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
