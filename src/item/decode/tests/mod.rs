//! Types as derive makes them, errors with their paths, and bytes that are no items.

mod errors;
mod types;

use super::*;
use crate::item::limits::MAX_DEPTH;
use crate::item::seeded::config;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashSet};
use std::ffi::CString;
use std::fmt::Debug;

fn theirs<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_dynamo::from_item(attributes(json.as_bytes()).ok()?).ok()
}

/// Reads the attribute `v`, as `serde_dynamo` does.
fn read<T: DeserializeOwned + Debug + PartialEq>(value: &str) -> Option<T> {
    let json = format!(r#"{{"v":{value}}}"#);
    let ours = decode_item::<BTreeMap<String, T>>(json.as_bytes()).ok();
    assert_eq!(ours, theirs(&json), "{json}");
    ours?.remove("v")
}

fn refusal<T: DeserializeOwned + Debug>(json: &str) -> DecodeError {
    assert!(theirs::<T>(json).is_none(), "{json}");
    decode_item::<T>(json.as_bytes()).unwrap_err()
}

#[derive(Debug, PartialEq, Deserialize)]
enum Choice {
    Unit,
    Newtype(u8),
    Tuple(u8, String),
    Struct { a: u8 },
}
