//! Records, worded once when the change is made: reading a page is copying.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

use base64_simd::STANDARD;
use bytes::Bytes;
use dynamodb_table_spec::KeySchema;
use dynamodb_table_spec::StreamView;

use crate::item::key::KeyRules as _;
use crate::item::value::{Item, Value, item_size};
use crate::store::table::Change;

/// The position of a record in its stream. All of a stream's have 21 digits.
pub(crate) type SequenceNumber = u128;

/// A record as a stream keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) sequence: SequenceNumber,
    /// The time at which the change was made, since the fake was made.
    pub(crate) at: Duration,
    /// Stored bytes of the key and the images, which count against a page.
    pub(crate) size: usize,
    /// The record in `GetRecords`' words.
    pub(crate) json: Bytes,
}

/// The author of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    /// A request.
    User,
    /// The service, because the item's time to live was over.
    TimeToLive,
}

/// A moment, by tokio's clock and by the wall's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Time since the fake was made.
    pub(crate) now: Duration,
    /// Milliseconds since 1970.
    pub(crate) unix_millis: i64,
}

/// Words a change that is one.
pub(crate) fn worded(
    keys: &KeySchema,
    change: &Change,
    author: Author,
    view: StreamView,
    sequence: SequenceNumber,
    moment: Moment,
) -> Stored {
    let (before, after) = (change.before.as_deref(), change.after.as_deref());
    let name = match (before, after) {
        (None, _) => "INSERT",
        (Some(_), Some(_)) => "MODIFY",
        (Some(_), None) => "REMOVE",
    };
    let (new, old) = match view {
        StreamView::KeysOnly => (None, None),
        StreamView::NewImage => (after, None),
        StreamView::OldImage => (None, before),
        StreamView::NewAndOldImages => (after, before),
    };
    let key = keys.to_item(&change.key);
    let size = item_size(&key) + new.map_or(0, item_size) + old.map_or(0, item_size);
    let mut json = Vec::with_capacity(512 + size + size / 4);
    // Any number without an obvious order will do; the constant is odd, so no two are equal.
    let id = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    write(
        &mut json,
        format_args!(
            r#"{{"awsRegion":"us-east-1","dynamodb":{{"ApproximateCreationDateTime":{},"Keys":"#,
            moment.unix_millis.div_euclid(1000)
        ),
    );
    write_item(&mut json, &key);
    for (member, image) in [("NewImage", new), ("OldImage", old)] {
        if let Some(image) = image {
            write(&mut json, format_args!(r#","{member}":"#));
            write_item(&mut json, image);
        }
    }
    write(
        &mut json,
        format_args!(
            r#","SequenceNumber":"{sequence}","SizeBytes":{size},"StreamViewType":"{}"}},"eventID":"{id:032x}","eventName":"{name}","eventSource":"aws:dynamodb","eventVersion":"1.1""#,
            view.name()
        ),
    );
    if author == Author::TimeToLive {
        json.extend_from_slice(
            br#","userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}"#,
        );
    }
    json.push(b'}');
    Stored {
        sequence,
        at: moment.now,
        size,
        // Kept for a day: room to grow would be kept with it.
        json: Bytes::from(json.into_boxed_slice()),
    }
}

fn write(json: &mut Vec<u8>, text: impl Display) {
    // A vector takes everything.
    let _ = write!(json, "{text}");
}

fn write_text(json: &mut Vec<u8>, text: &str) {
    // Neither a string nor a vector can fail.
    let _ = serde_json::to_writer(json, text);
}

fn write_item(json: &mut Vec<u8>, item: &Item) {
    json.push(b'{');
    for (at, (name, value)) in item.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        write_text(json, name);
        json.push(b':');
        write_value(json, value);
    }
    json.push(b'}');
}

fn write_value(json: &mut Vec<u8>, value: &Value) {
    write(json, format_args!(r#"{{"{}":"#, value.type_name()));
    match value {
        Value::S(text) => write_text(json, text),
        Value::N(number) => write(json, format_args!(r#""{number}""#)),
        Value::B(bytes) => write_bytes(json, bytes),
        Value::Bool(flag) => write(json, flag),
        Value::Null => write(json, true),
        Value::L(list) => write_list(json, list, write_value),
        Value::M(map) => write_item(json, map),
        Value::Ss(set) => write_list(json, set, |json, text| write_text(json, text)),
        Value::Ns(set) => write_list(json, set, |json, number| {
            write(json, format_args!(r#""{number}""#));
        }),
        Value::Bs(set) => write_list(json, set, |json, bytes| write_bytes(json, bytes)),
    }
    json.push(b'}');
}

fn write_bytes(json: &mut Vec<u8>, bytes: &[u8]) {
    write(
        json,
        format_args!(r#""{}""#, STANDARD.encode_to_string(bytes)),
    );
}

fn write_list<'a, T: 'a>(
    json: &mut Vec<u8>,
    list: impl IntoIterator<Item = &'a T>,
    mut element: impl FnMut(&mut Vec<u8>, &'a T),
) {
    json.push(b'[');
    for (at, value) in list.into_iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        element(json, value);
    }
    json.push(b']');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value as Json, json};

    use super::*;
    use crate::item::value::item_from_json;
    use dynamodb_table_spec::KeyKind;

    fn item(rest: &Json) -> Item {
        let mut item = item_from_json(rest).expect("an item");
        item.insert("pk".to_owned(), Value::S("a\"b".to_owned()));
        item
    }

    fn read(view: StreamView, before: Option<&Json>, after: Option<&Json>, author: Author) -> Json {
        let keys = KeySchema::new("pk", KeyKind::String);
        let change = Change {
            key: keys.of_item(&item(&json!({}))).expect("a key"),
            before: before.map(|json| Arc::new(item(json))),
            after: after.map(|json| Arc::new(item(json))),
        };
        let moment = Moment {
            now: Duration::ZERO,
            unix_millis: 1_700_000_000_999,
        };
        let stored = worded(&keys, &change, author, view, 42, moment);
        serde_json::from_slice(&stored.json).expect("JSON")
    }

    #[test]
    fn every_type_of_value_is_worded_as_the_items_are() {
        let rest = json!({
            "s": { "S": "ü\n" }, "n": { "N": "-1.5" }, "b": { "B": "AAEC" }, "t": { "BOOL": true },
            "z": { "NULL": true }, "l": { "L": [{ "S": "a" }, { "L": [] }] },
            "m": { "M": { "x": { "N": "1" }, "y": { "S": "" } } }, "ss": { "SS": ["a", "b"] },
            "ns": { "NS": ["1", "20"] }, "bs": { "BS": ["YQ==", "Yg=="] },
        });
        let record = read(StreamView::NewImage, None, Some(&rest), Author::User);
        let mut requested = rest;
        requested["pk"] = json!({ "S": "a\"b" });
        assert_eq!(record["dynamodb"]["NewImage"], requested);
        assert_eq!(record["dynamodb"]["Keys"], json!({ "pk": { "S": "a\"b" } }));
        assert_eq!(
            record["dynamodb"]["ApproximateCreationDateTime"],
            1_700_000_000
        );
    }

    #[test]
    fn the_view_decides_which_images_are_shown() {
        let (one, two) = (json!({ "x": { "N": "1" } }), json!({ "x": { "N": "2" } }));
        for (view, new, old) in [
            (StreamView::KeysOnly, false, false),
            (StreamView::NewImage, true, false),
            (StreamView::OldImage, false, true),
            (StreamView::NewAndOldImages, true, true),
        ] {
            let record = read(view, Some(&one), Some(&two), Author::User);
            assert_eq!(record["eventName"], "MODIFY");
            assert_eq!(record["dynamodb"]["StreamViewType"], view.name());
            assert_eq!(
                record["dynamodb"].get("NewImage").is_some(),
                new,
                "{view:?}"
            );
            assert_eq!(
                record["dynamodb"].get("OldImage").is_some(),
                old,
                "{view:?}"
            );
        }
    }

    #[test]
    fn a_delete_by_time_to_live_says_so() {
        let one = json!({});
        let record = read(StreamView::KeysOnly, Some(&one), None, Author::TimeToLive);
        assert_eq!(record["eventName"], "REMOVE");
        assert_eq!(record["userIdentity"]["Type"], "Service");
        let record = read(StreamView::KeysOnly, Some(&one), None, Author::User);
        assert!(record.get("userIdentity").is_none());
    }
}
