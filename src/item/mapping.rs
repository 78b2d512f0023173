//! The property of every record: its encoding is `serde_dynamo`'s mapping, by each of the three
//! ways in.
//!
//! For the property tests, which draw meaningful records, and for fuzzing, which draws any.

use super::compare::same_value;
use super::model::{Model, entries_given};
use super::{
    Encoded, KeyKind, KeySchema, TableShape, check_json, encode, encode_attribute_value,
    encode_attributes, encode_key, encode_value, key_of_json, parse, same,
};
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

/// Returns a table with a key of two parts.
pub(crate) fn shape() -> TableShape {
    TableShape::new(KeySchema::new("pk", KeyKind::String).with_sort("sk", KeyKind::Number))
}

/// Returns the number of entries of all maps in a value.
fn entries_made(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::L(all) => all.iter().map(entries_made).sum(),
        AttributeValue::M(all) => all.values().map(|v| 1 + entries_made(v)).sum(),
        _ => 0,
    }
}

/// Returns whether both refuse a value, or ours does for something in an entry that a later one of
/// its name replaces.
fn both_refuse(value: &Model, made: &AttributeValue, ours: bool, encoded: bool) -> bool {
    ours && (encoded || entries_given(value) > entries_made(made))
}

/// Compares the encoding of one value with `serde_dynamo`'s.
///
/// # Panics
///
/// Where they differ.
pub(crate) fn check_value(value: &Model) {
    let theirs: Result<AttributeValue, _> = serde_dynamo::to_attribute_value(value);
    let ours = encode_value(value);
    let Ok(theirs) = theirs else {
        assert!(ours.is_err());
        return;
    };
    match (ours, encode_attribute_value(&theirs)) {
        (Ok(ours), Ok(encoded)) => {
            let wrap = |value: &[u8]| [b"{\"v\":", value, b"}"].concat();
            let parsed = parse(&wrap(&ours)).expect("what was encoded can be read");
            assert!(same_value(&parsed["v"], &theirs), "{parsed:?} {theirs:?}");
            assert!(same(&wrap(&ours), &wrap(&encoded)));
        }
        (ours, encoded) => {
            assert!(both_refuse(value, &theirs, ours.is_err(), encoded.is_err()));
        }
    }
}

/// Compares the encoding of a record with `serde_dynamo`'s, and its size and key with those of the
/// other ways in. Returns the encoding, if there is one.
///
/// # Panics
///
/// Where they differ.
pub(crate) fn check_record(record: &Model) -> Option<Encoded> {
    let theirs: Result<HashMap<String, AttributeValue>, _> = serde_dynamo::to_item(record);
    let ours = encode(record, &shape());
    let Ok(theirs) = theirs else {
        assert!(ours.is_err());
        return None;
    };
    match (ours, encode_attributes(&theirs, &shape())) {
        (Ok(ours), Ok(encoded)) => {
            let parsed = parse(&ours.json).expect("what was encoded can be read");
            let parsed = AttributeValue::M(parsed);
            assert!(same_value(&parsed, &AttributeValue::M(theirs)));
            assert!(same(&ours.json, &encoded.json));
            assert_eq!(ours.stored_size, encoded.stored_size);
            assert_eq!(ours.key, encoded.key);
            assert_eq!(ours.json.capacity(), ours.json.len());

            let again = check_json(&ours.json, &shape(), false).expect("it is an item");
            assert_eq!(again.json, ours.json);
            assert_eq!(again.stored_size, ours.stored_size);
            assert_eq!(again.key, ours.key);
            let found = key_of_json(&ours.json, shape().keys()).expect("it has a key");
            assert_eq!(found, ours.key);
            let key = encode_key(record, &shape()).expect("it has a key");
            assert_eq!(key.key, ours.key);
            assert_eq!(parse(&key.json).expect("a key is an item").len(), 2);
            let cut = check_json(&ours.json, &shape(), true).expect("it has a key");
            assert_eq!(cut.json, key.json);
            Some(ours)
        }
        (ours, encoded) => {
            let theirs = AttributeValue::M(theirs);
            assert!(both_refuse(
                record,
                &theirs,
                ours.is_err(),
                encoded.is_err()
            ));
            None
        }
    }
}
