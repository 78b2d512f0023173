//! A table's permits for requests, out of the limit over all tables.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sink::shared_limit::Share;

/// The permits that a table holds: one for each request in flight, and those of requests that were
/// answered, until they are used again or given back.
pub(in crate::sink) struct Permits {
    share: Share,
    answered: usize,
    /// The descriptions that all tables may have under way.
    descriptions: Arc<Semaphore>,
}

impl Permits {
    pub(in crate::sink) fn new(share: Share, descriptions: Arc<Semaphore>) -> Self {
        Self {
            share,
            answered: 0,
            descriptions,
        }
    }

    /// Notes that a request was answered.
    pub(super) fn note_answer(&mut self) {
        self.answered += 1;
    }

    /// Takes a permit for a request. Where there is none, the worker is woken once there is.
    pub(super) fn try_take(&mut self) -> bool {
        while self.answered > 0 {
            self.answered -= 1;
            if self.share.try_keep(1) {
                return true;
            }
        }
        self.share.try_take(1, true)
    }

    /// Gives a permit back that was taken for no request, and all of answered ones.
    pub(super) fn give_back(&mut self, unused: usize) {
        self.share.free(std::mem::take(&mut self.answered) + unused);
    }

    /// Takes a permit to describe the table. Descriptions have permits of their own, so that a service
    /// that writes but does not describe keeps no write waiting.
    pub(super) fn try_describe(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.descriptions).try_acquire_owned().ok()
    }

    /// Waits for no permit any more.
    pub(super) fn stop_waiting(&self) {
        self.share.stop_waiting();
    }
}
