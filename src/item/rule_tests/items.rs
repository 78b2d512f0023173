//! Rules on items: size, keys, names, paths, nesting.

use super::*;

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
