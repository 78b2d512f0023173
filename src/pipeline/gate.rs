//! The gate before a transactional output: records pass it in the order of their partition, and closing
//! it is the cut of a transaction.
//!
//! **Problem.** A transaction holds outputs of many partitions and one position of each. A position says
//! that all records up to it are in a transaction with all their outputs, and none behind it. But a
//! record's values come one by one, records that are skipped come not at all, letters come early, and
//! lookups hold some records up while others are done.
//!
//! **Choice.** Each record takes its turn when it is read. Its outputs are collected at the gate, and it
//! passes as a whole once it has ended and all before it in its partition have passed. So nothing has to
//! drain for a cut: what is in operators stays before the gate. The state is pure: no I/O, no time.
//!
//! ```text
//!  turn        1        2         3         4        5
//!  outputs     a b      -         c         d        .
//!  ended       yes      yes       no        yes      no
//!              └─ passes as a ─┘  └ waits: 4 is behind it, whatever it has
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::position::Position;
use super::turns::Turn;
use crate::progress::NumberedQueue;

/// The records before a transaction. `R` is what was made of a source's record, and `H` the duty to acknowledge that one,
/// which is held until the transaction is committed.
#[derive(Debug)]
pub(super) struct Gate<R, H> {
    lines: HashMap<Arc<str>, NumberedQueue<Entry<R, H>>>,
    /// The partitions whose first record may pass, each once.
    ready: VecDeque<Arc<str>>,
    is_open: bool,
    /// Records that have a turn.
    len: usize,
    /// All that were ever given one.
    entered: u64,
}

/// A record of the source before the gate.
#[derive(Debug)]
struct Entry<R, H> {
    position: Position,
    outputs: Vec<R>,
    end: End<H>,
}

#[derive(Debug)]
enum End<H> {
    /// It is in operators.
    Pending,
    Ended(H),
    /// It was given up: its next reader is given it.
    Gone,
}

/// A record that passes the gate, with all its outputs.
#[derive(Debug)]
pub(super) struct Passed<R, H> {
    pub(super) position: Position,
    pub(super) outputs: Vec<R>,
    pub(super) held: H,
}

impl<R, H> Gate<R, H> {
    pub(super) fn new() -> Self {
        Self {
            lines: HashMap::new(),
            ready: VecDeque::new(),
            is_open: true,
            len: 0,
            entered: 0,
        }
    }

    /// Gives a record its turn, behind all of its partition that were read before it.
    pub(super) fn enter(&mut self, position: Position) -> Turn {
        let partition = Arc::clone(position.partition());
        let line = self.lines.entry(Arc::clone(&partition));
        // No number comes twice, also where a line has gone and begins anew.
        let line = line.or_insert_with(|| NumberedQueue::starting_at(self.entered));
        let number = line.push(Entry {
            position,
            outputs: Vec::new(),
            end: End::Pending,
        });
        self.len += 1;
        self.entered += 1;
        Turn { partition, number }
    }

    /// Adds outputs of a record that has not ended.
    pub(super) fn add(&mut self, turn: &Turn, outputs: impl IntoIterator<Item = R>) {
        if let Some(entry) = self.entry(turn) {
            entry.outputs.extend(outputs);
        }
    }

    /// Ends a record: it has all its outputs. Returns whether a record may pass that could not before, and what is to be
    /// held where the record has no turn any more.
    pub(super) fn end(&mut self, turn: &Turn, held: H) -> (bool, Option<H>) {
        match self.entry(turn) {
            Some(entry) => entry.end = End::Ended(held),
            None => return (false, Some(held)),
        }
        (self.has_ended(turn), None)
    }

    /// Ends a record that was given up. Returns whether a record may pass that could not before.
    pub(super) fn give_up(&mut self, turn: &Turn) -> bool {
        let entry = self.entry(turn);
        entry.map(|entry| entry.end = End::Gone).is_some() && self.has_ended(turn)
    }

    fn entry(&mut self, turn: &Turn) -> Option<&mut Entry<R, H>> {
        self.lines.get_mut(&turn.partition)?.get_mut(turn.number)
    }

    /// Follows the end of a record. Returns whether one may pass that could not before.
    fn has_ended(&mut self, turn: &Turn) -> bool {
        let line = self.lines.get(&turn.partition);
        line.is_some_and(|line| line.first() == turn.number) && self.advance(&turn.partition)
    }

    /// Goes on to the next record of a partition that has not been given up. Returns whether it may pass.
    fn advance(&mut self, partition: &Arc<str>) -> bool {
        let Some(line) = self.lines.get_mut(partition) else {
            return false;
        };
        while line
            .pop_front_if(|entry| matches!(entry.end, End::Gone))
            .is_some()
        {
            self.len -= 1;
        }
        if line.is_empty() {
            // Shards come and go.
            self.lines.remove(partition);
            return false;
        }
        let first = line.first();
        let front = line.get_mut(first);
        let may_pass = front.is_some_and(|entry| matches!(entry.end, End::Ended(_)));
        if may_pass {
            self.ready.push_back(Arc::clone(partition));
        }
        may_pass
    }

    /// Lets the next record pass, of the partitions in turn: `None` while the gate is closed, and where
    /// no first record has ended.
    pub(super) fn pass(&mut self) -> Option<Passed<R, H>> {
        if !self.is_open {
            return None;
        }
        let partition = self.ready.pop_front()?;
        let line = self.lines.get_mut(&partition)?;
        let entry = line.pop_front_if(|entry| matches!(entry.end, End::Ended(_)))?;
        self.len -= 1;
        self.advance(&partition);
        match entry.end {
            End::Ended(held) => Some(Passed {
                position: entry.position,
                outputs: entry.outputs,
                held,
            }),
            End::Pending | End::Gone => None,
        }
    }

    /// Closes the gate: nothing passes until it is opened.
    pub(super) fn close(&mut self) {
        self.is_open = false;
    }

    pub(super) fn open(&mut self) {
        self.is_open = true;
    }

    /// Returns whether a record could pass if the gate were open.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns whether no record has a turn.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Enter(usize),
        Add(usize),
        End(usize),
        GiveUp(usize),
        Pass(usize),
        Close,
        Open,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0_usize..3).prop_map(Step::Enter),
            4 => (0_usize..30).prop_map(Step::Add),
            4 => (0_usize..30).prop_map(Step::End),
            1 => (0_usize..30).prop_map(Step::GiveUp),
            3 => (1_usize..5).prop_map(Step::Pass),
            1 => Just(Step::Close),
            2 => Just(Step::Open),
        ];
        proptest::collection::vec(step, 1..120)
    }

    /// A record as it should be.
    struct Record {
        turn: Turn,
        partition: usize,
        outputs: Vec<usize>,
        is_given_up: bool,
    }

    proptest! {
        #[test]
        fn records_pass_whole_in_order_and_only_while_the_gate_is_open(steps in steps()) {
            let names: Vec<Arc<str>> = ["a", "b", "c"].map(Arc::from).into();
            let mut gate: Gate<usize, usize> = Gate::new();
            let mut records: Vec<Record> = Vec::new();
            // Those that have not ended.
            let mut pending: Vec<usize> = Vec::new();
            let mut passed: Vec<usize> = Vec::new();
            let (mut is_open, mut outputs) = (true, 0);
            for step in steps {
                match step {
                    Step::Enter(partition) => {
                        let number = records.len();
                        let position = Position::number(Arc::clone(&names[partition]), number as u64);
                        let turn = gate.enter(position);
                        records.push(Record { turn, partition, outputs: Vec::new(), is_given_up: false });
                        pending.push(number);
                    }
                    Step::Add(at) if !pending.is_empty() => {
                        let record = &mut records[pending[at % pending.len()]];
                        gate.add(&record.turn, [outputs]);
                        record.outputs.push(outputs);
                        outputs += 1;
                    }
                    Step::End(at) if !pending.is_empty() => {
                        let number = pending.remove(at % pending.len());
                        gate.end(&records[number].turn, number);
                    }
                    Step::GiveUp(at) if !pending.is_empty() => {
                        let number = pending.remove(at % pending.len());
                        records[number].is_given_up = true;
                        gate.give_up(&records[number].turn);
                    }
                    Step::Pass(most) => {
                        for _ in 0..most {
                            let may = is_open && (0..3).any(|partition| {
                                let first = records.iter().enumerate().find(|(number, record)| {
                                    record.partition == partition
                                        && !passed.contains(number)
                                        && (!record.is_given_up)
                                });
                                first.is_some_and(|(number, _)| !pending.contains(&number))
                            });
                            let Some(next) = gate.pass() else {
                                prop_assert!(!may, "one that may pass does");
                                break;
                            };
                            prop_assert!(is_open);
                            let record = &records[next.held];
                            prop_assert_eq!(next.position.partition(), &names[record.partition]);
                            prop_assert_eq!(&next.outputs, &record.outputs, "with all its outputs");
                            let before = records[..next.held].iter().enumerate();
                            for (number, earlier) in before {
                                prop_assert!(
                                    earlier.partition != record.partition
                                        || earlier.is_given_up
                                        || passed.contains(&number)
                                );
                            }
                            prop_assert!(!record.is_given_up && !passed.contains(&next.held));
                            passed.push(next.held);
                        }
                    }
                    Step::Close => {
                        gate.close();
                        is_open = false;
                    }
                    Step::Open => {
                        gate.open();
                        is_open = true;
                    }
                    Step::Add(_) | Step::End(_) | Step::GiveUp(_) => {}
                }
            }
            gate.open();
            for number in pending {
                gate.end(&records[number].turn, number);
            }
            while let Some(next) = gate.pass() {
                passed.push(next.held);
            }
            prop_assert!(gate.is_empty() && !gate.has_ready());
            let given_up = records.iter().filter(|record| record.is_given_up).count();
            prop_assert_eq!(passed.len() + given_up, records.len(), "none is lost");
        }
    }

    #[test]
    fn a_late_word_of_a_record_that_has_passed_changes_nothing() {
        let mut gate: Gate<u8, u8> = Gate::new();
        let turn = gate.enter(Position::number("a".into(), 7));
        assert_eq!(gate.end(&turn, 0), (true, None));
        assert!(gate.pass().is_some());
        let next = gate.enter(Position::number("a".into(), 8));
        gate.add(&turn, [1]);
        assert!(!gate.give_up(&turn));
        assert_eq!(gate.end(&turn, 2), (false, Some(2)));
        assert_eq!(gate.end(&next, 1), (true, None));
        let passed = gate.pass().expect("it has ended");
        assert_eq!((passed.outputs.len(), passed.held), (0, 1));
    }
}
