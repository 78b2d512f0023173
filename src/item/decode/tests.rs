//! Types as derive makes them, errors with their paths, and bytes that are no items.

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

#[derive(Debug, PartialEq, Eq, Hash, Deserialize)]
struct Wrapper(String);

#[derive(Debug, PartialEq, Deserialize)]
struct Nothing;

#[derive(Debug, PartialEq, Deserialize)]
enum Choice {
    Unit,
    Newtype(u8),
    Tuple(u8, String),
    Struct { a: u8 },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "type")]
enum Internal {
    Unit,
    Struct { a: u8 },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Float(f64),
    Text(String),
    Struct { a: u8 },
    List(Vec<Untagged>),
}

#[test]
fn numbers_are_read_as_asked() {
    assert_eq!(read::<i8>(r#"{"N":"-128"}"#), Some(-128));
    assert_eq!(read::<u8>(r#"{"N":"256"}"#), None);
    assert_eq!(read::<u8>(r#"{"N":"1.0"}"#), None);
    assert_eq!(read::<u8>(r#"{"S":"1"}"#), None);
    assert_eq!(
        read::<u64>(r#"{"N":"18446744073709551615"}"#),
        Some(u64::MAX)
    );
    assert_eq!(read::<f32>(r#"{"N":"0.1"}"#), Some(0.1));
    assert_eq!(read::<f64>(r#"{"N":"1E+5"}"#), Some(1e5));
    assert_eq!(read::<String>(r#"{"N":"1"}"#), None);
    assert_eq!(
        read::<Untagged>(r#"{"N":"-3"}"#),
        Some(Untagged::Number(-3))
    );
    assert_eq!(
        read::<Untagged>(r#"{"N":"2.5"}"#),
        Some(Untagged::Float(2.5))
    );
    assert_eq!(read::<Vec<u8>>(r#"{"NS":["1","2"]}"#), Some(vec![1, 2]));
    assert_eq!(read::<Vec<u8>>(r#"{"NS":["1","300"]}"#), None);
}

#[test]
fn what_serde_dynamo_does_not_read_is_read_here() {
    let wide = br#"{"v":{"N":"-170141183460469231731687303715884105728"}}"#;
    let wide: BTreeMap<&str, i128> = decode_item(wide).unwrap();
    assert_eq!(wide["v"], i128::MIN);
    let max = br#"{"v":{"NS":["340282366920938463463374607431768211455"]}}"#;
    let max: BTreeMap<&str, Vec<u128>> = decode_item(max).unwrap();
    assert_eq!(max["v"], [u128::MAX]);
    let set = br#"{"v":{"SS":["a","b"]}}"#;
    let wrapped: BTreeMap<&str, HashSet<Wrapper>> = decode_item(set).unwrap();
    assert!(wrapped["v"].contains(&Wrapper("a".to_owned())));
    let borrowed: BTreeMap<&str, Vec<Option<&str>>> = decode_item(set).unwrap();
    assert_eq!(borrowed["v"], [Some("a"), Some("b")]);
    // Of a type to come, which nobody asks for.
    #[derive(Deserialize)]
    struct Old {
        a: u8,
    }
    let old: Old = decode_item(br#"{"new":{"XYZ":{"L":7}},"a":{"N":"1"}}"#).unwrap();
    assert_eq!(old.a, 1);
}

#[test]
fn texts_are_borrowed_where_nothing_is_escaped() {
    let json = br#"{"v":{"S":"plain"},"w":{"S":"tab\t"}}"#;
    let owned: BTreeMap<String, String> = decode_item(json).unwrap();
    assert_eq!(owned["w"], "tab\t");
    let error = decode_item::<BTreeMap<&str, &str>>(json).unwrap_err();
    assert_eq!(
        (error.path(), error.wanted()),
        ("w", Some("a borrowed string"))
    );
}

#[test]
fn types_of_all_kinds_are_read_as_serde_dynamo_reads_them() {
    assert_eq!(read::<char>(r#"{"S":"\u00df"}"#), Some('ß'));
    assert_eq!(read::<char>(r#"{"S":"ab"}"#), None);
    assert_eq!(read::<char>(r#"{"S":""}"#), None);
    assert_eq!(read::<bool>(r#"{"BOOL":true}"#), Some(true));
    assert_eq!(read::<Option<u8>>(r#"{"NULL":true}"#), Some(None));
    assert_eq!(read::<Option<u8>>(r#"{"NULL":false}"#), None);
    assert_eq!(read::<Option<u8>>(r#"{"N":"1"}"#), Some(Some(1)));
    assert_eq!(
        read::<Option<Option<Wrapper>>>(r#"{"S":"x"}"#),
        Some(Some(Some(Wrapper("x".to_owned()))))
    );
    assert_eq!(read::<()>(r#"{"NULL":true}"#), Some(()));
    assert_eq!(read::<()>(r#"{"NULL":false}"#), None);
    assert_eq!(read::<Nothing>(r#"{"NULL":true}"#), Some(Nothing));
    assert_eq!(
        read::<CString>(r#"{"B":"AQI="}"#)
            .as_ref()
            .map(CString::as_bytes),
        Some([1, 2].as_slice())
    );
    assert_eq!(
        read::<Vec<CString>>(r#"{"BS":["AQ==",""]}"#).map(|all| all.len()),
        Some(2)
    );
    assert_eq!(read::<Vec<u8>>(r#"{"B":"AQI="}"#), None);
    assert_eq!(
        read::<(u8, u8)>(r#"{"L":[{"N":"1"},{"N":"2"},{"S":"more"}]}"#),
        Some((1, 2))
    );
    assert_eq!(read::<(u8, u8)>(r#"{"L":[{"N":"1"}]}"#), None);
    assert_eq!(
        read::<Vec<Wrapper>>(
            r#"{"SS":["a"]}"#.replace("SS", "L").replace("\"a\"", r#"{"S":"a"}"#).as_str()
        ),
        Some(vec![Wrapper("a".to_owned())])
    );
    assert_eq!(
        read::<BTreeMap<u8, u8>>(r#"{"M":{"7":{"N":"1"}}}"#),
        Some(BTreeMap::from([(7, 1)]))
    );
    assert_eq!(read::<BTreeMap<u8, u8>>(r#"{"M":{"x":{"N":"1"}}}"#), None);
    assert_eq!(
        read::<BTreeMap<bool, u8>>(r#"{"M":{"true":{"N":"1"}}}"#),
        Some(BTreeMap::from([(true, 1)]))
    );
}

#[test]
fn enums_are_read_as_serde_dynamo_reads_them() {
    assert_eq!(read(r#"{"S":"Unit"}"#), Some(Choice::Unit));
    assert_eq!(
        read(r#"{"M":{"Unit":{"S":"left alone"}}}"#),
        Some(Choice::Unit)
    );
    assert_eq!(
        read(r#"{"M":{"Newtype":{"N":"1"}}}"#),
        Some(Choice::Newtype(1))
    );
    let tuple = r#"{"M":{"Tuple":{"L":[{"N":"1"},{"S":"x"}]}}}"#;
    assert_eq!(read(tuple), Some(Choice::Tuple(1, "x".to_owned())));
    assert_eq!(
        read(r#"{"M":{"Struct":{"M":{"a":{"N":"1"}}}}}"#),
        Some(Choice::Struct { a: 1 })
    );
    assert_eq!(
        read::<Choice>(r#"{"M":{"Struct":{"L":[{"N":"1"}]}}}"#),
        None
    );
    assert_eq!(read::<Choice>(r#"{"M":{}}"#), None);
    assert_eq!(
        read::<Choice>(r#"{"M":{"Unit":{"NULL":true},"Newtype":{"N":"1"}}}"#),
        None
    );
    assert_eq!(read::<Choice>(r#"{"S":"Newtype"}"#), None);
    assert_eq!(read::<Choice>(r#"{"N":"0"}"#), None);
    assert_eq!(
        read::<Vec<Choice>>(r#"{"SS":["Unit"]}"#),
        Some(vec![Choice::Unit])
    );
    assert_eq!(
        read(r#"{"M":{"a":{"N":"1"},"type":{"S":"Struct"}}}"#),
        Some(Internal::Struct { a: 1 })
    );
    assert_eq!(read(r#"{"M":{"type":{"S":"Unit"}}}"#), Some(Internal::Unit));
    assert_eq!(
        read(r#"{"M":{"a":{"N":"1"}}}"#),
        Some(Untagged::Struct { a: 1 })
    );
    assert_eq!(
        read(r#"{"SS":["a"]}"#),
        Some(Untagged::List(vec![Untagged::Text("a".to_owned())]))
    );
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only ever refused")]
struct Strict {
    items: Vec<Part>,
    #[serde(default)]
    by: BTreeMap<u16, u8>,
    #[serde(default)]
    state: Option<Choice>,
    #[serde(default)]
    set: HashSet<u8>,
    #[serde(default)]
    own: Option<Own>,
    #[serde(default)]
    deep: BTreeMap<String, Inner>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only ever refused")]
struct Inner {
    a: u8,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only ever refused")]
struct Part {
    amount: u8,
}

/// A type that quotes the values that it refuses.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Own;

impl TryFrom<String> for Own {
    type Error = String;

    fn try_from(value: String) -> Result<Self, String> {
        Err(format!("{value} is not allowed"))
    }
}

#[test]
fn errors_say_where_and_what_and_never_which_value() {
    for (json, message) in [
        (
            r#""items":{"L":[{"M":{"amount":{"N":"1"}}},{"M":{"amount":{"S":"secret"}}}]}"#,
            "attribute `items[1].amount` of type S does not read as u8",
        ),
        (
            r#""items":{"L":[{"M":{"amount":{"N":"77777"}}}]}"#,
            "attribute `items[0].amount` of type N does not read as u8",
        ),
        (
            r#""items":{"L":[{"M":{"secret":{"N":"1"}}}]}"#,
            "attribute `items[0].amount` is missing",
        ),
        (
            r#""items":{"L":[{"S":"secret"}]}"#,
            "attribute `items[0]` of type S does not read as struct Part",
        ),
        (
            r#""items":{"L":[]},"extra":{"S":"secret"}"#,
            "attribute `extra` has no field in its type",
        ),
        (
            r#""items":{"L":[]},"by":{"M":{"name":{"S":"secret"}}}"#,
            "the name of attribute `by.*` does not read as u16",
        ),
        (
            r#""items":{"L":[]},"by":{"M":{"7":{"S":"secret"}}}"#,
            "attribute `by.*` of type S does not read as u8",
        ),
        (
            r#""items":{"L":[]},"deep":{"M":{"secret":{"M":{"a":{"S":"secret"}}}}}"#,
            "attribute `deep.*.a` of type S does not read as u8",
        ),
        (
            r#""items":{"L":[]},"deep":{"M":{"secret":{"M":{"a":{"N":"1"},"secret":{"N":"1"}}}}}"#,
            "attribute `deep.*.*` has no field in its type",
        ),
        (
            r#""items":{"L":[]},"state":{"M":{"secret":{"N":"1"}}}"#,
            "attribute `state` of type S does not read as one of `Unit`, `Newtype`, `Tuple`, `Struct`",
        ),
        (
            r#""items":{"L":[]},"state":{"S":"secret"}"#,
            "attribute `state` of type S does not read as one of `Unit`, `Newtype`, `Tuple`, `Struct`",
        ),
        (
            r#""items":{"L":[]},"state":{"M":{"Struct":{"M":{"a":{"S":"secret"}}}}}"#,
            "attribute `state.Struct.a` of type S does not read as u8",
        ),
        (
            r#""items":{"L":[]},"set":{"NS":["1","77777"]}"#,
            "attribute `set[1]` of type N does not read as u8",
        ),
        (
            r#""items":{"L":[]},"own":{"S":"secret"}"#,
            "attribute `own` is refused by its type",
        ),
        (
            r#""items":{"SS":["secret"]}"#,
            "attribute `items[0]` of type S does not read as struct Part",
        ),
        (r#""by":{"M":{}}"#, "attribute `items` is missing"),
        (
            r#""items":{"L":7}"#,
            "not an item in DynamoDB's JSON: expected an array at byte 14",
        ),
        (
            r#""items":{"L":[],"S":"secret"}"#,
            "not an item in DynamoDB's JSON: expected one type at byte 16",
        ),
        (
            r#""items":{"L":[{"S":"secret"}"#,
            "attribute `items[0]` of type S does not read as struct Part",
        ),
    ] {
        let error = refusal::<Strict>(&format!("{{{json}}}"));
        assert_eq!(error.to_string(), message, "{json}");
        let shown = format!("{error:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("77777"),
            "{shown}"
        );
    }
    let error = refusal::<u8>("{}");
    assert_eq!(error.to_string(), "the item of type M does not read as u8");
    assert_eq!((error.path(), error.found()), ("", Some("M")));
    let error = refusal::<BTreeMap<String, (u8, u8)>>(r#"{"v":{"NS":["1"]}}"#);
    assert_eq!(
        error.to_string(),
        "attribute `v` of type NS does not read as a tuple of size 2"
    );
}

/// As deep as DynamoDB takes it, and one deeper.
#[test]
fn depth_is_bounded() {
    for (open, close) in [(r#"{"L":["#, "]}"), (r#"{"M":{"a":"#, "}}")] {
        let nested = |levels| {
            format!(
                "{{\"v\":{}{{\"N\":\"1\"}}{}}}",
                str::repeat(open, levels),
                str::repeat(close, levels)
            )
        };
        type Any = BTreeMap<String, serde_json::Value>;
        assert_eq!(
            decode_item::<Any>(nested(MAX_DEPTH - 1).as_bytes()).ok(),
            theirs(&nested(MAX_DEPTH - 1))
        );
        assert!(theirs::<Any>(&nested(MAX_DEPTH - 1)).is_some());
        for levels in [MAX_DEPTH, 20_000] {
            let error = refusal::<Any>(&nested(levels));
            assert!(
                matches!(
                    error,
                    DecodeError::TooDeep {
                        limit: MAX_DEPTH,
                        ..
                    }
                ),
                "{error:?}"
            );
            for error in [error, attributes(nested(levels).as_bytes()).unwrap_err()] {
                assert!(error.path().starts_with('v'), "{error}");
                assert!(!error.path().contains('a'), "no key of a map: {error}");
            }
        }
        let ignored = nested(20_000);
        assert!(decode_item::<serde::de::IgnoredAny>(ignored.as_bytes()).is_ok());
        let cut = ignored.get(..60_000).unwrap();
        assert!(decode_item::<Any>(cut.as_bytes()).is_err());
    }
}

/// Reads bytes in several ways, of which each must end; what theirs reads of them ours reads as
/// well.
fn try_everything(json: &[u8]) {
    type Any = BTreeMap<String, serde_json::Value>;
    let _ = decode_item::<Strict>(json);
    let _ = decode_item::<BTreeMap<String, Choice>>(json);
    let _ = decode_item::<serde::de::IgnoredAny>(json);
    let ours = decode_item::<Any>(json).ok();
    if let Some(theirs) = attributes(json)
        .ok()
        .and_then(|item| serde_dynamo::from_item::<_, Any>(item).ok())
    {
        assert_eq!(ours, Some(theirs));
    }
}

const ITEM: &[u8] = br#"{"items":{"L":[{"M":{"amount":{"N":"1"}}}]},"by":{"M":{"7":{"N":"2"}}},"state":{"S":"Unit"},
    "set":{"NS":["1","2"]},"own":{"NULL":true},"t":{"BOOL":true},"s":{"S":"\u00e9\n"},"ss":{"SS":["a"]}}"#;

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn any_bytes_are_answered(json in prop::collection::vec(any::<u8>(), 0..60)) {
        try_everything(&json);
    }

    #[test]
    fn a_damaged_item_is_answered(at in 0..ITEM.len(), byte: u8, how in 0..3_u8) {
        let mut json = ITEM.to_vec();
        match how {
            0 => json.truncate(at),
            1 => drop(json.remove(at)),
            _ => json[at] = byte,
        }
        try_everything(&json);
    }
}
