//! What travels with a record from its source to its sink.

use std::fmt;
use std::sync::Arc;

/// Where acknowledgements of a lane (a shard, a partition) arrive.
///
/// Called from whatever task finishes a record: must not block, and must not panic.
pub trait Acknowledge: Send + Sync + 'static {
    /// All effects of the record of this number are durable. Called at most once for each number, in any order.
    fn done(&self, number: u64);

    /// The record of this number was dropped with no word on its effects: the lane must not pass it.
    fn dropped(&self, number: u64);

    /// Returns whether the record of this number is still the source's to give: not where another reader may have its lane, or one before it
    /// was dropped. Asked before each step of a record's work, so it must be cheap. Default: always.
    fn is_current(&self, number: u64) -> bool {
        let _ = number;
        true
    }
}

/// The duty to say when the effects of a record are durable.
///
/// The source's checkpoint passes a record only once [`done`](Self::done) was called. Dropped without it, the record counts as
/// not done: its source gives it again, or ends with an error, and says so; it is never taken for done.
#[must_use = "a record whose acknowledgement is dropped is given again"]
pub struct Ack {
    lane: Option<Arc<dyn Acknowledge>>,
    number: u64,
}

impl Ack {
    /// The acknowledgement of a lane's record, for sources of your own.
    pub fn new(lane: Arc<dyn Acknowledge>, number: u64) -> Self {
        Self {
            lane: Some(lane),
            number,
        }
    }

    /// One that tells nobody: for records that need not be given again.
    pub fn untracked() -> Self {
        Self {
            lane: None,
            number: 0,
        }
    }

    /// Says that all effects of the record are durable.
    pub fn done(mut self) {
        if let Some(lane) = self.lane.take() {
            lane.done(self.number);
        }
    }

    /// Returns whether the record is still its source's to give: `false` from when another reader may have its shard or partition, and
    /// where a record before it was dropped. It is given again, here or there.
    ///
    /// To be asked before each step of the record's work, and last before the write that others see. What remains is the step that had begun
    /// before: its effect may come after one of the next reader's.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let lane = self.lane.as_ref();
        lane.is_none_or(|lane| lane.is_current(self.number))
    }

    /// The record's number in its lane.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if let Some(lane) = self.lane.take() {
            lane.dropped(self.number);
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Book(Mutex<Vec<(u64, bool)>>);

    impl Acknowledge for Book {
        fn done(&self, number: u64) {
            self.0.lock().unwrap().push((number, true));
        }

        fn dropped(&self, number: u64) {
            self.0.lock().unwrap().push((number, false));
        }
    }

    #[test]
    fn what_is_done_is_told_once_and_what_is_dropped_is_told_too() {
        let book = Arc::new(Book::default());
        Ack::new(book.clone(), 1).done();
        drop(Ack::new(book.clone(), 2));
        Ack::untracked().done();
        assert_eq!(*book.0.lock().unwrap(), [(1, true), (2, false)]);
    }
}
