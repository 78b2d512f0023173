//! Kafka as a pipeline's source.

use std::sync::Arc;

use super::source::{NextRecords, Position, Source, SourceError, Sourced};
use crate::kafka::{Ack, KafkaSource, Message};

/// How many records of a topic are taken at once.
const BATCH: usize = 1000;

/// A topic's records, a lane for each partition. Each [`Message`]'s own acknowledgement tells nobody: the pipeline has it.
impl Source for KafkaSource {
    type Item = Message;

    async fn next(&mut self) -> NextRecords<Message> {
        let batch = match self.next_batch(BATCH).await? {
            Ok(batch) => batch,
            Err(error) => {
                let retryable = error.is_retryable();
                return Some(Err(SourceError::new(error).retryable(retryable)));
            }
        };
        let mut lane: Option<(Arc<str>, i32, Arc<str>)> = None;
        let sourced = batch.into_iter().map(|mut message| {
            let name = match &lane {
                Some((topic, partition, name))
                    if *partition == message.partition && *topic == message.topic =>
                {
                    Arc::clone(name)
                }
                _ => format!("{}-{}", message.topic, message.partition).into(),
            };
            lane = Some((
                Arc::clone(&message.topic),
                message.partition,
                Arc::clone(&name),
            ));
            let bytes = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
            Sourced {
                position: Position::number(name, u64::try_from(message.offset).unwrap_or_default()),
                bytes: bytes(&message.key) + bytes(&message.payload),
                ack: std::mem::replace(&mut message.ack, Ack::untracked()),
                value: message,
            }
        });
        Some(Ok(sourced.collect()))
    }

    fn stop(&mut self) {
        KafkaSource::stop(self);
    }

    async fn close(self) -> Result<(), SourceError> {
        KafkaSource::close(self).await.map_err(|error| {
            let retryable = error.is_retryable();
            SourceError::new(error).retryable(retryable)
        })
    }
}
