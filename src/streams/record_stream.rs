//! A table's changes as a stream.

use std::collections::VecDeque;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::ShardId;
use super::ack_tracker::OpenLetter;
use super::control::{Running, StreamsControl};
use super::error::StreamsError;
use super::events::{NewsReceiver, PendingProgress, StreamsEvent};
use super::failure_log::{FailureLog, HANDLER};
use super::policy::{DeadLetterFn, DeadReason, FailedChange, write_dead_letter};
use super::record::MalformedRecord;
use super::record_batch::RecordBatch;
use super::tracked_record::TrackedRecord;
use crate::progress::{Ack, Acknowledge};
use crate::retry::{Backoff, Retries};

/// A table's changes, those of each shard in order.
///
/// Ends with the error that stops the source, if there is one, or after it was stopped by its
/// [`control`](Self::control). The checkpoint of a shard passes a record once it and all before it are done.
/// The records handed out and not done are bounded by [`buffer_bytes`](super::StreamsSettings::buffer_bytes):
/// a caller that withholds acknowledgements receives no more.
///
/// A malformed record goes to the dead-letter handler or, if there is none, ends the stream with
/// [`StreamsError::Malformed`]. Batches, retries and maximum ages apply to handlers, not to streams.
///
/// # Cancel safety
///
/// If it is dropped, everything stops where it is, and the leases lapse after the failover time.
/// [`close`](Self::close) gives them up at once.
pub struct RecordStream {
    batches: mpsc::Receiver<RecordBatch>,
    news: NewsReceiver,
    /// The records of the last batch that have not been taken yet.
    ready: VecDeque<TrackedRecord>,
    /// The progress of shards that has not been taken yet, where events are.
    progress: PendingProgress,
    /// The worker, until it has ended.
    running: Option<Running>,
    control: StreamsControl,
    letters: Letters,
    /// The dead letters that the handler has not accepted yet.
    writing_letters: JoinSet<()>,
}

/// The handling of malformed records.
pub(super) struct Letters {
    pub(super) handler: Option<DeadLetterFn>,
    pub(super) backoff: Backoff,
    pub(super) rng: fastrand::Rng,
    pub(super) failure_log: Arc<FailureLog>,
}

impl fmt::Debug for RecordStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordStream").finish_non_exhaustive()
    }
}

impl RecordStream {
    pub(super) fn new(
        (batches, news): (mpsc::Receiver<RecordBatch>, NewsReceiver),
        running: Running,
        control: StreamsControl,
        letters: Letters,
    ) -> Self {
        Self {
            batches,
            news,
            ready: VecDeque::new(),
            progress: PendingProgress::default(),
            running: Some(running),
            control,
            letters,
            writing_letters: JoinSet::new(),
        }
    }

    /// Returns a handle that stops the source and returns its statistics.
    pub fn control(&self) -> StreamsControl {
        self.control.clone()
    }

    /// Waits for records and returns those that are ready, all of one shard and in its order: at least one, or `None` at the end.
    ///
    /// # Errors
    ///
    /// As for the stream's items.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no record is lost.
    pub async fn next_batch(&mut self) -> Option<Result<Vec<TrackedRecord>, StreamsError>> {
        match std::future::poll_fn(|context| self.poll_records(context)).await {
            Some(Ok(())) => Some(Ok(self.ready.drain(..).collect())),
            Some(Err(error)) => Some(Err(error)),
            None => None,
        }
    }

    /// Waits for the next event: records that are ready, all of one shard, or news of a shard. `None` at the end.
    ///
    /// The first call asks for the ends and the progress of shards; before it, and for callers that take records alone,
    /// there are none.
    ///
    /// # Errors
    ///
    /// As for the stream's items.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no event is lost.
    pub async fn next_event(&mut self) -> Option<Result<StreamsEvent, StreamsError>> {
        self.news.subscribe();
        std::future::poll_fn(|context| {
            loop {
                if let Poll::Ready(Some(event)) = self.poll_news(context) {
                    return Poll::Ready(Some(Ok(event)));
                }
                match ready!(self.poll_ready(context)) {
                    Some(Ok(())) => {}
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => return Poll::Ready(None),
                }
                // An opening is sent before the records that follow it, on another channel.
                if let Poll::Ready(Some(event)) = self.poll_news(context) {
                    return Poll::Ready(Some(Ok(event)));
                }
                let records: Vec<_> = self.ready.drain(..).collect();
                if !records.is_empty() {
                    return Poll::Ready(Some(Ok(StreamsEvent::Records(records))));
                }
                if let Some(event) = self.progress.take() {
                    return Poll::Ready(Some(Ok(event)));
                }
            }
        })
        .await
    }

    /// Waits for the next [`Closing`](StreamsEvent::Closing), [`Lost`](StreamsEvent::Lost) or
    /// [`Opened`](StreamsEvent::Opened), for a caller that has no room for records. Never resolves after
    /// the end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no event is lost.
    pub async fn next_closing(&mut self) -> StreamsEvent {
        self.news.subscribe();
        std::future::poll_fn(|context| match self.poll_news(context) {
            Poll::Ready(Some(event)) => Poll::Ready(event),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Polls for news of a shard.
    fn poll_news(&mut self, context: &mut Context<'_>) -> Poll<Option<StreamsEvent>> {
        let event = ready!(self.news.receiver.poll_recv(context));
        if let Some(StreamsEvent::Closing(shard, _) | StreamsEvent::Lost(shard)) = &event {
            let is_next = |first: &TrackedRecord| first.record.shard_id() == shard;
            if self.ready.front().is_some_and(is_next) {
                self.ready.clear();
            }
            self.progress.forget(shard);
        }
        Poll::Ready(event)
    }

    /// Stores the checkpoints of the records that are done and gives the leases up. Records that were taken are awaited for as long
    /// as [`drain_timeout`](super::StreamsSettings::drain_timeout) allows; the others are given again by the shard's next reader.
    ///
    /// # Errors
    ///
    /// The error that stopped the source before it was closed.
    ///
    /// # Cancel safety
    ///
    /// If dropped before it resolves, the stream is dropped with it.
    pub async fn close(self) -> Result<(), StreamsError> {
        self.control.stop();
        self.closed().await
    }

    /// Closes as [`close`](Self::close) does, without waiting for records that were taken and are not acknowledged: they are
    /// given again by the shards' next readers.
    ///
    /// # Errors
    ///
    /// As for [`close`](Self::close).
    ///
    /// # Cancel safety
    ///
    /// As for [`close`](Self::close).
    pub async fn close_now(self) -> Result<(), StreamsError> {
        self.control.stop_now();
        self.closed().await
    }

    async fn closed(mut self) -> Result<(), StreamsError> {
        // These were not taken: they are never acknowledged, so they must not be awaited.
        self.ready.clear();
        self.batches.close();
        while self.batches.try_recv().is_ok() {}
        // Guards that were not taken hold nothing.
        self.news.receiver.close();
        while self.news.receiver.try_recv().is_ok() {}
        match self.running.take() {
            Some(running) => running.ended().await,
            None => Ok(()),
        }
    }

    /// Polls for records alone: what else there is, is dropped.
    fn poll_records(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<(), StreamsError>>> {
        loop {
            while let Poll::Ready(Some(_)) = self.poll_news(context) {}
            self.progress.clear();
            let ready = ready!(self.poll_ready(context));
            if ready.as_ref().is_none_or(Result::is_err) || !self.ready.is_empty() {
                return Poll::Ready(ready);
            }
        }
    }

    /// Polls until a record is ready to be taken, or progress.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<(), StreamsError>>> {
        loop {
            // Also after a batch, whose letters would wake nothing otherwise.
            while let Poll::Ready(Some(_)) = self.writing_letters.poll_join_next(context) {}
            match self.ready.front() {
                Some(first) if first.is_current() => return Poll::Ready(Some(Ok(()))),
                // If the first is to be given again, in order, so are all behind it.
                Some(_) => self.ready.clear(),
                None if self.progress.is_ready() => return Poll::Ready(Some(Ok(()))),
                None => {}
            }
            match ready!(self.batches.poll_recv(context)) {
                Some(batch) => {
                    if let Err(error) = self.unpack(batch) {
                        self.ready.clear();
                        self.progress.clear();
                        self.running = None;
                        self.batches.close();
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                None => {
                    let Some(running) = &mut self.running else {
                        return Poll::Ready(None);
                    };
                    let ended = ready!(pin!(running.wait()).poll(context));
                    self.running = None;
                    return Poll::Ready(ended.err().map(Err));
                }
            }
        }
    }

    fn unpack(&mut self, mut batch: RecordBatch) -> Result<(), StreamsError> {
        if !batch.acks.is_handing_out() {
            // It is given again. Dropped whole, it says so to its tracker.
            return Ok(());
        }
        let entries = std::mem::take(&mut batch.entries);
        let (shard, acks) = (&batch.shard, &batch.acks);
        let progress = (!entries.is_empty(), batch.progress);
        self.progress.note(shard, acks, progress);
        for (entry, number) in entries {
            let ack = Ack::new(Arc::clone(acks) as Arc<dyn Acknowledge>, number);
            match entry {
                Ok(record) => self.ready.push_back(TrackedRecord { record, ack }),
                Err(malformed) => self.dead_letter(shard, malformed, (ack, acks.open_letter()))?,
            }
        }
        Ok(())
    }

    fn dead_letter(
        &mut self,
        shard: &ShardId,
        malformed: MalformedRecord,
        (ack, open): (Ack, OpenLetter),
    ) -> Result<(), StreamsError> {
        let letters = &mut self.letters;
        let Some(dead_letters) = letters.handler.clone() else {
            return Err(StreamsError::Malformed {
                shard: shard.clone(),
                problem: malformed.problem().to_owned(),
            });
        };
        let shard = shard.clone();
        let letter = FailedChange {
            shard: shard.clone(),
            record: Err(malformed),
            reason: DeadReason::Malformed,
            attempts: 0,
        };
        let mut retries = Retries::new(letters.backoff.clone(), letters.rng.fork());
        let failure_log = Arc::clone(&letters.failure_log);
        self.writing_letters.spawn(async move {
            let _open = open;
            // The shard's next reader finds the record again.
            let is_current = || ack.is_current();
            let taken = write_dead_letter(
                &dead_letters,
                letter,
                &mut retries,
                &failure_log,
                is_current,
            )
            .await;
            if taken {
                failure_log.succeeded(HANDLER, Some(&shard));
                ack.done();
            }
        });
        Ok(())
    }
}

impl Stream for RecordStream {
    type Item = Result<TrackedRecord, StreamsError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.get_mut();
        match ready!(stream.poll_records(context)) {
            Some(Ok(())) => Poll::Ready(stream.ready.pop_front().map(Ok)),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(None),
        }
    }
}
