//! What the workers said of the records that they handled, and what must hold of it: events, their order, and whose a shard is. No time is
//! looked at. How soon a dead worker's shards are read again is held by the tests in paused time, and measured by the benches.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::streams::SequenceNumber;
use dynamodb_connector::test_util::FaultyDynamoDb;

use super::worker::{LEASES, SEEN, TABLE, name};

/// A record that a worker handled.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) worker: usize,
    /// How many leases the worker had lost until then: it was not given time enough to renew them.
    pub(super) lost: u64,
    pub(super) shard: String,
    pub(super) sequence: SequenceNumber,
    pub(super) key: String,
    pub(super) version: u64,
}

impl Seen {
    /// `None` for what the test harness says.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (_, told) = line.split_once(SEEN)?;
        let words: Vec<&str> = told.split(' ').collect();
        let [worker, lost, shard, sequence, key, version] = words[..] else {
            panic!("not whole: {line}");
        };
        Some(Self {
            worker: worker.parse().expect("a number"),
            lost: lost.parse().expect("a number"),
            shard: shard.to_owned(),
            sequence: sequence.parse().expect("a sequence number"),
            key: key.to_owned(),
            version: version.parse().expect("a number"),
        })
    }
}

/// The last record of a shard, and the worker that handled it.
struct Reading {
    worker: usize,
    lost: u64,
    last: SequenceNumber,
}

/// A worker that was killed, and the shards it had that no other has read since.
struct Death {
    worker: usize,
    shards: BTreeSet<String>,
}

#[derive(Default)]
pub(super) struct Ledger {
    /// The newest version of each key.
    pub(super) newest: BTreeMap<String, u64>,
    /// How many records each worker told of.
    pub(super) told: HashMap<usize, usize>,
    lost: HashMap<usize, u64>,
    readings: HashMap<String, Reading>,
    /// The checkpoint, if there was one, of each shard whose reader was killed and that was not read since.
    checkpoints: HashMap<String, Option<SequenceNumber>>,
    death: Option<Death>,
    /// The workers that handled records of each shard, one after the other.
    readers: HashMap<String, Vec<usize>>,
    /// The number of writes that had been applied when each worker was killed.
    deaths: HashMap<usize, usize>,
    /// How many shards of killed workers others have read since.
    pub(super) taken_over: usize,
    pub(super) repeats_after_a_death: usize,
    pub(super) other_repeats: usize,
    after_a_death: BTreeSet<String>,
}

impl Ledger {
    pub(super) fn note(&mut self, seen: &Seen) {
        *self.told.entry(seen.worker).or_default() += 1;
        let lost = self.lost.entry(seen.worker).or_default();
        *lost = seen.lost.max(*lost);
        self.note_reader(seen);
        let newest = self.newest.entry(seen.key.clone()).or_default();
        if seen.version == *newest + 1 {
            *newest = seen.version;
        } else {
            assert!(
                seen.version <= *newest,
                "{seen:?} came when only version {newest} had"
            );
            if self.after_a_death.contains(&seen.shard) {
                self.repeats_after_a_death += 1;
            } else {
                self.other_repeats += 1;
            }
        }
        if let Some(death) = &mut self.death
            && death.worker != seen.worker
            && death.shards.remove(&seen.shard)
        {
            self.taken_over += 1;
        }
    }

    /// One reader tells of a shard in order; one that follows a killed one repeats nothing that was checkpointed.
    fn note_reader(&mut self, seen: &Seen) {
        let readers = self.readers.entry(seen.shard.clone()).or_default();
        if readers.last() != Some(&seen.worker) {
            readers.push(seen.worker);
        }
        let reading = Reading {
            worker: seen.worker,
            lost: seen.lost,
            last: seen.sequence,
        };
        let before = self.readings.insert(seen.shard.clone(), reading);
        let is_dead = self
            .death
            .as_ref()
            .is_some_and(|death| death.worker == seen.worker);
        if !is_dead && let Some(checkpoint) = self.checkpoints.remove(&seen.shard) {
            assert!(
                checkpoint.is_none_or(|checkpoint| checkpoint < seen.sequence),
                "{seen:?} is from before the checkpoint"
            );
            self.after_a_death.insert(seen.shard.clone());
            return;
        }
        let Some(before) = before else { return };
        if before.worker == seen.worker {
            let goes_on = before.last < seen.sequence || before.lost < seen.lost;
            assert!(goes_on, "{seen:?} goes back");
        } else {
            self.after_a_death.remove(&seen.shard);
        }
    }

    /// Notes that a worker was killed, and what it left. A checkpoint of its that still arrives is a later one.
    pub(super) fn died(&mut self, worker: usize, fake: &FaultyDynamoDb) {
        assert!(self.is_settled());
        self.deaths.insert(worker, fake.applied().len());
        let infos = fake.shards(TABLE);
        let open = infos
            .iter()
            .filter(|shard| shard.is_open() && shard.record_count() > 0);
        let mut shards: BTreeSet<String> = open.map(|shard| shard.id().to_owned()).collect();
        let mut left = BTreeSet::new();
        for row in fake.items(LEASES) {
            let text = |name: &str| row.get(name).and_then(|value| value.as_s().ok()).cloned();
            let shard = text("leaseKey").expect("a key");
            let checkpoint = text("checkpoint").expect("a checkpoint");
            let reader = text("checkpointOwner").or_else(|| text("leaseOwner"));
            let prefix = format!("{}-", name(worker));
            if reader.is_some_and(|reader| reader.starts_with(&prefix)) && checkpoint != "SHARD_END"
            {
                self.checkpoints
                    .insert(shard.clone(), checkpoint.parse().ok());
                left.insert(shard);
            }
        }
        shards.retain(|shard| left.contains(shard));
        self.death = Some(Death { worker, shards });
    }

    /// Whether no living worker lost a lease, as far as workers said and the lease table shows. One that is not run for longer than the
    /// failover time does: its shards come again.
    pub(super) fn none_lost(&self, fake: &FaultyDynamoDb) -> bool {
        self.lost.values().sum::<u64>() == 0 && self.owners(fake).1.is_empty()
    }

    /// Each shard's records were handled by its owners alone, in the order in which they had its lease.
    pub(super) fn check_owners(&self, fake: &FaultyDynamoDb) {
        let (owners, lapsed) = self.owners(fake);
        for (shard, readers) in &self.readers {
            let mut had = owners.get(shard).into_iter().flatten();
            let are_owners = readers
                .iter()
                .all(|reader| had.any(|owner| owner == reader));
            assert!(
                are_owners || lapsed.contains(shard),
                "{shard} was read by {readers:?} and owned by {:?}",
                owners.get(shard)
            );
        }
    }

    /// The workers that had each shard, one after the other, and the shards that were taken from a living one.
    fn owners(&self, fake: &FaultyDynamoDb) -> (HashMap<String, Vec<usize>>, BTreeSet<String>) {
        let (mut owners, mut lapsed) = (HashMap::<String, Vec<usize>>::new(), BTreeSet::new());
        for (at, write) in fake.applied().iter().enumerate() {
            let Some(row) = write.after().filter(|_| write.table() == LEASES) else {
                continue;
            };
            let text = |name: &str| row.get(name).and_then(|value| value.as_s().ok());
            let shard = text("leaseKey").expect("a key");
            let Some(owner) = text("checkpointOwner").or_else(|| text("leaseOwner")) else {
                continue;
            };
            let number = owner
                .split_once('-')
                .and_then(|(name, _)| name.strip_prefix('w'));
            let number = number.and_then(|number| number.parse().ok());
            let owner = number.expect("a worker's name");
            let had = owners.entry(shard.clone()).or_default();
            if had.last() == Some(&owner) {
                continue;
            }
            let before = write.before().unwrap_or_default();
            let was_owned =
                before.contains_key("leaseOwner") && !before.contains_key("checkpointOwner");
            if let Some(last) = had.last().filter(|_| was_owned)
                && self.deaths.get(last).is_none_or(|died| at < *died)
            {
                lapsed.insert(shard.clone());
            }
            had.push(owner);
        }
        (owners, lapsed)
    }

    /// Whether all shards of the worker that was killed are read again.
    pub(super) fn is_settled(&self) -> bool {
        self.death
            .as_ref()
            .is_none_or(|death| death.shards.is_empty())
    }
}

/// Who is named in the lease table.
pub(super) fn owners(fake: &FaultyDynamoDb) -> Vec<AttributeValue> {
    let rows = fake.items(LEASES).into_iter();
    rows.filter_map(|mut row| row.remove("leaseOwner"))
        .collect()
}
