//! The task's writes: its lease, one write at a time, and its positions.

use std::sync::Arc;
use std::time::Duration;

use super::super::store::SnapshotTable;
use super::{SnapshotEnd, SnapshotTask, WriteEnd};
use crate::streams::StreamsError;
use crate::streams::lease::{Checkpoint, Verdict, Written};

impl SnapshotTask {
    /// Returns when positions are to be stored: at intervals, and the last ones at once.
    pub(super) fn save_due(&self) -> Duration {
        let last = self.leaving.is_some() || self.is_complete();
        if last && !self.save_failed {
            Duration::ZERO
        } else {
            self.save_at
        }
    }

    pub(super) fn start_save(&mut self, now: Duration) {
        self.unsaved = false;
        self.save_at = now + self.shared.settings.get_checkpoint_interval();
        let (snapshots, positions) = (Arc::clone(&self.snapshots), self.stored.clone());
        self.saving = Some(Box::pin(
            async move { snapshots.table.save(&positions).await },
        ));
    }

    pub(super) fn start_write(&mut self, now: Duration) {
        let change = self.lease.change();
        let counter = self.lease.counter();
        let snapshots = Arc::clone(&self.snapshots);
        self.write = Some(Box::pin(async move {
            let leases = &snapshots.table.leases;
            let lane = SnapshotTable::shard();
            let result = leases.change(&lane, counter, false, &change).await;
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
                self.acks.valid_until(self.lease.valid_until());
                let lane = SnapshotTable::shard();
                self.shared.failure_log.succeeded("UpdateItem", Some(&lane));
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
                let lane = SnapshotTable::shard();
                self.shared
                    .failure_log
                    .failed("UpdateItem", Some(&lane), &error);
                if error.is_fatal() {
                    let target = self.snapshots.table.leases.name();
                    return Err(StreamsError::service("UpdateItem", target, error));
                }
                Ok(None)
            }
        }
    }
}
