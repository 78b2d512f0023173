//! The records of one batch of the source, until all their effects are durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::dead_letter::{DeadLetter, Refusals};
use super::delivery::{AckTracker, Delivery, Ended, Failure, Holder};
use super::endpoint_error::EndpointError;
use super::error::PipelineError;
use super::partition::Partition;
use super::position::Position;
use super::reason::Reason;
use super::shared::Shared;
use super::turns::{Held, Turn};
use crate::progress::Ack;
use parking_lot::Mutex;

/// One allocation for a batch, in place of one for each record.
pub(super) struct Batch<L> {
    slots: Mutex<Slots<L>>,
    shared: Arc<Shared<L>>,
}

struct Slots<L> {
    open: Vec<Slot<L>>,
    /// The values and letters of each record that sinks have.
    handed: Vec<Handed>,
    /// The records that will be dead letters, once all their effects are settled.
    refused: HashMap<u32, Refusals>,
}

/// The deliveries of a record that the sink has, and those of its letter that the dead-letter output has.
#[derive(Clone, Copy, Default)]
struct Handed {
    values: u32,
    letters: u32,
}

impl Handed {
    /// The deliveries that this holder has; `None` for the operators', which are not counted.
    fn of(&mut self, holder: Holder) -> Option<&mut u32> {
        match holder {
            Holder::Operators => None,
            Holder::Sink => Some(&mut self.values),
            Holder::DeadLetters => Some(&mut self.letters),
        }
    }
}

/// A record; `None` once it is settled.
type Slot<L> = Option<Open<L>>;

pub(super) struct Open<L> {
    pub(super) ack: Ack,
    pub(super) position: Position,
    pub(super) record: L,
    pub(super) bytes: usize,
    pub(super) partition: Arc<Partition>,
    /// The effects that are not settled yet.
    pub(super) effects: u32,
    /// Its turn at the gate, where the pipeline ends in transactions.
    pub(super) turn: Option<Turn>,
}

/// The state of a record after one of its effects.
enum Settled<L> {
    /// There are others, or the record was dropped before.
    Open,
    Done(Open<L>),
    /// It becomes a letter, which is its last effect.
    Refused(DeadLetter<L>),
}

impl<L: Clone + Send + 'static> Batch<L> {
    pub(super) fn new(open: Vec<Slot<L>>, shared: Arc<Shared<L>>) -> Arc<Self> {
        let slots = Mutex::new(Slots {
            handed: vec![Handed::default(); open.len()],
            open,
            refused: HashMap::new(),
        });
        let batch = Arc::new(Self { slots, shared });
        let weak = Arc::downgrade(&batch);
        batch.shared.open(weak);
        batch
    }
}

impl<L> Batch<L> {
    /// Notes that a record has ended, whatever became of it.
    fn leave(&self, partition: &Partition, bytes: usize) {
        self.shared.leave(bytes);
        // Last: the source may give the partition to another reader now.
        partition.leave();
    }

    /// Gives a record up, un-acknowledged.
    fn give_up(&self, number: u32) -> Option<Open<L>> {
        let mut slots = self.slots.lock();
        let open = slots.slot(number)?.take()?;
        slots.refused.remove(&number);
        drop(slots);
        if let Some((turns, turn)) = self.shared.turns.as_ref().zip(open.turn.as_ref()) {
            turns.give_up(turn);
        }
        Some(open)
    }

    /// Acknowledges a record, or has the gate do so once it is in a committed transaction.
    fn acknowledge(&self, open: Open<L>) {
        if let Some((turns, turn)) = self.shared.turns.as_ref().zip(open.turn.as_ref()) {
            let held = Held::new(open.ack, open.bytes, open.partition);
            return turns.end(turn, held);
        }
        open.ack.done();
        let acknowledged = &self.shared.source().counts.acknowledged;
        acknowledged.fetch_add(1, Ordering::Relaxed);
        self.leave(&open.partition, open.bytes);
    }
}

impl<L> Slots<L> {
    fn slot(&mut self, number: u32) -> Option<&mut Slot<L>> {
        let number = usize::try_from(number).ok()?;
        self.open.get_mut(number)
    }

    fn handed(&mut self, number: u32, holder: Holder) -> Option<&mut u32> {
        let number = usize::try_from(number).ok()?;
        self.handed.get_mut(number)?.of(holder)
    }
}

impl<L: Clone> Slots<L> {
    /// Ends one effect of a record.
    fn settle(&mut self, number: u32, holder: Holder) -> Settled<L> {
        if let Some(has) = self.handed(number, holder) {
            *has = has.saturating_sub(1);
        }
        // None where another effect of the same record was dropped.
        let Some(Some(open)) = self.slot(number) else {
            return Settled::Open;
        };
        open.effects -= 1;
        if open.effects > 0 {
            return Settled::Open;
        }
        if !self.refused.is_empty()
            && let Some(refusals) = self.refused.remove(&number)
            && let Some(Some(open)) = self.slot(number)
            && let Some(letter) = refusals.into_letter(open.position.clone(), open.record.clone())
        {
            open.effects = 1;
            return Settled::Refused(letter);
        }
        let ended = self.slot(number).and_then(Option::take);
        ended.map_or(Settled::Open, Settled::Done)
    }
}

impl<L: Clone + Send + 'static> Batch<L> {
    /// Acts on a record one of whose effects has ended. Returns `false` where its letter can't be
    /// written any more.
    fn act(self: Arc<Self>, number: u32, settled: Settled<L>) -> bool {
        // Outside the lock, since it is the source's code.
        match settled {
            Settled::Open => true,
            Settled::Done(open) => {
                self.acknowledge(open);
                true
            }
            Settled::Refused(letter) => {
                let shared = Arc::clone(&self.shared);
                // Letters are in no order: the place of a partition does not matter.
                let delivery = Delivery::new(self, number, 0).of_letter();
                shared.post(letter, delivery).is_ok()
            }
        }
    }

    /// Ends the pipeline by a record that is refused.
    fn stop(&self, number: u32, failure: Failure) -> Ended {
        if let Some(open) = self.give_up(number) {
            // Before the record is given up, of which others may take notice.
            self.shared.fail(PipelineError::Record {
                operator: failure.operator,
                position: open.position,
                reason: failure.reason,
            });
            drop(open.ack);
            self.leave(&open.partition, open.bytes);
        }
        Ended::Stopped
    }
}

impl<L: Clone + Send + 'static> AckTracker for Batch<L> {
    fn done(self: Arc<Self>, number: u32, holder: Holder) {
        let (settled, is_last) = {
            let mut slots = self.slots.lock();
            let settled = slots.settle(number, holder);
            (
                settled,
                slots.handed(number, holder).is_none_or(|has| *has == 0),
            )
        };
        self.shared.settled(holder);
        // A letter that is written to several places is one.
        if holder == Holder::DeadLetters && is_last {
            let written = &self.shared.dead_letters.counts.acknowledged;
            written.fetch_add(1, Ordering::Relaxed);
        }
        self.act(number, settled);
    }

    fn dropped(&self, number: u32, holder: Holder, sink: Option<&Arc<str>>) {
        self.shared.settled(holder);
        if let Some(open) = self.give_up(number) {
            let is_lost = open.ack.is_current();
            drop(open.ack);
            if is_lost {
                self.shared.lose(holder, sink);
            }
            self.leave(&open.partition, open.bytes);
        }
    }

    fn share(&self, number: u32, holder: Holder) {
        let mut slots = self.slots.lock();
        let Some(Some(open)) = slots.slot(number) else {
            return;
        };
        open.effects += 1;
        // Else the holder would count as done with the record once one of the two is settled.
        if let Some(has) = slots.handed(number, holder) {
            *has += 1;
        }
    }

    fn is_current(&self, number: u32) -> bool {
        let mut slots = self.slots.lock();
        matches!(slots.slot(number), Some(Some(open)) if open.ack.is_current())
    }

    fn hand(&self, number: u32, holder: Holder) -> bool {
        let mut slots = self.slots.lock();
        let is_current = matches!(slots.slot(number), Some(Some(open)) if open.ack.is_current());
        if is_current && let Some(has) = slots.handed(number, holder) {
            *has += 1;
        }
        is_current
    }

    fn oldest(&self, holder: Option<Holder>) -> Option<Position> {
        let slots = self.slots.lock();
        let mut records = slots.open.iter().zip(&slots.handed);
        records.find_map(|(open, handed)| {
            let is_with_holder = match holder {
                None | Some(Holder::Operators) => true,
                Some(Holder::Sink) => handed.values > 0,
                Some(Holder::DeadLetters) => handed.letters > 0,
            };
            let open = open.as_ref().filter(|_| is_with_holder)?;
            Some(open.position.clone())
        })
    }

    fn withdraw(&self, number: u32, holder: Holder) {
        self.shared.settled(holder);
        if let Some(open) = self.give_up(number) {
            drop(open.ack);
            self.leave(&open.partition, open.bytes);
        }
    }

    fn turn(&self, number: u32) -> Option<Turn> {
        let mut slots = self.slots.lock();
        let open = slots.slot(number)?.as_ref()?;
        open.turn.clone()
    }

    fn position(&self, number: u32) -> Option<Position> {
        let mut slots = self.slots.lock();
        let open = slots.slot(number)?.as_ref()?;
        Some(open.position.clone())
    }

    fn fail(self: Arc<Self>, number: u32, holder: Holder, failure: Failure) -> Ended {
        if !self.is_current(number) {
            // The record's next reader finds the same.
            self.withdraw(number, holder);
            return Ended::Withdrawn;
        }
        self.shared.settled(holder);
        if failure.stop || !self.shared.takes_letters() {
            return self.stop(number, failure);
        }
        let settled = {
            let mut slots = self.slots.lock();
            if !matches!(slots.slot(number), Some(Some(_))) {
                // Another effect of the same record was dropped meanwhile.
                return Ended::Withdrawn;
            }
            slots.refused.entry(number).or_default().add(failure);
            slots.settle(number, holder)
        };
        match self.act(number, settled) {
            true => Ended::DeadLettered,
            // The pipeline has ended meanwhile.
            false => Ended::Stopped,
        }
    }

    fn reject(
        self: Arc<Self>,
        number: u32,
        holder: Holder,
        sink: Option<&Arc<str>>,
        reason: Reason,
    ) {
        if holder == Holder::DeadLetters {
            if self.is_current(number) {
                // The next run comes to the same record.
                let error = EndpointError::new(match self.position(number) {
                    Some(position) => {
                        format!("the letter of record {position} is refused: {reason}")
                    }
                    None => reason.to_string(),
                });
                self.shared.fail(PipelineError::DeadLetter(error));
            }
            return self.withdraw(number, holder);
        }
        let sink = Arc::clone(self.shared.sink_named(sink));
        let ended = self.fail(
            number,
            holder,
            Failure {
                operator: Arc::clone(&sink.name),
                reason,
                attempts: 1,
                stop: false,
            },
        );
        sink.count_end(ended);
    }
}
