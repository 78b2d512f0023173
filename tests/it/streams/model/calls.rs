//! Work on records, from its beginning to its end, and the rules that are looked after meanwhile.

use std::sync::Arc;

use dynamodb_connector::streams::{Change, EventKind, ShardId};

use super::super::rig::Item;
use super::ledger::{Ledger, State, Which, tail, which};
use super::name_of;

/// How work on records ends once its shard is another worker's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Work {
    /// A handler's call: the source drops it, before another worker has the shard.
    Call,
    /// A consumer's steps, each of which takes no time: it asks before each, and stops by itself.
    Steps,
}

/// Work that has not ended.
pub(super) struct Open {
    worker: usize,
    shard: String,
    changes: Vec<Which>,
    work: Work,
    /// Another worker has begun on the shard: no further step may come.
    overtaken_by: Option<usize>,
}

fn which_of(change: &Change<Item>) -> Which {
    which(change.kind, change.new.as_ref(), change.old.as_ref())
}

impl Ledger {
    /// What is wrong with a worker's work on a shard at this moment, by the shard's row; and that row's checkpoint.
    fn misplaced(&self, worker: usize, shard: &str) -> Result<u128, String> {
        let Some(row) = self.row(shard) else {
            return Err("handled without a row".to_owned());
        };
        let string = |name: &str| row.get(name).and_then(|value| value.as_s().ok());
        let reader = string("checkpointOwner").or(string("leaseOwner"));
        let me = format!("{}-", name_of(worker));
        if !reader.is_some_and(|reader| reader.starts_with(&me)) {
            return Err(format!("handled while the lease is of {reader:?}"));
        }
        match &**string("checkpoint").expect("every row has one") {
            "SHARD_END" => Ok(u128::MAX),
            number => Ok(number.parse().unwrap_or(0)),
        }
    }

    /// Work on records is begun.
    pub(super) fn begin(
        self: &Arc<Self>,
        worker: usize,
        shard: &ShardId,
        given: &[Change<Item>],
        work: Work,
    ) -> Call {
        let shard = shard.to_string();
        let changes: Vec<Which> = given.iter().map(which_of).collect();
        let first = given[0].record.sequence_number();
        let first = first.expect("it is of the stream").to_string();
        let first: u128 = first.parse().expect("it fits");
        let names = format!("w{worker} {} {changes:?}", tail(&shard));
        let mut wrong = Vec::new();
        let is_ruled = self.is_ruled(&shard);
        match self.misplaced(worker, &shard) {
            _ if !is_ruled => {}
            Err(problem) => wrong.push(format!("{names}: {problem}")),
            Ok(stored) if first <= stored => {
                wrong.push(format!(
                    "{names}: handled {first} behind checkpoint {stored}"
                ));
            }
            Ok(_) => {}
        }
        let mut state = self.state();
        if is_ruled {
            state.beside(worker, &shard, &changes, &names, &mut wrong);
        }
        state.out_of_order(given, &changes, &names, &mut wrong);
        state.pages.taken_over(worker, &shard);
        state.calls += 1;
        let number = state.calls;
        let open = Open {
            worker,
            shard: shard.clone(),
            changes: changes.clone(),
            work,
            overtaken_by: None,
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
            shard,
            changes,
        }
    }
}

impl State {
    /// Notes what is wrong with work that begins beside other work.
    fn beside(
        &mut self,
        worker: usize,
        shard: &str,
        changes: &[Which],
        names: &str,
        wrong: &mut Vec<String>,
    ) {
        for open in self.open.values_mut() {
            let is_other = open.worker != worker;
            if is_other && open.work == Work::Steps {
                // Its last step was before this moment. If another comes, the two are not disjoint.
                if open.shard == shard {
                    open.overtaken_by.get_or_insert(worker);
                }
                continue;
            }
            if open.shard == shard && is_other {
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
    }

    /// Notes what is wrong with the place of changes among those of their items.
    fn out_of_order(
        &mut self,
        given: &[Change<Item>],
        changes: &[Which],
        names: &str,
        wrong: &mut Vec<String>,
    ) {
        for (at, (key, number)) in changes.iter().enumerate() {
            let all = self.keys.entry(*key).or_default();
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
            // Of before a start at LATEST some may be given where its first reader was replaced. A stream that was replaced
            // is read by the workers that knew it, and by them alone.
            let before = change.unwanted || change.replaced;
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
    }
}

/// Open until it is dropped.
pub(super) struct Call {
    ledger: Arc<Ledger>,
    number: u64,
    worker: usize,
    shard: String,
    changes: Vec<Which>,
}

impl Call {
    /// A further step is taken, after it was asked whether the record is current.
    pub(super) fn step(&self) {
        let names = format!("w{} {} {:?}", self.worker, tail(&self.shard), self.changes);
        self.ledger
            .note(format!("{names}: a step of call {}", self.number));
        if !self.ledger.is_ruled(&self.shard) {
            return;
        }
        let state = self.ledger.state();
        let open = state.open.get(&self.number);
        let other = open.and_then(|open| open.overtaken_by);
        drop(state);
        if let Some(other) = other {
            let what = format!("{names}: a step although w{other} has begun on the shard since");
            self.ledger.wrong(what);
        }
        if let Err(problem) = self.ledger.misplaced(self.worker, &self.shard) {
            self.ledger.wrong(format!("{names}: a step, {problem}"));
        }
    }

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
