//! The queue between the source's thread and the task that takes its records.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::super::error::KafkaError;
use super::message::Message;
use crate::progress::PartitionGuard;

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
        /// The hold on the partition.
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
pub(super) enum Item {
    Message(Message),
    Event(KafkaEvent),
}

impl Item {
    fn is_of(&self, of: &Arc<str>, number: i32) -> bool {
        let (topic, partition) = match self {
            Self::Message(message) => (&message.topic, message.partition),
            Self::Event(event) => match event {
                KafkaEvent::Opened { topic, partition }
                | KafkaEvent::Advanced {
                    topic, partition, ..
                }
                | KafkaEvent::Closing {
                    topic, partition, ..
                }
                | KafkaEvent::Lost { topic, partition }
                | KafkaEvent::Idle { topic, partition } => (topic, *partition),
                KafkaEvent::Records(_) => return false,
            },
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
    waker: Option<Waker>,
    /// Events are wanted beside records.
    wants_events: bool,
    /// No more comes; the error is returned once.
    end: Option<Option<KafkaError>>,
}

impl Output {
    pub(super) fn push(&self, message: Message) {
        self.add(Item::Message(message), |_| {});
    }

    /// Adds an event, where events are wanted.
    pub(super) fn event(&self, event: KafkaEvent) {
        self.add(Item::Event(event), |state| {
            // The latest position says all: a caller that is slow must not find one for each second.
            if let (Some(Item::Event(last)), Some(Item::Event(new))) = state.last_two()
                && is_advance_of_same(last, new)
            {
                let at = state.queue.len() - 2;
                state.queue.remove(at);
            }
        });
    }

    /// Adds the end of a partition, which overtakes other partitions' records.
    pub(super) fn closing(&self, event: KafkaEvent) {
        let mut state = self.lock();
        if state.end.is_some() || !state.wants_events {
            drop(state);
            return drop(event);
        }
        state.closings.push_back(event);
        state.wake();
    }

    fn add(&self, item: Item, then: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        if state.end.is_some() || (matches!(item, Item::Event(_)) && !state.wants_events) {
            drop(state);
            return drop(item);
        }
        state.queue.push_back(item);
        then(&mut state);
        state.wake();
    }

    /// Takes back what is not yet taken of a partition. Returns whether its opening was among it.
    pub(super) fn withdraw(&self, topic: &Arc<str>, partition: i32) -> bool {
        let mut state = self.lock();
        let (gone, left) = std::mem::take(&mut state.queue)
            .into_iter()
            .partition::<VecDeque<_>, _>(|item| item.is_of(topic, partition));
        state.queue = left;
        drop(state);
        let is_opening = |item: &Item| matches!(item, Item::Event(KafkaEvent::Opened { .. }));
        // Dropped outside the lock: acknowledgements and guards call their trackers.
        gone.iter().any(is_opening)
    }

    /// Takes back the records and the positions that are not yet taken of a partition that goes back.
    pub(super) fn take_back(&self, topic: &Arc<str>, partition: i32) {
        let mut state = self.lock();
        let goes = |item: &Item| {
            let is_opening = matches!(item, Item::Event(KafkaEvent::Opened { .. }));
            item.is_of(topic, partition) && !is_opening
        };
        let (gone, left) = std::mem::take(&mut state.queue)
            .into_iter()
            .partition::<VecDeque<_>, _>(goes);
        state.queue = left;
        drop(state);
        drop(gone);
    }

    /// Ends the queue for this reason; what is not yet taken is taken back. The first reason stays.
    pub(super) fn end(&self, reason: Option<KafkaError>) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(reason);
        }
        let gone = std::mem::take(&mut state.queue);
        let closings = std::mem::take(&mut state.closings);
        state.wake();
        drop(state);
        drop((gone, closings));
    }

    /// Has events given beside records.
    pub(super) fn want_events(&self) {
        self.lock().wants_events = true;
    }

    /// Takes what comes next, of records at most `max`.
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Option<Result<KafkaEvent, KafkaError>>> {
        let mut state = self.lock();
        if let Some(event) = state.closings.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        let mut messages = Vec::new();
        while messages.len() < max.max(1) {
            match state.queue.pop_front() {
                Some(Item::Message(message)) => messages.push(message),
                Some(Item::Event(event)) if messages.is_empty() => {
                    return Poll::Ready(Some(Ok(event)));
                }
                Some(event) => {
                    state.queue.push_front(event);
                    break;
                }
                None => break,
            }
        }
        if !messages.is_empty() {
            return Poll::Ready(Some(Ok(KafkaEvent::Records(messages))));
        }
        if let Some(end) = &mut state.end {
            return Poll::Ready(end.take().map(Err));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes the next end of a partition.
    pub(super) fn poll_closing(&self, cx: &mut Context<'_>) -> Poll<KafkaEvent> {
        let mut state = self.lock();
        if let Some(event) = state.closings.pop_front() {
            return Poll::Ready(event);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under the lock can leave the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn last_two(&self) -> (Option<&Item>, Option<&Item>) {
        let mut last = self.queue.iter().rev();
        let new = last.next();
        (last.next(), new)
    }
}

fn is_advance_of_same(last: &KafkaEvent, new: &KafkaEvent) -> bool {
    match (last, new) {
        (
            KafkaEvent::Advanced {
                topic, partition, ..
            },
            KafkaEvent::Advanced {
                topic: of,
                partition: number,
                ..
            },
        ) => topic == of && partition == number,
        _ => false,
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}
