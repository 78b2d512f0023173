//! The source of a pipeline's records.

use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;

use super::boxed::BoxSource;
use super::endpoint_error::EndpointError;
use super::lag::LagProbe;
use super::map_item::MapItem;
use super::merge::Merge;
use super::position::Position;
use crate::progress::{Ack, PartitionGuard};

/// A source of records for a pipeline: a table's changes, a Kafka topic, anything that gives records
/// in order within partitions.
///
/// A partition is what has an order and a position of its own: a shard of a table's stream, a partition
/// of a topic. A source bounds, for each partition, how many records it hands out beyond the first one that is not acknowledged:
/// so one slow partition can't fill the pipeline, whose own bound counts all.
// Its implementations are left out of messages: the note names them in fewer lines than the compiler's list has.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of a pipeline",
    label = "not a `Source`",
    note = "sources are `StreamsSource`s, `KafkaSource`s, in tests `IterSource`s of values, and what implements `pipeline::Source`"
)]
pub trait Source: Send + 'static {
    /// One record.
    type Item: Send + 'static;

    /// Waits for the next event; `None` at the end. One batch of records should stay well below what a
    /// pipeline holds in flight (by default 10,000 records and 64 MiB), since a batch is held as a whole.
    ///
    /// # Cancel safety
    ///
    /// Must be cancel safe: a call that is dropped has handed out nothing.
    fn next_event(&mut self) -> impl Future<Output = NextEvent<Self::Item>> + Send;

    /// Waits for news of a partition, [`Closing`](SourceEvent::Closing) or [`Lost`](SourceEvent::Lost) above all.
    /// Called in the place of [`next_event`](Self::next_event) while the pipeline has no room for records, and after
    /// [`stop`](Self::stop). By default it never resolves, for sources whose partitions stay.
    ///
    /// # Cancel safety
    ///
    /// Must be cancel safe, as [`next_event`](Self::next_event).
    fn next_closing(&mut self) -> impl Future<Output = SourceEvent<Self::Item>> + Send {
        pending()
    }

    /// Returns a means to measure how far the source is behind, which is asked once before the source
    /// is read and used every 10 s while it is. By default there is none.
    fn lag(&self) -> Option<LagProbe> {
        None
    }

    /// Stops handing out records. `next_event` is not called again; what is out may still be acknowledged. May be called twice.
    fn stop(&mut self);

    /// Returns this source and another one of the same items as one, read in turn. The partitions of the two must have
    /// different names, as those of two topics and of two tables have: where both open one of the same name, the
    /// pipeline ends with an error.
    ///
    /// It ends when both have ended. Its [lag](Self::lag) is the sum of the records, and the larger age, of
    /// those that know; while one of them does not know, it counts as it was last measured.
    ///
    /// A call of [`next_event`](Self::next_event) is dropped whenever the other source has something first. One that would
    /// begin a request anew with each call might never end it beside a busy source: keep the request between calls.
    ///
    /// ```
    /// use dynamodb_connector::pipeline::{Pipeline, Source};
    /// use dynamodb_connector::test_util::{CollectSink, IterSource};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// #[derive(Clone, Debug)]
    /// enum Event { Number(u32), Text(&'static str) }
    ///
    /// let numbers = IterSource::new([1, 2]).partitions(|_| "numbers").map_item(Event::Number);
    /// let texts = IterSource::new(["a", "b"]).partitions(|_| "texts").map_item(Event::Text);
    /// let all = CollectSink::new();
    /// Pipeline::from(numbers.merge(texts)).to(all.clone()).run().await?;
    /// assert_eq!(all.len(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn merge<B>(self, other: B) -> Merge<Self, B>
    where
        Self: Sized,
        B: Source<Item = Self::Item>,
    {
        Merge::new(self, other)
    }

    /// Returns a source of what `f` makes of each item, such as of the items of two sources that are to be
    /// [merged](Self::merge). What may fail belongs in an operator: a panic of `f` is one of the source, which ends the
    /// run as a crash does.
    fn map_item<U, F>(self, f: F) -> MapItem<Self, F>
    where
        Self: Sized,
        U: Send + 'static,
        F: FnMut(Self::Item) -> U + Send + 'static,
    {
        MapItem::new(self, f)
    }

    /// Returns a source of one type for all sources of these items.
    fn boxed(self) -> BoxSource<Self::Item>
    where
        Self: Sized,
    {
        BoxSource::new(self)
    }

    /// Stores the positions of what was acknowledged and gives up ownership of the partitions. Must not wait for records that
    /// were not acknowledged: there may be some, after an error.
    fn close(self) -> impl Future<Output = Result<(), EndpointError>> + Send;
}

/// The next event of a [`Source`], its failure, or its end.
pub type NextEvent<T> = Option<Result<SourceEvent<T>, EndpointError>>;

/// An event of a [`Source`]. A source whose partitions stay gives records alone.
///
/// ```text
/// Opened ─▶ Records, Advanced, Idle … ─▶ Closing ─▶ nothing more of it, until it is opened anew
///                                   └──▶ Lost, also after Closing
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceEvent<T> {
    /// Records, in order within each partition.
    Records(Vec<SourceRecord<T>>),
    /// A partition is this source's from now on.
    Opened(Arc<str>),
    /// All that comes before this position was handed out, also where there is no record: past markers
    /// of transactions, past records that were trimmed, and past changes that the source leaves out. A commit or
    /// an archive may claim it. The position is what the source would store: of a Kafka partition the
    /// offset of the next record, of a shard the sequence number of the last change that was read.
    Advanced(Position),
    /// A partition is about to be given up. It is still this source's until the guard is dropped, or
    /// the source's time for it is over. The pipeline drops the guard once none of the partition's
    /// records is in it any more.
    Closing(Arc<str>, PartitionGuard),
    /// A partition is not this source's any more. Its records that are out are not
    /// [current](Ack::is_current).
    Lost(Arc<str>),
    /// A partition has nothing more to give at present.
    Idle(Arc<str>),
}

/// A record as its source hands it out.
pub struct SourceRecord<T> {
    /// The record.
    pub value: T,
    /// Its place in its partition.
    pub position: Position,
    /// The acknowledgement, to be done once the record's effects are durable.
    pub ack: Ack,
    /// Its share of the pipeline's `max_in_flight_bytes`; 0 where it is not known.
    pub bytes: usize,
}

/// Shows all but the record.
impl<T> fmt::Debug for SourceRecord<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceRecord")
            .field("position", &self.position)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
