//! A member of a consumer group as a source.
//!
//! **Problem.** A partition can go to another member at any moment, while its records are in work. If
//! it goes at once, an old value may be written over a new one; and librdkafka, asked to wait, stops
//! reading all other partitions as well.
//!
//! **Choice.** Two clients on one thread ([`clients`]): one is the group's member and fetches nothing,
//! the other reads. A partition that goes is kept until its records are finished ([`revocation`]), while the
//! others are read on. Each partition has a queue and a bound of its own, so that a slow one holds back
//! no other ([`reading`], [`tracker`]). Where it begins is looked up, and an offset that is not there is
//! a gap, never passed over in silence ([`start`]).
//!
//! **Rejected.** One client: all partitions stand still while one is finished, 5.6 s where that takes 5 s.
//! Pausing a partition that is full: librdkafka throws away what it has fetched ahead, and a pause
//! outlives the assignment.
//!
//! ```text
//! brokers ─▶ reader ─▶ a queue for each partition ─▶ trackers ─▶ output ─▶ next_batch, next_event, Stream
//!    │                                                  ▲                       │
//!    └─────▶ member ─▶ assigned, revoked                └── done, dropped ── Ack, PartitionGuard
//!               ▲ commits, answers
//! ```
//!
//! **Circles.** `reader`, `open` and `committing` use each other: they are one thread's state, its
//! start and its commits.

mod admission;
mod builder;
mod clients;
mod committing;
mod control;
mod group_offsets;
mod message;
mod open;
mod output;
mod partitions;
mod questions;
mod reader;
mod reading;
mod readings;
mod revocation;
mod settings;
mod shared;
mod start;
#[cfg(all(test, feature = "embedded"))]
mod tests;
mod tracker;
#[cfg(all(test, feature = "embedded"))]
mod transaction_tests;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use tokio::sync::oneshot;

use super::error::KafkaError;
use super::settings::KafkaSettings;
use super::stats::KafkaSourceStats;
use crate::gap::Gap;
use crate::health::Health;

pub use builder::KafkaSourceBuilder;
pub use control::{KafkaSourceControl, PartitionLag};
pub(crate) use group_offsets::GroupOffsets;
pub use message::Message;
pub use output::KafkaEvent;
pub use settings::{KafkaSourceSettings, OffsetReset};

type GapFn = Arc<dyn Fn(&Gap) + Send + Sync>;
type CloseSender = oneshot::Sender<oneshot::Sender<Result<(), KafkaError>>>;

/// A member of a consumer group: records with the duty to report when they are done, of which only what is done without a gap is
/// committed.
///
/// # Guarantees
/// - The records of a partition are handed out in the order of their offsets.
/// - A committed offset never passes a record that was not acknowledged with [`Ack::done`](crate::Ack::done). So every record is
///   handed out at least once, to whichever member.
/// - An acknowledgement that is dropped without `done` takes its partition back to the first record that is not done, after
///   [`redelivery_delay`](KafkaSourceSettings::redelivery_delay): that record comes again, and those behind it. Other
///   partitions go on.
/// - A partition that is to go to another member is kept until its records that are out are done or dropped, for
///   [`drain_timeout`](KafkaSourceSettings::drain_timeout) at most; no more of it are handed out, and what is done is
///   committed before it goes. Partitions that stay are read on meanwhile. After that, and where the
///   group went on without this member, its records are not [current](crate::Ack::is_current), and
///   acknowledgements are ignored.
/// - A committed offset that is no longer there is a [`Gap`], and an error unless
///   [`on_gap`](KafkaSourceSettings::on_gap) allows it.
/// - At most [`max_outstanding_records`](KafkaSourceSettings::max_outstanding_records) records and
///   [`max_outstanding_bytes`](KafkaSourceSettings::max_outstanding_bytes) bytes are out, shared by the partitions equally. A
///   partition whose share is out is read on once half of it is done; the others are not held back.
///
/// # Use
/// As a [`Stream`] of records, or by [`next_batch`](Self::next_batch); by [`next_event`](Self::next_event)
/// where it matters which partitions come and go. All end with an error that needs a person. After one, close
/// or drop the source: until then it keeps its partitions, since their records may be in work.
/// Dropped, it leaves the group in the background, with what is done committed; [`close`](Self::close) waits for that.
pub struct KafkaSource {
    control: KafkaSourceControl,
    close: Option<CloseSender>,
}

impl KafkaSource {
    /// Joins this group as a reader of these topics, with default settings: see [`KafkaSourceBuilder::open`].
    ///
    /// # Errors
    /// As [`KafkaSourceBuilder::open`].
    ///
    /// # Cancel safety
    /// As [`KafkaSourceBuilder::open`].
    pub async fn open(
        kafka: &KafkaSettings,
        group: impl Into<String>,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, KafkaError> {
        let settings = KafkaSourceSettings::new(group, topics);
        Self::builder(kafka).settings(settings).open().await
    }

    /// Returns a builder of a source of this cluster, which is to be given its settings: the group and
    /// the topics have no default.
    pub fn builder(kafka: &KafkaSettings) -> KafkaSourceBuilder<()> {
        KafkaSourceBuilder::new(kafka)
    }

    fn new(control: KafkaSourceControl, close: CloseSender) -> Self {
        Self {
            control,
            close: Some(close),
        }
    }

    /// Returns a handle for numbers, lag and the end, which stays of use while the source is elsewhere.
    #[must_use]
    pub fn control(&self) -> KafkaSourceControl {
        self.control.clone()
    }

    /// Waits for the next records, at least one and at most `max`; `None` after the end. Of each partition they are in order.
    ///
    /// # Errors
    /// The error that ended the source, once.
    ///
    /// # Cancel safety
    /// Dropped before it resolves, no record is lost.
    pub async fn next_batch(&mut self, max: usize) -> Option<Result<Vec<Message>, KafkaError>> {
        std::future::poll_fn(|cx| self.poll_records(cx, max)).await
    }

    /// Waits for the next event: records, at most `max` of them, or news of a partition. `None` after the end.
    ///
    /// The first call asks for the news; before it, and for callers that take records alone, there is none.
    ///
    /// # Errors
    /// The error that ended the source, once.
    ///
    /// # Cancel safety
    /// Dropped before it resolves, no event is lost.
    pub async fn next_event(&mut self, max: usize) -> Option<Result<KafkaEvent, KafkaError>> {
        let output = &self.control.shared.output;
        output.want_events();
        std::future::poll_fn(|cx| output.poll_take(cx, max)).await
    }

    /// Waits for the next [`Closing`](KafkaEvent::Closing) or [`Lost`](KafkaEvent::Lost), for a caller
    /// that has no room for records. Never resolves after the end.
    ///
    /// # Cancel safety
    /// Dropped before it resolves, no event is lost.
    pub async fn next_closing(&mut self) -> KafkaEvent {
        let output = &self.control.shared.output;
        output.want_events();
        std::future::poll_fn(|cx| output.poll_closing(cx)).await
    }

    /// Ends the stream: nothing more is handed out. What was handed out may still be acknowledged, until [`close`](Self::close).
    pub fn stop(&mut self) {
        self.control.stop();
    }

    /// Commits what is done and leaves the group. While no broker answers it waits, for 10 s at most.
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
            let failure = || self.control.shared.failure().map_or(Ok(()), Err);
            return closing.await.unwrap_or_else(|_| failure());
        }
        Ok(())
    }

    /// Asks how far each partition is behind: see [`KafkaSourceControl::lag`].
    ///
    /// # Errors
    /// As [`KafkaSourceControl::lag`].
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn lag(&self) -> Result<Vec<PartitionLag>, KafkaError> {
        self.control.lag().await
    }

    /// Returns whether brokers are reached at present, and whether the source is of use: see
    /// [`KafkaSourceControl::health`].
    #[must_use]
    pub fn health(&self) -> Health {
        self.control.health()
    }

    /// Returns the numbers of this moment.
    #[must_use]
    pub fn stats(&self) -> KafkaSourceStats {
        self.control.stats()
    }

    /// Takes records, and passes over what else there is.
    fn poll_records(
        &self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Option<Result<Vec<Message>, KafkaError>>> {
        loop {
            match ready!(self.control.shared.output.poll_take(cx, max)) {
                Some(Ok(KafkaEvent::Records(messages))) => return Poll::Ready(Some(Ok(messages))),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for KafkaSource {
    type Item = Result<Message, KafkaError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let taken = ready!(self.poll_records(cx, 1));
        Poll::Ready(taken.and_then(|taken| match taken {
            Ok(mut messages) => messages.pop().map(Ok),
            Err(error) => Some(Err(error)),
        }))
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        // The thread notices that nothing can ask for a close any more, and closes.
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
