//! The book of one partition, and what all of them together have out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::progress::{Acknowledge, Contiguous};

/// What is handed out and not acknowledged, over all partitions, against its bounds.
#[derive(Debug)]
pub(super) struct Outstanding {
    max_records: usize,
    max_bytes: usize,
    records: AtomicUsize,
    bytes: AtomicUsize,
    /// The source's thread waits until less is out.
    full: AtomicBool,
    /// Wakes the source's thread.
    pub(super) wake: Notify,
}

impl Outstanding {
    pub(super) fn new(max_records: usize, max_bytes: usize) -> Self {
        Self {
            max_records,
            max_bytes,
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    pub(super) fn level(&self) -> (usize, usize) {
        (self.records.load(SeqCst), self.bytes.load(SeqCst))
    }

    /// Whether no more may be handed out now. Once full, it stays so until half is done, so that the source does not stop and go
    /// at every record.
    pub(super) fn is_full(&self) -> bool {
        if self.full.load(SeqCst) {
            if !self.is_half_empty() {
                return true;
            }
            self.full.store(false, SeqCst);
        }
        let (records, bytes) = self.level();
        if records < self.max_records && bytes < self.max_bytes {
            return false;
        }
        self.full.store(true, SeqCst);
        // What was done before the flag stood has woken nobody.
        !self.is_half_empty()
    }

    fn is_half_empty(&self) -> bool {
        let (records, bytes) = self.level();
        records <= self.max_records / 2 && bytes <= self.max_bytes / 2
    }

    fn add(&self, bytes: usize) {
        self.records.fetch_add(1, SeqCst);
        self.bytes.fetch_add(bytes, SeqCst);
    }

    fn free(&self, records: usize, bytes: usize) {
        self.records.fetch_sub(records, SeqCst);
        self.bytes.fetch_sub(bytes, SeqCst);
        if self.full.load(SeqCst) && self.is_half_empty() {
            self.wake.notify_one();
        }
    }
}

/// A partition as long as it is assigned and nothing was dropped: its end makes its late acknowledgements void.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    outstanding: Arc<Outstanding>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    book: Contiguous<i64>,
    /// Of what is out, by number.
    sizes: HashMap<u64, usize>,
    /// The first offset that is not done, once anything was handed out or known.
    resume: Option<i64>,
    /// What the last commit said, or tried to.
    committed: Option<i64>,
    moved: bool,
    /// The first record that was dropped without an acknowledgement.
    dropped: Option<u64>,
    retired: bool,
}

impl Lane {
    /// `resume` is where it begins, if that is known.
    pub(super) fn new(
        topic: Arc<str>,
        partition: i32,
        outstanding: Arc<Outstanding>,
        resume: Option<i64>,
    ) -> Arc<Self> {
        Arc::new(Self {
            topic,
            partition,
            outstanding,
            state: Mutex::new(State {
                book: Contiguous::new(),
                sizes: HashMap::new(),
                resume,
                committed: None,
                moved: false,
                dropped: None,
                retired: false,
            }),
        })
    }

    /// Notes a record that is handed out; `None` where the lane hands out nothing any more.
    pub(super) fn push(&self, offset: i64, bytes: usize) -> Option<u64> {
        let mut state = self.lock();
        if state.dropped.is_some() || state.retired {
            return None;
        }
        state.resume.get_or_insert(offset);
        let number = state.book.push(offset);
        state.sizes.insert(number, bytes);
        self.outstanding.add(bytes);
        Some(number)
    }

    /// The offset to commit, if it is another than the last one. It counts as committed then.
    pub(super) fn take_commit(&self) -> Option<i64> {
        let mut state = self.lock();
        if !state.moved || state.resume == state.committed {
            return None;
        }
        state.committed = state.resume;
        state.committed
    }

    /// The last commit failed: it is to be made again.
    pub(super) fn not_committed(&self) {
        self.lock().committed = None;
    }

    /// The first offset that is not done, where one is known.
    pub(super) fn resume(&self) -> Option<i64> {
        self.lock().resume
    }

    pub(super) fn has_failed(&self) -> bool {
        self.lock().dropped.is_some()
    }

    /// Hands out nothing more, and hears no acknowledgement any more.
    pub(super) fn retire(&self) {
        let mut state = self.lock();
        state.retired = true;
        let sizes = std::mem::take(&mut state.sizes);
        drop(state);
        self.outstanding.free(sizes.len(), sizes.values().sum());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acknowledge for Lane {
    fn done(&self, number: u64) {
        let mut state = self.lock();
        let Some(bytes) = state.sizes.remove(&number) else {
            // Retired: the record belongs to somebody else by now, or comes again.
            return;
        };
        if state.book.done(number)
            && let Some(offset) = state.book.take_watermark()
        {
            state.resume = Some(offset + 1);
            state.moved = true;
        }
        drop(state);
        self.outstanding.free(1, bytes);
    }

    fn dropped(&self, number: u64) {
        let mut state = self.lock();
        if state.retired {
            return;
        }
        let before = state.dropped;
        state.dropped = Some(before.map_or(number, |first| first.min(number)));
        drop(state);
        if before.is_none() {
            self.outstanding.wake.notify_one();
        }
    }

    fn is_current(&self, number: u64) -> bool {
        let state = self.lock();
        !state.retired && state.dropped.is_none_or(|first| number < first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(records: usize) -> (Arc<Outstanding>, Arc<Lane>) {
        let outstanding = Arc::new(Outstanding::new(records, 1_000));
        let lane = Lane::new("t".into(), 0, outstanding.clone(), None);
        (outstanding, lane)
    }

    #[test]
    fn only_offsets_without_a_gap_are_committed_and_each_once() {
        let (_, lane) = lane(100);
        let numbers: Vec<u64> = [5, 6, 9]
            .map(|offset| lane.push(offset, 1).expect("open"))
            .into();
        assert_eq!(lane.take_commit(), None);
        lane.done(numbers[1]);
        assert_eq!(lane.take_commit(), None, "5 is not done");
        assert_eq!(lane.resume(), Some(5));
        lane.done(numbers[0]);
        assert_eq!(lane.take_commit(), Some(7));
        assert_eq!(lane.take_commit(), None);
        lane.not_committed();
        assert_eq!(lane.take_commit(), Some(7), "again");
        lane.done(numbers[2]);
        assert_eq!(lane.take_commit(), Some(10));
    }

    #[test]
    fn a_retired_lane_frees_what_is_out_and_hears_nothing_more() {
        let (outstanding, lane) = lane(100);
        let first = lane.push(0, 10).expect("open");
        let second = lane.push(1, 20).expect("open");
        lane.done(first);
        lane.retire();
        assert_eq!(outstanding.level(), (0, 0));
        lane.done(second);
        lane.dropped(second);
        assert_eq!(outstanding.level(), (0, 0));
        assert_eq!(lane.resume(), Some(1));
        assert_eq!(
            lane.take_commit(),
            Some(1),
            "what was done before still counts"
        );
        assert_eq!(lane.push(2, 1), None);
    }

    #[test]
    fn a_failed_lane_hands_out_nothing_more_but_goes_on_counting() {
        let (_, lane) = lane(100);
        let first = lane.push(0, 1).expect("open");
        let second = lane.push(1, 1).expect("open");
        lane.dropped(second);
        assert!(lane.has_failed());
        assert_eq!(lane.push(2, 1), None);
        lane.done(first);
        assert_eq!(lane.resume(), Some(1));
    }

    #[test]
    fn once_full_it_stays_full_until_half_is_done() {
        let (outstanding, lane) = lane(4);
        let numbers: Vec<u64> = (0..4).map(|n| lane.push(n, 1).expect("open")).collect();
        assert!(outstanding.is_full());
        lane.done(numbers[0]);
        assert!(outstanding.is_full());
        lane.done(numbers[1]);
        assert!(!outstanding.is_full());
    }
}
