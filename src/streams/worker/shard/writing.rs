//! The writes of a shard's lease: renewals, checkpoints, its end.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::StreamsError;
use super::super::super::lease::{Checkpoint, LeaseRow, Verdict, Written};
use super::{Ended, ShardTask, WriteEnd, Wrote};

impl ShardTask {
    /// Stores the finished work and gives the lease up, for a task that has failed.
    pub(super) async fn give_up(&mut self) {
        let clock = self.shared.clock;
        self.handout.dispatcher.stop().await;
        if let Some(sequence) = self.handout.acks.take_watermark() {
            self.lease.reach(sequence);
        }
        self.handout.acks.revoke();
        self.lease.let_go();
        while clock.now() < self.lease.valid_until() {
            let Some(mut write) = self.write.take() else {
                clock.until(self.lease.due()).await;
                self.start_write(clock.now());
                continue;
            };
            // The task ends with its own error, which came first.
            if !matches!(self.written((&mut write).await), Ok(None)) {
                return;
            }
        }
    }

    pub(super) fn start_write(&mut self, now: Duration) {
        let change = self.lease.change();
        let (counter, handing_over) = (self.lease.counter(), self.lease.is_handing_over());
        let (shared, shard) = (Arc::clone(&self.shared), self.row.shard.clone());
        self.write = Some(Box::pin(async move {
            let changed = shared
                .leases
                .change(&shard, counter, handing_over, &change)
                .await;
            WriteEnd {
                sent: now,
                result: changed.map(|written| match written {
                    Written::Done => Wrote::Changed(change),
                    Written::Refused(row) => Wrote::Refused(row),
                }),
            }
        }));
    }

    /// Makes the deleted row of a held lease again: only this worker has the shard's position.
    fn start_making_again(&mut self, now: Duration) {
        tracing::warn!(shard = %self.row.shard, "the lease's row was deleted: it is made again");
        let shared = Arc::clone(&self.shared);
        let checkpoint = match (&self.done, self.lease.stored()) {
            (Some(done), _) => Checkpoint::After(*done),
            (None, stored) => stored.clone(),
        };
        let graph = shared.graph();
        let mut row = LeaseRow {
            owner: Some(shared.leases.me().to_owned()),
            counter: 0,
            checkpoint,
            checkpoint_owner: None,
            ..self.row.clone()
        };
        row.parents
            .extend(graph.parent(&self.row.shard).into_iter().cloned());
        self.write = Some(Box::pin(async move {
            let made = shared.leases.create(&row).await;
            WriteEnd {
                sent: now,
                result: made.map(|made| match made {
                    true => Wrote::MadeAgain,
                    false => Wrote::TakenMeanwhile,
                }),
            }
        }));
    }

    pub(super) fn written(&mut self, end: WriteEnd) -> Result<Option<Ended>, StreamsError> {
        let WriteEnd { sent, result } = end;
        let wrote = match result {
            Ok(wrote) => wrote,
            Err(error) => {
                let failure_log = &self.shared.failure_log;
                failure_log.failed("UpdateItem", Some(&self.row.shard), &error);
                self.lease.failed(sent);
                if error.is_fatal() {
                    let table = self.shared.leases.name();
                    return Err(StreamsError::service("UpdateItem", table, error));
                }
                return Ok(None);
            }
        };
        let given_up = |finished| match finished {
            true => Ended::Finished,
            false => Ended::LetGo,
        };
        Ok(match wrote {
            Wrote::Changed(change) => {
                let failure_log = &self.shared.failure_log;
                failure_log.succeeded("UpdateItem", Some(&self.row.shard));
                self.lease.accepted(&change, sent);
                self.handout.acks.valid_until(self.lease.valid_until());
                if change.checkpoint.is_some() {
                    self.shared.counters.checkpoint();
                }
                let finished = change.checkpoint == Some(Checkpoint::ShardEnd);
                change.let_go.then(|| given_up(finished))
            }
            Wrote::Refused(row) => match self.lease.refused(row.as_deref(), sent) {
                Verdict::Adopted => None,
                Verdict::Lost => Some(Ended::Lost),
                Verdict::GivenUp => Some(given_up(row.is_some_and(|row| row.is_finished()))),
                Verdict::HandOver => {
                    self.leave(self.shared.clock.now());
                    None
                }
                Verdict::Withdrawn => {
                    self.stay();
                    None
                }
                Verdict::Missing => {
                    self.start_making_again(self.shared.clock.now());
                    None
                }
            },
            Wrote::MadeAgain => {
                self.lease.made_again(sent);
                self.handout.acks.valid_until(self.lease.valid_until());
                None
            }
            Wrote::TakenMeanwhile => Some(Ended::Lost),
        })
    }
}
