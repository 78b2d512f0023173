//! What was written, what became of it, and what was reported.

use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::Gap;
use dynamodb_connector::streams::EventKind;
use dynamodb_connector::test_util::FaultyDynamoDb;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::rig::Item;
use super::LEASES;
use super::calls::Open;
use super::pages::Pages;

/// The changes of an item are numbered from 0. A put carries its number as the version; a delete shows the version of the put before it.
pub(super) type Which = (u8, usize);

pub(super) struct Ledger {
    state: Mutex<State>,
    fake: FaultyDynamoDb,
    started: Instant,
    /// Whether handlers have nothing against anything any more.
    pub(super) healed: watch::Sender<bool>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) removed: bool,
    pub(super) shard: String,
    pub(super) sequence: u128,
    /// It is no longer in the stream.
    pub(super) lost: bool,
    /// And nothing of its shard had been checkpointed, nor is it known where it began: there is no place from which it could be missed.
    pub(super) unmissed: bool,
    /// It was made before an application that begins at LATEST.
    pub(super) unwanted: bool,
    /// Its stream was replaced by another one.
    pub(super) replaced: bool,
    pub(super) begun: bool,
    pub(super) done: Option<Duration>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) keys: BTreeMap<u8, Vec<Written>>,
    pub(super) open: BTreeMap<u64, Open>,
    pub(super) calls: u64,
    gaps: Vec<Gap>,
    /// Shards that are gone with all their records.
    vanished: BTreeSet<String>,
    /// Shards whose row was deleted, each with the time from which no reader of before is left.
    unruled: BTreeMap<String, Duration>,
    pub(super) pages: Pages,
    wrong: Vec<String>,
    trace: Vec<String>,
}

pub(super) fn which(kind: EventKind, new: Option<&Item>, old: Option<&Item>) -> Which {
    let (item, after) = match new {
        Some(new) => (new, 0),
        None => (old.expect("both images are in the stream"), 1),
    };
    assert_eq!(after == 1, kind == EventKind::Remove);
    let key = item.id.parse().expect("ids are numbers");
    (key, usize::try_from(item.version).expect("small") + after)
}

impl Ledger {
    pub(super) fn new(fake: &FaultyDynamoDb) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            fake: fake.clone(),
            started: Instant::now(),
            healed: watch::Sender::new(false),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is called with what was formatted for it"
    )]
    pub(super) fn note(&self, what: String) {
        let line = format!("{:>9.3} {what}", self.now().as_secs_f64());
        self.state().trace.push(line);
    }

    pub(super) fn trace(&self) -> String {
        self.state().trace.join("\n")
    }

    pub(super) fn wrong(&self, what: String) {
        self.note(format!("WRONG {what}"));
        self.state().wrong.push(what);
    }

    pub(super) fn wrongs(&self) -> Vec<String> {
        self.state().wrong.clone()
    }

    /// The last change of a key: its number, and whether it removed the item.
    pub(super) fn last(&self, key: u8) -> Option<(usize, bool)> {
        let state = self.state();
        let changes = state.keys.get(&key)?;
        Some((changes.len() - 1, changes.last()?.removed))
    }

    /// Before a change is made: a worker may see it before whoever made it.
    pub(super) fn writes(&self, key: u8, removed: bool) {
        let mut state = self.state();
        state.keys.entry(key).or_default().push(Written {
            removed,
            ..Written::default()
        });
    }

    /// An application that begins at LATEST begins now: nothing of what was made so far has to be given.
    pub(super) fn begins(&self) {
        let mut state = self.state();
        let changes = state.keys.values_mut().flatten();
        changes.for_each(|change| change.unwanted = true);
    }

    /// Where the last change of a key went.
    pub(super) fn wrote(&self, key: u8, shard: &str, sequence: u128) {
        let mut state = self.state();
        let changes = state.keys.get_mut(&key).expect("it was noted");
        let at = changes.len() - 1;
        let last = &mut changes[at];
        (last.shard, last.sequence) = (shard.to_owned(), sequence);
        drop(state);
        self.note(format!("written k{key}#{at} to {}", tail(shard)));
    }

    pub(super) fn changes(&self) -> Vec<(Which, Written)> {
        let state = self.state();
        let all = state.keys.iter().flat_map(|(key, changes)| {
            let numbered = changes.iter().cloned().enumerate();
            numbered.map(|(number, change)| ((*key, number), change))
        });
        all.collect()
    }

    /// A shard's row in the lease table.
    pub(super) fn row(&self, shard: &str) -> Option<HashMap<String, AttributeValue>> {
        self.fake.item(LEASES, [("leaseKey", text(shard))])
    }

    /// The changes of a shard up to a number are no longer in the stream.
    pub(super) fn trimmed(&self, shard: &str, up_to: u128) {
        let unmissed = self.row(shard).is_none_or(|row| {
            let first = row.contains_key("streamFirstNumber");
            let checkpoint = &row["checkpoint"];
            *checkpoint == text("LATEST") || (*checkpoint == text("TRIM_HORIZON") && !first)
        });
        self.lose(unmissed, |change| {
            change.shard == shard && change.sequence <= up_to
        });
    }

    /// A shard is gone. At a first start from the oldest record it is no gap that nothing of a shard had been read, be it by its row
    /// or because the application has not begun: no lease was ever taken.
    pub(super) fn vanished(&self, shard: &str) {
        let rows = self.fake.items(LEASES);
        let row = rows.iter().find(|row| row["leaseKey"] == text(shard));
        let untaken = AttributeValue::N("0".to_owned());
        let unmissed = match row {
            Some(row) => {
                let first = row.contains_key("streamFirstNumber");
                row["checkpoint"] == text("TRIM_HORIZON") && !first
            }
            None => rows.iter().all(|row| row["leaseCounter"] == untaken),
        };
        self.lose(unmissed, |change| change.shard == shard);
        self.state().vanished.insert(shard.to_owned());
    }

    /// Another stream takes the place of the one that there was. That one can be read on, by those who know it.
    pub(super) fn replaced(&self) {
        self.lose(false, |_| true);
        let mut state = self.state();
        let changes = state.keys.values_mut().flatten();
        changes.for_each(|change| change.replaced = true);
    }

    fn lose(&self, unmissed: bool, which: impl Fn(&Written) -> bool) {
        let mut state = self.state();
        let changes = state.keys.values_mut().flatten();
        for change in changes.filter(|change| which(change) && !change.lost) {
            (change.lost, change.unmissed) = (true, unmissed);
        }
    }

    pub(super) fn has_vanished(&self, shard: &str) -> bool {
        self.state().vanished.contains(shard)
    }

    /// A shard's row was deleted. Its reader may not know for so long, while another begins.
    pub(super) fn row_deleted(&self, shard: &str, failover: Duration) {
        let until = self.now() + failover;
        self.state().unruled.insert(shard.to_owned(), until);
    }

    /// Whether a shard's row says whose it is.
    pub(super) fn is_ruled(&self, shard: &str) -> bool {
        let now = self.now();
        let state = self.state();
        state.unruled.get(shard).is_none_or(|until| *until <= now)
    }

    pub(super) fn gap(&self, worker: usize, gap: &Gap) {
        self.note(format!("w{worker} tells of a gap: {gap}"));
        self.state().gaps.push(gap.clone());
    }

    pub(super) fn gaps(&self) -> Vec<Gap> {
        self.state().gaps.clone()
    }

    /// How many changes have yet to be handled.
    pub(super) fn outstanding(&self) -> usize {
        let state = self.state();
        let changes = state.keys.values().flatten();
        changes
            .filter(|change| change.done.is_none() && !change.lost && !change.unwanted)
            .count()
    }

    pub(super) fn done(&self, worker: usize, changes: &[Which]) {
        let now = self.now();
        let mut state = self.state();
        for (key, number) in changes {
            let change = state.keys.get_mut(key).and_then(|all| all.get_mut(*number));
            if let Some(change) = change {
                change.done.get_or_insert(now);
                let sequence = change.sequence;
                state.pages.done(worker, sequence);
            }
        }
    }
}

pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// Enough of a shard's name to tell it from others.
pub(super) fn tail(shard: &str) -> &str {
    shard.rsplit('-').next().unwrap_or(shard)
}
