//! The state that the parts of a running pipeline share: how much is in flight, dead letters on
//! their way, and what went wrong.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::dead_letter::DeadLetter;
use super::delivery::{AckTracker, Delivery, Holder};
use super::driver::Room;
use super::error::PipelineError;
use super::in_flight::InFlight;
use super::operator::Operator;
use super::turns::Turns;

pub(super) struct Shared<L> {
    operators: Arc<[Arc<Operator>]>,
    pub(super) sink: Arc<Operator>,
    pub(super) dead_letters: Arc<Operator>,
    in_flight: Arc<InFlight>,
    /// Where the pipeline ends in transactions.
    pub(super) turns: Option<Arc<dyn Turns>>,
    /// Wakes the flow: there is room again, or it is to drain.
    pub(super) flow: Notify,
    draining: AtomicBool,
    /// `None` where there is no output for them, and after the end: a letter holds its batch, and
    /// through it this.
    letters: Mutex<Option<Letters<L>>>,
    pub(super) letters_wake: Notify,
    failure: Mutex<Option<PipelineError>>,
    stopped: AtomicBool,
    failed: Notify,
    lost: Lost,
}

/// Deliveries that were dropped.
#[derive(Default)]
struct Lost {
    by_sink: AtomicU64,
    by_dead_letters: AtomicU64,
    /// The first sink that did, of several.
    sink: OnceLock<Arc<str>>,
    wake: Notify,
}

pub(super) type Letters<L> = VecDeque<(DeadLetter<L>, Delivery)>;

impl<L> Shared<L> {
    pub(super) fn new(
        operators: Arc<[Arc<Operator>]>,
        sink: Arc<Operator>,
        dead_letters: Arc<Operator>,
        in_flight: Arc<InFlight>,
        takes_letters: bool,
        turns: Option<Arc<dyn Turns>>,
    ) -> Self {
        Self {
            operators,
            sink,
            dead_letters,
            in_flight,
            turns,
            flow: Notify::new(),
            draining: AtomicBool::new(false),
            letters: Mutex::new(takes_letters.then(VecDeque::new)),
            letters_wake: Notify::new(),
            failure: Mutex::new(None),
            stopped: AtomicBool::new(false),
            failed: Notify::new(),
            lost: Lost::default(),
        }
    }

    pub(super) fn source(&self) -> &Arc<Operator> {
        // The source is the first; there is always a sink.
        self.operators.first().unwrap_or(&self.sink)
    }

    /// Returns what records report to that pass into a transaction.
    pub(super) fn room(&self) -> Room<'_> {
        Room {
            in_flight: &self.in_flight,
            flow: &self.flow,
            source: self.source(),
            sink: &self.sink,
        }
    }

    /// Returns the sink of this name, of several; without a name, the only one.
    pub(super) fn sink_named(&self, name: Option<&Arc<str>>) -> &Arc<Operator> {
        // By the name's place: another operator may have been given the same one.
        let named = |name: &Arc<str>| {
            self.operators
                .iter()
                .find(|sink| Arc::ptr_eq(&sink.name, name))
        };
        name.and_then(named).unwrap_or(&self.sink)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.records()
    }

    pub(super) fn enter(&self, bytes: usize) {
        self.in_flight.enter(bytes);
    }

    pub(super) fn leave(&self, bytes: usize) {
        if self.in_flight.leave(bytes) {
            self.flow.notify_one();
        }
    }

    /// Returns whether another record may enter; where not, the flow is woken once there is room.
    pub(super) fn has_capacity(&self) -> bool {
        self.in_flight.has_capacity()
    }

    /// Notes a batch that was read.
    pub(super) fn open(&self, batch: Weak<dyn AckTracker>) {
        self.in_flight.open(batch);
    }

    /// Notes that the sink, or the dead-letter output, has settled a value.
    pub(super) fn settled(&self, holder: Holder) {
        self.in_flight.settled(holder);
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.flow.notify_one();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Queues a dead letter; gives it back where there is no output for it.
    pub(super) fn post(&self, letter: DeadLetter<L>, delivery: Delivery) -> Result<(), Delivery> {
        match &mut *self.letters.lock() {
            Some(letters) => letters.push_back((letter, delivery)),
            None => return Err(delivery),
        }
        self.letters_wake.notify_one();
        Ok(())
    }

    pub(super) fn takes_letters(&self) -> bool {
        self.letters.lock().is_some()
    }

    pub(super) fn take_letters(&self) -> Letters<L> {
        self.letters
            .lock()
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// No more letters; those that wait are dropped, un-acknowledged.
    pub(super) fn close_letters(&self) {
        let letters = self.letters.lock().take();
        // Dropped outside the lock: each reports to its batch.
        drop(letters);
    }

    /// Stops the pipeline. The first reason counts.
    pub(super) fn fail(&self, error: PipelineError) {
        self.failure.lock().get_or_insert(error);
        self.stopped.store(true, Ordering::SeqCst);
        self.failed.notify_one();
    }

    /// Returns whether something has failed: nothing more is to be done then.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Fails with what has failed, if anything has.
    pub(super) fn check(&self) -> Result<(), PipelineError> {
        if self.is_stopped() {
            self.failure.lock().take().map_or(Ok(()), Err)
        } else {
            Ok(())
        }
    }

    /// Waits for a failure.
    pub(super) async fn failed(&self) -> Result<Infallible, PipelineError> {
        loop {
            self.check()?;
            self.failed.notified().await;
        }
    }

    /// Notes a delivery that was dropped, by `sink` where there are several.
    pub(super) fn lose(&self, holder: Holder, sink: Option<&Arc<str>>) {
        if let Some(sink) = sink {
            self.lost.sink.get_or_init(|| Arc::clone(sink));
        }
        let lost = match holder {
            Holder::Operators | Holder::Sink => &self.lost.by_sink,
            Holder::DeadLetters => &self.lost.by_dead_letters,
        };
        lost.fetch_add(1, Ordering::SeqCst);
        self.lost.wake.notify_one();
    }

    /// Waits until deliveries are dropped. Returns the error that names whose they were.
    pub(super) async fn losing(&self) -> PipelineError {
        loop {
            if let Some(lost) = self.lost() {
                return lost;
            }
            self.lost.wake.notified().await;
        }
    }

    /// Returns the error that deliveries were dropped, if any were.
    pub(super) fn lost(&self) -> Option<PipelineError> {
        let of_sink = self.lost.by_sink.load(Ordering::SeqCst);
        let of_letters = self.lost.by_dead_letters.load(Ordering::SeqCst);
        let (operator, records) = match (of_sink, of_letters) {
            (0, 0) => return None,
            (0, letters) => (&self.dead_letters.name, letters),
            (records, _) => (self.lost.sink.get().unwrap_or(&self.sink.name), records),
        };
        Some(PipelineError::Lost {
            operator: Arc::clone(operator),
            records,
        })
    }
}

/// Closes the letters however a run ends, also by being dropped.
pub(super) struct CloseLetters<'a, L>(pub(super) &'a Shared<L>);

impl<L> Drop for CloseLetters<'_, L> {
    fn drop(&mut self) {
        self.0.close_letters();
    }
}
