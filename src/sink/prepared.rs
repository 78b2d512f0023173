//! A write that is checked, and what it takes of the buffer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::admission::Charge;
use super::core::{Submission, SubmissionKeys};
use super::cost::Cost;
use super::error::SubmitError;
use super::payload::Payload;
use super::table::TableSink;

/// What a queued write takes of the buffer beside its bytes: its entry, key, receipt and place in
/// the queues, and its envelope in the request. Measured at 420 bytes on x86-64, rounded up.
pub(super) const RECORD_OVERHEAD: usize = 512;

/// A write that is ready to be submitted.
#[derive(Debug)]
pub(super) struct Prepared {
    payload: Payload,
    keys: SubmissionKeys,
    deadline: Option<Duration>,
    cost: Cost,
    pub(super) charge: Charge,
}

impl Prepared {
    pub(super) fn new(
        payload: Payload,
        keys: SubmissionKeys,
        partition: u64,
        cost: Cost,
        deadline: Option<Duration>,
    ) -> Self {
        // A batched record moves into its request's body; a single call's body is a copy.
        let copies = if payload.is_plain() { 1 } else { 2 };
        let parts = match &keys {
            SubmissionKeys::One(_) => 1,
            SubmissionKeys::Many(keys) => keys.len(),
        };
        let bytes = payload.len() * copies + RECORD_OVERHEAD * parts;
        Self {
            payload,
            keys,
            deadline,
            cost,
            charge: Charge {
                bytes,
                partition,
                indexes: cost.indexes.bits(),
            },
        }
    }

    /// The first part with the key of an earlier one: the write would wait for itself.
    pub(super) fn repeated_key(&self) -> Option<usize> {
        match &self.keys {
            SubmissionKeys::One(_) => None,
            SubmissionKeys::Many(keys) => {
                let mut seen = HashSet::with_capacity(keys.len());
                keys.iter().position(|key| !seen.insert(key))
            }
        }
    }

    /// A write larger than the whole buffer could never enter it.
    pub(super) fn check_bounds(&self, table: &TableSink) -> Result<(), SubmitError> {
        let limit = table.bounds().bytes;
        if self.charge.bytes > limit {
            let (table, bytes) = (table.name().to_owned(), self.charge.bytes);
            return Err(SubmitError::LargerThanBuffer {
                table,
                bytes,
                limit,
            });
        }
        Ok(())
    }

    pub(super) fn submission<C>(self, completion: C, may_have_applied: bool) -> Submission<C> {
        let Self {
            payload,
            keys,
            deadline,
            cost,
            charge: Charge { partition, .. },
        } = self;
        Submission {
            payload,
            keys,
            deadline,
            completion,
            may_have_applied,
            cost,
            partition,
        }
    }
}

/// A token for a transaction: `ClientRequestToken` takes 1 to 36 characters.
pub(super) fn token(prefix: u64, number: u64) -> Arc<str> {
    format!("{prefix:016x}{number:016x}").into()
}
