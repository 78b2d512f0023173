//! The records of one batch of the source, until all their effects are durable.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dead_letter::{DeadLetter, Reason};
use super::delivery::{Book, Delivery, Ended, Failure};
use super::error::PipelineError;
use super::shared::Shared;
use super::sink::SinkError;
use super::source::Position;
use crate::progress::Ack;

/// One allocation for a batch, in place of one for each record.
pub(super) struct Batch<L> {
    slots: Mutex<Vec<Slot<L>>>,
    shared: Arc<Shared<L>>,
}

/// A record; `None` once it is done with.
type Slot<L> = Option<Open<L>>;

pub(super) struct Open<L> {
    pub(super) ack: Ack,
    pub(super) position: Position,
    pub(super) record: L,
    pub(super) bytes: usize,
    /// Effects that are not durable yet.
    pub(super) effects: u32,
}

impl<L> Batch<L> {
    pub(super) fn new(slots: Vec<Slot<L>>, shared: Arc<Shared<L>>) -> Arc<Self> {
        let slots = Mutex::new(slots);
        Arc::new(Self { slots, shared })
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot<L>>> {
        // No code that runs under the lock can leave it half changed.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slot<L>(slots: &mut [Slot<L>], number: u32) -> Option<&mut Slot<L>> {
    usize::try_from(number)
        .ok()
        .and_then(|number| slots.get_mut(number))
}

impl<L: Clone + Send + 'static> Book for Batch<L> {
    fn done(&self, number: u32) {
        let ended = {
            let mut slots = self.slots();
            let Some(slot) = slot(&mut slots, number) else {
                return;
            };
            // None where another effect of the same record was dropped.
            let Some(open) = slot else { return };
            open.effects -= 1;
            if open.effects > 0 {
                return;
            }
            slot.take()
        };
        // Outside the lock, since it is the source's code.
        if let Some(open) = ended {
            open.ack.done();
            let acknowledged = &self.shared.source.counts.acknowledged;
            acknowledged.fetch_add(1, Ordering::Relaxed);
            self.shared.leave(open.bytes);
        }
    }

    fn dropped(&self, number: u32) {
        let ended = slot(&mut self.slots(), number).and_then(Option::take);
        if let Some(open) = ended {
            let is_lost = open.ack.is_current();
            drop(open.ack);
            if is_lost {
                self.shared.lose();
            }
            self.shared.leave(open.bytes);
        }
    }

    fn share(&self, number: u32, more: u32) {
        if let Some(Some(open)) = slot(&mut self.slots(), number) {
            open.effects += more;
        }
    }

    fn is_current(&self, number: u32) -> bool {
        let mut slots = self.slots();
        matches!(slot(&mut slots, number), Some(Some(open)) if open.ack.is_current())
    }

    fn withdraw(&self, number: u32) {
        let ended = slot(&mut self.slots(), number).and_then(Option::take);
        if let Some(open) = ended {
            drop(open.ack);
            self.shared.leave(open.bytes);
        }
    }

    fn position(&self, number: u32) -> Option<Position> {
        let mut slots = self.slots();
        let open = slot(&mut slots, number)?.as_ref()?;
        Some(open.position.clone())
    }

    fn fail(&self, delivery: Delivery, failure: Failure) -> Ended {
        let Failure {
            operator,
            reason,
            stop,
        } = failure;
        let stop = stop || !self.shared.takes_letters();
        let found = match slot(&mut self.slots(), delivery.number()) {
            Some(Some(open)) => {
                let record = (!stop).then(|| open.record.clone());
                Some((open.position.clone(), record))
            }
            _ => None,
        };
        let Some((position, record)) = found else {
            // Another effect of the record was dropped: its source gives it again.
            return Ended::Stopped;
        };
        let Some(record) = record else {
            self.shared.fail(PipelineError::Record {
                operator,
                position,
                reason,
            });
            return Ended::Stopped;
        };
        let letter = DeadLetter {
            operator,
            reason,
            position,
            record,
        };
        match self.shared.post(letter, delivery.dead()) {
            Ok(()) => Ended::DeadLettered,
            // The pipeline has ended meanwhile.
            Err(delivery) => {
                drop(delivery);
                Ended::Stopped
            }
        }
    }

    fn reject(&self, delivery: Delivery, reason: Reason) {
        if !delivery.is_current() {
            return delivery.withdraw();
        }
        if delivery.is_dead() {
            self.shared.fail(PipelineError::DeadLetter(SinkError::new(
                reason.to_string(),
            )));
            return;
        }
        let operator = Arc::clone(&self.shared.sink.name);
        let ended = self.fail(
            delivery,
            Failure {
                operator,
                reason,
                stop: false,
            },
        );
        self.shared.sink.count_end(ended);
    }
}
