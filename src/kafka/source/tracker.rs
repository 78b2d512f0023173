//! The records of one partition that are handed out and not yet done.

use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::{Offset, TopicPartitionList};

use super::admission::Admission;
use crate::admission::Level;
use crate::progress::{Acknowledge, Contiguous, PartitionGuard};

/// A partition from its assignment, or from the last time it went back to a dropped record, on.
#[derive(Debug)]
pub(super) struct PartitionTracker {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    admission: Arc<Admission>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    records: Contiguous<Out>,
    /// The records that are out.
    level: Level,
    /// The first offset that is not done. `None` until the partition's start is known.
    resume: Option<i64>,
    /// The offset after all that was handed out, and after what has no record: markers of
    /// transactions, records that were compacted away.
    position: i64,
    /// The last commit's offset, or that of the attempt.
    committed: Option<i64>,
    /// The metadata of commits.
    mark: Arc<str>,
    /// The first record that was dropped without an acknowledgement.
    dropped: Option<u64>,
    phase: Phase,
    /// The place where it begins if the group has no offset of it: that of the tracker before.
    fallback: Option<i64>,
    /// Guards of its closing that are not dropped.
    guards: usize,
    /// The share was out, and not enough of it is done.
    is_full: bool,
}

/// A record that is out.
#[derive(Clone, Copy, Debug)]
struct Out {
    offset: i64,
    bytes: usize,
    /// It takes no room any more.
    is_released: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Records are handed out.
    Open,
    /// No more are; those that are out are still this member's.
    Closing,
    /// As closing, but what is out was rewound: it is given again, from the group's offset on.
    Forfeited,
    /// Records that are out are another member's, or are given again.
    Retired,
}

impl PartitionTracker {
    /// Returns a tracker of a partition whose start is not known yet.
    pub(super) fn new(topic: Arc<str>, partition: i32, admission: Arc<Admission>) -> Arc<Self> {
        Arc::new(Self {
            topic,
            partition,
            admission,
            state: Mutex::new(State {
                records: Contiguous::new(),
                level: Level::default(),
                resume: None,
                position: 0,
                committed: None,
                mark: "".into(),
                dropped: None,
                phase: Phase::Open,
                fallback: None,
                guards: 0,
                is_full: false,
            }),
        })
    }

    pub(super) fn key(&self) -> (Arc<str>, i32) {
        (Arc::clone(&self.topic), self.partition)
    }

    /// Sets where the partition begins, and the metadata of its commits. The start is committed as
    /// well, so that the group has an offset of the partition from now on.
    pub(super) fn start(&self, offset: i64, mark: Arc<str>) {
        let mut state = self.state.lock();
        state.resume = Some(offset);
        state.position = offset;
        state.mark = mark;
    }

    /// Retires it and returns a tracker in its place, which begins at the first offset that is not done.
    pub(super) fn renew(&self) -> Arc<Self> {
        let resume = self.resume();
        self.renew_at(resume.unwrap_or_default(), self.mark())
    }

    /// Retires it and returns a tracker in its place, which begins at `offset`.
    pub(super) fn renew_at(&self, offset: i64, mark: Arc<str>) -> Arc<Self> {
        self.retire();
        let admission = Arc::clone(&self.admission);
        let new = Self::new(Arc::clone(&self.topic), self.partition, admission);
        new.start(offset, mark);
        new
    }

    /// Retires it and returns a tracker in its place, whose start is to be asked for.
    pub(super) fn rewind(&self) -> Arc<Self> {
        self.retire();
        let fallback = {
            let state = self.state.lock();
            state.resume.or(state.fallback)
        };
        let admission = Arc::clone(&self.admission);
        let new = Self::new(Arc::clone(&self.topic), self.partition, admission);
        new.state.lock().fallback = fallback;
        new
    }

    /// Returns the place where it begins if the group has no offset of it.
    pub(super) fn fallback(&self) -> Option<i64> {
        self.state.lock().fallback
    }

    /// Returns whether its start was known at some time, now or before a rewind.
    pub(super) fn was_opened(&self) -> bool {
        let state = self.state.lock();
        state.resume.or(state.fallback).is_some()
    }

    /// Returns the metadata of commits.
    pub(super) fn mark(&self) -> Arc<str> {
        Arc::clone(&self.state.lock().mark)
    }

    /// Notes a record that is handed out. Returns `None` where none is handed out any more.
    pub(super) fn push(&self, offset: i64, bytes: usize) -> Option<u64> {
        let mut state = self.state.lock();
        if state.dropped.is_some() || state.phase != Phase::Open {
            return None;
        }
        if state.records.is_empty() {
            state.resume = Some(offset);
        }
        state.position = offset + 1;
        state.level.take(bytes);
        self.admission.level.take(bytes);
        Some(state.records.push(Out {
            offset,
            bytes,
            is_released: false,
        }))
    }

    /// Notes that nothing before this offset is left to hand out. Returns whether that is news.
    pub(super) fn advance(&self, position: i64) -> bool {
        let mut state = self.state.lock();
        let has_advanced = state.dropped.is_none()
            && state.phase == Phase::Open
            && state.resume.is_some()
            && position > state.position;
        if has_advanced {
            state.position = position;
            state.settle();
        }
        has_advanced
    }

    /// Returns the offset after all that was handed out.
    pub(super) fn position(&self) -> i64 {
        self.state.lock().position
    }

    /// Returns whether no more may be handed out now. Once its share is out, that is so until a quarter
    /// of the share is done, so that reading does not stop and go at every record.
    pub(super) fn is_full(&self) -> bool {
        let share = self.admission.share();
        let mut state = self.state.lock();
        state.is_full = match state.is_full {
            true => !share.resumes(state.level),
            false => !share.has_room(state.level),
        };
        state.is_full
    }

    /// Returns the offset to commit with its metadata, if it is another than the last one. It counts
    /// as committed then.
    pub(super) fn take_commit(&self) -> Option<(i64, Arc<str>)> {
        let mut state = self.state.lock();
        if state.resume == state.committed {
            return None;
        }
        state.committed = state.resume;
        Some((state.resume?, Arc::clone(&state.mark)))
    }

    /// Notes that the last commit failed: it is to be made again.
    pub(super) fn not_committed(&self) {
        self.state.lock().committed = None;
    }

    /// Returns the first offset that is not done, where one is known.
    pub(super) fn resume(&self) -> Option<i64> {
        self.state.lock().resume
    }

    /// Returns the first offset that is not done, with the metadata of its commit, where one is known and
    /// the partition is this member's.
    pub(super) fn owned(&self) -> Option<(i64, Arc<str>)> {
        let state = self.state.lock();
        let offset = state.resume.filter(|_| state.has_records())?;
        Some((offset, Arc::clone(&state.mark)))
    }

    /// Returns whether a record was dropped, so that the partition has to go back to it.
    pub(super) fn has_failed(&self) -> bool {
        let state = self.state.lock();
        state.dropped.is_some() && state.phase == Phase::Open
    }

    /// Returns whether it is neither closing nor retired.
    pub(super) fn is_open(&self) -> bool {
        self.state.lock().phase == Phase::Open
    }

    /// Hands out nothing more. What is out is still this member's.
    pub(super) fn close(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
    }

    /// Gives up what is out of a partition that is closing: its offset may be behind the group's by now, and
    /// must not be committed any more.
    pub(super) fn forfeit(&self) {
        let mut state = self.state.lock();
        if state.phase != Phase::Closing {
            return;
        }
        state.phase = Phase::Forfeited;
        let out = std::mem::take(&mut state.level);
        drop(state);
        self.admission.level.free(out);
        // No record is waited for any more.
        self.admission.wake.notify_one();
    }

    /// Returns a guard that keeps the partition this member's.
    pub(super) fn guard(self: &Arc<Self>) -> PartitionGuard {
        self.state.lock().guards += 1;
        let tracker = Arc::clone(self);
        PartitionGuard::new(move || {
            tracker.state.lock().guards -= 1;
            tracker.admission.wake.notify_one();
        })
    }

    /// Returns whether nothing is left to wait for: no guard, and no record, or the first that is not
    /// done was dropped or forfeited.
    pub(super) fn is_settled(&self) -> bool {
        let state = self.state.lock();
        let first = state.records.first();
        // Not by their level: a record that is released is not done.
        let is_done = state.records.is_empty() || state.dropped.is_some_and(|at| at <= first);
        state.guards == 0 && (is_done || !state.has_records())
    }

    /// Hands out nothing more, and ignores acknowledgements from now on.
    pub(super) fn retire(&self) {
        let mut state = self.state.lock();
        state.phase = Phase::Retired;
        let out = std::mem::take(&mut state.level);
        drop(state);
        self.admission.level.free(out);
    }
}

impl State {
    /// Returns whether the records that are out are this member's.
    fn has_records(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Closing)
    }

    /// Moves `resume` past what has no record, where nothing is out.
    fn settle(&mut self) {
        if self.records.is_empty() {
            self.resume = Some(self.position);
        }
    }
}

impl Acknowledge for PartitionTracker {
    fn release(&self, number: u64) {
        let share = self.admission.share();
        let mut state = self.state.lock();
        if !state.has_records() {
            return;
        }
        let Some(out) = state.records.open_mut(number) else {
            return;
        };
        let bytes = std::mem::take(&mut out.bytes);
        if std::mem::replace(&mut out.is_released, true) {
            return;
        }
        state.level.free(bytes);
        let wakes_reader = state.is_full && share.resumes(state.level);
        drop(state);
        self.admission.level.free(Level { records: 1, bytes });
        if wakes_reader {
            self.admission.wake.notify_one();
        }
    }

    fn done(&self, number: u64) {
        let share = self.admission.share();
        let mut state = self.state.lock();
        if !state.has_records() {
            // The record is another member's by now, or comes again.
            return;
        }
        let Some(out) = state.records.open(number).copied() else {
            return;
        };
        if !out.is_released {
            state.level.free(out.bytes);
        }
        if state.records.done(number)
            && let Some(last) = state.records.take_watermark()
        {
            state.resume = Some(last.offset + 1);
            state.settle();
        }
        let wakes_reader =
            state.phase == Phase::Closing || (state.is_full && share.resumes(state.level));
        drop(state);
        if !out.is_released {
            let bytes = out.bytes;
            self.admission.level.free(Level { records: 1, bytes });
        }
        if wakes_reader {
            self.admission.wake.notify_one();
        }
    }

    fn dropped(&self, number: u64) {
        let mut state = self.state.lock();
        if !state.has_records() {
            return;
        }
        let before = state.dropped;
        state.dropped = Some(before.map_or(number, |first| first.min(number)));
        let wakes_reader = before.is_none() || state.phase == Phase::Closing;
        drop(state);
        if wakes_reader {
            self.admission.wake.notify_one();
        }
    }

    fn is_current(&self, number: u64) -> bool {
        let state = self.state.lock();
        state.has_records() && state.dropped.is_none_or(|first| number < first)
    }
}

/// Returns what of these partitions is to be committed. It counts as committed from then on.
pub(super) fn to_commit(trackers: &[Arc<PartitionTracker>]) -> Option<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for tracker in trackers {
        if let Some((offset, mark)) = tracker.take_commit() {
            let mut element = list.add_partition(&tracker.topic, tracker.partition);
            // Only an offset below zero can't be set.
            if element.set_offset(Offset::Offset(offset)).is_ok() {
                element.set_metadata(&*mark);
            }
        }
    }
    (list.count() > 0).then_some(list)
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
