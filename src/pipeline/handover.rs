//! From the operators to the sink: whole batches at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::chain::Outputs;

pub(super) struct Handover<O> {
    outputs: Mutex<Outputs<O>>,
    finished: AtomicBool,
    wake: Notify,
}

impl<O> Handover<O> {
    pub(super) fn new() -> Self {
        Self {
            outputs: Mutex::new(Vec::new()),
            finished: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// Hands over all of `outputs`, and leaves room in it where there is some to spare.
    pub(super) fn give(&self, outputs: &mut Outputs<O>) {
        if outputs.is_empty() {
            return;
        }
        let mut held = self.held();
        if held.is_empty() {
            std::mem::swap(&mut *held, outputs);
        } else {
            held.append(outputs);
        }
        drop(held);
        self.wake.notify_one();
    }

    /// Nothing more is given.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Waits for values and puts them into `into`, which must be empty; whether there are any, else there will be none.
    pub(super) async fn take(&self, into: &mut Outputs<O>) -> bool {
        loop {
            let finished = self.finished.load(Ordering::SeqCst);
            std::mem::swap(&mut *self.held(), into);
            if !into.is_empty() {
                return true;
            }
            if finished {
                return false;
            }
            self.wake.notified().await;
        }
    }

    fn held(&self) -> MutexGuard<'_, Outputs<O>> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
