//! Outputs whose records are in transactions, with the positions of what they were made of.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::kafka_output::json_record;
use super::reason::Reason;
use crate::kafka::ProducerRecord;

/// Makes records of a pipeline's values, which go to Kafka in the transaction that commits the positions of what they
/// were made of. [`KafkaRecords`] is one of a function.
///
/// It makes records and has no effect of its own: what an output does beside that is in no transaction, and comes again
/// when one is aborted.
#[diagnostic::on_unimplemented(
    message = "`{Self}` makes no records of `{T}`",
    label = "not a `TransactionalOutput` of `{T}`",
    note = "a transaction holds Kafka's records alone: make them by `KafkaRecords::new` or `KafkaRecords::json`; any other sink is `to`'s, at least once"
)]
pub trait TransactionalOutput<T>: Send + 'static {
    /// Adds the records of a value: none where the value is to be skipped.
    ///
    /// # Errors
    ///
    /// The reason why there can be none of this value: it becomes a dead letter, in the same transaction.
    fn records(&mut self, value: T, records: &mut Vec<ProducerRecord>) -> Result<(), Reason>;
}

/// Records made by a function.
///
/// ```
/// use dynamodb_connector::kafka::ProducerRecord;
/// use dynamodb_connector::pipeline::KafkaRecords;
///
/// let records = KafkaRecords::new(|(id, text): &(i32, &'static str)| {
///     let record = ProducerRecord::new("decisions", *text).key(id.to_string());
///     Ok::<_, String>((!text.is_empty()).then_some(record)) // `None` skips the value
/// });
/// # let _ = records;
/// ```
pub struct KafkaRecords<T>(ToRecord<T>);

type ToRecord<T> = Box<dyn FnMut(&T) -> Result<Option<ProducerRecord>, Reason> + Send>;

impl<T: 'static> KafkaRecords<T> {
    /// Makes a record of each value; none where the function gives none. An error, or a panic, rejects the value.
    pub fn new<R: Into<Reason>>(
        mut to_record: impl FnMut(&T) -> Result<Option<ProducerRecord>, R> + Send + 'static,
    ) -> Self {
        Self(Box::new(move |value| to_record(value).map_err(Into::into)))
    }

    /// Makes a record of each value as JSON, by its `Serialize`, with the key that `key` makes of it. A value that can't be
    /// serialized is rejected.
    pub fn json<K: Into<Bytes>>(
        topic: impl Into<Arc<str>>,
        mut key: impl FnMut(&T) -> K + Send + 'static,
    ) -> Self
    where
        T: Serialize,
    {
        let topic = topic.into();
        Self::new(move |value| json_record(&topic, value, &mut key))
    }
}

impl<T: 'static> TransactionalOutput<T> for KafkaRecords<T> {
    fn records(&mut self, value: T, records: &mut Vec<ProducerRecord>) -> Result<(), Reason> {
        records.extend((self.0)(&value)?);
        Ok(())
    }
}

impl<T> fmt::Debug for KafkaRecords<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaRecords").finish_non_exhaustive()
    }
}
