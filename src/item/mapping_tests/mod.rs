//! The mapping is `serde_dynamo`'s, over the whole of serde's data model and the attributes of
//! derive.

pub(super) mod draw;

use self::draw::{record, value};
use super::compare::same_value;
use super::mapping::{check_record, check_value, shape};
use super::model::Model;
use super::seeded::config;
use super::*;
use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Deserialize, Serialize, Serializer};
use serde_dynamo::{binary_set::BinarySet, number_set::NumberSet, string_set::StringSet};
use std::collections::{BTreeMap, HashMap};

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn a_value_is_what_serde_dynamo_makes_of_it(value in value()) {
        check_value(&value);
    }

    #[test]
    fn an_item_is_what_serde_dynamo_makes_of_it(record in record()) {
        check_record(&record);
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum External {
    Unit,
    Newtype(u8),
    Tuple(u8, String),
    Struct { a: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Internal {
    Unit,
    Newtype(BTreeMap<String, u8>),
    Struct { a: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    Newtype(u8),
    Tuple(u8, u8),
    Struct { a: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
    Struct { a: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    missing: Option<u8>,
    nothing: Option<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Derived {
    pk: String,
    sk: i32,
    external: Vec<External>,
    internal: Vec<Internal>,
    adjacent: Vec<Adjacent>,
    untagged: Vec<Untagged>,
    #[serde(flatten)]
    inner: Inner,
    #[serde(with = "serde_dynamo::string_set")]
    tags: Vec<String>,
    #[serde(with = "serde_dynamo::number_set")]
    scores: Vec<f32>,
    #[serde(skip)]
    skipped: u8,
    by_number: BTreeMap<u16, (u8, char)>,
    #[serde(flatten)]
    rest: BTreeMap<String, bool>,
}

fn derived() -> Derived {
    Derived {
        pk: "p".to_owned(),
        sk: -7,
        external: vec![
            External::Unit,
            External::Newtype(1),
            External::Tuple(2, "two".to_owned()),
            External::Struct { a: 3 },
        ],
        internal: vec![
            Internal::Unit,
            Internal::Newtype(BTreeMap::from([("k".to_owned(), 1)])),
            Internal::Struct { a: 3 },
        ],
        adjacent: vec![
            Adjacent::Unit,
            Adjacent::Newtype(1),
            Adjacent::Tuple(1, 2),
            Adjacent::Struct { a: 3 },
        ],
        untagged: vec![
            Untagged::Number(-1),
            Untagged::Text("x".to_owned()),
            Untagged::Struct { a: 3 },
        ],
        inner: Inner {
            name: "n".to_owned(),
            missing: None,
            nothing: None,
        },
        tags: vec!["a".to_owned(), "b".to_owned()],
        scores: vec![0.5, 1.0],
        skipped: 0,
        by_number: BTreeMap::from([(7, (1, 'ß'))]),
        rest: BTreeMap::from([("flag".to_owned(), true)]),
    }
}

#[test]
fn derive_and_its_attributes_map_as_in_serde_dynamo() {
    let encoded = encode(&derived(), &shape()).unwrap();
    let theirs: HashMap<String, AttributeValue> = serde_dynamo::to_item(derived()).unwrap();
    let ours = parse(&encoded.json).unwrap();
    assert!(same_value(
        &AttributeValue::M(ours),
        &AttributeValue::M(theirs.clone())
    ));
    assert_eq!(
        theirs["tags"],
        AttributeValue::Ss(vec!["a".to_owned(), "b".to_owned()])
    );

    let item = Item::from_json(encoded.json.into());
    assert_eq!(item.deserialize::<Derived>().unwrap(), derived());
}

#[test]
fn the_bytes_are_as_documented() {
    #[derive(Serialize)]
    struct Record {
        pk: &'static str,
        sk: u8,
        list: (bool, f64, Option<u8>),
        map: BTreeMap<&'static str, char>,
        #[serde(with = "serde_dynamo::number_set")]
        set: Vec<i8>,
    }
    let map = BTreeMap::from([("q\"", 'x')]);
    let record = Record {
        pk: "a\n",
        sk: 1,
        list: (true, -0.0, None),
        map,
        set: vec![1, -2],
    };
    let encoded = encode(&record, &shape()).unwrap();
    assert_eq!(
        String::from_utf8(encoded.json).unwrap(),
        concat!(
            r#"{"pk":{"S":"a\n"},"sk":{"N":"1"},"#,
            r#""list":{"L":[{"BOOL":true},{"N":"0"},{"NULL":true}]},"#,
            r#""map":{"M":{"q\"":{"S":"x"}}},"set":{"NS":["1","-2"]}}"#
        )
    );
}

#[test]
fn the_last_of_equal_names_wins() {
    #[derive(Serialize)]
    struct Twice {
        pk: &'static str,
        sk: u8,
        a: &'static str,
        #[serde(flatten)]
        over: BTreeMap<&'static str, &'static str>,
    }
    let record = Twice {
        pk: "early",
        sk: 1,
        a: "a long value that goes",
        over: BTreeMap::from([("pk", "late"), ("a", "b"), ("c", "d")]),
    };
    let encoded = encode(&record, &shape()).unwrap();
    assert_eq!(
        String::from_utf8(encoded.json.clone()).unwrap(),
        r#"{"sk":{"N":"1"},"a":{"S":"b"},"c":{"S":"d"},"pk":{"S":"late"}}"#
    );
    assert_eq!(encoded.stored_size, 2 + 2 + 1 + 1 + 1 + 1 + 2 + 4);
    assert_eq!(
        encoded.key,
        key_of_json(&encoded.json, shape().keys()).unwrap()
    );
    let alone = encode(&BTreeMap::from([("pk", "late")]), &pk_only()).unwrap();
    assert_eq!(encode_key(&record, &pk_only()).unwrap().json, alone.json);
}

fn pk_only() -> TableShape {
    TableShape::new(KeySchema::new("pk", KeyKind::String))
}

/// Many entries take the other way to find repeated names.
#[test]
fn repeated_names_are_found_in_large_maps() {
    struct Pairs(Vec<(String, u64)>);
    impl Serialize for Pairs {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            s.collect_map(self.0.iter().map(|(k, v)| (k, v)))
        }
    }
    let mut pairs = vec![("pk".to_owned(), 0)];
    pairs.extend((1..500).map(|i| (format!("name{}", i % 300), i)));
    let shape = TableShape::new(KeySchema::new("pk", KeyKind::Number));
    let encoded = encode(&Pairs(pairs.clone()), &shape).unwrap();
    let theirs: HashMap<String, AttributeValue> = serde_dynamo::to_item(Pairs(pairs)).unwrap();
    assert_eq!(parse(&encoded.json).unwrap(), theirs);
    assert_eq!(
        encoded.stored_size,
        encode_attributes(&theirs, &shape).unwrap().stored_size
    );
}

/// The names are private to `serde_dynamo`; should they change, sets would become lists.
#[test]
fn the_set_markers_are_those_of_serde_dynamo() {
    let strings = encode_value(&StringSet(["a"])).unwrap();
    let numbers = encode_value(&NumberSet([1])).unwrap();
    let binaries = encode_value(&BinarySet([Model::Bytes(vec![1])])).unwrap();
    assert_eq!(strings, br#"{"SS":["a"]}"#);
    assert_eq!(numbers, br#"{"NS":["1"]}"#);
    assert_eq!(binaries, br#"{"BS":["AQ=="]}"#);
}

#[test]
fn a_key_without_a_value_is_no_entry() {
    struct Half;
    impl Serialize for Half {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            let mut map = s.serialize_map(None)?;
            map.serialize_entry("pk", "k")?;
            map.serialize_key("dangling")?;
            map.end()
        }
    }
    let encoded = encode(&Half, &pk_only()).unwrap();
    assert_eq!(encoded.json, br#"{"pk":{"S":"k"}}"#);
    assert_eq!(encoded.stored_size, 3);
}

/// A `Serialize` that swallows an error must not get a torn item through.
#[test]
fn a_swallowed_error_is_an_error() {
    struct Stubborn;
    impl Serialize for Stubborn {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            let mut fields = s.serialize_struct("Stubborn", 2)?;
            fields.serialize_field("pk", "k")?;
            let _ = fields.serialize_field("bad", &f64::NAN);
            fields.end()
        }
    }
    assert_eq!(
        encode(&Stubborn, &pk_only()).unwrap_err(),
        ItemError::Refused {
            path: String::new()
        }
    );
}

/// The scratch buffer is in use while a record's `Serialize` encodes another record.
#[test]
fn encoding_inside_encoding_works() {
    struct Outer;
    impl Serialize for Outer {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            let inner = encode(&BTreeMap::from([("pk", "inner")]), &pk_only()).unwrap();
            let mut fields = s.serialize_struct("Outer", 1)?;
            fields.serialize_field("pk", std::str::from_utf8(&inner.json).unwrap())?;
            fields.end()
        }
    }
    let encoded = encode(&Outer, &pk_only()).unwrap();
    let item = parse(&encoded.json).unwrap();
    assert_eq!(
        item["pk"],
        AttributeValue::S(r#"{"pk":{"S":"inner"}}"#.to_owned())
    );
}
