//! The dead letters of one shard's records.

use std::future::Future;
use std::sync::Arc;

use super::handler::{DeadLetterFn, DeadReason, FailedChange, write_dead_letter};
use crate::retry::{Backoff, Retries};
use crate::streams::ShardId;
use crate::streams::error::StreamsError;
use crate::streams::failure_log::FailureLog;
use crate::streams::page::Entry;
use crate::streams::shared::Shared;
use crate::streams::stats::Counters;

/// The dead-letter handler as one shard's runner uses it. Where there is none, no record may be given
/// up.
pub(super) struct DeadLetters {
    shard: ShardId,
    handler: Option<DeadLetterFn>,
    counters: Arc<Counters>,
    failure_log: Arc<FailureLog>,
    backoff: Backoff,
}

impl DeadLetters {
    pub(super) fn new(shard: ShardId, shared: &Shared, backoff: Backoff) -> Self {
        Self {
            shard,
            handler: shared.callbacks.dead_letters.clone(),
            counters: Arc::clone(&shared.counters),
            failure_log: Arc::clone(&shared.failure_log),
            backoff,
        }
    }

    /// Returns a future that gives these records to the handler, each until it is taken, and then returns them. A record is
    /// cloned once it is its turn: a handler may take long.
    ///
    /// # Errors
    ///
    /// If there is no handler.
    pub(super) fn write<R: AsRef<Entry> + Send + Sync>(
        &self,
        records: Vec<R>,
        reason: &DeadReason,
        failures: u32,
        rng: fastrand::Rng,
    ) -> Result<impl Future<Output = Vec<R>> + Send + use<R>, StreamsError> {
        let Some(handler) = self.handler.clone() else {
            return Err(self.without_handler(records.first().map(R::as_ref), reason));
        };
        self.counters.dead_lettered(records.len());
        let (shard, reason) = (self.shard.clone(), reason.clone());
        let mut retries = Retries::new(self.backoff.clone(), rng);
        let failure_log = Arc::clone(&self.failure_log);
        Ok(async move {
            for record in &records {
                let letter = FailedChange {
                    shard: shard.clone(),
                    record: record.as_ref().clone(),
                    reason: reason.clone(),
                    attempts: failures,
                };
                write_dead_letter(&handler, letter, &mut retries, &failure_log, || true).await;
            }
            records
        })
    }

    /// Returns the error for records that have to be given up without a dead-letter handler.
    fn without_handler(&self, first: Option<&Entry>, reason: &DeadReason) -> StreamsError {
        let shard = self.shard.clone();
        match (reason, first) {
            (DeadReason::Undecodable(error), Some(Ok(record))) => StreamsError::Undecodable {
                shard,
                sequence: record.sequence_number().copied(),
                error: error.clone(),
            },
            (_, Some(Err(malformed))) => StreamsError::Malformed {
                shard,
                problem: malformed.problem().to_owned(),
            },
            (reason, _) => StreamsError::Refused {
                shard,
                problem: reason.to_string(),
            },
        }
    }
}
