//! Events of 1 KB on the topic that is read.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::kafka::{KafkaSettings, KafkaSink, ProducerRecord};

use crate::changes::board::Board;
use crate::rig::records::{NOTE_BYTES, decision};
use crate::rig::{Failure, clock};

/// A producer of events.
pub(crate) struct Feed {
    sink: KafkaSink,
    topic: Arc<str>,
}

impl Feed {
    pub(crate) async fn open(bootstrap: &str, topic: &str) -> Result<Self, Failure> {
        let sink = KafkaSink::open(&KafkaSettings::new(bootstrap)).await?;
        Ok(Self {
            sink,
            topic: topic.into(),
        })
    }

    fn record(&self, number: usize) -> Result<ProducerRecord, Failure> {
        let event = decision(number, NOTE_BYTES);
        let json = serde_json::to_vec(&event)?;
        Ok(ProducerRecord::new(Arc::clone(&self.topic), json).key(event.customer))
    }

    /// Writes as fast as it goes.
    pub(crate) async fn write(&self, numbers: Range<usize>) -> Result<(), Failure> {
        for number in numbers {
            drop(self.sink.send(self.record(number)?).await?);
        }
        Ok(self.sink.flush().await?)
    }

    /// Writes at a rate whatever becomes of it, each event at a random moment of its own slice of time, and notes when.
    pub(crate) async fn write_at(
        &self,
        rate: f64,
        numbers: Range<usize>,
        board: &Board,
    ) -> Result<(), Failure> {
        let mut rng = fastrand::Rng::with_seed(17);
        let began = clock::instant();
        for (number, slice) in numbers.zip(0_u32..) {
            let record = self.record(number)?;
            let due = began + Duration::from_secs_f64((f64::from(slice) + rng.f64()) / rate);
            tokio::time::sleep_until(due.into()).await;
            board.called(number);
            drop(self.sink.send(record).await?);
        }
        Ok(self.sink.flush().await?)
    }
}
