//! Keys are compared as DynamoDB compares them, not as strings that were put together.
//!
//! Each test coalesces, so that two keys that were taken for one would lose a value, and expects one batch, so
//! that two keys that were only suspected to be one would be seen too.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::TableSpec;
use dynamodb_connector::item::ItemError;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::sink::{DynamoDbSink, Outcome, SubmitError, TableSettings, TableSink};
use dynamodb_connector::test_util::{FaultyDynamoDb, RequestRecord};
use serde_json::json;

use super::{all_written, batches};
use crate::setup::{TABLE, open};

async fn coalescing(pk: KeyKind, sk: KeyKind) -> (FaultyDynamoDb, TableSink) {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE).partition("pk", pk).sort("sk", sk));
    let settings = TableSettings::default().coalesce(true);
    let sink = DynamoDbSink::builder(&fake.client())
        .table(TABLE, settings)
        .open();
    let table = sink.await.expect("opened").table(TABLE).expect("opened");
    (fake, table)
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(text: &str) -> AttributeValue {
    AttributeValue::N(text.to_owned())
}

fn b(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

fn item(pk: &AttributeValue, sk: &AttributeValue) -> HashMap<String, AttributeValue> {
    HashMap::from([("pk".to_owned(), pk.clone()), ("sk".to_owned(), sk.clone())])
}

/// All of these are different items, and go in one batch.
async fn all_different(kinds: (KeyKind, KeyKind), keys: &[(AttributeValue, AttributeValue)]) {
    let (fake, table) = coalescing(kinds.0, kinds.1).await;
    let puts = keys
        .iter()
        .map(|(pk, sk)| table.put_item(&item(pk, sk)).try_submit().expect("room"));
    all_written(puts.collect::<Vec<_>>()).await;
    assert_eq!(fake.item_count(TABLE), keys.len());
    let sizes: Vec<_> = batches(&fake).iter().map(RequestRecord::items).collect();
    assert_eq!(sizes, [keys.len()]);
}

#[tokio::test(start_paused = true)]
async fn keys_are_told_apart_wherever_their_parts_end() {
    let pairs = [
        ("a$", "b"),
        ("a", "$b"),
        ("a|b", "c"),
        ("a", "b|c"),
        ("ab", "c"),
        ("a", "bc"),
        ("a\u{0}", "b"),
        ("a", "\u{0}b"),
        ("a\",\"sk\":\"b", "c"),
        ("a", "b\",\"sk\":\"c"),
        // One letter of two forms: DynamoDB compares bytes.
        ("\u{e9}", "x"),
        ("e\u{301}", "x"),
    ];
    let keys: Vec<_> = pairs.iter().map(|(pk, sk)| (s(pk), s(sk))).collect();
    all_different((KeyKind::String, KeyKind::String), &keys).await;
}

#[tokio::test(start_paused = true)]
async fn a_number_is_not_the_string_of_its_digits() {
    let keys = [
        (s("1"), n("1")),
        (s("1"), n("11")),
        (s("11"), n("1")),
        (s("1.0"), n("1")),
        (s("-1"), n("1")),
        (s("1"), n("-1")),
    ];
    all_different((KeyKind::String, KeyKind::Number), &keys).await;
    let turned: Vec<_> = keys.iter().map(|(s, n)| (n.clone(), s.clone())).collect();
    all_different((KeyKind::Number, KeyKind::String), &turned).await;
    // Where the table's key is of the other type the record is refused, not taken for what it looks like.
    let fake = crate::setup::fake();
    let table = open(&fake).await;
    let refused = table.put(&json!({ "pk": 1 })).await;
    let Err(SubmitError::Item { error, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(matches!(error, ItemError::KeyType { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn binary_keys_are_told_apart_by_their_bytes() {
    let pairs: [(&[u8], &[u8]); 9] = [
        (b"a$", b"b"),
        (b"a", b"$b"),
        // None of these is text; read as text, all of them would be the last one.
        (&[0xff], &[0]),
        (&[0xfe], &[0]),
        (&[0xc3, 0x28], &[0]),
        ("\u{fffd}".as_bytes(), &[0]),
        (&[0], &[0xff]),
        (&[0, 0], &[0xff]),
        (&[0], &[0, 0xff]),
    ];
    let keys: Vec<_> = pairs.iter().map(|(pk, sk)| (b(pk), b(sk))).collect();
    all_different((KeyKind::Binary, KeyKind::Binary), &keys).await;
    // And the same bytes are the same key.
    let (fake, table) = coalescing(KeyKind::Binary, KeyKind::Binary).await;
    let put = || table.put_item(&item(&b(&[0xff]), &b(&[0])));
    let older = put().try_submit().expect("room");
    let newer = put().try_submit().expect("room");
    assert!(newer.await.is_written());
    assert!(matches!(older.await, Outcome::Superseded));
    assert_eq!(fake.applied().len(), 1);
}
