//! The records between the source and durability: how many, how old, and in whose hands.
//!
//! Counting must cost little for each record. So the age is known by batch, not by record; and that
//! a sink goes on is noted as the number of the current tick, by a load and, once a tick, a store.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::delivery::{AckTracker, Holder};
use super::position::Position;
use crate::admission::{AtomicLevel, Level, Limits};
use crate::clock::Clock;
use parking_lot::Mutex;

pub(super) struct InFlight {
    clock: Clock,
    level: AtomicLevel,
    limits: Limits,
    /// The flow waits for room.
    waiting: AtomicBool,
    batches: Mutex<Batches>,
    tick: AtomicU64,
    /// The tick in which the sink, and the dead-letter output, settled something last.
    settled: [AtomicU64; 2],
}

/// Batches that may have open records, in the order in which they were read, with the time.
#[derive(Default)]
struct Batches {
    open: Vec<(Duration, Weak<dyn AckTracker>)>,
    /// The number from which on those that are over are taken out.
    prune_at: usize,
}

/// The fewest batches for which it is worth to look for those that are over.
const MIN_PRUNED: usize = 64;

/// An open record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Oldest {
    pub(super) position: Position,
    /// The time since the source handed it out.
    pub(super) age: Duration,
}

impl InFlight {
    /// Returns nothing in flight.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            clock: Clock::start(),
            level: AtomicLevel::default(),
            limits,
            waiting: AtomicBool::new(false),
            batches: Mutex::default(),
            tick: AtomicU64::new(1),
            settled: Default::default(),
        }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn records(&self) -> usize {
        self.level.get().records
    }

    pub(super) fn bytes(&self) -> usize {
        self.level.get().bytes
    }

    pub(super) fn enter(&self, bytes: usize) {
        self.level.take(bytes);
    }

    /// Takes a record out. Returns whether the flow is to be woken.
    pub(super) fn leave(&self, bytes: usize) -> bool {
        // The flow says that it waits, then looks again: one of the two sees the other.
        let left = self.level.free(Level { records: 1, bytes });
        self.waiting.load(Ordering::SeqCst)
            && self.limits.resumes(left)
            && self.waiting.swap(false, Ordering::SeqCst)
    }

    /// Returns whether another record may enter; where not, the flow is woken once there is room.
    pub(super) fn has_capacity(&self) -> bool {
        let has_capacity = || self.limits.has_room(self.level.get());
        if has_capacity() {
            return true;
        }
        self.waiting.store(true, Ordering::SeqCst);
        has_capacity()
    }

    /// Notes a batch that was read.
    pub(super) fn open(&self, batch: Weak<dyn AckTracker>) {
        let now = self.clock.now();
        let mut batches = self.batches.lock();
        if batches.open.len() >= batches.prune_at.max(MIN_PRUNED) {
            batches.open.retain(|(_, batch)| batch.strong_count() > 0);
            // Twice of what is left, so that looking costs a constant for each batch.
            batches.prune_at = batches.open.len() * 2;
        }
        batches.open.push((now, batch));
    }

    /// Returns the oldest open record.
    pub(super) fn oldest(&self) -> Option<Oldest> {
        // Records of a batch that waits to enter are none in flight.
        (self.records() > 0).then(|| self.find(|batch| batch.oldest(None)))?
    }

    /// Returns the oldest record of which the sink, or the dead-letter output, has something.
    pub(super) fn oldest_with(&self, holder: Holder) -> Option<Oldest> {
        self.find(|batch| batch.oldest(Some(holder)))
    }

    fn find(&self, found: impl Fn(&dyn AckTracker) -> Option<Position>) -> Option<Oldest> {
        for at in 0.. {
            // Outside the lock, since the last to let go of a batch drops what is in it.
            let (read, batch) = {
                let batches = self.batches.lock();
                let (read, batch) = batches.open.get(at)?;
                (*read, batch.upgrade())
            };
            if let Some(position) = batch.and_then(|batch| found(&*batch)) {
                let age = self.clock.now().saturating_sub(read);
                return Some(Oldest { position, age });
            }
        }
        None
    }

    /// Notes that the sink, or the dead-letter output, has settled a value.
    pub(super) fn settled(&self, holder: Holder) {
        let settled = match holder {
            Holder::Operators => return,
            Holder::Sink => &self.settled[0],
            Holder::DeadLetters => &self.settled[1],
        };
        let tick = self.tick.load(Ordering::Relaxed);
        if settled.load(Ordering::Relaxed) != tick {
            settled.store(tick, Ordering::Relaxed);
        }
    }

    /// Begins the next tick. Returns whether the sink, and the dead-letter output, settled
    /// something in the last one.
    pub(super) fn next_tick(&self) -> [bool; 2] {
        let tick = self.tick.load(Ordering::Relaxed);
        let settled = [0, 1].map(|at| self.settled[at].load(Ordering::Relaxed) == tick);
        self.tick.store(tick + 1, Ordering::Relaxed);
        settled
    }
}
