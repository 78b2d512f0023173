//! The future that a caller gets for a record that the sink accepted.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::error::KafkaError;
use super::scope::CallerScope;
use super::unobserved::OutageNumber;
use parking_lot::Mutex;

/// The place of a record, confirmed by all in-sync replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RecordMetadata {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset within the partition. `None` where the broker had the record already when
    /// librdkafka sent it again after a lost answer: it is there once, and the broker's second answer
    /// does not say where.
    pub offset: Option<i64>,
}

/// Resolves to where the record is, or to why it is not there.
///
/// Dropped, the record is delivered all the same; if it fails, the next `flush` or `close` reports it (see
/// [`KafkaSink`](super::KafkaSink)). A failure that was awaited here is not reported again. Polled again, it gives the same
/// outcome.
///
/// # Cancel safety
/// Dropping the future gives up the outcome, not the record. Awaiting `&mut receipt` keeps both.
#[must_use = "a receipt resolves to whether the record was delivered"]
pub struct KafkaReceipt {
    slot: Arc<Slot>,
    scope: Arc<CallerScope>,
    given_out: bool,
}

/// The outcome of one record.
#[derive(Default)]
pub(super) struct Slot(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Waiting,
    Watched(Waker),
    /// Boxed, since an error is larger than everything else here.
    Settled(Box<Settled>),
    /// The receipt is gone.
    Gone,
}

struct Settled {
    result: Result<RecordMetadata, KafkaError>,
    /// The outage that failed it.
    outage: Option<OutageNumber>,
}

impl Slot {
    /// Gives the outcome to the receipt; back where there is none any more.
    pub(super) fn settle(
        &self,
        result: Result<RecordMetadata, KafkaError>,
        outage: Option<OutageNumber>,
    ) -> Option<Result<RecordMetadata, KafkaError>> {
        let mut state = self.0.lock();
        if matches!(*state, State::Gone) {
            return Some(result);
        }
        let settled = Box::new(Settled { result, outage });
        let before = std::mem::replace(&mut *state, State::Settled(settled));
        drop(state);
        if let State::Watched(waker) = before {
            waker.wake();
        }
        None
    }
}

impl KafkaReceipt {
    pub(super) fn new(slot: Arc<Slot>, scope: Arc<CallerScope>) -> Self {
        Self {
            slot,
            scope,
            given_out: false,
        }
    }
}

impl Future for KafkaReceipt {
    type Output = Result<RecordMetadata, KafkaError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.0.lock();
        match &mut *state {
            State::Settled(settled) => {
                let (result, outage) = (settled.result.clone(), settled.outage);
                drop(state);
                if !std::mem::replace(&mut self.given_out, true) {
                    self.scope.observed(outage);
                }
                Poll::Ready(result)
            }
            State::Watched(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            State::Waiting | State::Gone => {
                *state = State::Watched(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for KafkaReceipt {
    fn drop(&mut self) {
        if self.given_out {
            return;
        }
        let unobserved = std::mem::replace(&mut *self.slot.0.lock(), State::Gone);
        if let State::Settled(settled) = unobserved
            && let Err(error) = settled.result
        {
            self.scope.keep_unobserved(error, settled.outage);
        }
    }
}

impl fmt::Debug for KafkaReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaReceipt").finish_non_exhaustive()
    }
}
