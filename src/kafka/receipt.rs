//! What a caller gets for a record that the sink accepted.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::error::KafkaError;
use super::room::Room;

/// A topic, and a partition where it is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub(super) topic: Arc<str>,
    pub(super) partition: Option<i32>,
}

impl Place {
    pub(super) fn new(topic: Arc<str>, partition: Option<i32>) -> Self {
        Self { topic, partition }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition.
    pub fn partition(&self) -> Option<i32> {
        self.partition
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record for topic {:?}", self.topic)?;
        if let Some(partition) = self.partition {
            write!(f, " partition {partition}")?;
        }
        Ok(())
    }
}

/// Where a record is, confirmed by all in-sync replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Delivered {
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
/// Dropped, the record is delivered all the same; if it fails, the sink says so on its next call (see
/// [`KafkaSink`](super::KafkaSink)). An error that was awaited here is not told again.
///
/// # Cancel safety
/// Dropping the future gives up the news, not the record. Awaiting `&mut receipt` keeps both.
#[must_use = "a receipt tells whether the record was delivered"]
pub struct Receipt {
    slot: Arc<Slot>,
    room: Arc<Room>,
    told: bool,
}

/// Where the news of one record arrives.
#[derive(Default)]
pub(super) struct Slot(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Waiting,
    Watched(Waker),
    /// Boxed, since an error is larger than everything else here.
    Settled(Box<Result<Delivered, KafkaError>>),
    /// The receipt is gone, or has told.
    Gone,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the news to the receipt; back where there is none any more.
    pub(super) fn settle(
        &self,
        result: Result<Delivered, KafkaError>,
    ) -> Option<Result<Delivered, KafkaError>> {
        let mut state = self.lock();
        if matches!(*state, State::Gone) {
            return Some(result);
        }
        let before = std::mem::replace(&mut *state, State::Settled(Box::new(result)));
        drop(state);
        if let State::Watched(waker) = before {
            waker.wake();
        }
        None
    }
}

impl Receipt {
    pub(super) fn new(slot: Arc<Slot>, room: Arc<Room>) -> Self {
        Self {
            slot,
            room,
            told: false,
        }
    }
}

impl Future for Receipt {
    type Output = Result<Delivered, KafkaError>;

    /// # Panics
    /// Polled again after it resolved.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.told, "a receipt tells once");
        let mut state = self.slot.lock();
        match std::mem::replace(&mut *state, State::Gone) {
            State::Settled(result) => {
                drop(state);
                self.told = true;
                Poll::Ready(*result)
            }
            State::Watched(mut waker) => {
                waker.clone_from(cx.waker());
                *state = State::Watched(waker);
                Poll::Pending
            }
            State::Waiting | State::Gone => {
                *state = State::Watched(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let unheard = std::mem::replace(&mut *self.slot.lock(), State::Gone);
        if let State::Settled(result) = unheard
            && let Err(error) = *result
        {
            self.room.unheard(error);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").finish_non_exhaustive()
    }
}
