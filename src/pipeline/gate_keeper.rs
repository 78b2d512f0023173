//! The gate as the parts of a running pipeline share it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::gate::{Gate, Passed};
use super::position::Position;
use super::reason::Reason;
use super::turns::{Held, Turn, Turns};
use crate::kafka::ProducerRecord;

/// A record that passes, with what is produced of it.
pub(super) type PassedRecord = Passed<ProducerRecord, Held>;

pub(super) struct GateKeeper {
    state: Mutex<State>,
    /// Wakes the driver.
    wake: Notify,
    /// Wakes those that flush.
    settled: Notify,
}

struct State {
    gate: Gate<ProducerRecord, Held>,
    /// A transaction holds records.
    is_busy: bool,
    /// A flush waits: nothing comes after what is before the gate.
    is_flushing: bool,
    /// Positions are to be committed soon, whether records pass or not.
    is_due: bool,
    /// Partitions that go, or have gone, since this was last asked.
    leaving: Vec<Arc<str>>,
    /// The flow and the sinks have ended.
    has_finished: bool,
    /// The driver has ended: nothing passes.
    has_ended: bool,
    /// Records that brokers refuse, which are to be letters.
    refused: HashMap<Position, Reason>,
}

impl GateKeeper {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                gate: Gate::new(),
                is_busy: false,
                is_flushing: false,
                is_due: false,
                leaving: Vec::new(),
                has_finished: false,
                has_ended: false,
                refused: HashMap::new(),
            }),
            wake: Notify::new(),
            settled: Notify::new(),
        })
    }

    /// Adds outputs of a record.
    pub(super) fn add(&self, turn: &Turn, outputs: impl IntoIterator<Item = ProducerRecord>) {
        self.state.lock().gate.add(turn, outputs);
    }

    /// Returns the reason for which brokers refuse what is made of a record. There is seldom one: its position is asked for only
    /// then.
    pub(super) fn refusal(&self, position: impl FnOnce() -> Option<Position>) -> Option<Reason> {
        if self.state.lock().refused.is_empty() {
            return None;
        }
        let position = position()?;
        self.state.lock().refused.get(&position).cloned()
    }

    /// Notes a record that brokers refuse: it is to be a letter. Returns `false` where it was one already.
    pub(super) fn refuse(&self, position: Position, reason: Reason) -> bool {
        let before = self.state.lock().refused.insert(position, reason);
        before.is_none()
    }

    /// Notes what is committed: refused records among it are letters now.
    pub(super) fn committed(&self, passed: &HashMap<Arc<str>, Position>) {
        let mut state = self.state.lock();
        state.refused.retain(|position, _| {
            let passed = passed.get(position.partition());
            passed.is_none_or(|passed| *passed < *position)
        });
    }

    /// Returns whether a record waits for the next transaction.
    pub(super) fn has_ready(&self) -> bool {
        self.state.lock().gate.has_ready()
    }

    /// Takes the partitions that go, or have gone, since this was last asked.
    pub(super) fn take_leaving(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.state.lock().leaving)
    }

    /// Takes the wish that positions are committed soon: those that are listed from now on are.
    pub(super) fn take_due(&self) -> bool {
        std::mem::take(&mut self.state.lock().is_due)
    }

    /// Returns whether positions are to be committed soon, whether records pass or not.
    pub(super) fn is_due(&self) -> bool {
        self.state.lock().is_due
    }

    /// Lets the next record pass that may.
    pub(super) fn pass(&self) -> Option<PassedRecord> {
        let mut state = self.state.lock();
        let passed = state.gate.pass();
        state.is_busy |= passed.is_some();
        passed
    }

    pub(super) fn close(&self) {
        self.state.lock().gate.close();
    }

    /// Opens the gate after a transaction has ended, one way or the other.
    pub(super) fn open(&self) {
        let mut state = self.state.lock();
        state.is_busy = false;
        state.gate.open();
        drop(state);
        self.settled.notify_waiters();
    }

    /// Waits until a record may pass, or positions are to be committed. Returns `false` once nothing will any more.
    pub(super) async fn ready(&self) -> bool {
        loop {
            {
                let state = self.state.lock();
                if state.gate.has_ready() {
                    return true;
                }
                // Also at the end: the next reader of a partition that began at the newest record would begin behind it.
                if state.is_due {
                    return true;
                }
                if state.has_finished {
                    return false;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Returns whether a transaction is to be cut although its time is not over: all that may pass has, and a caller waits.
    pub(super) fn is_awaited(&self) -> bool {
        let state = self.state.lock();
        if state.gate.has_ready() {
            return false;
        }
        state.is_due || state.is_flushing || state.has_finished
    }

    /// Resolves when something has changed. Cancel safe.
    pub(super) async fn changed(&self) {
        self.wake.notified().await;
    }

    /// Waits until all that is before the gate has passed and is settled.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn flush(&self) {
        loop {
            let settled = self.settled.notified();
            {
                let mut state = self.state.lock();
                if state.has_ended || state.gate.is_empty() && !state.is_busy {
                    return;
                }
                state.is_flushing = true;
            }
            self.wake.notify_one();
            settled.await;
        }
    }
}

impl Turns for GateKeeper {
    fn enter(&self, position: &Position) -> Turn {
        self.state.lock().gate.enter(position.clone())
    }

    fn end(&self, turn: &Turn, held: Held) {
        let (may_pass, late) = self.state.lock().gate.end(turn, held);
        drop(late);
        if may_pass {
            self.wake.notify_one();
        }
    }

    fn leaving(&self, partition: &Arc<str>) {
        let mut state = self.state.lock();
        state
            .refused
            .retain(|position, _| position.partition() != partition);
        state.leaving.push(Arc::clone(partition));
    }

    fn hurry(&self) {
        self.state.lock().is_due = true;
        self.wake.notify_one();
    }

    fn give_up(&self, turn: &Turn) {
        let mut state = self.state.lock();
        let may_pass = state.gate.give_up(turn);
        let is_flushing = state.is_flushing;
        drop(state);
        if may_pass || is_flushing {
            self.wake.notify_one();
            self.settled.notify_waiters();
        }
    }

    fn finish(&self) {
        self.state.lock().has_finished = true;
        self.wake.notify_one();
    }

    fn shut(&self) {
        let mut state = self.state.lock();
        state.has_ended = true;
        let gate = std::mem::replace(&mut state.gate, Gate::new());
        drop(state);
        // Outside the lock: acknowledgements and guards are the source's code.
        drop(gate);
        self.settled.notify_waiters();
    }
}
