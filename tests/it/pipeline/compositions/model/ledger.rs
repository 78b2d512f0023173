//! The record of the runs of a composition.

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::Acknowledge;
use dynamodb_connector::pipeline::{DeadLetter, Delivery, EndpointError, FnSink, Sink};
use proptest::prelude::*;
use tokio::time::sleep;

use super::composition::{BranchDraw, Draw, Fate, Value};

#[derive(Default)]
struct Runs {
    /// The values that the sink of each branch took in this run, in its order.
    taken: Vec<(usize, Value)>,
    /// All effects that are durable.
    durable: BTreeSet<(usize, Value)>,
    /// All records of which there is a letter, and those of this run with the number of their letters.
    letters: BTreeSet<Value>,
    letters_of_run: BTreeMap<Value, usize>,
    /// The records that were acknowledged, each with what was durable and whether there was a letter by then.
    done: BTreeMap<Value, (BTreeSet<(usize, Value)>, bool)>,
    done_twice: bool,
}

#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Runs>>);

/// The acknowledgement of one record.
pub(super) struct Acks(Ledger, Value);

impl Acknowledge for Acks {
    fn done(&self, _: u64) {
        let mut runs = self.0.0.lock();
        let of_record = |value: &Value| Value { part: 1, ..*value } == self.1;
        let durable = runs
            .durable
            .iter()
            .filter(|(_, value)| of_record(value))
            .copied()
            .collect();
        let by_then = (durable, runs.letters.contains(&self.1));
        runs.done_twice |= runs.done.insert(self.1, by_then).is_some();
    }

    fn dropped(&self, _: u64) {}
}

impl Ledger {
    pub(super) fn acks(&self, record: Value) -> Acks {
        Acks(self.clone(), record)
    }

    /// The records that are not acknowledged.
    pub(super) fn rest(&self, records: impl Iterator<Item = Value>) -> VecDeque<Value> {
        let runs = self.0.lock();
        records
            .filter(|record| !runs.done.contains_key(record))
            .collect()
    }

    /// Checks a run, and begins the next one.
    pub(super) fn end_run(&self, draw: &Draw, ended_well: bool) -> Result<(), TestCaseError> {
        let mut runs = self.0.lock();
        prop_assert!(!runs.done_twice);
        let taken = std::mem::take(&mut runs.taken);
        let mut last: BTreeMap<(usize, usize, u32), Value> = BTreeMap::new();
        for (branch, value) in taken {
            if let Some(before) = last.insert((branch, value.source, value.partition), value) {
                prop_assert!(
                    before < value,
                    "branch {branch}: {before:?} before {value:?}"
                );
            }
        }
        let letters = std::mem::take(&mut runs.letters_of_run);
        prop_assert!(letters.values().all(|count| *count == 1), "{letters:?}");
        for (record, (durable, has_letter)) in &runs.done {
            for fate in draw.fates(*record) {
                match fate {
                    Fate::Written(branch, value) => {
                        prop_assert!(
                            durable.contains(&(branch, value)),
                            "{record:?} was done before {fate:?}"
                        );
                    }
                    Fate::Rejected(..) | Fate::Refused => {
                        prop_assert!(has_letter, "{record:?} was done before its letter");
                    }
                    Fate::Filtered => {}
                }
            }
        }
        if ended_well {
            prop_assert_eq!(runs.done.len(), draw.records().len());
        }
        Ok(())
    }

    /// Checks that all that is due is there, and nothing else.
    pub(super) fn is_complete(&self, draw: &Draw) -> Result<(), TestCaseError> {
        let runs = self.0.lock();
        let (mut due, mut refused) = (BTreeSet::new(), BTreeSet::new());
        for record in draw.records() {
            for fate in draw.fates(record) {
                match fate {
                    Fate::Written(branch, value) => drop(due.insert((branch, value))),
                    Fate::Rejected(..) | Fate::Refused => drop(refused.insert(record)),
                    Fate::Filtered => {}
                }
            }
        }
        prop_assert_eq!(&runs.durable, &due);
        prop_assert_eq!(&runs.letters, &refused);
        Ok(())
    }
}

/// The sink of a branch: what it writes is durable a while later.
pub(super) struct Writer {
    ledger: Ledger,
    branch: usize,
    draw: BranchDraw,
    fails_at: Option<usize>,
    written: usize,
    pending: Arc<()>,
}

impl Writer {
    pub(super) fn new(ledger: &Ledger, branch: usize, draw: &BranchDraw, fails: bool) -> Self {
        Self {
            ledger: ledger.clone(),
            branch,
            draw: draw.clone(),
            fails_at: draw.fails_at.filter(|_| fails),
            written: 0,
            pending: Arc::new(()),
        }
    }
}

impl Sink<Value> for Writer {
    async fn write(&mut self, value: Value, delivery: Delivery) -> Result<(), EndpointError> {
        self.written += 1;
        if self.fails_at == Some(self.written) {
            return Err("told to fail".into());
        }
        self.ledger.0.lock().taken.push((self.branch, value));
        if value.is_one_of(self.draw.rejects) {
            delivery.reject("rejected");
            return Ok(());
        }
        let (ledger, branch, settles) = (self.ledger.clone(), self.branch, self.draw.settles);
        let pending = Arc::clone(&self.pending);
        tokio::spawn(async move {
            sleep(value.delay(settles)).await;
            ledger.0.lock().durable.insert((branch, value));
            delivery.done();
            drop(pending);
        });
        sleep(value.delay(settles) / 8).await;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        while Arc::strong_count(&self.pending) > 1 {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

/// The dead-letter output.
pub(super) fn letters(ledger: &Ledger) -> impl Sink<DeadLetter<Value>> + use<> {
    let ledger = ledger.clone();
    FnSink::new(move |letter: DeadLetter<Value>| {
        let ledger = ledger.clone();
        async move {
            sleep(letter.record.delay(9)).await;
            let mut runs = ledger.0.lock();
            runs.letters.insert(letter.record);
            *runs.letters_of_run.entry(letter.record).or_default() += 1;
            Ok(())
        }
    })
}
