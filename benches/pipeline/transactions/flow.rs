//! The pipeline that is measured: events from a topic to another, their bytes as they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamodb_connector::kafka::{
    KafkaSettings, KafkaSource, KafkaSourceSettings, Message, ProducerRecord, TransactionSettings,
};
use dynamodb_connector::pipeline::{BoxJob, Guarantee, KafkaRecords, KafkaTransactions, Pipeline};

use crate::changes::unique;
use crate::rig::Failure;

/// From topic to topic, with a guarantee.
#[derive(Clone)]
pub(crate) struct Flow {
    /// Of the producer.
    pub(crate) kafka: KafkaSettings,
    /// Of the consumer.
    pub(crate) reading: KafkaSettings,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) group: String,
    pub(crate) settings: TransactionSettings,
    pub(crate) guarantee: Guarantee,
}

impl Flow {
    /// Returns a flow at the defaults, in a consumer group of its own.
    pub(crate) fn new(bootstrap: &str, from: &str, to: &str, guarantee: Guarantee) -> Self {
        Self {
            kafka: KafkaSettings::new(bootstrap),
            reading: KafkaSettings::new(bootstrap),
            from: from.to_owned(),
            to: to.to_owned(),
            group: unique("group"),
            settings: TransactionSettings::new(unique("application")),
            guarantee,
        }
    }

    /// Returns the job; `each` is called with every record that comes to its end.
    pub(crate) async fn job(
        &self,
        mut each: impl FnMut() + Send + 'static,
    ) -> Result<BoxJob, Failure> {
        let settings = KafkaSourceSettings::new(&self.group, [&self.from]);
        let source = KafkaSource::builder(&self.reading)
            .settings(settings)
            .open()
            .await?;
        let transactions = KafkaTransactions::new(&self.kafka, self.settings.clone());
        let to: Arc<str> = self.to.as_str().into();
        let output = KafkaRecords::new(move |(key, value): &(Bytes, Bytes)| {
            each();
            let record = ProducerRecord::new(Arc::clone(&to), value.clone());
            Ok::<_, String>(Some(record.key(key.clone())))
        });
        let job = Pipeline::from(source)
            .map(|message: Message| {
                let of = |bytes: Option<Bytes>| bytes.unwrap_or_default();
                (of(message.key), of(message.payload))
            })
            .to_transactional(&transactions.guarantee(self.guarantee), output);
        Ok(job.boxed())
    }
}

pub(crate) fn exactly_once(interval: Duration) -> Guarantee {
    Guarantee::ExactlyOnce {
        commit_interval: interval,
    }
}
