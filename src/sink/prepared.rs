//! A write that is checked, and its charge on the buffer.

use std::collections::HashSet;
use std::time::Duration;

use super::admission::Charge;
use super::core::{Submission, SubmissionKeys};
use super::cost::Cost;
use super::error::SubmitError;
use super::payload::Payload;
use super::shared::Shared;
use crate::item::Key;

/// The memory of a queued write beside its data, in bytes: its entry, line, deadline and receipt,
/// and its envelope in the request. Measured at 740 to 805 on x86-64, rounded up.
pub(super) const RECORD_OVERHEAD_BYTES: usize = 832;

/// The memory of a part of a write that is not batched, beside its data, in bytes. Measured at 150
/// for a single call and 300 for a part of a transaction, with its key's line.
const PART_OVERHEAD_BYTES: usize = 320;

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
        let keys_slice = keys.as_slice();
        let long_keys: usize = keys_slice.iter().map(Key::heap_len).sum();
        // A batched record moves into its request's body; a single call's body is a copy.
        let data = if payload.is_plain() {
            payload.len()
        } else {
            payload.len() * 2 + keys_slice.len() * PART_OVERHEAD_BYTES
        };
        let bytes = data + long_keys + RECORD_OVERHEAD_BYTES;
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

    /// Returns the first part with the key of an earlier one: the write would wait for itself.
    pub(super) fn repeated_key(&self) -> Option<usize> {
        match &self.keys {
            SubmissionKeys::One(_) => None,
            SubmissionKeys::Many(keys) => {
                let mut seen = HashSet::with_capacity(keys.len());
                keys.iter().position(|key| !seen.insert(key))
            }
        }
    }

    /// Refuses a write larger than the whole buffer, which could never enter it.
    pub(super) fn check_bounds(&self, table: &Shared) -> Result<(), SubmitError> {
        let limit = table.bounds().buffer.bytes;
        if self.charge.bytes > limit {
            let (table, bytes) = (table.name.to_string(), self.charge.bytes);
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::item::{KeyKind, KeySchema, key_of_json};

    fn charged(pk: &str, parts: Option<usize>) -> usize {
        let data = format!("{{\"pk\":{{\"S\":\"{pk}\"}}}}");
        let key = key_of_json(data.as_bytes(), &KeySchema::new("pk", KeyKind::String));
        let key = key.expect("a key");
        let data = Bytes::from(data);
        let (payload, keys) = match parts {
            None => {
                let delete = false;
                (Payload::Plain { delete, data }, SubmissionKeys::One(key))
            }
            Some(parts) => {
                let part = crate::sink::payload::Part {
                    kind: crate::sink::outcome::WriteKind::Put,
                    data,
                    expressions: Bytes::new(),
                    conditional: false,
                };
                let token = "token".into();
                let payload = Payload::Transaction {
                    parts: vec![part; parts],
                    token,
                };
                (payload, SubmissionKeys::Many(vec![key; parts]))
            }
        };
        Prepared::new(payload, keys, 0, Cost::default(), None)
            .charge
            .bytes
    }

    #[test]
    fn a_write_is_charged_what_it_holds() {
        assert_eq!(charged("k", None), 16 + RECORD_OVERHEAD_BYTES);
        let long = "k".repeat(2_000);
        let key = 2_000 + 16 + 3;
        assert!(charged(&long, None) >= 2_015 + key + RECORD_OVERHEAD_BYTES);
        assert_eq!(
            charged("k", Some(10)),
            2 * 160 + 10 * PART_OVERHEAD_BYTES + RECORD_OVERHEAD_BYTES
        );
    }
}
