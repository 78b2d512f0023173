//! A table's changes as a pipeline's source.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use super::endpoint_error::EndpointError;
use super::lag::{LagProbe, SourceLag};
use super::position::Position;
use super::source::{NextEvent, Source, SourceEvent, SourceRecord};
use crate::streams::{Record, RecordStream, StreamsEvent, StreamsStats, TrackedRecord};

/// A table's changes. A partition is a shard, by its name.
///
/// ```
/// # async fn example(source: dynamodb_connector::streams::StreamsSource) {
/// # #[derive(serde::Deserialize)] struct Decision { id: String }
/// use dynamodb_connector::pipeline::Pipeline;
/// use dynamodb_connector::test_util::CollectSink;
/// use dynamodb_connector::streams::Change;
///
/// let job = Pipeline::from(source.into_stream())
///     .try_map(Change::<Decision>::read) // what can't be read is dead-lettered
///     .filter_map(|change| change.new)
///     .to(CollectSink::new());
/// # let _ = job;
/// # }
/// ```
#[diagnostic::do_not_recommend]
impl Source for RecordStream {
    type Item = Record;

    async fn next_event(&mut self) -> NextEvent<Record> {
        match Self::next_event(self).await? {
            Ok(event) => Some(Ok(translate(event))),
            Err(error) => Some(Err(error.into())),
        }
    }

    async fn next_closing(&mut self) -> SourceEvent<Record> {
        translate(RecordStream::next_closing(self).await)
    }

    /// Gives the age of the shard that is furthest behind, of those that this worker reads and those
    /// that no worker reads.
    fn lag(&self) -> Option<LagProbe> {
        let control = self.control();
        Some(LagProbe::new(move || ready(longest_lag(&control.stats()))))
    }

    fn stop(&mut self) {
        self.control().pause();
    }

    async fn close(self) -> Result<(), EndpointError> {
        // Records that are not acknowledged by now were given up.
        Ok(self.close_now().await?)
    }
}

/// Returns the lag of the shard that is furthest behind; `None` before any shard is known.
fn longest_lag(stats: &StreamsStats) -> Option<SourceLag> {
    let longest = stats.lag.values().chain(stats.unread.values()).max();
    // Without a shard of its own a worker is not behind, where others read them all.
    let age = longest
        .copied()
        .or((stats.ready > 0).then_some(Duration::ZERO))?;
    Some(SourceLag::of_age(age))
}

fn translate(event: StreamsEvent) -> SourceEvent<Record> {
    match event {
        StreamsEvent::Records(records) => SourceEvent::Records(translate_records(records)),
        StreamsEvent::Opened(shard) => SourceEvent::Opened(shard.name()),
        StreamsEvent::Closing(shard, guard) => SourceEvent::Closing(shard.name(), guard),
        StreamsEvent::Lost(shard) => SourceEvent::Lost(shard.name()),
        StreamsEvent::Advanced(shard, sequence) => {
            SourceEvent::Advanced(Position::text(shard.name(), sequence.to_string()))
        }
        StreamsEvent::Idle(shard) => SourceEvent::Idle(shard.name()),
    }
}

fn translate_records(records: Vec<TrackedRecord>) -> Vec<SourceRecord<Record>> {
    let shard = records.first().map(|first| first.record.shard_id().name());
    let shard: Arc<str> = shard.unwrap_or_default();
    let records = records
        .into_iter()
        .map(|TrackedRecord { record, ack, .. }| SourceRecord {
            position: position(&shard, &record, ack.number()),
            bytes: usize::try_from(record.size_bytes()).unwrap_or(usize::MAX),
            value: record,
            ack,
        });
    records.collect()
}

/// An item of a snapshot has no sequence number: it is known by its place among what was handed out.
fn position(shard: &Arc<str>, record: &Record, number: u64) -> Position {
    match record.sequence_number() {
        Some(sequence) => Position::text(Arc::clone(shard), sequence.to_string()),
        None => Position::number(Arc::clone(shard), number),
    }
}
