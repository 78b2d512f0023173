//! What was written, what handlers did about it, and the rules that are looked after while they do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::streams::{Change, EventKind, Gap, ShardId};
use dynamodb_connector::test_util::FaultyDynamoDb;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::rig::Item;
use super::pages::Pages;
use super::{LEASES, name_of};

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
    begun: bool,
    pub(super) done: Option<Duration>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) keys: BTreeMap<u8, Vec<Written>>,
    open: BTreeMap<u64, Open>,
    calls: u64,
    gaps: Vec<Gap>,
    pub(super) pages: Pages,
    wrong: Vec<String>,
    trace: Vec<String>,
}

/// A handler's call that has not ended.
struct Open {
    worker: usize,
    shard: String,
    changes: Vec<Which>,
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

fn which_of(change: &Change<Item>) -> Which {
    which(change.kind, change.new.as_ref(), change.old.as_ref())
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
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

    /// The changes of a shard up to a number are no longer in the stream.
    pub(super) fn trimmed(&self, shard: &str, up_to: u128) {
        let row = self.fake.item(LEASES, [("leaseKey", text(shard))]);
        let unmissed = row.is_none_or(|row| {
            let first = row.contains_key("streamFirstNumber");
            let checkpoint = &row["checkpoint"];
            *checkpoint == text("LATEST") || (*checkpoint == text("TRIM_HORIZON") && !first)
        });
        let mut state = self.state();
        for change in state.keys.values_mut().flatten() {
            if change.shard == shard && change.sequence <= up_to && !change.lost {
                (change.lost, change.unmissed) = (true, unmissed);
            }
        }
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

    /// A handler is called.
    pub(super) fn begin(
        self: &Arc<Self>,
        worker: usize,
        shard: &ShardId,
        given: &[Change<Item>],
    ) -> Call {
        let shard = shard.to_string();
        let changes: Vec<Which> = given.iter().map(which_of).collect();
        let first = given[0].record.sequence_number();
        let first = first.expect("it is of the stream").to_string();
        let first: u128 = first.parse().expect("it fits");
        let row = self.fake.item(LEASES, [("leaseKey", text(&shard))]);
        let mut wrong = Vec::new();
        let names = format!("w{worker} {} {changes:?}", tail(&shard));
        match &row {
            None => wrong.push(format!("{names}: handled without a row")),
            Some(row) => {
                let string = |name: &str| row.get(name).and_then(|value| value.as_s().ok());
                let reader = string("checkpointOwner").or(string("leaseOwner"));
                let me = format!("{}-", name_of(worker));
                if !reader.is_some_and(|reader| reader.starts_with(&me)) {
                    wrong.push(format!("{names}: handled while the lease is of {reader:?}"));
                }
                let stored = string("checkpoint").expect("every row has one");
                if stored == "SHARD_END"
                    || stored.parse::<u128>().is_ok_and(|stored| first <= stored)
                {
                    wrong.push(format!(
                        "{names}: handled {first} behind checkpoint {stored}"
                    ));
                }
            }
        }
        let mut state = self.state();
        for open in state.open.values() {
            if open.shard == shard && open.worker != worker {
                wrong.push(format!(
                    "{names}: handled while w{} still works on the shard",
                    open.worker
                ));
            }
            if changes.iter().any(|change| {
                let same = |other: &Which| other.0 == change.0;
                open.changes.iter().any(same)
            }) {
                wrong.push(format!(
                    "{names}: one of its items is in another call, {:?} by w{}",
                    open.changes, open.worker
                ));
            }
        }
        for (at, (key, number)) in changes.iter().enumerate() {
            let all = state.keys.entry(*key).or_default();
            let Some(change) = all.get(*number) else {
                wrong.push(format!("{names}: k{key}#{number} was never made"));
                continue;
            };
            let removed = given[at].kind == EventKind::Remove;
            if change.removed != removed {
                wrong.push(format!("{names}: k{key}#{number} is of another kind"));
            }
            let skipped = all[..*number]
                .iter()
                .enumerate()
                .rev()
                .find(|(before, change)| {
                    let here = changes[..at].contains(&(*key, *before));
                    change.done.is_none() && !change.lost && !change.unwanted && !here
                });
            if let Some((before, _)) = skipped {
                wrong.push(format!(
                    "{names}: k{key}#{number} before #{before} was done"
                ));
            }
            // Of before a start at LATEST some may be given where its first reader was replaced.
            let before = change.unwanted;
            if !before && !change.begun && all[*number..].iter().any(|later| later.begun) {
                wrong.push(format!("{names}: k{key}#{number} after a later one"));
            }
            if changes[..at]
                .iter()
                .any(|earlier| earlier.0 == *key && earlier.1 + 1 > *number)
            {
                wrong.push(format!(
                    "{names}: k{key}#{number} after a later one in a batch"
                ));
            }
            all[*number].begun = true;
        }
        state.pages.taken_over(worker, &shard);
        state.calls += 1;
        let number = state.calls;
        let open = Open {
            worker,
            shard,
            changes: changes.clone(),
        };
        state.open.insert(number, open);
        drop(state);
        self.note(format!("{names} begins, call {number}"));
        for what in wrong {
            self.wrong(what);
        }
        Call {
            ledger: Arc::clone(self),
            number,
            worker,
            changes,
        }
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

/// Open until it is dropped.
pub(super) struct Call {
    ledger: Arc<Ledger>,
    number: u64,
    worker: usize,
    changes: Vec<Which>,
}

impl Call {
    /// The effects of so many changes are durable.
    pub(super) fn done(&self, count: usize) {
        self.ledger.done(self.worker, &self.changes[..count]);
        self.ledger
            .note(format!("call {} has done {count}", self.number));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.ledger.state().open.remove(&self.number);
        self.ledger.note(format!("call {} ends", self.number));
    }
}

pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// Enough of a shard's name to tell it from others.
pub(super) fn tail(shard: &str) -> &str {
    shard.rsplit('-').next().unwrap_or(shard)
}
