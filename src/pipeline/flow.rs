//! From the source through the operators.

use std::collections::hash_map::DefaultHasher;
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use super::book::{Batch, Open};
use super::chain::{Outputs, Stage};
use super::dead_letter::Reason;
use super::delivery::{Book, Delivery};
use super::error::PipelineError;
use super::handover::Handover;
use super::shared::Shared;
use super::source::{Source, Sourced};

/// Takes records from the source and leads them through the operators, until the source ends or the pipeline drains.
pub(super) struct Flow<'a, C, L> {
    pub(super) convert: C,
    pub(super) shared: &'a Arc<Shared<L>>,
}

/// Records that the source gave and that have not entered the operators.
struct Parked<T> {
    book: Arc<dyn Book>,
    records: std::iter::Enumerate<std::vec::IntoIter<Record<T>>>,
}

struct Record<T> {
    value: T,
    lane: u64,
    bytes: usize,
}

impl<C, L: Clone + Send + 'static> Flow<'_, C, L> {
    pub(super) async fn run<S, G, O>(
        mut self,
        source: &mut S,
        mut stages: G,
        handover: &Handover<O>,
    ) -> Result<(), PipelineError>
    where
        S: Source,
        C: FnMut(&S::Item) -> L,
        G: Stage<S::Item, O>,
        O: Send + 'static,
    {
        let mut out = Outputs::new();
        let mut parked = None;
        let mut ended = false;
        loop {
            if !ended && self.shared.is_draining() {
                source.stop();
                ended = true;
            }
            self.feed(&mut parked, &mut stages, &mut out);
            self.shared.check()?;
            handover.give(&mut out);
            if ended && parked.is_none() && stages.is_idle() {
                handover.finish();
                return Ok(());
            }
            let wants = !ended && parked.is_none() && self.shared.has_room();
            tokio::select! {
                biased;
                () = poll_fn(|cx| {
                    if stages.poll(cx, &mut out) { Poll::Ready(()) } else { Poll::Pending }
                }) => {}
                () = self.shared.flow.notified() => {}
                next = source.next(), if wants => match next {
                    None => ended = true,
                    Some(Ok(records)) => {
                        parked = self.open(records)?;
                        self.feed(&mut parked, &mut stages, &mut out);
                        self.shared.check()?;
                        handover.give(&mut out);
                        // A source that always has something must not keep the sink from its turn.
                        tokio::task::yield_now().await;
                    }
                    Some(Err(error)) => {
                        let operator = Arc::clone(&self.shared.source.name);
                        return Err(PipelineError::Source { operator, error });
                    }
                },
            }
        }
    }

    /// Opens the book of a batch.
    fn open<T: Send + 'static>(
        &mut self,
        batch: Vec<Sourced<T>>,
    ) -> Result<Option<Parked<T>>, PipelineError>
    where
        C: FnMut(&T) -> L,
    {
        let mut slots = Vec::with_capacity(batch.len());
        let mut records = Vec::with_capacity(batch.len());
        let mut last: Option<(Arc<str>, u64)> = None;
        for sourced in batch {
            let Sourced {
                value,
                position,
                ack,
                bytes,
            } = sourced;
            self.shared.source.counts.taken.add_one();
            let lane = match &last {
                Some((lane, hash)) if lane == position.lane() => *hash,
                _ => {
                    let hash = lane_of(position.lane());
                    last = Some((Arc::clone(position.lane()), hash));
                    hash
                }
            };
            let record = catch_unwind(AssertUnwindSafe(|| (self.convert)(&value)));
            let Ok(record) = record else {
                return Err(PipelineError::Record {
                    operator: "dead-letter".into(),
                    position,
                    reason: Reason::panicked(),
                });
            };
            slots.push(Some(Open {
                ack,
                position,
                record,
                bytes,
                effects: 1,
            }));
            records.push(Record { value, lane, bytes });
        }
        if records.is_empty() {
            return Ok(None);
        }
        let book = Batch::new(slots, Arc::clone(self.shared));
        let records = records.into_iter().enumerate();
        Ok(Some(Parked { book, records }))
    }

    /// Brings in what there is room for.
    fn feed<T, G, O>(&self, parked: &mut Option<Parked<T>>, stages: &mut G, out: &mut Outputs<O>)
    where
        G: Stage<T, O>,
    {
        let Some(batch) = parked else { return };
        while self.shared.has_room() && !self.shared.is_stopped() {
            let Some((number, record)) = batch.records.next() else {
                *parked = None;
                return;
            };
            let number = u32::try_from(number).expect("a batch has less than 2^32 records");
            self.shared.enter(record.bytes);
            self.shared.source.counts.passed.add_one();
            let delivery = Delivery::new(Arc::clone(&batch.book), number, record.lane);
            stages.push(record.value, delivery, out);
        }
    }
}

/// Two lanes of the same hash are kept in one order, which is more than they need.
fn lane_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
