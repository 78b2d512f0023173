//! A table's changes as a pipeline's source.

use std::sync::Arc;

use super::source::{NextRecords, Position, Source, SourceError, Sourced};
use crate::streams::{Delivery, Record, RecordStream, StreamsError};

/// A table's changes, a lane for each shard.
///
/// ```
/// # async fn example(source: dynamodb_connector::streams::StreamSource) {
/// # #[derive(serde::Deserialize)] struct Decision { id: String }
/// use dynamodb_connector::pipeline::{CollectSink, Pipeline};
/// use dynamodb_connector::streams::Change;
///
/// let job = Pipeline::from(source.into_stream())
///     .try_map(Change::<Decision>::read) // what can't be read is dead-lettered
///     .filter_map(|change| change.new)
///     .to(CollectSink::new());
/// # let _ = job;
/// # }
/// ```
impl Source for RecordStream {
    type Item = Record;

    async fn next(&mut self) -> NextRecords<Record> {
        let chunk = match self.next_chunk().await? {
            Ok(chunk) => chunk,
            Err(error) => return Some(Err(failed(error))),
        };
        let lane = chunk.first().map(|first| first.record.shard_id().name());
        let lane: Arc<str> = lane.unwrap_or_default();
        let sourced = chunk
            .into_iter()
            .map(|Delivery { record, ack, .. }| Sourced {
                position: position(&lane, &record, ack.number()),
                bytes: usize::try_from(record.size_bytes()).unwrap_or(usize::MAX),
                value: record,
                ack,
            });
        Some(Ok(sourced.collect()))
    }

    fn stop(&mut self) {
        self.control().pause();
    }

    async fn close(self) -> Result<(), SourceError> {
        // Records that are not acknowledged by now were given up.
        self.close_now().await.map_err(failed)
    }
}

/// An item of a snapshot has no sequence number: it is known by its place among what was handed out.
fn position(lane: &Arc<str>, record: &Record, number: u64) -> Position {
    match record.sequence_number() {
        Some(sequence) => Position::text(Arc::clone(lane), sequence.to_string()),
        None => Position::number(Arc::clone(lane), number),
    }
}

fn failed(error: StreamsError) -> SourceError {
    let retryable = error.is_retryable();
    SourceError::new(error).retryable(retryable)
}
