//! The task's writes: its lease, one write at a time, and its positions.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::super::merge::Cursor;
use super::super::store::{Positions, SnapshotTable};
use super::{SnapshotEnd, SnapshotTask};
use crate::retry::ServiceError;
use crate::streams::StreamsError;
use crate::streams::lease::{Change, Checkpoint, Verdict, Written};

/// The name under which failures to store the positions are reported.
const SAVING: &str = "storing the snapshot's positions";
/// The delay before a failed write of positions is repeated.
const SAVE_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct WriteEnd {
    sent: Duration,
    change: Change,
    result: Result<Written, ServiceError>,
}

/// The positions up to which everything is done, and their writes.
pub(super) struct Saves {
    pub(super) stored: Positions,
    pub(super) under_way: Option<BoxFuture<'static, Result<bool, ServiceError>>>,
    /// Set while there are positions that no write covers yet.
    pub(super) is_due: bool,
    /// The time of the next write.
    at: Duration,
    has_failed: bool,
}

impl Saves {
    pub(super) fn new(stored: Positions) -> Self {
        Self {
            // The number of segments is stored first: that write starts before the first page is
            // requested.
            is_due: stored
                .segments
                .iter()
                .all(|cursor| *cursor == Cursor::Start),
            stored,
            under_way: None,
            at: Duration::ZERO,
            has_failed: false,
        }
    }

    /// Moves a segment's position.
    pub(super) fn reach(&mut self, segment: usize, cursor: Cursor) {
        if let Some(stored) = self.stored.segments.get_mut(segment) {
            *stored = cursor;
            self.is_due = true;
        }
    }

    /// Returns whether all positions are stored.
    pub(super) fn are_stored(&self) -> bool {
        !self.is_due && self.under_way.is_none()
    }
}

impl SnapshotTask {
    /// Returns when positions are to be stored: at intervals, and the last ones at once.
    pub(super) fn save_due(&self) -> Duration {
        let last = self.leaving.is_some() || self.is_complete();
        if last && !self.saves.has_failed {
            Duration::ZERO
        } else {
            self.saves.at
        }
    }

    pub(super) fn start_save(&mut self, now: Duration) {
        self.saves.is_due = false;
        self.saves.at = now + self.shared.settings.get_checkpoint_interval();
        let (snapshots, positions) = (Arc::clone(&self.snapshots), self.saves.stored.clone());
        self.saves.under_way = Some(Box::pin(
            async move { snapshots.table.save(&positions).await },
        ));
    }

    /// Processes the result of a write of positions.
    pub(super) fn saved(&mut self, saved: Result<bool, ServiceError>) -> Option<SnapshotEnd> {
        self.saves.under_way = None;
        match saved {
            Ok(true) => {
                self.saves.has_failed = false;
                self.note_success(SAVING);
                None
            }
            Ok(false) => Some(SnapshotEnd::Lost),
            Err(error) => {
                self.note_failure(SAVING, &error);
                self.saves.is_due = true;
                self.saves.has_failed = true;
                self.saves.at = self.shared.clock.now() + SAVE_AGAIN;
                None
            }
        }
    }

    pub(super) fn note_success(&self, operation: &'static str) {
        let shard = SnapshotTable::shard();
        self.shared.failure_log.succeeded(operation, Some(&shard));
    }

    pub(super) fn note_failure(&self, operation: &'static str, error: &ServiceError) {
        let shard = SnapshotTable::shard();
        self.shared
            .failure_log
            .failed(operation, Some(&shard), error);
    }

    pub(super) fn start_write(&mut self, now: Duration) {
        let change = self.lease.change();
        let counter = self.lease.counter();
        let snapshots = Arc::clone(&self.snapshots);
        self.write = Some(Box::pin(async move {
            let leases = &snapshots.table.leases;
            let shard = SnapshotTable::shard();
            let result = leases.change(&shard, counter, false, &change).await;
            WriteEnd {
                sent: now,
                change,
                result,
            }
        }));
    }

    pub(super) fn written(&mut self, end: WriteEnd) -> Result<Option<SnapshotEnd>, StreamsError> {
        match end.result {
            Ok(Written::Done) => {
                self.lease.accepted(&end.change, end.sent);
                self.handout.acks.valid_until(self.lease.valid_until());
                self.note_success("UpdateItem");
                let finished = end.change.checkpoint == Some(Checkpoint::ShardEnd);
                Ok(match (end.change.let_go, finished) {
                    (true, true) => Some(SnapshotEnd::Finished),
                    (true, false) => Some(SnapshotEnd::LetGo),
                    (false, _) => None,
                })
            }
            Ok(Written::Refused(row)) => match self.lease.refused(row.as_deref(), end.sent) {
                Verdict::Adopted => Ok(None),
                Verdict::GivenUp => Ok(Some(if row.is_some_and(|row| row.is_finished()) {
                    SnapshotEnd::Finished
                } else {
                    SnapshotEnd::LetGo
                })),
                // No worker requests a hand-over of this lease. Its row is deleted to cancel the
                // snapshot.
                Verdict::Lost | Verdict::HandOver | Verdict::Withdrawn | Verdict::Missing => {
                    Ok(Some(SnapshotEnd::Lost))
                }
            },
            Err(error) => {
                self.lease.failed(end.sent);
                self.note_failure("UpdateItem", &error);
                if error.is_fatal() {
                    let target = self.snapshots.table.leases.name();
                    return Err(StreamsError::service("UpdateItem", target, error));
                }
                Ok(None)
            }
        }
    }
}
