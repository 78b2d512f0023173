//! Items in DynamoDB's JSON, as snapshots and raw writes hold them.

use serde_json::Value;

use crate::item::{
    IndexShape, Item, KeyKind, KeySchema, TableShape, check_json, encode_attributes,
    encode_key_attributes, find_attribute, key_of_json, same,
};
use crate::test_util::fuzzing::put;
use crate::{IndexSpec, TableSpec};

/// Any bytes as an item: taken in the form that the encoder gives, whichever way they come, and by the
/// rules of the faulty DynamoDB; or refused.
///
/// # Panics
///
/// Where that does not hold.
pub fn items(bytes: &[u8]) {
    let shape = shape();
    let _ = find_attribute(bytes, "pk");
    let _ = key_of_json(bytes, shape.keys());
    let _ = check_json(bytes, &shape, true);
    let checked = check_json(bytes, &shape, false);
    let slow = serde_json::from_slice::<Value>(bytes);
    if let Ok(checked) = &checked {
        let slow = slow.as_ref().expect("an item is JSON");
        assert!(same(&checked.json, slow.to_string().as_bytes()));
    }
    // Written anew each name stands there once, so that nothing hides behind a repeated one.
    if let Ok(slow) = slow {
        plain(&slow, &shape);
    }
}

/// As [`items`], of an item that names no attribute twice.
fn plain(json: &Value, shape: &TableShape) {
    let text = json.to_string();
    let checked = check_json(text.as_bytes(), shape, false);
    let stored = put(spec(), json);
    let item = Item::from_json(text.clone().into());
    let Ok(attributes) = item.to_attributes() else {
        assert!(checked.is_err() && stored.is_err());
        return;
    };
    let encoded = encode_attributes(&attributes, shape);
    assert_eq!(checked.is_ok(), encoded.is_ok(), "{text}");
    assert_eq!(
        checked.is_ok(),
        stored.is_ok(),
        "{text} {checked:?} {stored:?}"
    );
    let (Ok(checked), Ok(encoded)) = (checked, encoded) else {
        return;
    };
    assert!(same(&checked.json, text.as_bytes()));
    assert!(same(&encoded.json, text.as_bytes()));
    assert_eq!(checked.stored_size, encoded.stored_size);
    assert_eq!(Ok(checked.stored_size), stored);
    assert_eq!(checked.key, encoded.key);
    assert_eq!(checked.indexes, encoded.indexes);
    let in_index = ["a", "b"].iter().all(|name| attributes.contains_key(*name));
    assert_eq!(checked.indexes.contains(0), in_index, "{text}");

    let found = key_of_json(&checked.json, shape.keys()).expect("it has a key");
    assert_eq!(found, checked.key);
    let key = check_json(&checked.json, shape, true).expect("it has a key");
    let same_key = encode_key_attributes(&attributes, shape).expect("it has a key");
    assert!(same(&key.json, &same_key.json));
    assert_eq!(key.key, same_key.key);
    for name in attributes.keys() {
        assert!(find_attribute(&checked.json, name).is_some(), "{name}");
    }
    let again = check_json(&checked.json, shape, false).expect("it was taken before");
    assert_eq!(again.json, checked.json);
}

fn shape() -> TableShape {
    TableShape::new(KeySchema::new("pk", KeyKind::String).with_sort("sk", KeyKind::Number))
        .with_index(IndexShape::new(
            "by_a",
            KeySchema::new("a", KeyKind::Binary).with_sort("b", KeyKind::String),
        ))
}

fn spec() -> TableSpec {
    let index = IndexSpec::global("by_a")
        .partition("a", KeyKind::Binary)
        .sort("b", KeyKind::String);
    TableSpec::new("items")
        .sort("sk", KeyKind::Number)
        .index(index)
}
