//! Errors, depth, and bytes of any kind.

use super::*;

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
