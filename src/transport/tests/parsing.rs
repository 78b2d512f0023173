//! Answers read, and whatever else may come in their place.

use crate::item::{IndexShape, KeyKind, KeySchema, TableShape};
use crate::retry::ErrorClass;
use crate::transport::answer::{Consumed, UnprocessedKind};
use crate::transport::describe::{Billing, GlobalIndex};
use crate::transport::{parse_batch, parse_describe, parse_single};

const BATCH: &str = include_str!("../../fuzzing/seeds/answers/batch.json").trim_ascii_end();

const DESCRIBE: &str = include_str!("../../fuzzing/seeds/answers/describe.json").trim_ascii_end();

#[test]
fn a_batch_answer_is_read() {
    let answer = parse_batch(BATCH.as_bytes()).unwrap();
    let kinds: Vec<_> = answer.unprocessed.iter().map(|u| u.kind).collect();
    assert_eq!(kinds, [UnprocessedKind::Put, UnprocessedKind::Delete]);
    let item = r#"{"id":{"S":"a\u00e9"},"n":{"N":"1.0"}}"#;
    assert_eq!(answer.unprocessed[0].json, item.as_bytes());
    assert_eq!(answer.unprocessed[1].json, br#"{"id":{"S":"b"}}"#);
    let expected = Consumed {
        table_units: 3.5,
        total: 7.0,
        indexes: vec![("by-x".into(), 1.5), ("by-day".into(), 2.0)],
    };
    assert_eq!(answer.consumed, Some(expected));
    assert!(!format!("{answer:?}").contains("u00e9"));
}

#[test]
fn an_empty_batch_answer_is_read() {
    for empty in [
        "{\"UnprocessedItems\":{}}",
        " { \"UnprocessedItems\" : { } } ",
        "{\"UnprocessedItems\":{},\"ConsumedCapacity\":null}",
        "{\"UnprocessedItems\":{},\"ConsumedCapacity\":[{\"CapacityUnits\":\"odd\"}]}",
    ] {
        let answer = parse_batch(empty.as_bytes()).unwrap();
        assert!(
            answer.unprocessed.is_empty() && answer.consumed.is_none(),
            "{empty}"
        );
    }
}

#[test]
fn capacity_is_one_or_many() {
    assert_eq!(parse_single(b"{}").unwrap(), None);
    assert_eq!(
        parse_single(b"{\"Attributes\":{\"a\":{\"S\":\"x\"}}}").unwrap(),
        None
    );
    assert_eq!(parse_single(b"{\"ConsumedCapacity\":null}").unwrap(), None);
    let one = br#"{"ConsumedCapacity":{"CapacityUnits":2,"TableName":"t"}}"#;
    let expected = Consumed {
        table_units: 2.0,
        total: 2.0,
        indexes: vec![],
    };
    assert_eq!(parse_single(one).unwrap(), Some(expected));
    let many = br#"{"ConsumedCapacity":[{"CapacityUnits":2},{"CapacityUnits":3}]}"#;
    let expected = Consumed {
        table_units: 5.0,
        total: 5.0,
        indexes: vec![],
    };
    assert_eq!(parse_single(many).unwrap(), Some(expected));
}

#[test]
fn a_description_is_read() {
    let table = parse_describe(DESCRIBE.as_bytes()).unwrap();
    let keys = KeySchema::new("id", KeyKind::String);
    let shape = TableShape::new(keys.clone().with_sort("at", KeyKind::Number))
        .with_index(IndexShape::new("l", keys.with_sort("day", KeyKind::Binary)).local())
        .with_index(IndexShape::new("g", KeySchema::new("day", KeyKind::Binary)));
    assert_eq!(table.shape, shape);
    assert_eq!(table.status, "UPDATING");
    assert_eq!(table.billing, Some(Billing::Provisioned));
    assert_eq!(table.provisioned_write_units, Some(10));
    assert_eq!(table.max_on_demand_write_units, Some(900));
    assert_eq!(table.warm_write_units, Some(4000));
    let index = GlobalIndex {
        name: "g".into(),
        status: Some("ACTIVE".into()),
        provisioned_write_units: Some(5),
        max_on_demand_write_units: None,
        warm_write_units: Some(4000),
    };
    assert_eq!(table.global_indexes, [index]);
    assert!(!table.local_imitation);
}

#[test]
fn a_bare_description_will_do() {
    let table = parse_describe(
        br#"{"Table":{"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
            "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}}"#,
    )
    .unwrap();
    assert_eq!(
        table.shape,
        TableShape::new(KeySchema::new("id", KeyKind::String))
    );
    assert_eq!(table.billing, None);
    assert_eq!(table.provisioned_write_units, None);
}

#[test]
fn odd_numbers_of_capacity_never_keep_a_table_from_opening() {
    let described = |from: &str, to: &str| {
        assert!(DESCRIBE.contains(from), "{from}");
        parse_describe(DESCRIBE.replace(from, to).as_bytes()).unwrap()
    };
    let units = "\"WriteCapacityUnits\":10";
    for (text, expected) in [
        ("10.0", Some(10)),
        ("\"10\"", Some(10)),
        ("\" 10.0 \"", Some(10)),
        ("1e1", Some(10)),
        ("-1", None),
        ("null", None),
        ("\"many\"", None),
        ("{}", None),
        ("[1]", None),
    ] {
        let table = described(units, &format!("\"WriteCapacityUnits\":{text}"));
        assert_eq!(table.provisioned_write_units, expected, "{text}");
        assert_eq!(table.warm_write_units, Some(4000));
    }
    for odd in ["7", "\"odd\"", "[]", "null"] {
        let table = format!(
            r#"{{"Table":{{"AttributeDefinitions":[{{"AttributeName":"id","AttributeType":"S"}}],
            "KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}}],"ProvisionedThroughput":{odd},
            "OnDemandThroughput":{odd},"WarmThroughput":{odd},"BillingModeSummary":{odd}}}}}"#
        );
        let table = parse_describe(table.as_bytes()).unwrap();
        assert_eq!(
            (table.provisioned_write_units, table.billing),
            (None, None),
            "{odd}"
        );
    }
}

#[test]
fn what_a_health_page_answers_confirms_nothing() {
    for page in [
        "{}",
        "{\"UnprocessedItems\":null}",
        " { } ",
        "{\"status\":\"ok\"}",
        "{\"__type\":\"com.amazonaws.dynamodb.v20120810#InternalServerError\"}",
        "{\"UnprocessedItems\":{},\"__type\":\"InternalServerError\"}",
        "{\"UnprocessedItems\":{},\"__type\":null}",
    ] {
        let error = parse_batch(page.as_bytes()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Ambiguous, "{page}");
    }
    for page in [
        "{\"status\":\"ok\"}",
        "{\"__type\":\"InternalServerError\"}",
        "{\"Attributes\":{},\"__type\":\"InternalServerError\"}",
    ] {
        assert!(parse_single(page.as_bytes()).is_err(), "{page}");
    }
}

#[test]
fn what_is_no_answer_leaves_the_outcome_open() {
    let unknown_kind = r#"{"UnprocessedItems":{"t":[{}]}}"#;
    let both =
        r#"{"UnprocessedItems":{"t":[{"PutRequest":{"Item":{}},"DeleteRequest":{"Key":{}}}]}}"#;
    let no_item = r#"{"UnprocessedItems":{"t":[{"PutRequest":{"Item":3}}]}}"#;
    let deep = "[".repeat(100_000);
    for garbage in [
        "",
        "<html>",
        "null",
        "[]",
        "3",
        "{\"Unproc",
        unknown_kind,
        both,
        no_item,
        &deep,
    ] {
        let error = parse_batch(garbage.as_bytes()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Ambiguous, "{garbage:.40}");
        assert_eq!(error.code(), "GarbledAnswer");
        assert!(parse_describe(garbage.as_bytes()).is_err(), "{garbage:.40}");
    }
    for garbage in ["", "<html>", "null", "[]", "{\"Attr", &deep] {
        assert!(parse_single(garbage.as_bytes()).is_err(), "{garbage:.40}");
    }
    for cut in 0..BATCH.len() {
        assert!(parse_batch(&BATCH.as_bytes()[..cut]).is_err(), "{cut}");
    }
    for cut in 0..DESCRIBE.len() {
        assert!(
            parse_describe(&DESCRIBE.as_bytes()[..cut]).is_err(),
            "{cut}"
        );
    }
    let undefined = DESCRIBE.replace("\"AttributeType\":\"N\"", "\"AttributeType\":\"X\"");
    assert!(parse_describe(undefined.as_bytes()).is_err());
}
