//! From the source through the operators.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use super::ack_tracker::{Batch, Open};
use super::batch_channel::BatchChannel;
use super::chain::{Outputs, Stage};
use super::delivery::{AckTracker, Delivery};
use super::error::PipelineError;
use super::partition::{Partition, Partitions};
use super::reason::Reason;
use super::shared::Shared;
use super::source::{NextEvent, Source, SourceEvent, SourceRecord};

/// Takes records from the source and leads them through the operators, until the source ends or the pipeline drains.
pub(super) struct Flow<'a, C, L> {
    pub(super) convert: C,
    pub(super) shared: &'a Arc<Shared<L>>,
}

/// Records that the source gave and that have not entered the operators.
struct Parked<T> {
    acks: Arc<dyn AckTracker>,
    records: VecDeque<Record<T>>,
}

struct Record<T> {
    /// Its place in the batch.
    number: u32,
    value: T,
    order: u64,
    bytes: usize,
    partition: Arc<Partition>,
}

/// The partition of the record before: most come in runs.
struct Run {
    name: Arc<str>,
    order: u64,
    partition: Arc<Partition>,
}

impl<C, L: Clone + Send + 'static> Flow<'_, C, L> {
    pub(super) async fn run<S, G, O>(
        mut self,
        source: &mut S,
        mut stages: G,
        outputs: &BatchChannel<O>,
    ) -> Result<(), PipelineError>
    where
        S: Source,
        C: FnMut(&S::Item) -> L,
        G: Stage<S::Item, O>,
        O: Send + 'static,
    {
        let mut out = Outputs::new();
        let mut partitions = Partitions::default();
        let mut parked = None;
        // No more records are taken; the source itself has ended.
        let (mut ended, mut has_ended) = (false, false);
        loop {
            if !ended && self.shared.is_draining() {
                source.stop();
                ended = true;
            }
            self.push_parked(&mut parked, &mut stages, &mut out);
            self.shared.check()?;
            outputs.give(&mut out);
            if ended && parked.is_none() && stages.is_idle() {
                outputs.finish();
                return Ok(());
            }
            let takes_records = !ended && parked.is_none() && self.shared.has_capacity();
            tokio::select! {
                biased;
                () = poll_fn(|cx| {
                    if stages.poll(cx, &mut out) { Poll::Ready(()) } else { Poll::Pending }
                }) => {}
                () = self.shared.flow.notified() => {}
                next = next(source, takes_records), if !has_ended => match next {
                    None => (ended, has_ended) = (true, true),
                    Some(Ok(SourceEvent::Records(records))) => {
                        parked = self.open(records, &mut partitions)?;
                        self.push_parked(&mut parked, &mut stages, &mut out);
                        self.shared.check()?;
                        outputs.give(&mut out);
                        // A source that always has something must not keep the sink from its turn.
                        tokio::task::yield_now().await;
                    }
                    Some(Ok(SourceEvent::Opened(name))) => {
                        partitions.open(name);
                        self.hurry();
                    }
                    Some(Ok(SourceEvent::Closing(name, guard))) => {
                        self.leaving(&name);
                        partitions.close(&name, guard);
                        self.hurry();
                        self.withdraw(&mut parked);
                    }
                    Some(Ok(SourceEvent::Lost(name))) => {
                        self.leaving(&name);
                        partitions.lose(&name);
                        self.withdraw(&mut parked);
                    }
                    // Positions are stored by the source itself, from what is acknowledged.
                    Some(Ok(SourceEvent::Advanced(_) | SourceEvent::Idle(_))) => {}
                    Some(Err(error)) => {
                        let operator = Arc::clone(&self.shared.source().name);
                        return Err(PipelineError::Source { operator, error });
                    }
                },
            }
        }
    }

    fn leaving(&self, partition: &Arc<str>) {
        if let Some(turns) = &self.shared.turns {
            turns.leaving(partition);
        }
    }

    fn hurry(&self) {
        if let Some(turns) = &self.shared.turns {
            turns.hurry();
        }
    }

    /// Opens the ack tracker of a batch.
    fn open<T: Send + 'static>(
        &mut self,
        batch: Vec<SourceRecord<T>>,
        partitions: &mut Partitions,
    ) -> Result<Option<Parked<T>>, PipelineError>
    where
        C: FnMut(&T) -> L,
    {
        let mut slots = Vec::with_capacity(batch.len());
        let mut records = Vec::with_capacity(batch.len());
        let mut run: Option<Run> = None;
        for (record, number) in batch.into_iter().zip(0_u32..) {
            let SourceRecord {
                value,
                position,
                ack,
                bytes,
            } = record;
            self.shared.source().counts.taken.add_one();
            let run = match &mut run {
                Some(run) if run.name == *position.partition() => run,
                run => run.insert(Run {
                    name: Arc::clone(position.partition()),
                    order: order_of(position.partition()),
                    partition: Arc::clone(partitions.get(position.partition())),
                }),
            };
            run.partition.enter(1);
            let (order, partition) = (run.order, Arc::clone(&run.partition));
            let record = catch_unwind(AssertUnwindSafe(|| (self.convert)(&value)));
            let Ok(record) = record else {
                return Err(PipelineError::Record {
                    operator: "dead-letter".into(),
                    position,
                    reason: Reason::panicked(),
                });
            };
            let turns = self.shared.turns.as_ref();
            slots.push(Some(Open {
                ack,
                turn: turns.map(|turns| turns.enter(&position)),
                position,
                record,
                bytes,
                partition: Arc::clone(&partition),
                effects: 1,
            }));
            records.push(Record {
                number,
                value,
                order,
                bytes,
                partition,
            });
        }
        if records.is_empty() {
            return Ok(None);
        }
        let acks = Batch::new(slots, Arc::clone(self.shared));
        let records = records.into();
        Ok(Some(Parked { acks, records }))
    }

    /// Brings in what there is room for.
    fn push_parked<T, G, O>(
        &self,
        parked: &mut Option<Parked<T>>,
        stages: &mut G,
        out: &mut Outputs<O>,
    ) where
        G: Stage<T, O>,
    {
        let Some(batch) = parked else { return };
        while self.shared.has_capacity() && !self.shared.is_stopped() {
            let Some(record) = batch.records.pop_front() else {
                *parked = None;
                return;
            };
            self.shared.enter(record.bytes);
            let delivery = Delivery::new(Arc::clone(&batch.acks), record.number, record.order);
            self.shared.source().counts.passed.add_one();
            stages.push(record.value, delivery, out);
        }
    }

    /// Gives up what has not entered of partitions that are to go: they are waited for, and their next
    /// readers are given it.
    fn withdraw<T>(&self, parked: &mut Option<Parked<T>>) {
        let Some(batch) = parked else { return };
        let acks = &batch.acks;
        batch.records.retain(|record| {
            let is_open = record.partition.is_open();
            if !is_open {
                self.shared.enter(record.bytes);
                self.shared.source().counts.withdrawn.add_one();
                Delivery::new(Arc::clone(acks), record.number, record.order).withdraw();
            }
            is_open
        });
        if batch.records.is_empty() {
            *parked = None;
        }
    }
}

/// Waits for the source's next event; without room for records, for the end of a partition.
async fn next<S: Source>(source: &mut S, takes_records: bool) -> NextEvent<S::Item> {
    if takes_records {
        source.next_event().await
    } else {
        Some(Ok(source.next_closing().await))
    }
}

/// Returns the hash of a partition's name. Partitions with the same one are kept in one order, which
/// is more than they need.
fn order_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
