//! The hash that recognizes records of the same item.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::value::RawValue;

use super::record::Record;

/// Returns a hash that is the same for all records of an item. A stream gives a key in one form:
/// the service writes numbers in their shortest form.
pub(crate) fn key_hash(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Sorted by name: no documentation promises a fixed order of a key's attributes.
    match serde_json::from_slice::<BTreeMap<&str, &RawValue>>(record.keys_json()) {
        Ok(keys) => keys
            .iter()
            .for_each(|(name, value)| (name, value.get()).hash(&mut hasher)),
        Err(_) => record.keys_json().hash(&mut hasher),
    }
    hasher.finish()
}
