//! The queue between the source's thread and the task that takes its records.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::super::error::KafkaError;
use super::message::{Key, Message};
use crate::progress::PartitionGuard;
use parking_lot::{Mutex, MutexGuard};

/// An event of a [`KafkaSource`](super::KafkaSource).
#[derive(Debug)]
#[non_exhaustive]
pub enum KafkaEvent {
    /// Records, those of each partition in order.
    Records(Vec<Message>),
    /// A partition is this member's from now on: its records follow.
    #[non_exhaustive]
    Opened {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },
    /// All records before an offset were handed out, also where there are none: markers of
    /// transactions have offsets, and so have records that were compacted away.
    #[non_exhaustive]
    Advanced {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The offset of the next record.
        offset: i64,
    },
    /// A partition is to go to another member: no more records of it come here. It is still this
    /// member's until all of its records that are out are acknowledged or dropped and the guard is
    /// dropped, or [`drain_timeout`](super::KafkaSourceSettings::drain_timeout) is over.
    #[non_exhaustive]
    Closing {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The guard of the partition.
        guard: PartitionGuard,
    },
    /// A partition is no longer this member's: its time was over, or the group went on without this
    /// member. Its records that are out are not current any more.
    #[non_exhaustive]
    Lost {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },
    /// A partition was read to its end.
    #[non_exhaustive]
    Idle {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },
}

/// An entry of the queue.
enum Item {
    Message(Message),
    Opened(Key),
}

impl Item {
    fn is_opening(&self) -> bool {
        matches!(self, Self::Opened(_))
    }

    fn is_of(&self, of: &Arc<str>, number: i32) -> bool {
        let (topic, partition) = match self {
            Self::Message(message) => (&message.topic, message.partition),
            Self::Opened((topic, partition)) => (topic, *partition),
        };
        partition == number && topic == of
    }
}

#[derive(Default)]
pub(super) struct Output(Mutex<State>);

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    /// The ends of partitions, which overtake what is queued of others.
    closings: VecDeque<KafkaEvent>,
    /// The progress of partitions, given once no record is queued: one of each, however slow the caller.
    progress: BTreeMap<Key, Progress>,
    waker: Option<Waker>,
    /// Events are wanted beside records.
    takes_events: bool,
    /// No more comes; the error is returned once.
    end: Option<Option<KafkaError>>,
}

#[derive(Default)]
struct Progress {
    advanced: Option<i64>,
    is_idle: bool,
}

impl Output {
    pub(super) fn push(&self, message: Message) {
        let mut state = self.0.lock();
        if state.end.is_some() {
            drop(state);
            return drop(message);
        }
        if !state.progress.is_empty() {
            let key = (Arc::clone(&message.topic), message.partition);
            if let Some(progress) = state.progress.get_mut(&key) {
                progress.is_idle = false;
            }
        }
        state.queue.push_back(Item::Message(message));
        wake(state);
    }

    /// Adds the opening of a partition, where events are wanted.
    pub(super) fn opened(&self, key: Key) {
        let mut state = self.0.lock();
        if state.end.is_none() && state.takes_events {
            state.queue.push_back(Item::Opened(key));
            wake(state);
        }
    }

    /// Notes how far a partition was handed out.
    pub(super) fn advanced(&self, key: &Key, offset: i64) {
        self.progress(key, |progress| progress.advanced = Some(offset));
    }

    /// Notes that a partition was read to its end.
    pub(super) fn idle(&self, key: &Key) {
        self.progress(key, |progress| progress.is_idle = true);
    }

    fn progress(&self, key: &Key, note: impl FnOnce(&mut Progress)) {
        let mut state = self.0.lock();
        if state.end.is_none() && state.takes_events {
            note(state.progress.entry(key.clone()).or_default());
            wake(state);
        }
    }

    /// Adds the end of a partition, which overtakes other partitions' records.
    pub(super) fn closing(&self, event: KafkaEvent) {
        let mut state = self.0.lock();
        if state.end.is_some() || !state.takes_events {
            drop(state);
            return drop(event);
        }
        state.closings.push_back(event);
        wake(state);
    }

    /// Takes back what is not yet taken of a partition. Returns whether its opening was among it.
    pub(super) fn withdraw(&self, topic: &Arc<str>, partition: i32) -> bool {
        let gone = self.take_out(topic, partition, |_| true);
        // Dropped outside the lock: acknowledgements and guards call their trackers.
        gone.iter().any(Item::is_opening)
    }

    /// Takes back the records and the positions that are not yet taken of a partition that goes back.
    pub(super) fn take_back(&self, topic: &Arc<str>, partition: i32) {
        drop(self.take_out(topic, partition, |item| !item.is_opening()));
    }

    fn take_out(
        &self,
        topic: &Arc<str>,
        partition: i32,
        goes: impl Fn(&Item) -> bool,
    ) -> VecDeque<Item> {
        let mut state = self.0.lock();
        let (gone, left) = std::mem::take(&mut state.queue)
            .into_iter()
            .partition(|item| item.is_of(topic, partition) && goes(item));
        state.queue = left;
        state.progress.remove(&(Arc::clone(topic), partition));
        gone
    }

    /// Ends the queue for this reason; what is not yet taken is taken back. The first reason stays.
    /// Returns whether this is the first.
    pub(super) fn end(&self, reason: Option<KafkaError>) -> bool {
        let mut state = self.0.lock();
        let is_first = state.end.is_none();
        if is_first {
            state.end = Some(reason);
        }
        let gone = std::mem::take(&mut state.queue);
        let closings = std::mem::take(&mut state.closings);
        wake(state);
        drop((gone, closings));
        is_first
    }

    /// Has events given beside records.
    pub(super) fn want_events(&self) {
        self.0.lock().takes_events = true;
    }

    /// Takes what comes next, of records at most `max`.
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Option<Result<KafkaEvent, KafkaError>>> {
        let mut state = self.0.lock();
        if let Some(event) = state.closings.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        if let Some(event) = state.next(max) {
            return Poll::Ready(Some(Ok(event)));
        }
        if let Some(end) = &mut state.end {
            return Poll::Ready(end.take().map(Err));
        }
        wait(state, cx);
        Poll::Pending
    }

    /// Takes the next end of a partition.
    pub(super) fn poll_closing(&self, cx: &mut Context<'_>) -> Poll<KafkaEvent> {
        let mut state = self.0.lock();
        if let Some(event) = state.closings.pop_front() {
            return Poll::Ready(event);
        }
        wait(state, cx);
        Poll::Pending
    }
}

/// Wakes the caller, outside the lock: a waker is code of its own.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Has the caller woken.
fn wait(mut state: MutexGuard<'_, State>, cx: &Context<'_>) {
    let before = state.waker.replace(cx.waker().clone());
    drop(state);
    drop(before);
}

impl State {
    /// Takes an opening, or records up to the next opening; without any, a partition's progress.
    fn next(&mut self, max: usize) -> Option<KafkaEvent> {
        let mut messages = Vec::new();
        while messages.len() < max.max(1) {
            match self.queue.pop_front() {
                Some(Item::Message(message)) => messages.push(message),
                Some(Item::Opened((topic, partition))) if messages.is_empty() => {
                    return Some(KafkaEvent::Opened { topic, partition });
                }
                Some(opening) => {
                    self.queue.push_front(opening);
                    break;
                }
                None => break,
            }
        }
        if !messages.is_empty() {
            return Some(KafkaEvent::Records(messages));
        }
        let mut first = self.progress.first_entry()?;
        let (topic, partition) = first.key().clone();
        if let Some(offset) = first.get_mut().advanced.take() {
            return Some(KafkaEvent::Advanced {
                topic,
                partition,
                offset,
            });
        }
        let is_idle = first.remove().is_idle;
        is_idle
            .then_some(KafkaEvent::Idle { topic, partition })
            .or_else(|| self.next(max))
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}
