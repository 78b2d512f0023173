//! A source and a sink within the process, for pipelines under test.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::pipeline::{
    Delivery, EndpointError, NextEvent, Position, Sink, Source, SourceEvent, SourceRecord,
};
use crate::progress::{Ack, Acknowledge};
use parking_lot::Mutex;

/// Gives what an iterator gives, and keeps in memory what was acknowledged.
///
/// Positions are numbered in each partition, from 0 on. The records handed out have no bound but
/// the pipeline's.
pub struct IterSource<I: Iterator> {
    records: I,
    partition: PartitionOf<I::Item>,
    partitions: HashMap<Arc<str>, (Arc<Partition>, u64)>,
    batch: usize,
    acks: Acks,
}

/// Names a record's partition.
type PartitionOf<T> = Box<dyn FnMut(&T) -> Arc<str> + Send>;

/// A handle to what became of the records of an [`IterSource`].
#[derive(Clone, Debug, Default)]
pub struct Acks {
    reports: Arc<Mutex<Vec<Report>>>,
}

/// One record's partition and number, and whether it is done.
type Report = (Arc<str>, u64, bool);

impl Acks {
    /// Returns partitions and numbers of the records that are done, in the order in which they
    /// became so.
    #[must_use]
    pub fn done(&self) -> Vec<(Arc<str>, u64)> {
        self.of(true)
    }

    /// Returns partitions and numbers of the records whose acknowledgement was dropped.
    #[must_use]
    pub fn dropped(&self) -> Vec<(Arc<str>, u64)> {
        self.of(false)
    }

    fn of(&self, wanted: bool) -> Vec<(Arc<str>, u64)> {
        let reports = self.reports.lock();
        let reports = reports.iter().filter(|(_, _, done)| *done == wanted);
        reports
            .map(|(partition, number, _)| (Arc::clone(partition), *number))
            .collect()
    }
}

struct Partition {
    name: Arc<str>,
    acks: Acks,
}

impl Partition {
    fn report(&self, number: u64, done: bool) {
        let mut reports = self.acks.reports.lock();
        reports.push((Arc::clone(&self.name), number, done));
    }
}

impl Acknowledge for Partition {
    fn done(&self, number: u64) {
        self.report(number, true);
    }

    fn dropped(&self, number: u64) {
        self.report(number, false);
    }
}

impl<I: Iterator> IterSource<I> {
    /// Returns a source of one partition, named `records`.
    pub fn new(records: impl IntoIterator<IntoIter = I>) -> Self {
        let one: Arc<str> = "records".into();
        Self {
            records: records.into_iter(),
            partition: Box::new(move |_| Arc::clone(&one)),
            partitions: HashMap::new(),
            batch: 100,
            acks: Acks::default(),
        }
    }

    /// Puts each record into the partition that `partition` names.
    #[must_use]
    pub fn partitions<L: Into<Arc<str>>>(
        mut self,
        mut partition: impl FnMut(&I::Item) -> L + Send + 'static,
    ) -> Self {
        self.partition = Box::new(move |record| partition(record).into());
        self
    }

    /// Sets the number of records in a batch. Default: 100; 0 is taken for 1.
    #[must_use]
    pub fn batch(mut self, records: usize) -> Self {
        self.batch = records.max(1);
        self
    }

    /// Returns a handle to what became of the records.
    #[must_use]
    pub fn acks(&self) -> Acks {
        self.acks.clone()
    }
}

#[diagnostic::do_not_recommend]
impl<I> Source for IterSource<I>
where
    I: Iterator + Send + 'static,
    I::Item: Send + 'static,
{
    type Item = I::Item;

    async fn next_event(&mut self) -> NextEvent<I::Item> {
        let mut batch = Vec::with_capacity(self.batch);
        while batch.len() < self.batch
            && let Some(value) = self.records.next()
        {
            let name = (self.partition)(&value);
            let (partition, next) = self.partitions.entry(Arc::clone(&name)).or_insert_with(|| {
                let acks = self.acks.clone();
                let name = Arc::clone(&name);
                (Arc::new(Partition { name, acks }), 0)
            });
            batch.push(SourceRecord {
                value,
                position: Position::number(name, *next),
                ack: Ack::new(Arc::clone(partition) as Arc<dyn Acknowledge>, *next),
                bytes: 0,
            });
            *next += 1;
        }
        (!batch.is_empty()).then_some(Ok(SourceEvent::Records(batch)))
    }

    fn stop(&mut self) {}

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

impl<I: Iterator> fmt::Debug for IterSource<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterSource").finish_non_exhaustive()
    }
}

/// Keeps all values in memory. Clones share them: keep one to look at what the pipeline wrote.
#[derive(Debug)]
pub struct CollectSink<T> {
    values: Arc<Mutex<Vec<T>>>,
}

impl<T> CollectSink<T> {
    /// Returns an empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes out what was written so far, in its order.
    #[must_use]
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.values.lock())
    }

    /// Returns the number of values that it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.lock().len()
    }

    /// Returns whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Default for CollectSink<T> {
    fn default() -> Self {
        let values = Arc::default();
        Self { values }
    }
}

impl<T> Clone for CollectSink<T> {
    fn clone(&self) -> Self {
        let values = Arc::clone(&self.values);
        Self { values }
    }
}

impl<T: Send + 'static> Sink<T> for CollectSink<T> {
    async fn write(&mut self, value: T, delivery: Delivery) -> Result<(), EndpointError> {
        self.values.lock().push(value);
        delivery.done();
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        Ok(())
    }

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}
