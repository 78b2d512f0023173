//! Kafka as a pipeline's sink.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;

use super::dead_letter::Reason;
use super::delivery::Delivery;
use super::endpoint_error::EndpointError;
use super::pending_error::PendingError;
use super::sink::{Handle, IntoSink, Sink};
use crate::kafka::{KafkaError, KafkaSink, ProducerRecord};

/// Sends a record of each value to Kafka; the delivery is done when all in-sync replicas have it.
///
/// A value that no record can be made of, or whose record Kafka refuses for what is in it (too large, a partition that the topic does
/// not have), is rejected: it goes to the pipeline's dead letters. Whatever else keeps a record from being delivered ends the pipeline,
/// so that no outage, missing topic or missing right empties it into the dead letters.
///
/// After such a failure nothing more is sent: what is behind the record on its partition fails with it, so a new run writes
/// it again in order. A record that was rejected holds back no other.
///
/// The sink may be shared: an output is given no error of another user's records, and waits for its own only. The handle
/// stays open for others: `close` closes nothing but this output.
///
/// ```
/// # fn example(events: dynamodb_connector::kafka::KafkaSink) {
/// use dynamodb_connector::kafka::ProducerRecord;
/// use dynamodb_connector::pipeline::{KafkaOutput, Pipeline};
/// use dynamodb_connector::test_util::IterSource;
///
/// let job = Pipeline::from(IterSource::new([(1, "granted"), (2, ""), (3, "refused")]))
///     .to(KafkaOutput::new(&events, |(id, text): &(i32, &'static str)| {
///         let record = ProducerRecord::new("decisions", *text).key(id.to_string());
///         Ok::<_, String>((!text.is_empty()).then_some(record)) // `None` skips the value
///     }));
/// # let _ = job;
/// # }
/// ```
pub struct KafkaOutput<T> {
    sink: KafkaSink,
    to_record: ToRecord<T>,
    rejects_topics: bool,
    pending: PendingError,
}

type ToRecord<T> = Box<dyn FnMut(T) -> Result<Option<ProducerRecord>, Reason> + Send>;

impl<T: 'static> KafkaOutput<T> {
    /// Sends what `to_record` makes of each value; nothing for `None`.
    pub fn new<R: Into<Reason>>(
        sink: &KafkaSink,
        mut to_record: impl FnMut(&T) -> Result<Option<ProducerRecord>, R> + Send + 'static,
    ) -> Self {
        Self::by_value(sink, move |value| {
            // As in operators: a panic is the record's fault, and ends nothing else.
            let record = catch_unwind(AssertUnwindSafe(|| to_record(&value)));
            record.map_or_else(
                |_| Err(Reason::panicked()),
                |record| record.map_err(Into::into),
            )
        })
    }

    /// Sends each value as JSON, by its `Serialize`, with the key that `key` makes of it: a text, bytes, or a number's
    /// `to_string()`. A value that can't be serialized is rejected.
    ///
    /// ```
    /// # fn example(events: dynamodb_connector::kafka::KafkaSink) {
    /// use dynamodb_connector::pipeline::{KafkaOutput, Pipeline};
    /// use dynamodb_connector::test_util::IterSource;
    ///
    /// #[derive(serde::Serialize)]
    /// struct Decision { id: String, granted: bool }
    ///
    /// let decisions = [Decision { id: "a-1".into(), granted: true }];
    /// let job = Pipeline::from(IterSource::new(decisions))
    ///     .to(KafkaOutput::json(&events, "decisions", |d: &Decision| d.id.clone()));
    /// # let _ = job;
    /// # }
    /// ```
    pub fn json<K: Into<Bytes>>(
        sink: &KafkaSink,
        topic: impl Into<Arc<str>>,
        mut key: impl FnMut(&T) -> K + Send + 'static,
    ) -> Self
    where
        T: Serialize,
    {
        let topic = topic.into();
        Self::new(sink, move |value| json_record(&topic, value, &mut key))
    }

    fn by_value(
        sink: &KafkaSink,
        to_record: impl FnMut(T) -> Result<Option<ProducerRecord>, Reason> + Send + 'static,
    ) -> Self {
        Self {
            sink: sink.separate(),
            to_record: Box::new(to_record),
            rejects_topics: false,
            pending: PendingError::default(),
        }
    }

    /// Rejects a value whose topic does not exist or may not be written to, where the topic is chosen by the record and so
    /// may be its fault. Default: such a topic ends the pipeline.
    #[must_use]
    pub fn reject_unusable_topics(mut self) -> Self {
        self.rejects_topics = true;
        self
    }
}

/// The reason of a value that is no JSON. The error itself may show what the value holds.
const NOT_JSON: &str = "the value cannot be serialized as JSON";

/// Returns the record of a value as JSON.
pub(super) fn json_record<T: Serialize, K: Into<Bytes>>(
    topic: &Arc<str>,
    value: &T,
    mut key: impl FnMut(&T) -> K,
) -> Result<Option<ProducerRecord>, &'static str> {
    let json = serde_json::to_vec(value).map_err(|_| NOT_JSON)?;
    let record = ProducerRecord::new(Arc::clone(topic), json).key(key(value));
    Ok(Some(record))
}

/// Records are sent as they are.
#[diagnostic::do_not_recommend]
impl IntoSink<ProducerRecord, Handle> for KafkaSink {
    type Sink = KafkaOutput<ProducerRecord>;

    fn into_sink(self) -> Self::Sink {
        KafkaOutput::by_value(&self, |record| Ok(Some(record)))
    }
}

/// A delivery that is settled by the producer's report, or by a refusal to accept the record.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<Delivery>>>);

impl Shared {
    fn take(&self) -> Option<Delivery> {
        self.0.lock().take()
    }
}

impl<T: Send + 'static> Sink<T> for KafkaOutput<T> {
    async fn write(&mut self, value: T, delivery: Delivery) -> Result<(), EndpointError> {
        self.pending.check()?;
        let record = match (self.to_record)(value) {
            Ok(Some(record)) => record,
            Ok(None) => {
                delivery.done();
                return Ok(());
            }
            Err(reason) => {
                delivery.reject(reason);
                return Ok(());
            }
        };
        let delivery = Shared(Arc::new(Mutex::new(Some(delivery))));
        let (reported, pending) = (delivery.clone(), self.pending.clone());
        let rejects_topics = self.rejects_topics;
        let is_of_record =
            move |error: &KafkaError| error.is_record() || rejects_topics && error.is_topic();
        let sending = self.sink.send_with(record, move |result| {
            let Some(delivery) = reported.take() else {
                return;
            };
            match result {
                Ok(_) => delivery.done(),
                Err(error) if is_of_record(&error) => {
                    delivery.reject(reason_of(&error));
                }
                Err(error) => {
                    // Before the delivery is dropped, which has the pipeline ask.
                    pending.keep(error.into());
                    drop(delivery);
                }
            }
        });
        match sending.await {
            Ok(()) => Ok(()),
            Err(error) if is_of_record(&error) => {
                if let Some(delivery) = delivery.take() {
                    delivery.reject(reason_of(&error));
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        self.sink.flush().await.map_err(EndpointError::new)?;
        self.pending.check()
    }

    async fn close(self) -> Result<(), EndpointError> {
        self.pending.check()
    }
}

impl<T> fmt::Debug for KafkaOutput<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOutput").finish_non_exhaustive()
    }
}

/// Returns the reason of a record that Kafka refuses. One that is too large says what to do: as a
/// dead letter it ends each run, until a limit is raised.
fn reason_of(error: &KafkaError) -> Reason {
    let reason = Reason::of(error);
    let remedy = match error {
        KafkaError::TooLarge { limit: Some(_), .. } => {
            "set a larger one for the sink by KafkaSettings::set"
        }
        KafkaError::TooLarge { limit: None, .. } => "raise it in the topic's configuration",
        _ => return reason,
    };
    Reason::from(format!("{reason}; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_too_large_is_refused_with_the_limit_and_the_remedy() {
        let of = |limit| {
            let topic = "letters".into();
            let size = 2 << 20;
            reason_of(&KafkaError::TooLarge { topic, size, limit }).to_string()
        };
        assert_eq!(
            of(Some(1_000_000)),
            "record of 2MiB for topic \"letters\" is over message.max.bytes, 1000000B; set a larger \
             one for the sink by KafkaSettings::set"
        );
        assert_eq!(
            of(None),
            "record of 2MiB for topic \"letters\" is over the topic's max.message.bytes or segment.bytes; raise it in \
             the topic's configuration"
        );
    }
}
