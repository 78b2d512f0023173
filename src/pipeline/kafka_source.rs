//! Kafka as a pipeline's source.

use std::fmt::Display;
use std::sync::Arc;

use super::endpoint_error::EndpointError;
use super::lag::{LagProbe, SourceLag};
use super::position::Position;
use super::source::{NextEvent, Source, SourceEvent, SourceRecord};
use crate::kafka::{KafkaEvent, KafkaSource, Message};
use crate::progress::Ack;

/// The records of a topic that are taken at once.
const BATCH: usize = 1000;

/// A topic's records. A partition is named after its topic: `orders-3`. The acknowledgement of each
/// [`Message`] is the pipeline's: the message holds one without effect.
#[diagnostic::do_not_recommend]
impl Source for KafkaSource {
    type Item = Message;

    async fn next_event(&mut self) -> NextEvent<Message> {
        match Self::next_event(self, BATCH).await? {
            Ok(event) => Some(Ok(translate(event))),
            Err(error) => Some(Err(error.into())),
        }
    }

    async fn next_closing(&mut self) -> SourceEvent<Message> {
        translate(KafkaSource::next_closing(self).await)
    }

    /// Counts records, by [`KafkaSourceControl::lag`](crate::kafka::KafkaSourceControl::lag), so that
    /// the metrics have the lag of each partition as well.
    fn lag(&self) -> Option<LagProbe> {
        let control = self.control();
        let mut had_any = false;
        Some(LagProbe::new(move || {
            let control = control.clone();
            let is_spare = had_any && control.is_spare();
            had_any |= control.has_opened_all();
            async move {
                if is_spare {
                    return Some(SourceLag::of_records(0));
                }
                if !control.has_opened_all() {
                    return None;
                }
                let partitions = control.lag().await.ok()?;
                let records = partitions.iter().map(|partition| partition.lag);
                Some(SourceLag::of_records(records.fold(0, u64::saturating_add)))
            }
        }))
    }

    fn stop(&mut self) {
        KafkaSource::stop(self);
    }

    async fn close(self) -> Result<(), EndpointError> {
        Ok(KafkaSource::close(self).await?)
    }
}

fn translate(event: KafkaEvent) -> SourceEvent<Message> {
    match event {
        KafkaEvent::Records(messages) => SourceEvent::Records(records(messages)),
        KafkaEvent::Opened { topic, partition } => SourceEvent::Opened(name(topic, partition)),
        KafkaEvent::Advanced {
            topic,
            partition,
            offset,
        } => SourceEvent::Advanced(position(name(topic, partition), offset)),
        KafkaEvent::Closing {
            topic,
            partition,
            guard,
        } => SourceEvent::Closing(name(topic, partition), guard),
        KafkaEvent::Lost { topic, partition } => SourceEvent::Lost(name(topic, partition)),
        KafkaEvent::Idle { topic, partition } => SourceEvent::Idle(name(topic, partition)),
    }
}

pub(super) fn name(topic: impl Display, partition: i32) -> Arc<str> {
    format!("{topic}-{partition}").into()
}

fn position(partition: Arc<str>, offset: i64) -> Position {
    // No record has an offset below zero.
    Position::number(partition, u64::try_from(offset).unwrap_or_default())
}

fn records(messages: Vec<Message>) -> Vec<SourceRecord<Message>> {
    let mut run: Option<(Arc<str>, i32, Arc<str>)> = None;
    let records = messages.into_iter().map(|mut message| {
        let partition = match &run {
            Some((topic, partition, name))
                if *partition == message.partition && *topic == message.topic =>
            {
                Arc::clone(name)
            }
            _ => {
                let name = name(&message.topic, message.partition);
                let topic = Arc::clone(&message.topic);
                run = Some((topic, message.partition, Arc::clone(&name)));
                name
            }
        };
        let bytes = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
        SourceRecord {
            position: position(partition, message.offset),
            bytes: bytes(&message.key) + bytes(&message.payload),
            ack: std::mem::replace(&mut message.ack, Ack::untracked()),
            value: message,
        }
    });
    records.collect()
}
