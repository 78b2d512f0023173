//! The duty that travels with a record through the pipeline.

use std::fmt;
use std::sync::Arc;

use super::position::Position;
use super::reason::{Reason, ReasonKind};
use super::turns::Turn;

/// The tracker of a batch of records, to which their deliveries report.
pub(super) trait AckTracker: Send + Sync {
    /// Notes that one effect of the record is durable, or that there is none.
    fn done(self: Arc<Self>, number: u32, holder: Holder);
    /// Notes that an effect of the record will never be durable. `sink` is the one that had it, where there are several.
    fn dropped(&self, number: u32, holder: Holder, sink: Option<&Arc<str>>);
    /// Adds an effect to the record, of the same holder.
    fn share(&self, number: u32, holder: Holder);
    /// Ends an effect of the record that can't be: a value that an operator or the sink refuses.
    fn fail(self: Arc<Self>, number: u32, holder: Holder, failure: Failure) -> Ended;
    /// Returns whether the record is still its source's: not where another reader may have its
    /// partition, or one before it was dropped.
    fn is_current(&self, number: u32) -> bool;
    /// Notes who has a value of the record from now on. Returns `false`, and notes nothing, where
    /// the record is not current.
    fn hand(&self, number: u32, holder: Holder) -> bool;
    /// Returns the position of the first record that is open, and of which this holder has
    /// something.
    fn oldest(&self, holder: Option<Holder>) -> Option<Position>;
    /// Ends the work on a record that is not current. Its next reader is given it.
    fn withdraw(&self, number: u32, holder: Holder);
    /// Returns the turn of the record, while it is open, where the pipeline ends in transactions.
    fn turn(&self, number: u32) -> Option<Turn>;
    /// Returns the position of the record, while it is open.
    fn position(&self, number: u32) -> Option<Position>;
    /// Ends an effect that the sink refuses: `sink`, where there are several.
    fn reject(
        self: Arc<Self>,
        number: u32,
        holder: Holder,
        sink: Option<&Arc<str>>,
        reason: Reason,
    );
}

/// The part of a pipeline that has a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Operators,
    Sink,
    DeadLetters,
}

/// A value that an operator or the sink refuses.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) operator: Arc<str>,
    pub(super) reason: Reason,
    /// The number of times that it was tried.
    pub(super) attempts: u32,
    /// Set where the pipeline is to stop, dead-letter output or not.
    pub(super) stop: bool,
}

/// The end of such a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    DeadLettered,
    Stopped,
    /// The record is not its source's any more.
    Withdrawn,
}

/// The duty to report when the effect of a value is durable.
///
/// When all effects of a source's record are durable, the source's [`Ack`](crate::Ack) is done. One
/// that is dropped with nothing said leaves the record un-acknowledged and stops the pipeline.
#[must_use = "a delivery that is dropped stops the pipeline"]
pub struct Delivery {
    /// `None` once reported, and for deliveries that are not tracked.
    tracker: Option<Arc<dyn AckTracker>>,
    number: u32,
    partition: u64,
    holder: Holder,
    /// The name of the sink that has it, where a pipeline has several.
    sink: Option<Arc<str>>,
}

impl Delivery {
    pub(super) fn new(tracker: Arc<dyn AckTracker>, number: u32, partition: u64) -> Self {
        Self {
            tracker: Some(tracker),
            number,
            partition,
            holder: Holder::Operators,
            sink: None,
        }
    }

    /// Returns a delivery that reports to no pipeline, to try a sink by itself.
    pub fn untracked() -> Self {
        Self {
            tracker: None,
            number: 0,
            partition: 0,
            holder: Holder::Operators,
            sink: None,
        }
    }

    /// Returns whether the record is still the source's: `false` once its partition or shard may be
    /// another reader's, and behind a record that was dropped. Another reader is given it then.
    ///
    /// A pipeline asks this after each operator that waits, and before the sink's write. A sink
    /// that holds values back before it writes them asks again: what it writes of a record that is
    /// not current may come after what the next reader writes. One that is not current may be
    /// dropped, or reported in any way.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let tracker = self.tracker.as_ref();
        tracker.is_none_or(|tracker| tracker.is_current(self.number))
    }

    /// Ends the work on a record that is not current.
    pub(super) fn withdraw(mut self) {
        if let Some(tracker) = self.tracker.take() {
            tracker.withdraw(self.number, self.holder);
        }
    }

    /// Returns the record's turn at the gate.
    #[cfg_attr(
        not(feature = "kafka"),
        expect(dead_code, reason = "transactions are Kafka's")
    )]
    pub(super) fn turn(&self) -> Option<Turn> {
        self.tracker.as_ref()?.turn(self.number)
    }

    /// Returns where the source has the record.
    pub(super) fn position(&self) -> Option<Position> {
        self.tracker.as_ref()?.position(self.number)
    }

    /// Reports that the effect is durable.
    pub fn done(mut self) {
        if let Some(tracker) = self.tracker.take() {
            tracker.done(self.number, self.holder);
        }
    }

    /// Reports that this value can't be written, now or later: it goes to the dead-letter output;
    /// where there is none, the pipeline stops.
    pub fn reject(mut self, reason: impl Into<Reason>) {
        if let Some(tracker) = self.tracker.take() {
            let reason = reason.into().with_kind(ReasonKind::Rejected);
            tracker.reject(self.number, self.holder, self.sink.as_ref(), reason);
        }
    }

    pub(super) fn fail(mut self, failure: Failure) -> Ended {
        match self.tracker.take() {
            Some(tracker) => tracker.fail(self.number, self.holder, failure),
            None => Ended::Stopped,
        }
    }

    /// Returns another delivery of the same record: the record is acknowledged once both are done. For a sink that writes one
    /// value to several places, which end at different times.
    ///
    /// Each of the two is reported for itself, also where it is [rejected](Self::reject): the record is then one dead
    /// letter, once both have ended.
    #[must_use = "a delivery that is dropped stops the pipeline"]
    pub fn split(&self) -> Self {
        if let Some(tracker) = &self.tracker {
            tracker.share(self.number, self.holder);
        }
        Self {
            tracker: self.tracker.clone(),
            number: self.number,
            partition: self.partition,
            holder: self.holder,
            sink: self.sink.clone(),
        }
    }

    /// Returns the delivery of a dead letter.
    pub(super) fn of_letter(mut self) -> Self {
        self.holder = Holder::DeadLetters;
        self
    }

    /// Notes which sink has it, of several.
    pub(super) fn hand_to_sink(&mut self, sink: &Arc<str>) {
        self.sink = Some(Arc::clone(sink));
    }

    /// Notes who has it from now on. Returns `false` where its record is not current.
    pub(super) fn hand_to(&mut self, holder: Holder) -> bool {
        self.holder = holder;
        let tracker = self.tracker.as_ref();
        tracker.is_none_or(|tracker| tracker.hand(self.number, holder))
    }

    /// Returns the hash of the record's partition. Partitions with the same one are kept in one
    /// order.
    pub(super) fn partition(&self) -> u64 {
        self.partition
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(tracker) = self.tracker.take() {
            tracker.dropped(self.number, self.holder, self.sink.as_ref());
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}
