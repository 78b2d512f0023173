//! The channel from the operators to the sink, a whole batch at a time.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::chain::Outputs;

pub(super) struct BatchChannel<O> {
    outputs: Mutex<Outputs<O>>,
    finished: AtomicBool,
    wake: Notify,
}

impl<O> BatchChannel<O> {
    pub(super) fn new() -> Self {
        Self {
            outputs: Mutex::new(Vec::new()),
            finished: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// Sends all of `outputs`, and leaves capacity in it where there is some to spare.
    pub(super) fn give(&self, outputs: &mut Outputs<O>) {
        if outputs.is_empty() {
            return;
        }
        let mut queued = self.outputs.lock();
        if queued.is_empty() {
            std::mem::swap(&mut *queued, outputs);
        } else {
            queued.append(outputs);
        }
        drop(queued);
        self.wake.notify_one();
    }

    /// Notes that nothing more is sent.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Waits for values and puts them into `into`, which must be empty. Returns `false` once there
    /// will be none.
    pub(super) async fn take(&self, into: &mut Outputs<O>) -> bool {
        loop {
            let finished = self.finished.load(Ordering::SeqCst);
            std::mem::swap(&mut *self.outputs.lock(), into);
            if !into.is_empty() {
                return true;
            }
            if finished {
                return false;
            }
            self.wake.notified().await;
        }
    }
}
