//! Tests of pages as servers write them, of pages with broken records, and of bodies that are no page.

use super::*;
use proptest::prelude::*;
use serde::Deserialize;
use std::time::{Duration, SystemTime};

fn page(body: &str) -> Result<Page, ServiceError> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    parse_page(&ShardId::new("shardId-1"), body)
}

fn change(more: &str) -> String {
    format!(
        r#"{{"ApproximateCreationDateTime":1.7E9,"Keys":{{"pk":{{"S":"a"}}}},"SequenceNumber":"007"{more}}}"#
    )
}

fn record(kind: &str, change: &str) -> String {
    format!(
        r#"{{"eventID":"1","eventName":"{kind}","eventSource":"aws:dynamodb","dynamodb":{change}}}"#
    )
}

fn good(number: u32) -> String {
    record("INSERT", &change("").replace("007", &number.to_string()))
}

fn only(record: &str) -> Entry {
    let mut page = page(&format!(r#"{{"Records":[{record}]}}"#)).unwrap();
    assert_eq!(page.records.len(), 1);
    page.records.remove(0)
}

#[derive(Debug, PartialEq, Deserialize)]
struct Row<'a> {
    pk: &'a str,
    n: u8,
}

#[test]
fn a_page_is_read_with_all_that_records_have() {
    let body = concat!(
        r#" {"NextShardIterator":"next\/1","Records":[{"awsRegion":"eu-west-1","dynamodb":{"#,
        r#""ApproximateCreationDateTime":1700000000.25,"Keys":{"pk":{"S":"a"}},"#,
        r#""NewImage":{"pk":{"S":"a"},"n":{"N":"2"}},"OldImage":{"pk":{"S":"a"},"n":{"N":"1"}},"#,
        r#""SequenceNumber":"000000000000000000251","SizeBytes":26,"StreamViewType":"NEW_AND_OLD_IMAGES"},"#,
        r#""eventID":"x","eventName":"MODIFY","eventSource":"aws:dynamodb","eventVersion":"1.1"}]} "#,
    );
    let page = page(body).unwrap();
    assert_eq!(page.next_iterator.as_deref(), Some("next/1"));
    let record = page.records[0].as_ref().unwrap().clone();
    assert_eq!(record.kind(), EventKind::Modify);
    assert_eq!(
        record.sequence_number().unwrap().to_string(),
        "000000000000000000251"
    );
    assert_eq!(record.shard_id().as_str(), "shardId-1");
    assert_eq!(record.size_bytes(), 26);
    assert!(!record.is_ttl_delete());
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    assert_eq!(record.approximate_creation_time(), time);
    assert_eq!(record.keys_json(), br#"{"pk":{"S":"a"}}"#);
    assert_eq!(record.new_image().unwrap(), Some(Row { pk: "a", n: 2 }));
    assert_eq!(record.old_image().unwrap(), Some(Row { pk: "a", n: 1 }));
    assert_eq!(record.keys_attributes().unwrap().len(), 1);
    assert_eq!(record.new_image_attributes().unwrap().unwrap().len(), 2);
    assert_eq!(record.old_image_attributes().unwrap().unwrap().len(), 2);
    assert_eq!(record.keys::<Row<'_>>().unwrap_err().path(), "n");
}

#[test]
fn what_a_view_leaves_out_is_none() {
    for change in [change(""), change(r#","NewImage":null,"OldImage":null"#)] {
        let record = only(&record("REMOVE", &change)).unwrap();
        assert_eq!(record.kind(), EventKind::Remove);
        assert_eq!(record.new_image::<Row<'_>>().unwrap(), None);
        assert!(record.old_image_json().is_none());
        assert!(record.size_bytes() > 100);
    }
}

#[test]
fn a_removal_by_time_to_live_is_told_apart() {
    for (identity, kind, expected) in [
        (
            r#"{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}"#,
            "REMOVE",
            true,
        ),
        (
            r#"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#,
            "REMOVE",
            true,
        ),
        (
            r#"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#,
            "MODIFY",
            false,
        ),
        (
            r#"{"type":"User","principalId":"dynamodb.amazonaws.com"}"#,
            "REMOVE",
            false,
        ),
        (
            r#"{"type":"Service","principalId":"replicator"}"#,
            "REMOVE",
            false,
        ),
        (r#"{"type":1,"principalId":[]}"#, "REMOVE", false),
        ("null", "REMOVE", false),
    ] {
        let json = format!(
            r#"{{"userIdentity":{identity},"eventName":"{kind}","dynamodb":{}}}"#,
            change("")
        );
        assert_eq!(only(&json).unwrap().is_ttl_delete(), expected, "{json}");
    }
}

#[test]
fn a_broken_record_leaves_its_neighbours_alone() {
    let number = Some("007".to_owned());
    let with = |from: &str, to: &str| record("INSERT", &change("").replace(from, to));
    for (broken, number, problem) in [
        (
            record("UPSERT", &change("")),
            &number,
            "its event name is none that is known",
        ),
        (
            record("INSERT", &change("")).replace("\"INSERT\"", "1"),
            &number,
            "its event name is no string",
        ),
        (
            record("INSERT", &change("")).replace("eventName", "x"),
            &number,
            "it has no event name",
        ),
        (with("Keys", "x"), &number, "it has no keys"),
        (
            with(r#"{"pk":{"S":"a"}}"#, "[]"),
            &number,
            "its keys are no object",
        ),
        (
            record("INSERT", &change(r#","NewImage":"x""#)),
            &number,
            "its new image is no object",
        ),
        (
            record("INSERT", &change(r#","OldImage":1"#)),
            &number,
            "its old image is no object",
        ),
        (
            with("SequenceNumber", "x"),
            &None,
            "it has no sequence number",
        ),
        (
            with("\"007\"", "7"),
            &None,
            "its sequence number is no string",
        ),
        (with("007", "x7"), &None, "its sequence number is none"),
        (
            with("1.7E9", "\"now\""),
            &number,
            "its time of creation is none",
        ),
        (
            with("ApproximateCreationDateTime", "x"),
            &number,
            "it has no time of creation",
        ),
        (record("INSERT", "[]"), &None, "it has no change in it"),
        ("null".to_owned(), &None, "it is no object"),
        ("[1,{}]".to_owned(), &None, "it is no object"),
        ("{}".to_owned(), &None, "it has no event name"),
    ] {
        let body = format!(r#"{{"Records":[{},{broken} ,{}]}}"#, good(1), good(2));
        let page = page(&body).unwrap();
        let [first, malformed, last] = page.records.as_slice() else {
            panic!("{body}");
        };
        assert_eq!(
            first
                .as_ref()
                .unwrap()
                .sequence_number()
                .unwrap()
                .to_string(),
            "1"
        );
        assert_eq!(
            last.as_ref()
                .unwrap()
                .sequence_number()
                .unwrap()
                .to_string(),
            "2"
        );
        let malformed = malformed.as_ref().unwrap_err();
        assert_eq!(malformed.problem(), problem, "{broken}");
        let found = malformed.sequence_number().map(ToString::to_string);
        assert_eq!(found, *number, "{broken}");
        assert_eq!(malformed.json(), broken.as_bytes());
        assert_eq!(malformed.shard_id().as_str(), "shardId-1");
    }
}

#[test]
fn the_end_of_a_shard_may_have_records() {
    for body in [
        r#"{"Records":[R]}"#,
        r#"{"Records":[R],"NextShardIterator":null}"#,
    ] {
        let page = page(&body.replace("[R]", &format!("[{}]", good(1)))).unwrap();
        assert_eq!((page.records.len(), page.next_iterator), (1, None));
    }
    assert!(page(r#"{"Records":[]}"#).unwrap().records.is_empty());
}

/// `{}` matters most: without records and without an iterator it would be the end of the shard.
#[test]
fn what_is_no_page_is_garbled() {
    let cut = format!(r#"{{"Records":[{}"#, good(1));
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "<html>",
        r#"{"Records":null}"#,
        r#"{"Records":{}}"#,
        &cut,
        r#"{"Records":[]} x"#,
        r#"{"Records":[],"NextShardIterator":1}"#,
        r#"{"NextShardIterator":"a"}"#,
    ] {
        let error = page(body).unwrap_err();
        assert!(error.is_retryable(), "{body}");
        assert_eq!(error.code(), "GarbledAnswer", "{body}");
    }
}

#[test]
fn neither_debug_nor_display_shows_contents() {
    let secret = change(r#","NewImage":{"pk":{"S":"secret"}}"#).replace("\"a\"", "\"secret\"");
    let whole = only(&record("INSERT", &secret)).unwrap();
    let broken = only(&record("secret", &secret)).unwrap_err();
    let shown = format!("{whole:?} {whole:#?} {broken} {broken:?}");
    assert!(!shown.contains("secret"), "{shown}");
    assert!(
        shown.contains("malformed record in shardId-1 at 007: its event name"),
        "{shown}"
    );
    assert!(shown.contains("new_image_json_bytes: Some(21)"), "{shown}");
}

fn ask_everything(body: &[u8]) {
    let Ok(page) = parse_page(&ShardId::new("s"), Bytes::copy_from_slice(body)) else {
        return;
    };
    for record in page.records {
        match record {
            Ok(record) => {
                let _ = (record.keys::<Row<'_>>(), record.new_image::<Row<'_>>());
                let _ = record.old_image_attributes();
            }
            Err(record) => assert!(!record.json().is_empty()),
        }
    }
}

#[test]
fn depth_is_no_danger() {
    for opening in ["[", "{\"a\":", "{\"M\":{\"a\":", "{\"L\":["] {
        let deep = opening.repeat(100_000);
        let image = format!(r#","NewImage":{{"n":{deep}"#);
        ask_everything(format!(r#"{{"Records":[{deep}"#).as_bytes());
        ask_everything(format!(r#"{{"Records":[{}"#, record("INSERT", &change(&image))).as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_page_is_answered(at in 0..600_usize, byte: u8, cut in 0..4_u8) {
        let body = format!(
            r#"{{"Records":[{},{}],"NextShardIterator":"x"}}"#,
            good(1),
            record("MODIFY", &change(r#","NewImage":{"pk":{"S":"\u00e9"},"n":{"N":"1"}},"SizeBytes":3"#)),
        );
        let mut body = body.into_bytes();
        let at = at % body.len();
        match cut {
            0 => body.truncate(at),
            1 => drop(body.remove(at)),
            _ => body[at] = byte,
        }
        ask_everything(&body);
    }

    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..60)) {
        ask_everything(&body);
    }
}
