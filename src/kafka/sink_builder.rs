//! Opening a sink.

use super::destinations::Destinations;
use super::error::KafkaError;
use super::settings::KafkaSettings;
use super::sink::KafkaSink;
use super::sink_settings::KafkaSinkSettings;

/// A [`KafkaSink`] in the making. Made by [`KafkaSink::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is opened"]
pub struct KafkaSinkBuilder {
    kafka: KafkaSettings,
    settings: KafkaSinkSettings,
}

impl KafkaSinkBuilder {
    pub(super) fn new(kafka: &KafkaSettings) -> Self {
        Self {
            kafka: kafka.clone(),
            settings: KafkaSinkSettings::default(),
        }
    }

    /// Sets the sink's settings, all of them. Default: [`KafkaSinkSettings::default`].
    pub fn settings(mut self, settings: KafkaSinkSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Makes a producer. Brokers need not be reachable yet.
    ///
    /// # Errors
    /// [`KafkaError::Config`]: a property that librdkafka does not know or that is refused, or a
    /// setting out of its range.
    ///
    /// # Cancel safety
    /// Dropped, nothing is left.
    pub async fn open(self) -> Result<KafkaSink, KafkaError> {
        let destinations = Destinations::open(&self.kafka, &self.settings)?;
        Ok(KafkaSink::new(destinations))
    }
}
