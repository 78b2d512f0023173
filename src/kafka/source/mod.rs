//! The consumer's handle.

mod assigned;
mod lane;
mod message;
mod outlet;
mod reader;
mod settings;

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use futures::Stream;
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::error::KafkaError;
use super::settings::KafkaSettings;
use super::stats::{KafkaSourceStats, SourceMeter};
use crate::health::Health;
use assigned::Shared;
use lane::Outstanding;
use reader::Consumer;

pub use message::Message;
pub use settings::{KafkaSourceSettings, StartPosition};

/// For each question about a partition's end.
const QUESTION: Duration = Duration::from_secs(5);

/// A member of a consumer group: records with the duty to say when they are done, of which only what is done without a gap is
/// committed.
///
/// # What is promised
/// - The records of a partition are handed out in the order of their offsets.
/// - A committed offset never passes a record that was not acknowledged with [`Ack::done`](super::Ack::done). So every record is
///   handed out at least once, to whichever member.
/// - An acknowledgement that is dropped without `done` takes its partition back to the first record that is not done, after
///   [`redelivery_delay`](KafkaSourceSettings::redelivery_delay): that record comes again, and those behind it. Other
///   partitions go on.
/// - When a partition goes to another member, nothing more of it is handed out here, what is done of it is committed first, and
///   acknowledgements that come later are ignored. By default only the partitions that move are interrupted
///   (`cooperative-sticky`).
/// - At most [`max_outstanding_records`](KafkaSourceSettings::max_outstanding_records) records and
///   [`max_outstanding_bytes`](KafkaSourceSettings::max_outstanding_bytes) bytes are out. Then it reads on once half of them is
///   done; meanwhile, after a second, the partitions are paused and the membership is kept.
///
/// # Use
/// As a [`Stream`] of records, or by [`next_batch`](Self::next_batch). Both end with an error that does not mend itself.
/// Dropped, it leaves the group in the background, with what is done committed; [`close`](Self::close) waits for that.
pub struct KafkaSource {
    shared: Arc<Shared>,
    consumer: Weak<Consumer>,
    start: StartPosition,
    close: Option<oneshot::Sender<oneshot::Sender<Result<(), KafkaError>>>>,
}

/// How far a partition is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLag {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Offsets between the first record that is not done and the end.
    pub lag: u64,
}

impl KafkaSource {
    /// Joins the group. Resolves once the brokers have said that the topics exist; partitions are assigned later.
    ///
    /// # Errors
    /// A setting that cannot be used; a topic that does not exist; no broker that answers within
    /// [`topic_timeout`](KafkaSourceSettings::topic_timeout); a client that is not let in.
    ///
    /// # Cancel safety
    /// Dropped, nothing is left but a thread that ends within seconds.
    pub async fn open(
        settings: &KafkaSettings,
        own: &KafkaSourceSettings,
    ) -> Result<Self, KafkaError> {
        let config = own.client(settings)?;
        let shared = Shared::new(
            Outstanding::new(own.max_outstanding_records, own.max_outstanding_bytes),
            SourceMeter::new(&own.group),
        );
        let (opened, open) = oneshot::channel();
        let (close, closing) = oneshot::channel();
        let (thread_settings, thread_shared) = (own.clone(), shared.clone());
        let no_thread = |error: std::io::Error| KafkaError::Settings {
            problem: format!("no thread can be started: {error}"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(no_thread)?;
        thread::Builder::new()
            .name("kafka-source".to_owned())
            .spawn(move || {
                let run = reader::run(config, thread_settings, thread_shared, opened, closing);
                runtime.block_on(run);
            })
            .map_err(no_thread)?;
        Ok(Self {
            shared,
            consumer: open.await.unwrap_or(Err(KafkaError::Closed))?,
            start: own.start,
            close: Some(close),
        })
    }

    /// The next records, at least one and at most `most`; `None` after the end. Of each partition they are in order.
    ///
    /// # Errors
    /// What ended the source, once.
    ///
    /// # Cancel safety
    /// Dropped before it resolves, no record is lost.
    pub async fn next_batch(&mut self, most: usize) -> Option<Result<Vec<Message>, KafkaError>> {
        std::future::poll_fn(|cx| self.shared.outlet.poll_take(cx, most)).await
    }

    /// Takes in nothing more: the stream ends. What was handed out may still be acknowledged, until [`close`](Self::close).
    pub fn stop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        self.shared.outlet.end(None);
        self.shared.outstanding.wake.notify_one();
    }

    /// Commits what is done and leaves the group. While no broker answers it waits, for `session.timeout.ms` (45 s) at most.
    ///
    /// # Errors
    /// [`NotCommitted`](KafkaError::NotCommitted) where the last commit failed.
    ///
    /// # Cancel safety
    /// Dropped, the source is closed in the background.
    pub async fn close(mut self) -> Result<(), KafkaError> {
        self.stop();
        let (closed, closing) = oneshot::channel();
        if let Some(close) = self.close.take()
            && close.send(closed).is_ok()
        {
            return closing.await.unwrap_or(Ok(()));
        }
        Ok(())
    }

    /// How far each assigned partition is behind, as the brokers say now; also sent to the metrics.
    ///
    /// # Errors
    /// [`Unreachable`](KafkaError::Unreachable) where they do not answer.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn lag(&self) -> Result<Vec<PartitionLag>, KafkaError> {
        let (shared, consumer, start) = (self.shared.clone(), self.consumer.clone(), self.start);
        let asked = tokio::task::spawn_blocking(move || {
            let consumer = consumer.upgrade().ok_or(KafkaError::Closed)?;
            shared
                .lanes()
                .iter()
                .map(|lane| {
                    let lag =
                        lag(&consumer, lane, start).map_err(|error| KafkaError::Unreachable {
                            waited: QUESTION,
                            reason: error.to_string().into(),
                        })?;
                    shared.meter.lag(&lane.topic, lane.partition, lag);
                    Ok(PartitionLag {
                        topic: lane.topic.clone(),
                        partition: lane.partition,
                        lag,
                    })
                })
                .collect()
        });
        asked.await.unwrap_or(Err(KafkaError::Closed))
    }

    /// Returns whether brokers are reached at present, and whether the source is of use.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.shared.failure() {
            Some(failure) => Health::Ended {
                cause: failure.to_string(),
            },
            None => self.shared.connection.health(),
        }
    }

    /// Its numbers now.
    pub fn stats(&self) -> KafkaSourceStats {
        let (records, bytes) = self.shared.outstanding.level();
        let partitions = self.shared.lanes().len();
        self.shared.meter.stats(records, bytes, partitions)
    }
}

fn lag(
    consumer: &Consumer,
    lane: &lane::Lane,
    start: StartPosition,
) -> rdkafka::error::KafkaResult<u64> {
    let (low, high) = consumer.fetch_watermarks(&lane.topic, lane.partition, QUESTION)?;
    let at = if let Some(resume) = lane.resume() {
        resume
    } else {
        // Nothing was handed out of it yet: it begins where the group left it.
        let mut list = TopicPartitionList::new();
        list.add_partition(&lane.topic, lane.partition);
        let committed = consumer.committed_offsets(list, QUESTION)?;
        match committed
            .elements()
            .first()
            .map(rdkafka::topic_partition_list::TopicPartitionListElem::offset)
        {
            Some(Offset::Offset(offset)) => offset,
            _ if start == StartPosition::Latest => high,
            _ => low,
        }
    };
    Ok(u64::try_from(high.saturating_sub(at.max(low))).unwrap_or(0))
}

impl Stream for KafkaSource {
    type Item = Result<Message, KafkaError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.shared.outlet.poll_take(cx, 1).map(|taken| {
            let mut messages = match taken? {
                Ok(messages) => messages,
                Err(error) => return Some(Err(error)),
            };
            messages.pop().map(Ok)
        })
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        // The thread sees that nobody will tell it to close, and closes.
        self.stop();
    }
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSource")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
