//! A sink that takes values.

use super::error::KafkaError;
use super::receipt::KafkaReceipt;
use super::record::Serializer;
use super::sink::KafkaSink;

/// A [`KafkaSink`] that takes values; made by [`KafkaSink::serializing`].
#[derive(Clone, Debug)]
pub struct SerializingSink<S> {
    pub(super) sink: KafkaSink,
    pub(super) serializer: S,
}

impl<S> SerializingSink<S> {
    /// Makes a record of a value and sends it; `None` where the serialiser skips it.
    ///
    /// # Errors
    /// [`KafkaError::Serialize`] where the serialiser makes no record of it, and as [`KafkaSink::send`].
    ///
    /// # Cancel safety
    /// As [`KafkaSink::send`].
    pub async fn send<T: ?Sized>(&mut self, value: &T) -> Result<Option<KafkaReceipt>, KafkaError>
    where
        S: Serializer<T>,
    {
        let record = self
            .serializer
            .serialize(value)
            .map_err(|error| KafkaError::Serialize(error.into()))?;
        match record {
            Some(record) => self.sink.send(record).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns the sink behind it.
    pub fn sink(&self) -> &KafkaSink {
        &self.sink
    }
}
