//! The acknowledgement that travels with a record from its source to its sink.

use std::fmt;
use std::sync::Arc;

/// A partition of a source, or a shard, to which acknowledgements report.
///
/// Its methods are called by any task that finishes a record: they must not block, and must not panic.
pub trait Acknowledge: Send + Sync + 'static {
    /// Notes that all effects of the record of this number are durable. Called at most once for each
    /// number, in any order.
    fn done(&self, number: u64);

    /// Notes that the record of this number was dropped, whatever became of its effects: the position
    /// must not pass it.
    fn dropped(&self, number: u64);

    /// Notes that the record of this number is to take no room any more, although it is not done: its effects are in a
    /// transaction that is to be committed, or dropped. Called at most once, before either. Default: it keeps its room.
    fn release(&self, number: u64) {
        let _ = number;
    }

    /// Returns whether the record of this number is still the source's: not where another reader may
    /// have the partition, or where a record before it was dropped. Asked before each step of a record's
    /// work, so it must be cheap. Default: always.
    fn is_current(&self, number: u64) -> bool {
        let _ = number;
        true
    }
}

/// The acknowledgement of a record, to be done once the record's effects are durable.
///
/// The source's checkpoint passes a record only once [`done`](Self::done) was called. Dropped without it, the record counts as
/// not done: its source gives it again, or ends with an error, and says so; it is never taken for done.
#[must_use = "a record whose acknowledgement is dropped is given again"]
pub struct Ack {
    partition: Option<Arc<dyn Acknowledge>>,
    number: u64,
}

impl Ack {
    /// Returns the acknowledgement of a partition's record, for sources of your own.
    pub fn new(partition: Arc<dyn Acknowledge>, number: u64) -> Self {
        Self {
            partition: Some(partition),
            number,
        }
    }

    /// Returns one without effect, for records that need not be given again.
    pub fn untracked() -> Self {
        Self {
            partition: None,
            number: 0,
        }
    }

    /// Reports that all effects of the record are durable.
    pub fn done(mut self) {
        if let Some(partition) = self.partition.take() {
            partition.done(self.number);
        }
    }

    /// Returns whether the record is still its source's to give: `false` from when another reader may have its shard or partition, and
    /// where a record before it was dropped. It is given again, here or there.
    ///
    /// To be asked before each step of the record's work, and last before the write that others see. What remains is the step that had begun
    /// before: its effect may come after one of the next reader's.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let partition = self.partition.as_ref();
        partition.is_none_or(|partition| partition.is_current(self.number))
    }

    /// Reports that the record is to take no room at its source any more.
    #[cfg(feature = "pipeline")]
    pub(crate) fn release(&self) {
        if let Some(partition) = &self.partition {
            partition.release(self.number);
        }
    }

    /// Returns the record's number in its partition.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if let Some(partition) = self.partition.take() {
            partition.dropped(self.number);
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
    use parking_lot::Mutex;

    #[derive(Default)]
    struct Reports(Mutex<Vec<(u64, bool)>>);

    impl Acknowledge for Reports {
        fn done(&self, number: u64) {
            self.0.lock().push((number, true));
        }

        fn dropped(&self, number: u64) {
            self.0.lock().push((number, false));
        }
    }

    #[test]
    fn what_is_done_is_reported_once_and_what_is_dropped_too() {
        let reports = Arc::new(Reports::default());
        Ack::new(reports.clone(), 1).done();
        drop(Ack::new(reports.clone(), 2));
        Ack::untracked().done();
        assert_eq!(*reports.0.lock(), [(1, true), (2, false)]);
    }
}
