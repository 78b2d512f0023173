//! Between the source's thread and whoever takes the records.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::super::error::KafkaError;
use super::message::Message;

#[derive(Debug, Default)]
pub(super) struct Outlet(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Message>,
    waker: Option<Waker>,
    /// No more comes; the error is told once.
    end: Option<Option<KafkaError>>,
}

impl Outlet {
    pub(super) fn push(&self, message: Message) {
        let mut state = self.lock();
        if state.end.is_some() {
            drop(state);
            drop(message);
            return;
        }
        state.queue.push_back(message);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes back what is not yet taken of a partition.
    pub(super) fn withdraw(&self, topic: &Arc<str>, partition: i32) {
        let mut state = self.lock();
        let (gone, left) = std::mem::take(&mut state.queue)
            .into_iter()
            .partition::<VecDeque<_>, _>(|message| {
                message.partition == partition && message.topic == *topic
            });
        state.queue = left;
        drop(state);
        // Their acknowledgements speak up when they are dropped, so not under the lock.
        drop(gone);
    }

    /// No more comes, for this reason; what is not yet taken is taken back. The first reason stays.
    pub(super) fn end(&self, reason: Option<KafkaError>) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(reason);
        }
        let gone = std::mem::take(&mut state.queue);
        let waker = state.waker.take();
        drop(state);
        drop(gone);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Option<Result<Vec<Message>, KafkaError>>> {
        let mut state = self.lock();
        if !state.queue.is_empty() {
            let count = state.queue.len().min(most.max(1));
            return Poll::Ready(Some(Ok(state.queue.drain(..count).collect())));
        }
        if let Some(end) = &mut state.end {
            return Poll::Ready(end.take().map(Err));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under the lock can leave the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
