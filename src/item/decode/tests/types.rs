//! Types of all kinds.

use super::*;

#[derive(Debug, PartialEq, Eq, Hash, Deserialize)]
struct Wrapper(String);

#[derive(Debug, PartialEq, Deserialize)]
struct Nothing;

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
    // Of a type to come, which is not asked for.
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
