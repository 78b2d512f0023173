//! A cluster's transactions, as their driver knows them.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use super::position::Position;
use crate::kafka::{KafkaError, ProducerRecord, Verdict};

/// A position of each partition. Of a transaction, those of the last records that passed.
pub(super) type Positions = HashMap<Arc<str>, Position>;

/// A step that failed, and what that asks for.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) verdict: Verdict,
    pub(super) error: KafkaError,
}

/// A transactional producer, and the source whose positions it commits.
pub(super) trait Transactions: Send + 'static {
    /// Makes the producer, and has the source commit nothing by itself.
    fn open(&mut self) -> impl Future<Output = Result<(), KafkaError>> + Send;
    fn begin(&mut self) -> impl Future<Output = Result<(), Trouble>> + Send;
    /// Produces a record as soon as there is room. Its failure is among the [`delivered`](Self::delivered).
    fn produce(&mut self, record: ProducerRecord) -> impl Future<Output = ()> + Send;
    /// Waits for the reports of all that was produced. Returns the failures.
    fn delivered(&mut self) -> impl Future<Output = Result<Vec<KafkaError>, Trouble>> + Send;
    /// Sends the positions of all open partitions, those of `passed` raised. `is_current` is asked in the step that lists
    /// them: where it says no, nothing is sent.
    fn send_offsets(
        &mut self,
        passed: &Positions,
        is_current: &(dyn Fn() -> bool + Sync),
    ) -> impl Future<Output = Result<(), Trouble>> + Send;
    fn commit(&mut self) -> impl Future<Output = Result<(), Trouble>> + Send;
    fn abort(&mut self) -> impl Future<Output = Result<(), Trouble>> + Send;
    /// Makes another producer of the same id: what the one before had open is committed or aborted by then.
    fn renew(&mut self) -> impl Future<Output = Result<(), Trouble>> + Send;
    /// Has the source begin at its committed positions, once those are stable.
    fn rewind(&mut self) -> impl Future<Output = Result<(), Trouble>> + Send;
    /// Returns whether a partition is open, so that there is a position to commit.
    fn has_partitions(&self) -> bool;
    /// Returns where each open partition goes on: behind what is acknowledged, and what has no record.
    fn positions(&self) -> Positions;
    /// Returns whether the producer is not to be trusted with another transaction.
    fn is_worn(&self) -> bool;
    /// Aborts what is open, within a bounded time.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
    /// Names the group that they are of, before they are opened.
    fn set_group(&mut self, group: u32);
    /// Returns the transactional id.
    fn id(&self) -> String;
}
