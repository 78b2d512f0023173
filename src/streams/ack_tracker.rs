//! The records of a shard that are handed out and not yet done.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::SequenceNumber;
use crate::clock::Clock;
use crate::progress::{Acknowledge, Contiguous, PartitionGuard};

/// The outstanding records of a shard, shared by the task that reads it and those that handle them.
#[derive(Debug)]
pub(crate) struct AckTracker {
    pages: Mutex<Pages>,
    changed: Notify,
    clock: Clock,
    /// The time from which the shard is no longer this worker's, in milliseconds of the clock.
    valid_until: AtomicU64,
    /// The records that are being written as letters.
    letters: AtomicUsize,
}

/// A record that is being written as a letter.
#[derive(Debug)]
pub(super) struct OpenLetter(Arc<AckTracker>);

impl Drop for OpenLetter {
    fn drop(&mut self) {
        self.0.letters.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug)]
struct Pages {
    records: Contiguous<Option<SequenceNumber>>,
    /// The number after each page's last record, and the page's bytes.
    ends: VecDeque<(u64, usize)>,
    bytes: usize,
    /// The number of bytes below which the waiting reader is woken.
    wake_below: Option<usize>,
    /// The first record that was dropped without an acknowledgement.
    dropped: Option<u64>,
    /// Set once this task no longer reads the shard, or another worker does: records that were not
    /// taken yet are not handed out.
    revoked: bool,
    /// Set once the stream knows that the shard is to be given up: what it has not taken by then is
    /// left to the next reader.
    is_closing: bool,
    /// The guards of the shard's closing that are not dropped.
    guards: usize,
}

impl Pages {
    /// Returns whether nothing is left to wait for: no guard, and all are done, or the first open one
    /// was dropped.
    fn is_settled(&self) -> bool {
        let first = self.records.first();
        let is_done = self.records.is_empty() || self.dropped.is_some_and(|at| at <= first);
        is_done && self.guards == 0
    }
}

impl AckTracker {
    /// Returns a tracker without records. The shard is this worker's until [`valid_until`](Self::valid_until)
    /// sets another time.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            valid_until: AtomicU64::new(u64::MAX),
            letters: AtomicUsize::new(0),
            pages: Mutex::new(Pages {
                records: Contiguous::new(),
                ends: VecDeque::new(),
                bytes: 0,
                wake_below: None,
                dropped: None,
                revoked: false,
                is_closing: false,
                guards: 0,
            }),
            changed: Notify::new(),
        }
    }

    /// Adds a page of records that are about to be handed out, and returns the number of the first.
    /// A record whose sequence number can't be read is added without one.
    pub(crate) fn push_page<'a>(
        &self,
        sequences: impl Iterator<Item = Option<&'a SequenceNumber>>,
        bytes: usize,
    ) -> u64 {
        let mut pages = self.pages.lock();
        let first = pages.records.next();
        for sequence in sequences {
            pages.records.push(sequence.cloned());
        }
        let end = pages.records.next();
        if end > first {
            pages.ends.push_back((end, bytes));
            pages.bytes += bytes;
        }
        first
    }

    /// Returns the last record with all up to it done, if it has moved since the last call.
    pub(crate) fn take_watermark(&self) -> Option<SequenceNumber> {
        self.pages.lock().records.take_watermark().flatten()
    }

    /// Returns whether every record before this number is done.
    pub(crate) fn is_done_up_to(&self, number: u64) -> bool {
        self.pages.lock().records.first() >= number
    }

    /// Returns the bytes of the pages that have a record which is not done.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.lock().bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pages.lock().records.is_empty()
    }

    /// Returns whether a record was dropped without an acknowledgement, so that those not done are given again.
    pub(crate) fn is_dropped(&self) -> bool {
        self.pages.lock().dropped.is_some()
    }

    /// Stops records that were not taken yet from being handed out.
    pub(crate) fn revoke(&self) {
        self.pages.lock().revoked = true;
    }

    /// Notes that the shard is to be given up, and returns a guard that keeps it from being settled.
    pub(crate) fn close(self: &Arc<Self>) -> PartitionGuard {
        let mut pages = self.pages.lock();
        pages.is_closing = true;
        pages.guards += 1;
        drop(pages);
        let tracker = Arc::clone(self);
        PartitionGuard::new(move || {
            tracker.pages.lock().guards -= 1;
            tracker.changed.notify_waiters();
        })
    }

    /// Notes that the shard is not given up after all.
    pub(crate) fn reopen(&self) {
        self.pages.lock().is_closing = false;
    }

    /// Notes that a record is being written as a letter, for as long as the result lives.
    pub(super) fn open_letter(self: &Arc<Self>) -> OpenLetter {
        self.letters.fetch_add(1, Ordering::AcqRel);
        OpenLetter(Arc::clone(self))
    }

    /// Returns whether nothing that was handed out is to be given again, here or by another worker, as far as is known.
    pub(super) fn is_handing_out(&self) -> bool {
        !self.is_dropped() && !self.is_closing() && !self.is_revoked()
    }

    /// Returns whether a caller may be given progress behind what was handed out: no letter is under way.
    pub(super) fn may_advance(&self) -> bool {
        self.letters.load(Ordering::Acquire) == 0 && self.is_handing_out()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.pages.lock().is_closing
    }

    /// Sets the time until which the shard is this worker's, in case its task does not run in time
    /// to extend it.
    pub(crate) fn valid_until(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.valid_until.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn is_revoked(&self) -> bool {
        let now = u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX);
        self.pages.lock().revoked || now >= self.valid_until.load(Ordering::Relaxed)
    }

    /// Returns whether nothing is left to wait for: records after a dropped one don't count.
    pub(crate) fn is_settled(&self) -> bool {
        self.pages.lock().is_settled()
    }

    /// Resolves when a record was dropped, or fewer bytes than `below` are held. May resolve spuriously.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping it changes nothing for the records.
    pub(crate) async fn room(&self, below: usize) {
        let notified = self.changed.notified();
        {
            let mut pages = self.pages.lock();
            if pages.dropped.is_some() || pages.is_settled() || pages.bytes < below {
                return;
            }
            pages.wake_below = Some(below);
        }
        notified.await;
    }

    /// Resolves when nothing is left to wait for. May resolve spuriously.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping it changes nothing for the records.
    pub(crate) async fn settled(&self) {
        let notified = self.changed.notified();
        if !self.is_settled() {
            notified.await;
        }
    }
}

impl Acknowledge for AckTracker {
    fn done(&self, number: u64) {
        let mut pages = self.pages.lock();
        if !pages.records.done(number) {
            return;
        }
        let first = pages.records.first();
        while let Some((_, bytes)) = pages.ends.pop_front_if(|(end, _)| *end <= first) {
            pages.bytes -= bytes;
        }
        let below = pages.wake_below.is_some_and(|below| pages.bytes < below);
        if below || pages.is_settled() {
            pages.wake_below = None;
            drop(pages);
            self.changed.notify_waiters();
        }
    }

    fn dropped(&self, number: u64) {
        let mut pages = self.pages.lock();
        pages.dropped = Some(pages.dropped.map_or(number, |first| first.min(number)));
        drop(pages);
        self.changed.notify_waiters();
    }

    fn is_current(&self, number: u64) -> bool {
        let dropped = self.pages.lock().dropped;
        !self.is_revoked() && dropped.is_none_or(|dropped| number < dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences(range: std::ops::Range<u32>) -> Vec<SequenceNumber> {
        range
            .map(|n| n.to_string().parse().expect("digits"))
            .collect()
    }

    #[tokio::test]
    async fn a_page_is_held_until_all_its_records_are_done() {
        let acks = AckTracker::new(Clock::start());
        assert_eq!(acks.push_page(sequences(0..3).iter().map(Some), 300), 0);
        assert_eq!(acks.push_page(sequences(3..4).iter().map(Some), 50), 3);
        assert_eq!(
            acks.push_page(sequences(4..4).iter().map(Some), 70),
            4,
            "an empty page holds nothing"
        );
        acks.done(1);
        acks.done(3);
        assert_eq!((acks.bytes(), acks.take_watermark()), (350, None));
        acks.done(0);
        assert_eq!(acks.bytes(), 350);
        acks.done(2);
        assert_eq!(acks.bytes(), 0);
        assert_eq!(acks.take_watermark(), sequences(3..4).pop());
        acks.settled().await;
    }

    #[tokio::test]
    async fn the_reader_is_woken_when_there_is_room_and_when_a_record_is_dropped() {
        let acks = AckTracker::new(Clock::start());
        acks.push_page(sequences(0..1).iter().map(Some), 100);
        acks.push_page(sequences(1..2).iter().map(Some), 100);
        let mut waiting = waits_for_room(&acks);
        assert!(futures::poll!(&mut waiting).is_pending());
        acks.done(0);
        assert!(futures::poll!(&mut waiting).is_ready());
        acks.dropped(1);
        assert!(acks.is_dropped() && acks.is_settled());
        acks.room(0).await;
    }

    #[tokio::test]
    async fn what_came_before_a_dropped_record_is_still_waited_for() {
        let acks = AckTracker::new(Clock::start());
        acks.push_page(sequences(0..3).iter().map(Some), 100);
        acks.dropped(1);
        assert!(acks.is_dropped() && !acks.is_settled());
        let mut waiting = std::pin::pin!(acks.settled());
        assert!(futures::poll!(&mut waiting).is_pending());
        acks.done(2);
        acks.done(0);
        assert!(futures::poll!(&mut waiting).is_ready());
        assert_eq!(acks.take_watermark(), sequences(0..1).pop());
    }

    fn waits_for_room(acks: &AckTracker) -> futures::future::BoxFuture<'_, ()> {
        Box::pin(acks.room(150))
    }
}
