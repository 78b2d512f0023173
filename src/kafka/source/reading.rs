//! Reading one partition: its queue in librdkafka, and what comes out of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;

use super::super::error::{KafkaError, is_fatal};
use super::clients::{Clients, ReaderContext};
use super::message::Message;
use super::shared::Shared;
use super::tracker::PartitionTracker;
use crate::progress::{Ack, Acknowledge};

/// Records taken of one partition before another's turn.
const STRIDE: usize = 256;

/// A partition that is read.
pub(super) struct Reading {
    pub(super) tracker: Arc<PartitionTracker>,
    queue: PartitionQueue<ReaderContext>,
    /// There may be something in the queue.
    is_ready: Arc<AtomicBool>,
    /// Something came since reading began at its present place. Until then librdkafka's position may
    /// be that of the place before.
    has_come: bool,
    /// The time since which nothing has come although there was room, as far as it was seen.
    silent_since: Option<Duration>,
    /// The time at which the partition goes back to a dropped record.
    pub(super) rests_until: Option<Duration>,
}

/// The result of reading a partition for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// Nothing is left to take now.
    Over,
    /// There may be more.
    More,
    /// The end of the partition was reached.
    AtEnd,
    /// The offset to read next is not there.
    OutOfRange,
}

impl Reading {
    /// Returns a partition whose records are not fetched yet. `None` for a name that no topic has.
    pub(super) fn new(
        clients: &Clients,
        shared: &Shared,
        tracker: Arc<PartitionTracker>,
    ) -> Option<Self> {
        let (topic, partition) = (&tracker.topic, tracker.partition);
        // A queue of its own: what one partition has no room for stays there, and holds back no other.
        // One that was split off before is split off anew, since its topic may be another by now.
        let mut queue = clients.reader.split_partition_queue(topic, partition)?;
        let is_ready = Arc::new(AtomicBool::new(true));
        let (ready, wake) = (Arc::clone(&is_ready), Arc::clone(&shared.wake));
        queue.set_nonempty_callback(move || {
            ready.store(true, SeqCst);
            wake.notify_one();
        });
        Some(Self {
            tracker,
            queue,
            is_ready,
            has_come: false,
            silent_since: None,
            rests_until: None,
        })
    }

    /// Goes on with this tracker, in another place.
    pub(super) fn moved(&mut self, tracker: Arc<PartitionTracker>) {
        self.tracker = tracker;
        self.has_come = false;
        self.silent_since = None;
        self.rests_until = None;
    }

    /// Returns whether librdkafka's position is that of what was taken here.
    pub(super) fn has_come(&self) -> bool {
        self.has_come
    }

    /// Returns whether nothing has come for so long although there was room for it. Asked again, it is
    /// so after as long again.
    pub(super) fn is_silent(&mut self, now: Duration, for_long: Duration) -> bool {
        if self.tracker.is_full() || self.tracker.has_failed() {
            self.silent_since = None;
            return false;
        }
        let since = *self.silent_since.get_or_insert(now);
        let is_silent = now.saturating_sub(since) >= for_long;
        if is_silent {
            self.silent_since = Some(now);
        }
        is_silent
    }

    /// Takes records while there is room for them.
    ///
    /// # Errors
    ///
    /// What ends the source.
    pub(super) fn read(&mut self, shared: &Shared) -> Result<ReadOutcome, KafkaError> {
        if self.tracker.has_failed() || !self.is_ready.load(SeqCst) {
            return Ok(ReadOutcome::Over);
        }
        for _ in 0..STRIDE {
            if self.tracker.is_full() {
                return Ok(ReadOutcome::Over);
            }
            // Before the queue is looked at: what comes after the look sets it again.
            self.is_ready.store(false, SeqCst);
            let Some(received) = self.queue.poll(Duration::ZERO) else {
                return Ok(ReadOutcome::Over);
            };
            self.is_ready.store(true, SeqCst);
            match received {
                Ok(native) => {
                    (self.has_come, self.silent_since) = (true, None);
                    hand_out(&self.tracker, shared, &native);
                }
                Err(ClientError::PartitionEOF(_)) => {
                    self.has_come = true;
                    return Ok(ReadOutcome::AtEnd);
                }
                Err(error) => {
                    if let Some(outcome) = failed(&error, &self.tracker, shared)? {
                        return Ok(outcome);
                    }
                }
            }
        }
        Ok(ReadOutcome::More)
    }
}

fn hand_out(tracker: &Arc<PartitionTracker>, shared: &Shared, native: &BorrowedMessage<'_>) {
    let bytes = native.key_len() + native.payload_len();
    let Some(number) = tracker.push(native.offset(), bytes) else {
        return;
    };
    shared.connection.succeeded();
    shared.meter.received.add(1);
    shared.meter.received_bytes.add(bytes as u64);
    let ack = Ack::new(Arc::clone(tracker) as Arc<dyn Acknowledge>, number);
    let topic = Arc::clone(&tracker.topic);
    shared.output.push(Message::of(native, topic, ack));
}

/// Decides what an error means. Returns `Ok(None)` for one after which librdkafka goes on by itself.
fn failed(
    error: &ClientError,
    tracker: &PartitionTracker,
    shared: &Shared,
) -> Result<Option<ReadOutcome>, KafkaError> {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
    let reason: Arc<str> = code.to_string().into();
    match (error, code) {
        (ClientError::MessageConsumptionFatal(_), code) => Err(KafkaError::fatal(code, reason)),
        (_, code) if is_fatal(code) => Err(KafkaError::fatal(code, reason)),
        (_, Code::AutoOffsetReset | Code::OffsetOutOfRange) => Ok(Some(ReadOutcome::OutOfRange)),
        (_, Code::TopicAuthorizationFailed) => Err(KafkaError::TopicRefused {
            topic: Arc::clone(&tracker.topic),
            reason,
        }),
        // Deleted: the group takes the partition away. Made again, it is another topic.
        (_, code) => {
            shared.connection.failed(Some(code), &reason);
            Ok(None)
        }
    }
}
