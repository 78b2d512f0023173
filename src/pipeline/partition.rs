//! The partitions that a source has open, and the guards of those that it is about to give up.
//!
//! **Problem.** A source that gives a partition up waits for a guard. It has to be dropped as soon as
//! nothing of the partition is in the pipeline, and not before.
//!
//! **Choice.** Each partition counts its records between the source and their end. Its guard is dropped
//! by whatever ends the last of them. The state is pure: no I/O, no time.
//!
//! ```text
//! Opened ──▶ open ──Closing──▶ closing (guard) ──last record ended──▶ guard dropped
//!              │                  │
//!              └──────Lost────────┴──▶ guard dropped at once: the source takes nothing of it any more
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use crate::progress::PartitionGuard;
use parking_lot::Mutex;

/// A partition from its first record, or its opening, to its end.
#[derive(Debug)]
pub(super) struct Partition {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Records between the source and their end.
    records: usize,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// The source waits for the guard. `None` once it was dropped.
    Closing(Option<PartitionGuard>),
    Lost,
}

impl Partition {
    fn new() -> Arc<Self> {
        let state = Mutex::new(State {
            records: 0,
            phase: Phase::Open,
        });
        Arc::new(Self { state })
    }

    /// Notes that records came in.
    pub(super) fn enter(&self, records: usize) {
        self.state.lock().records += records;
    }

    /// Notes that a record is done, dropped or withdrawn.
    pub(super) fn leave(&self) {
        let released = {
            let mut state = self.state.lock();
            state.records = state.records.saturating_sub(1);
            state.release()
        };
        // Outside the lock, since it is the source's code.
        drop(released);
    }

    /// Keeps the guard until nothing of the partition is left.
    fn close(&self, guard: PartitionGuard) {
        let released = {
            let mut state = self.state.lock();
            match &mut state.phase {
                Phase::Open => {
                    state.phase = Phase::Closing(Some(guard));
                    state.release()
                }
                // A guard holds the partition once, whatever the source says afterward.
                Phase::Closing(_) | Phase::Lost => Some(guard),
            }
        };
        drop(released);
    }

    fn lose(&self) {
        let before = std::mem::replace(&mut self.state.lock().phase, Phase::Lost);
        drop(before);
    }

    /// Returns whether records of it may go on: those of a partition that closes need not begin.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Open)
    }

    /// Returns whether it closed and nothing of it is left.
    fn has_ended(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Closing(None))
    }
}

impl State {
    /// Takes the guard, where nothing is left to wait for.
    fn release(&mut self) -> Option<PartitionGuard> {
        match &mut self.phase {
            Phase::Closing(guard) if self.records == 0 => guard.take(),
            Phase::Closing(_) | Phase::Open | Phase::Lost => None,
        }
    }
}

/// The partitions of a source, by name.
#[derive(Debug, Default)]
pub(super) struct Partitions(HashMap<Arc<str>, Arc<Partition>>);

impl Partitions {
    /// Returns the partition of this name; one that was not opened yet counts as open.
    pub(super) fn get(&mut self, name: &Arc<str>) -> &Arc<Partition> {
        self.0
            .entry(Arc::clone(name))
            .or_insert_with(Partition::new)
    }

    /// Opens a partition anew.
    pub(super) fn open(&mut self, name: Arc<str>) {
        self.0.insert(name, Partition::new());
    }

    /// Ends a partition: its guard is kept until its records have ended.
    pub(super) fn close(&mut self, name: &Arc<str>, guard: PartitionGuard) {
        if let Some(partition) = self.0.get(name) {
            partition.close(guard);
        }
        // Shards come and go: those that ended for good must not add up.
        self.0.retain(|_, partition| !partition.has_ended());
    }

    /// Ends a partition that the source has lost.
    pub(super) fn lose(&mut self, name: &Arc<str>) {
        if let Some(partition) = self.0.remove(name) {
            partition.lose();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Open(usize),
        Enter(usize, usize),
        Leave(usize),
        Close(usize),
        Lose(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            1 => (0_usize..3).prop_map(Step::Open),
            4 => (0_usize..3, 1_usize..4).prop_map(|(name, records)| Step::Enter(name, records)),
            6 => (0_usize..20).prop_map(Step::Leave),
            2 => (0_usize..3).prop_map(Step::Close),
            1 => (0_usize..3).prop_map(Step::Lose),
        ];
        proptest::collection::vec(step, 1..60)
    }

    /// A life of a partition, as it should be.
    #[derive(Default)]
    struct Life {
        records: usize,
        is_closing: bool,
        is_lost: bool,
        dropped: Arc<AtomicUsize>,
    }

    impl Life {
        fn is_open(&self) -> bool {
            !self.is_closing && !self.is_lost
        }
    }

    proptest! {
        #[test]
        fn a_guard_is_dropped_when_the_last_record_has_ended_and_never_before(steps in steps()) {
            let names: Vec<Arc<str>> = ["a", "b", "c"].map(Arc::from).into();
            let mut partitions = Partitions::default();
            let mut lives: Vec<Life> = Vec::new();
            let mut current: Vec<usize> = Vec::new();
            for name in &names {
                partitions.open(Arc::clone(name));
                current.push(lives.len());
                lives.push(Life::default());
            }
            // Records in the pipeline: their partition, and the life that they belong to.
            let mut records: Vec<(Arc<Partition>, usize)> = Vec::new();
            for step in steps {
                match step {
                    Step::Open(name) => {
                        if !lives[current[name]].is_open() {
                            partitions.open(Arc::clone(&names[name]));
                            current[name] = lives.len();
                            lives.push(Life::default());
                        }
                    }
                    Step::Enter(name, count) => {
                        let life = current[name];
                        if lives[life].is_open() {
                            let partition = partitions.get(&names[name]);
                            prop_assert!(partition.is_open());
                            partition.enter(count);
                            records.extend((0..count).map(|_| (Arc::clone(partition), life)));
                            lives[life].records += count;
                        }
                    }
                    Step::Leave(at) => {
                        if !records.is_empty() {
                            let (partition, life) = records.swap_remove(at % records.len());
                            partition.leave();
                            lives[life].records -= 1;
                        }
                    }
                    Step::Close(name) => {
                        let life = &mut lives[current[name]];
                        if life.is_open() {
                            life.is_closing = true;
                            let dropped = Arc::clone(&life.dropped);
                            let guard = PartitionGuard::new(move || {
                                dropped.fetch_add(1, SeqCst);
                            });
                            partitions.close(&names[name], guard);
                        }
                    }
                    Step::Lose(name) => {
                        lives[current[name]].is_lost = true;
                        partitions.lose(&names[name]);
                    }
                }
                for life in &lives {
                    let is_due = life.is_closing && (life.records == 0 || life.is_lost);
                    prop_assert_eq!(life.dropped.load(SeqCst), usize::from(is_due));
                }
            }
        }
    }

    #[test]
    fn a_partition_that_is_lost_while_it_closes_lets_its_guard_go() {
        let mut partitions = Partitions::default();
        let name: Arc<str> = "a".into();
        let partition = Arc::clone(partitions.get(&name));
        partition.enter(1);
        let dropped = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&dropped);
        partitions.close(
            &name,
            PartitionGuard::new(move || {
                count.fetch_add(1, SeqCst);
            }),
        );
        assert_eq!(dropped.load(SeqCst), 0);
        partition.lose();
        assert_eq!(dropped.load(SeqCst), 1);
        partition.leave();
    }
}
