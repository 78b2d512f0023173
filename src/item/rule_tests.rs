//! Every rule at its boundary, and every message. The boundaries are those of DynamoDB Local 3.1.0.

use super::limits::{MAX_ITEM_SIZE, MAX_NAME};
use super::*;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, Serializer};
use serde_dynamo::{binary_set::BinarySet, number_set::NumberSet, string_set::StringSet};
use std::collections::{BTreeMap, HashMap};

type Attributes = HashMap<String, AttributeValue>;

fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn n(text: &str) -> AttributeValue {
    AttributeValue::N(text.to_owned())
}

fn shape() -> TableShape {
    TableShape::new(KeySchema::new("pk", KeyKind::String).with_sort("sk", KeyKind::Binary))
        .with_index(IndexShape::new(
            "by_email",
            KeySchema::new("email", KeyKind::String).with_sort("at", KeyKind::Number),
        ))
        .with_index(IndexShape::new(
            "by_kind",
            KeySchema::new("pk", KeyKind::String).with_sort("kind", KeyKind::String),
        ))
}

/// An item with a fit key and these attributes over it.
fn item<const N: usize>(more: [(&str, AttributeValue); N]) -> Attributes {
    let keys = [("pk", s("p")), ("sk", AttributeValue::B(Blob::new("s")))];
    keys.into_iter()
        .chain(more)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Returns the answer of all three ways in, which must agree.
fn outcome(item: &Attributes) -> Result<usize, String> {
    let by_sdk = encode_attributes(item, &shape()).map(|e| e.stored_size);
    let typed: serde_dynamo::Item = item.clone().into();
    let by_serde = encode(&Typed(&typed), &shape()).map(|e| e.stored_size);
    assert_eq!(by_sdk, by_serde);
    if let Ok(encoded) = encode_attributes(item, &shape()) {
        let by_json = check_json(&encoded.json, &shape(), false).map(|e| e.stored_size);
        assert_eq!(by_sdk, by_json);
    }
    by_sdk.map_err(|error| error.to_string())
}

/// An item of `serde_dynamo` as the record that would have made it.
struct Typed<'a>(&'a serde_dynamo::Item);

struct TypedValue<'a>(&'a serde_dynamo::AttributeValue);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().map(|(name, value)| (name, TypedValue(value))))
    }
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self.0)
    }
}

impl Serialize for TypedValue<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde_dynamo::AttributeValue as Value;
        let number = |text: &String| text.parse::<f64>().unwrap();
        match self.0 {
            Value::N(text) => s.serialize_f64(number(text)),
            Value::S(text) => s.serialize_str(text),
            Value::Bool(value) => s.serialize_bool(*value),
            Value::B(bytes) => s.serialize_bytes(bytes),
            Value::Null(_) => s.serialize_unit(),
            Value::M(map) => s.collect_map(map.iter().map(|(k, v)| (k, TypedValue(v)))),
            Value::L(list) => s.collect_seq(list.iter().map(TypedValue)),
            Value::Ss(set) => StringSet(set).serialize(s),
            Value::Ns(set) => NumberSet(set.iter().map(number).collect::<Vec<_>>()).serialize(s),
            Value::Bs(set) => {
                BinarySet(set.iter().map(|b| Bytes(b)).collect::<Vec<_>>()).serialize(s)
            }
        }
    }
}

fn refusal<const N: usize>(more: [(&str, AttributeValue); N]) -> String {
    outcome(&item(more)).unwrap_err()
}

fn nested(levels: usize) -> AttributeValue {
    (0..levels).fold(s("x"), |value, level| {
        if level % 2 == 0 {
            AttributeValue::L(vec![value])
        } else {
            AttributeValue::M(HashMap::from([("m".to_owned(), value)]))
        }
    })
}

/// As measured on DynamoDB Local 3.1.0, by filling an item up to the last byte that it takes.
#[test]
fn stored_sizes_are_those_measured() {
    let list = AttributeValue::L;
    let map = |entries: Vec<(&str, AttributeValue)>| {
        AttributeValue::M(
            entries
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect(),
        )
    };
    let null = || AttributeValue::Null(true);
    for (value, size) in [
        (null(), 1),
        (AttributeValue::Bool(true), 1),
        (AttributeValue::Bool(false), 1),
        (AttributeValue::B(Blob::new("hello")), 5),
        (list(vec![]), 3),
        (map(vec![]), 3),
        (list(vec![s("ab")]), 6),
        (list(vec![n("12"), s("ab")]), 9),
        (map(vec![("ab", s("cd"))]), 8),
        (map(vec![("ab", s("cd")), ("ef", null())]), 12),
        (
            AttributeValue::Ss(vec!["ab".to_owned(), "cde".to_owned()]),
            5,
        ),
        (
            AttributeValue::Ns(vec!["1".to_owned(), "200".to_owned()]),
            4,
        ),
        (
            AttributeValue::Bs(vec![Blob::new("hello"), Blob::new("hi")]),
            7,
        ),
        (list(vec![list(vec![list(vec![])])]), 11),
        (s(""), 0),
        (AttributeValue::B(Blob::new("")), 0),
        (s("é€𝄞"), 9),
    ] {
        let keys = "pkp".len() + "sks".len();
        assert_eq!(
            outcome(&item([("v", value.clone())])),
            Ok(keys + 1 + size),
            "{value:?}"
        );
    }
}

#[test]
fn an_item_of_exactly_400_kb_passes() {
    let text = "x".repeat(MAX_ITEM_SIZE - "pkp".len() - "sks".len() - "text".len());
    assert_eq!(
        outcome(&item([("text", s(text.clone()))])),
        Ok(MAX_ITEM_SIZE)
    );
    assert_eq!(
        refusal([("text", s(text + "x"))]),
        "the item has 409601 bytes as stored, the limit is 409600; its largest attribute is `text` with 409595"
    );
}

#[test]
fn keys_must_be_there_and_fit() {
    let without = |name: &str| {
        let mut item = item([]);
        item.remove(name);
        outcome(&item).unwrap_err()
    };
    assert_eq!(without("pk"), "key attribute `pk` is missing");
    assert_eq!(without("sk"), "key attribute `sk` is missing");
    assert_eq!(
        refusal([("pk", n("1"))]),
        "key attribute `pk` is of type N, the table's key is of type S"
    );
    assert_eq!(
        refusal([("sk", AttributeValue::L(vec![]))]),
        "key attribute `sk` is of type L, the table's key is of type B"
    );
    assert_eq!(refusal([("pk", s(""))]), "key attribute `pk` is empty");
    assert_eq!(
        refusal([("sk", AttributeValue::B(Blob::new("")))]),
        "key attribute `sk` is empty"
    );
    assert!(outcome(&item([("pk", s("é".repeat(1024)))])).is_ok());
    assert_eq!(
        refusal([("pk", s("é".repeat(1024) + "x"))]),
        "key attribute `pk` has 2049 bytes, the limit is 2048"
    );
    assert!(outcome(&item([("sk", AttributeValue::B(Blob::new([7; 1024])))])).is_ok());
    assert_eq!(
        refusal([("sk", AttributeValue::B(Blob::new([7; 1025])))]),
        "key attribute `sk` has 1025 bytes, the limit is 1024"
    );
}

#[test]
fn keys_of_indexes_may_be_absent_but_must_fit() {
    assert!(outcome(&item([("email", s("a")), ("at", n("1")), ("kind", s("k"))])).is_ok());
    assert!(outcome(&item([("email", s("a"))])).is_ok());
    assert_eq!(
        refusal([("email", AttributeValue::Null(true))]),
        "attribute `email` is of type NULL, index `by_email` has it as a key of type S"
    );
    assert_eq!(
        refusal([("at", s("1"))]),
        "attribute `at` is of type S, index `by_email` has it as a key of type N"
    );
    assert_eq!(
        refusal([("kind", s(""))]),
        "attribute `kind` is empty, index `by_kind` has it as a key"
    );
    assert!(outcome(&item([("email", s("x".repeat(2048)))])).is_ok());
    assert_eq!(
        refusal([("email", s("x".repeat(2049)))]),
        "attribute `email` has 2049 bytes, as a key of index `by_email` the limit is 2048"
    );
    assert!(outcome(&item([("kind", s("x".repeat(1024)))])).is_ok());
    assert_eq!(
        refusal([("kind", s("x".repeat(1025)))]),
        "attribute `kind` has 1025 bytes, as a key of index `by_kind` the limit is 1024"
    );
    // A key alone says nothing of the indexes.
    assert!(encode_key_attributes(&item([("email", n("1"))]), &shape()).is_ok());
}

#[test]
fn nesting_ends_at_32_levels_the_item_included() {
    assert!(outcome(&item([("v", nested(31))])).is_ok());
    let deepest_set = (0..31).fold(AttributeValue::Ss(vec!["a".to_owned()]), |value, _| {
        AttributeValue::L(vec![value])
    });
    assert!(outcome(&item([("v", deepest_set)])).is_ok());
    let error = refusal([("v", nested(32))]);
    assert!(error.starts_with("attribute `v.*[0].*[0]"), "{error}");
    assert!(
        error.ends_with("` is nested deeper than 32 levels"),
        "{error}"
    );
    let empty = (0..31).fold(AttributeValue::L(vec![]), |value, _| {
        AttributeValue::L(vec![value])
    });
    assert!(outcome(&item([("v", empty)])).is_err());
    assert!(encode_attribute_value(&nested(31)).is_ok());
    assert!(encode_attribute_value(&nested(32)).is_err());
}

#[test]
fn sets_have_members_and_each_once() {
    let strings = |all: &[&str]| AttributeValue::Ss(all.iter().map(|&m| m.to_owned()).collect());
    let numbers = |all: &[&str]| AttributeValue::Ns(all.iter().map(|&m| m.to_owned()).collect());
    assert_eq!(
        refusal([("v", strings(&[]))]),
        "attribute `v` is an empty set"
    );
    assert_eq!(
        refusal([("v", numbers(&[]))]),
        "attribute `v` is an empty set"
    );
    assert_eq!(
        refusal([("v", AttributeValue::Bs(vec![]))]),
        "attribute `v` is an empty set"
    );
    assert!(outcome(&item([("v", strings(&["", "a", "A"]))])).is_ok());
    assert_eq!(
        refusal([("v", strings(&["a", "b", "a"]))]),
        "attribute `v[2]` repeats an earlier member of its set"
    );
    let repeats = "attribute `v[1]` repeats an earlier member of its set";
    assert_eq!(refusal([("v", numbers(&["1", "1.0"]))]), repeats);
    assert_eq!(refusal([("v", numbers(&["0", "-0"]))]), repeats);
    assert_eq!(
        refusal([(
            "v",
            AttributeValue::Bs(vec![Blob::new("a"), Blob::new("a")])
        )]),
        repeats
    );
    assert_eq!(
        encode_attribute_value(&numbers(&["100", "1e2"]))
            .unwrap_err()
            .path(),
        "[1]"
    );
    let many: Vec<String> = (0..300).map(|i| i.to_string()).collect();
    assert!(outcome(&item([("v", AttributeValue::Ns(many.clone()))])).is_ok());
    let repeated = many.into_iter().chain(["200.0".to_owned()]).collect();
    assert_eq!(
        refusal([("v", AttributeValue::Ns(repeated))]),
        "attribute `v[300]` repeats an earlier member of its set"
    );
}

#[test]
fn numbers_keep_the_range() {
    let refused = |text: &str| {
        let list = AttributeValue::L(vec![n("1"), n(text)]);
        encode_attributes(&item([("v", list)]), &shape())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("NaN"),
        "attribute `v[1]` is not a number that DynamoDB has"
    );
    assert_eq!(
        refused("12a"),
        "attribute `v[1]` is not a number that DynamoDB has"
    );
    assert_eq!(
        refused("1e126"),
        "attribute `v[1]` is a number of magnitude 1E+126 or more"
    );
    assert_eq!(
        refused("-1e-131"),
        "attribute `v[1]` is a number of magnitude below 1E-130"
    );
    assert_eq!(
        refused("123456789012345678901234567890123456789"),
        "attribute `v[1]` has 39 significant digits, the limit is 38"
    );
    for float in [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        1e126,
        9e-131,
        5e-324,
    ] {
        assert!(encode_value(&float).is_err(), "{float}");
    }
    assert!(encode_value(&f32::NAN).is_err());
    for float in [1e-130, 9.99e125, f64::from(f32::MIN_POSITIVE), 0.0, -0.0] {
        assert!(encode_value(&float).is_ok(), "{float}");
    }
}

#[test]
fn names_have_1_to_65535_bytes() {
    let map = |name: String| AttributeValue::M(HashMap::from([(name, s("x"))]));
    assert_eq!(
        refusal([("", s("x"))]),
        "the item has an attribute with an empty name"
    );
    assert_eq!(
        refusal([("v", map(String::new()))]),
        "attribute `v` has an attribute with an empty name"
    );
    assert!(outcome(&item([("v", map("n".repeat(MAX_NAME)))])).is_ok());
    assert_eq!(
        refusal([("v", map("n".repeat(MAX_NAME + 1)))]),
        "attribute `v` has an attribute whose name has 65536 bytes, the limit is 65535"
    );
}

#[test]
fn paths_lead_to_the_attribute() {
    #[derive(Serialize)]
    enum Choice {
        Tuple(u8, f64),
        Struct { inner: BTreeMap<u8, Vec<f64>> },
        Newtype((f64,)),
    }
    #[derive(Serialize)]
    struct Record {
        pk: &'static str,
        parts: Vec<Choice>,
    }
    let path = |part: Choice| {
        let parts = vec![Choice::Tuple(1, 2.0), part];
        encode(&Record { pk: "p", parts }, &shape())
            .unwrap_err()
            .path()
            .to_owned()
    };
    assert_eq!(path(Choice::Tuple(1, f64::NAN)), "parts[1].Tuple[1]");
    let inner = BTreeMap::from([(3, vec![]), (7, vec![0.0, f64::NAN])]);
    assert_eq!(path(Choice::Struct { inner }), "parts[1].Struct.inner.*[1]");
    assert_eq!(path(Choice::Newtype((f64::NAN,))), "parts[1].Newtype[0]");

    let long = BTreeMap::from([("n".repeat(500), f64::NAN)]);
    let error = encode(&long, &shape()).unwrap_err();
    assert_eq!(error.path(), format!("{}…", "n".repeat(80)));
}

#[test]
fn what_has_no_form_is_named() {
    #[derive(Serialize)]
    struct One<T> {
        pk: &'static str,
        v: T,
    }
    fn refused<T: Serialize>(v: T) -> String {
        encode(&One { pk: "p", v }, &shape())
            .unwrap_err()
            .to_string()
    }
    assert_eq!(
        refused(1_i128),
        "attribute `v` is an i128, which has no form in DynamoDB"
    );
    assert_eq!(
        refused([1_u128]),
        "attribute `v[0]` is a u128, which has no form in DynamoDB"
    );
    assert_eq!(
        refused(HashMap::from([((1, 2), 3)])),
        "attribute `v` has a list as a map key, which can't name an attribute"
    );
    assert_eq!(
        refused(HashMap::from([(Some(1), 3)])),
        "attribute `v` has an option as a map key, which can't name an attribute"
    );
    assert_eq!(
        refused(StringSet(1)),
        "attribute `v` is a number and can't be a set (SS)"
    );
    assert_eq!(
        refused(BinarySet(NumberSet([1]))),
        "attribute `v` is a set and can't be a set (BS)"
    );
    assert_eq!(
        refused(NumberSet(("x", 1))),
        "attribute `v[0]` is a string, which a set (NS) can't hold"
    );
    for (error, found) in [
        (encode(&1, &shape()), "a number"),
        (encode("text", &shape()), "a string"),
        (encode(&[1], &shape()), "a list"),
        (encode(&StringSet(["a"]), &shape()), "a set"),
        (encode(&None::<u8>, &shape()), "nothing"),
    ] {
        let error = error.unwrap_err().to_string();
        assert_eq!(
            error,
            format!("a record must be a struct or a map, this one is {found}")
        );
    }
}

#[test]
fn the_sdks_odd_values_are_refused() {
    let refused = |value| {
        encode_attributes(&item([("v", value)]), &shape())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(AttributeValue::Null(false)),
        "attribute `v` is a NULL that is not true"
    );
}

#[test]
fn errors_never_quote_the_record() {
    struct Blabbing;
    impl Serialize for Blabbing {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("secret"))
        }
    }
    let error = encode(&BTreeMap::from([("a", Blabbing)]), &shape()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "attribute `a` could not be serialised by its own type"
    );
    let secret = item([("pk", n("987654321"))]);
    let error = encode_attributes(&secret, &shape()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("987654321"));
}

#[test]
fn a_record_gives_its_key_whatever_else_it_holds() {
    let mut record = item([("v", AttributeValue::Null(false)), ("", s("x"))]);
    let key = encode_key_attributes(&record, &shape()).unwrap();
    assert_eq!(parse(&key.json).unwrap(), item([]));
    assert_eq!(key.stored_size, 6);
    record.remove("pk");
    let error = encode_key_attributes(&record, &shape())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "key attribute `pk` is missing");
}

/// A scratch buffer that grew is let go, and what comes after is unharmed.
#[test]
fn a_huge_record_leaves_no_trace() {
    let huge = item([("v", s("x".repeat(3 << 20)))]);
    assert!(matches!(
        encode_attributes(&huge, &shape()),
        Err(ItemError::TooLarge { size, .. }) if size == (3 << 20) + 7
    ));
    let small = encode_attributes(&item([]), &shape()).unwrap();
    assert_eq!(small.json.capacity(), small.json.len());
    assert_eq!(parse(&small.json).unwrap(), item([]));
}
