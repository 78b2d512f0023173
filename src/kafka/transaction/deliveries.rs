//! The deliveries of a transaction: which of its records are reported, and which failed.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::super::error::KafkaError;

/// The records of a producer's transactions. A report counts for its own transaction alone: those of an aborted one may come late.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    counts: Mutex<Counts>,
    /// Notified once all of a transaction are reported, and once there is room again.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    transaction: u64,
    /// Records of this transaction that librdkafka took.
    produced: u64,
    /// Those of them that are reported.
    reported: u64,
    /// Those that were not delivered and say nothing of themselves: they were given back, or failed with the producer.
    unsent: u64,
    /// Those that failed.
    failed: u64,
    /// The failures that were not taken.
    failures: Vec<KafkaError>,
    /// The reason of the first, for the commit's refusal.
    first_failure: String,
    /// The topics to which one was too large.
    too_large: Vec<Arc<str>>,
    /// Records of any transaction that librdkafka has.
    out: u64,
    /// librdkafka had no room, and has reported nothing since.
    is_full: bool,
}

/// A record's outcome.
#[derive(Debug)]
pub(super) enum Outcome {
    Delivered,
    /// It was not delivered, for a reason that may be its own.
    Failed(KafkaError),
    /// It was not delivered, whatever it holds.
    Unsent,
}

impl Deliveries {
    /// Begins the next transaction.
    pub(super) fn begin(&self) {
        let mut counts = self.counts.lock();
        *counts = Counts {
            transaction: counts.transaction + 1,
            out: counts.out,
            ..Counts::default()
        };
    }

    /// Counts a record that is about to be handed over, and returns its transaction.
    pub(super) fn add(&self) -> u64 {
        let mut counts = self.counts.lock();
        counts.produced += 1;
        counts.out += 1;
        counts.transaction
    }

    /// Counts a record no more: it was not taken, for want of room where `is_full`.
    pub(super) fn take_back(&self, is_full: bool) {
        let mut counts = self.counts.lock();
        counts.produced -= 1;
        counts.out -= 1;
        // With none out there would be no report to wait for.
        counts.is_full = is_full && counts.out > 0;
    }

    /// Notes a report.
    pub(super) fn reported(&self, transaction: u64, outcome: Outcome) {
        let mut counts = self.counts.lock();
        counts.out = counts.out.saturating_sub(1);
        let had_no_room = std::mem::take(&mut counts.is_full);
        if transaction == counts.transaction {
            counts.reported += 1;
            match outcome {
                Outcome::Delivered => {}
                Outcome::Failed(error) => counts.fail(error),
                Outcome::Unsent => counts.unsent += 1,
            }
        }
        let wakes = had_no_room || counts.is_complete();
        drop(counts);
        if wakes {
            self.changed.notify_waiters();
        }
    }

    /// Resolves once every record of the transaction is reported.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn complete(&self) {
        self.until(Counts::is_complete).await;
    }

    /// Resolves once librdkafka may have room.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn room(&self) {
        self.until(|counts| !counts.is_full).await;
    }

    async fn until(&self, is_over: impl Fn(&Counts) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before the look, so that no change falls between the two.
            changed.as_mut().enable();
            if is_over(&self.counts.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Takes the failures of this transaction that may be their records' own.
    pub(super) fn take_failures(&self) -> Vec<KafkaError> {
        std::mem::take(&mut self.counts.lock().failures)
    }

    /// Takes the topics to which a record of this transaction was too large.
    pub(super) fn take_too_large(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.counts.lock().too_large)
    }

    /// Returns whether a record of this transaction failed for a reason that may be its own.
    pub(super) fn has_failed(&self) -> bool {
        self.counts.lock().failed > 0
    }

    /// Returns whether a record of this transaction is reported as not delivered.
    pub(super) fn has_unsent(&self) -> bool {
        let counts = self.counts.lock();
        counts.unsent > 0 || counts.failed > 0
    }

    /// Returns why this transaction may not be committed, if it may not.
    pub(super) fn check(&self) -> Result<(), String> {
        let counts = self.counts.lock();
        let delivered = counts.reported - counts.unsent - counts.failed;
        if delivered == counts.produced {
            return Ok(());
        }
        let (produced, open) = (counts.produced, counts.produced - counts.reported);
        let first = &counts.first_failure;
        Err(format!(
            "of {produced} records {delivered} are delivered and {open} not reported{first}"
        ))
    }
}

impl Counts {
    fn fail(&mut self, error: KafkaError) {
        if self.failed == 0 {
            self.first_failure = format!(", the first: {error}");
        }
        self.failed += 1;
        if let KafkaError::TooLarge { topic, .. } = &error
            && !self.too_large.contains(topic)
        {
            self.too_large.push(topic.clone());
        }
        self.failures.push(error);
    }

    fn is_complete(&self) -> bool {
        self.reported == self.produced
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_transaction_is_complete_once_each_record_is_reported_and_may_be_committed_if_all_were_delivered()
     {
        let deliveries = Deliveries::default();
        deliveries.begin();
        assert!(
            deliveries.complete().now_or_never().is_some(),
            "without any"
        );
        assert_eq!(deliveries.check(), Ok(()));
        let transaction = deliveries.add();
        deliveries.add();
        deliveries.reported(transaction, Outcome::Delivered);
        assert!(deliveries.complete().now_or_never().is_none());
        assert_eq!(
            deliveries.check().expect_err("one is out"),
            "of 2 records 1 are delivered and 1 not reported"
        );
        deliveries.reported(transaction, Outcome::Delivered);
        assert!(deliveries.complete().now_or_never().is_some());
        assert_eq!(deliveries.check(), Ok(()));
    }

    #[test]
    fn a_failed_record_forbids_the_commit_and_one_that_was_given_back_does_too_but_is_no_failure_of_its_own()
     {
        let deliveries = Deliveries::default();
        deliveries.begin();
        let transaction = deliveries.add();
        deliveries.reported(transaction, Outcome::Unsent);
        assert!(deliveries.check().is_err() && !deliveries.has_failed());
        deliveries.begin();
        assert_eq!(deliveries.check(), Ok(()));
        let transaction = deliveries.add();
        deliveries.reported(transaction, Outcome::Failed(KafkaError::Closed));
        let check = deliveries.check().expect_err("it failed");
        assert!(check.ends_with("the first: closed"), "{check}");
        assert!(matches!(
            deliveries.take_failures()[..],
            [KafkaError::Closed]
        ));
        assert!(deliveries.take_failures().is_empty(), "once");
        assert!(deliveries.has_failed() && deliveries.has_unsent());
        assert_eq!(deliveries.check(), Err(check));
        assert!(deliveries.take_too_large().is_empty());
    }

    #[test]
    fn topics_to_which_records_were_too_large_are_named_each_once() {
        let deliveries = Deliveries::default();
        deliveries.begin();
        for _ in 0..2 {
            let transaction = deliveries.add();
            let error = KafkaError::TooLarge {
                topic: "t".into(),
                size: 9,
                limit: None,
            };
            deliveries.reported(transaction, Outcome::Failed(error));
        }
        assert_eq!(deliveries.take_too_large(), ["t".into()]);
        assert!(deliveries.take_too_large().is_empty());
        assert_eq!(deliveries.take_failures().len(), 2);
    }

    #[test]
    fn a_late_report_of_an_earlier_transaction_changes_nothing_but_the_room() {
        let deliveries = Deliveries::default();
        deliveries.begin();
        let earlier = deliveries.add();
        deliveries.begin();
        deliveries.add();
        deliveries.take_back(true);
        assert!(deliveries.room().now_or_never().is_none(), "one is out");
        deliveries.reported(earlier, Outcome::Failed(KafkaError::Closed));
        assert!(deliveries.room().now_or_never().is_some());
        assert!(!deliveries.has_failed());
        assert_eq!(deliveries.check(), Ok(()));
    }

    #[test]
    fn room_is_not_waited_for_where_nothing_is_out() {
        let deliveries = Deliveries::default();
        deliveries.begin();
        deliveries.add();
        deliveries.take_back(true);
        assert!(deliveries.room().now_or_never().is_some());
    }
}
