//! What the tests of Flink's DynamoDB connector demand of its sink and its state, demanded of this one.
//!
//! | behaviour there | test here |
//! |---|---|
//! | mixed puts and deletes keep their order | [`mixed_puts_and_deletes_keep_their_order`] |
//! | dedupe keeps the latest: put | [`coalescing_keeps_the_latest_put`] |
//! | … delete | [`coalescing_keeps_the_latest_delete`] |
//! | … composite key | [`coalescing_goes_by_the_whole_composite_key`] |
//! | a retryable error retries every entry | [`a_retryable_error_retries_every_entry`] |
//! | a partial failure returns only what failed | [`a_partial_failure_sends_again_only_what_failed`] |
//! | unprocessed items are always re-queued | [`unprocessed_items_are_always_sent_again`] |
//! | not retryable: missing table | [`a_table_that_vanishes_is_not_retried`] |
//! | … failed condition | [`a_failed_condition_is_not_retried`] |
//! | … validation error | [`a_validation_error_is_tried_once_more_and_no_further`] |
//! | … STS error | [`refused_credentials_are_not_retried`], [`expired_credentials_are_not_retried_for_ever`] |
//! | … interrupted | [`an_interrupted_write_is_handed_back_and_not_retried`] |
//! | a 500 KB item gives a clear failure | [`an_item_of_500_kb_is_refused_with_attribute_size_and_limit`] |
//! | a missing table fails | [`a_missing_table_fails_to_open`] |
//! | duplicates without dedupe fail | [`duplicates_without_coalescing_are_all_written_in_order`] (better: they don't) |
//! | keys are delimited | [`partition_and_sort_keys_are_told_apart`] |
//! | a put and a delete of one item have equal keys | [`a_put_and_a_delete_of_one_item_have_equal_keys`] |
//! | empty or missing key parts are rejected | [`empty_or_missing_key_parts_are_rejected`] |
//! | state: round trip of puts and deletes, every attribute type | [`state_of_every_attribute_type_goes_round`] |
//! | unknown versions rejected | [`state_of_an_unknown_version_is_rejected`] |
//! | unknown types rejected | [`state_of_an_unknown_type_is_rejected`] |
//! | batching: exact multiples flush | [`exact_multiples_of_the_batch_size_flush`] |
//! | byte limit inclusive | [`the_byte_limit_is_inclusive`] |
//! | simultaneous count and byte limits | [`count_and_byte_limits_reached_at_once_flush_once`] |
//! | timer flush takes all buffered up to expiry; one timer | [`the_linger_takes_all_buffered_up_to_its_end_and_runs_once`] |
//! | end of input drains | [`the_end_of_input_drains`] |
//! | empty flush is safe | [`an_empty_flush_is_safe`] |
//! | checkpoint: waits for in-flight, snapshots the rest | [`a_snapshot_holds_what_is_in_flight_and_the_rest`] (better: it doesn't wait) |
//! | several states merge | [`several_states_merge`] |
//! | an oversize restored record fails | [`an_oversize_restored_record_fails`] |
//! | retry: re-queued in order | [`what_is_retried_goes_before_newer_writes_of_its_key`] |
//! | … and size-accounted | [`what_is_retried_keeps_its_room_and_its_size`] |
//! | at-least-once | [`a_write_whose_answer_was_lost_is_sent_again`] |
//! | a late answer after a request timeout is ignored | [`a_late_answer_after_a_timeout_is_ignored`] |
//! | too many in flight blocks | [`too_many_in_flight_blocks`] |
//! | one blocked caller does not stop another | [`one_blocked_caller_does_not_stop_another`] |
//! | metrics: records/bytes per submit, send time, errors, partial failures | [`metrics_tell_records_bytes_times_errors_and_partial_failures`] |

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::TableSpec;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::sink::{
    DrainError, DynamoDbSink, OpenError, Outcome, Receipt, RejectReason, Snapshot, SnapshotError,
    SubmitError, TableSettings, TableSink,
};
use dynamodb_connector::test_util::{
    AppliedKind, Fault, FaultyDynamoDb, Operation, RequestRecord, Throttle,
};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use serde_json::{Value as Json, json};

const TABLE: &str = "decisions";

fn service() -> FaultyDynamoDb {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE));
    fake
}

async fn open(fake: &FaultyDynamoDb, settings: TableSettings) -> TableSink {
    let builder = DynamoDbSink::builder(&fake.client())
        .table(TABLE, settings)
        .seed(1);
    builder
        .open()
        .await
        .expect("opened")
        .table(TABLE)
        .expect("opened")
}

fn settings() -> TableSettings {
    TableSettings::default()
}

fn item(pk: &str, n: u64) -> Json {
    json!({ "pk": pk, "n": n })
}

fn key(pk: &str) -> Json {
    json!({ "pk": pk })
}

fn put(table: &TableSink, pk: &str, n: u64) -> Receipt {
    table.put(&item(pk, n)).try_submit().expect("room")
}

fn delete(table: &TableSink, pk: &str) -> Receipt {
    table.delete(&key(pk)).try_submit().expect("room")
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn stored(fake: &FaultyDynamoDb, pk: &str) -> Option<String> {
    let item = fake.item(TABLE, [("pk", s(pk))])?;
    Some(item["n"].as_n().expect("a number").clone())
}

/// What was applied: the kind, and the number of a put.
fn applied(fake: &FaultyDynamoDb) -> Vec<(AppliedKind, Option<String>)> {
    let number = |value: AttributeValue| value.as_n().expect("a number").clone();
    fake.applied()
        .iter()
        .map(|write| (write.kind(), write.attribute("n").map(number)))
        .collect()
}

fn batches(fake: &FaultyDynamoDb) -> Vec<RequestRecord> {
    let mut requests = fake.requests();
    requests.retain(|request| request.operation() == Some(Operation::BatchWriteItem));
    requests
}

fn sizes(fake: &FaultyDynamoDb) -> Vec<usize> {
    batches(fake).iter().map(RequestRecord::items).collect()
}

async fn all_written(receipts: Vec<Receipt>) {
    for receipt in receipts {
        let outcome = receipt.await;
        assert!(outcome.is_written(), "{outcome}");
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

// Mixed puts and deletes.

#[tokio::test(start_paused = true)]
async fn mixed_puts_and_deletes_keep_their_order() {
    let fake = service();
    fake.inject(Fault::unprocessed_all());
    fake.inject(Fault::internal_error().on(Operation::BatchWriteItem));
    let table = open(&fake, settings()).await;
    let receipts = vec![
        put(&table, "a", 1),
        delete(&table, "a"),
        put(&table, "a", 2),
        put(&table, "a", 3),
        delete(&table, "a"),
        put(&table, "a", 4),
    ];
    all_written(receipts).await;
    let put = |n: u64| (AppliedKind::Put, Some(n.to_string()));
    let gone = (AppliedKind::Delete, None);
    assert_eq!(
        applied(&fake),
        [put(1), gone.clone(), put(2), put(3), gone, put(4)]
    );
    assert!(fake.overlaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn coalescing_keeps_the_latest_put() {
    let fake = service();
    let table = open(&fake, settings().coalesce(true)).await;
    let replaced = vec![
        put(&table, "a", 1),
        delete(&table, "a"),
        put(&table, "a", 2),
    ];
    let last = put(&table, "a", 3);
    assert!(last.await.is_written());
    for receipt in replaced {
        assert!(matches!(receipt.await, Outcome::Superseded));
    }
    assert_eq!(applied(&fake), [(AppliedKind::Put, Some("3".to_owned()))]);
}

#[tokio::test(start_paused = true)]
async fn coalescing_keeps_the_latest_delete() {
    let fake = service();
    let table = open(&fake, settings().coalesce(true)).await;
    let replaced = put(&table, "a", 1);
    let last = delete(&table, "a");
    assert!(last.await.is_written());
    assert!(matches!(replaced.await, Outcome::Superseded));
    assert_eq!(applied(&fake), [(AppliedKind::Delete, None)]);
}

#[tokio::test(start_paused = true)]
async fn coalescing_goes_by_the_whole_composite_key() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE).sort("sk", KeyKind::Number));
    let table = open(&fake, settings().coalesce(true)).await;
    let put = |pk: &str, sk: f64, n: u64| {
        let write = table.put(&json!({ "pk": pk, "sk": sk, "n": n }));
        write.try_submit().expect("room")
    };
    let replaced = vec![put("a", 1.0, 1), put("a", 1.0, 2)];
    let last = vec![put("a", 2.0, 3), put("b", 1.0, 4), put("a", 1.0, 5)];
    all_written(last).await;
    for receipt in replaced {
        assert!(matches!(receipt.await, Outcome::Superseded));
    }
    let mut numbers: Vec<_> = applied(&fake).into_iter().filter_map(|(_, n)| n).collect();
    numbers.sort();
    assert_eq!(numbers, ["3", "4", "5"]);
}

// What is sent again.

#[tokio::test(start_paused = true)]
async fn a_retryable_error_retries_every_entry() {
    let errors = [
        Fault::internal_error(),
        Fault::service_unavailable(),
        Fault::throttled(Throttle::ProvisionedThroughput),
        Fault::throttled(Throttle::Throttling),
        Fault::throttled(Throttle::RequestLimit),
        Fault::close_before(),
        Fault::bad_gateway(),
        Fault::replicated_write_conflict(),
    ];
    for error in errors {
        let fake = service();
        let told = format!("{error:?}");
        fake.inject(error.on(Operation::BatchWriteItem));
        let table = open(&fake, settings()).await;
        let receipts = (0..25).map(|n| put(&table, &format!("k{n}"), n)).collect();
        all_written(receipts).await;
        assert_eq!(sizes(&fake), [25, 25], "{told}");
        assert_eq!(fake.item_count(TABLE), 25);
    }
}

#[tokio::test(start_paused = true)]
async fn a_partial_failure_sends_again_only_what_failed() {
    let fake = service();
    fake.inject(Fault::unprocessed_keys(|key| {
        ["k3", "k7"].iter().any(|pk| key["pk"] == s(pk))
    }));
    let table = open(&fake, settings()).await;
    let receipts = (0..10).map(|n| put(&table, &format!("k{n}"), n)).collect();
    all_written(receipts).await;
    assert_eq!(sizes(&fake), [10, 2]);
    let again: Vec<_> = applied(&fake)
        .into_iter()
        .skip(8)
        .filter_map(|(_, n)| n)
        .collect();
    assert_eq!(again, ["3", "7"]);
}

#[tokio::test(start_paused = true)]
async fn unprocessed_items_are_always_sent_again() {
    let fake = service();
    fake.inject(Fault::unprocessed_all().times(200));
    // However few failures are allowed: want of capacity is none.
    let retry = dynamodb_connector::retry::RetryPolicy::default().max_attempts(1);
    let table = open(&fake, settings().retry(retry)).await;
    let receipts = (0..10).map(|n| put(&table, &format!("k{n}"), n)).collect();
    all_written(receipts).await;
    assert_eq!(fake.waiting_faults(), 0);
    assert_eq!(fake.applied().len(), 10);
}

// What is not.

#[tokio::test(start_paused = true)]
async fn a_table_that_vanishes_is_not_retried_for_ever() {
    let fake = service();
    let table = open(&fake, settings()).await;
    assert!(put(&table, "a", 1).await.is_written());
    fake.delete_table(TABLE);
    fake.clear_journal();
    let outcome = put(&table, "a", 2).await;
    assert!(
        matches!(
            outcome,
            Outcome::Unwritten {
                may_have_applied: false,
                record: Some(_),
                ..
            }
        ),
        "{outcome:?}"
    );
    assert!(fake.requests().len() < 40, "30 s of them, spread out");
    let refused = table.put(&item("a", 3)).await;
    assert!(
        matches!(refused, Err(SubmitError::Failed { .. })),
        "{refused:?}"
    );
    assert!(matches!(
        table.close().await,
        Err(DrainError::Failed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_failed_condition_is_not_retried() {
    let fake = service();
    let table = open(&fake, settings()).await;
    assert!(put(&table, "a", 1).await.is_written());
    fake.clear_journal();
    let outcome = table
        .put(&item("a", 2))
        .condition("attribute_not_exists(pk)")
        .confirm()
        .await
        .expect("accepted");
    let Outcome::ConditionFailed {
        existing: Some(existing),
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        existing.to_attributes().expect("an item")["n"],
        AttributeValue::N("1".into())
    );
    assert_eq!(fake.requests().len(), 1);
    table.close().await.expect("no failure of the sink");
}

#[tokio::test(start_paused = true)]
async fn a_validation_error_is_tried_once_more_and_no_further() {
    let fake = service();
    fake.inject(Fault::poison(|key| key["pk"] == s("bad")));
    let table = open(&fake, settings()).await;
    // The first of all may be refused for what else it asks.
    assert!(put(&table, "good", 0).await.is_written());
    fake.clear_journal();
    let outcome = put(&table, "bad", 1).await;
    assert!(
        matches!(
            &outcome,
            Outcome::Rejected {
                reason: RejectReason::Refused { .. },
                ..
            }
        ),
        "{outcome:?}"
    );
    assert_eq!(sizes(&fake), [1, 1], "it may have been an outage");
    // Among others it is found out in halves, and none of them is failed by it.
    let bad = put(&table, "bad", 2);
    let good = (0..24).map(|n| put(&table, &format!("k{n}"), n)).collect();
    all_written(good).await;
    assert!(matches!(bad.await, Outcome::Rejected { .. }));
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_not_retried_for_ever() {
    for error in [Fault::unrecognized_client(), Fault::access_denied()] {
        let fake = service();
        let table = open(&fake, settings()).await;
        fake.clear_journal();
        fake.inject(error.always());
        let outcome = put(&table, "a", 1).await;
        assert!(matches!(
            outcome,
            Outcome::Unwritten {
                may_have_applied: false,
                ..
            }
        ));
        assert!(fake.requests().len() < 40, "30 s of them, spread out");
        assert!(matches!(
            table.flush().await,
            Err(DrainError::Failed { .. })
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_are_not_retried_for_ever() {
    let fake = service();
    let table = open(&fake, settings()).await;
    fake.inject(Fault::expired_token().always());
    let outcome = tokio::time::timeout(Duration::from_secs(120), put(&table, "a", 1)).await;
    let outcome = outcome.expect("it ends");
    assert!(
        matches!(
            outcome,
            Outcome::Unwritten {
                may_have_applied: false,
                ..
            }
        ),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_write_is_handed_back_and_not_retried() {
    let fake = service();
    let table = open(&fake, settings().concurrency(1).max_batch_items(1)).await;
    fake.inject(Fault::never_answer().always());
    let sent = put(&table, "a", 1);
    let queued = put(&table, "b", 2);
    tokio::time::sleep(ms(100)).await;
    let before = fake.requests().len();
    let handed_back = table.abort().await;
    assert_eq!(handed_back.len(), 2);
    assert!(matches!(
        sent.await,
        Outcome::Unwritten {
            may_have_applied: true,
            record: Some(_),
            ..
        }
    ));
    assert!(matches!(
        queued.await,
        Outcome::Unwritten {
            may_have_applied: false,
            record: Some(_),
            ..
        }
    ));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(fake.requests().len(), before);
}

#[tokio::test(start_paused = true)]
async fn an_item_of_500_kb_is_refused_with_attribute_size_and_limit() {
    let fake = service();
    let table = open(&fake, settings()).await;
    let refused = table
        .put(&json!({ "pk": "a", "blob": "x".repeat(500_000) }))
        .await;
    let error = refused.expect_err("too large");
    assert!(error.is_record());
    let told = error.to_string();
    for part in [TABLE, "500007", "409600", "blob"] {
        assert!(told.contains(part), "{told} doesn't tell {part}");
    }
    assert!(batches(&fake).is_empty());
    // The next record is not its victim.
    assert!(put(&table, "a", 1).await.is_written());
}

#[tokio::test(start_paused = true)]
async fn a_missing_table_fails_to_open() {
    let fake = FaultyDynamoDb::new();
    let refused = TableSink::open(&fake.client(), "nowhere")
        .await
        .expect_err("no such table");
    assert!(matches!(refused, OpenError::Describe { .. }));
    assert!(refused.to_string().contains("nowhere"), "{refused}");
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn duplicates_without_coalescing_are_all_written_in_order() {
    let fake = service();
    let table = open(&fake, settings()).await;
    all_written((1..=5).map(|n| put(&table, "a", n)).collect()).await;
    let numbers: Vec<_> = applied(&fake).into_iter().filter_map(|(_, n)| n).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
    assert_eq!(
        sizes(&fake),
        [1; 5],
        "DynamoDB refuses a batch with one key twice"
    );
}

// Keys.

#[tokio::test(start_paused = true)]
async fn partition_and_sort_keys_are_told_apart() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE).sort("sk", KeyKind::String));
    let table = open(&fake, settings().coalesce(true)).await;
    let keys = [
        ("ab", "cd"),
        ("a", "bcd"),
        ("abc", "d"),
        ("a$", "b"),
        ("a", "$b"),
        ("a|b", "c"),
        ("a", "b|c"),
    ];
    let receipts = keys
        .iter()
        .map(|(pk, sk)| {
            table
                .put(&json!({ "pk": pk, "sk": sk }))
                .try_submit()
                .expect("room")
        })
        .collect();
    all_written(receipts).await;
    assert_eq!(fake.item_count(TABLE), keys.len());
    assert_eq!(sizes(&fake), [keys.len()], "different keys share a batch");
}

#[tokio::test(start_paused = true)]
async fn a_put_and_a_delete_of_one_item_have_equal_keys() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(
        TableSpec::new(TABLE)
            .partition("pk", KeyKind::Number)
            .sort("sk", KeyKind::Binary),
    );
    let table = open(&fake, settings()).await;
    let keys = |number: &str| {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::N(number.to_owned())),
            ("sk".to_owned(), AttributeValue::B(Blob::new([0, 255, 34]))),
        ])
    };
    let mut whole = keys("1");
    whole.insert("n".to_owned(), AttributeValue::N("7".to_owned()));
    let receipts = vec![
        table.put_item(&whole).try_submit().expect("room"),
        // The same number, written otherwise.
        table.delete_item(&keys("1.0")).try_submit().expect("room"),
        table.put_item(&keys("10e-1")).try_submit().expect("room"),
        table.delete_item(&keys("1.00")).try_submit().expect("room"),
    ];
    all_written(receipts).await;
    assert_eq!(sizes(&fake), [1; 4], "one after the other");
    assert_eq!(fake.item_count(TABLE), 0);
}

#[tokio::test(start_paused = true)]
async fn empty_or_missing_key_parts_are_rejected() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE).sort("sk", KeyKind::String));
    let table = open(&fake, settings()).await;
    let wrong = [
        (json!({ "pk": "a" }), "sk"),
        (json!({ "sk": "a" }), "pk"),
        (json!({ "pk": "", "sk": "a" }), "pk"),
        (json!({ "pk": "a", "sk": "" }), "sk"),
        (json!({ "pk": null, "sk": "a" }), "pk"),
        (json!({ "pk": 1, "sk": "a" }), "pk"),
    ];
    for (record, attribute) in wrong {
        for write in [table.put(&record), table.delete(&record)] {
            let error = write.await.expect_err("no key");
            assert!(error.is_record(), "{error}");
            assert!(error.to_string().contains(attribute), "{error}");
        }
    }
    assert!(batches(&fake).is_empty());
}

// State.

fn every_type() -> HashMap<String, AttributeValue> {
    use AttributeValue as V;
    let list = vec![V::Null(true), V::N("-0.5".into()), V::L(vec![])];
    HashMap::from([
        ("pk".to_owned(), s("\u{1F980} \"quoted\\\" \n\u{0}")),
        ("long".to_owned(), s(&"x".repeat(100_000))),
        ("empty".to_owned(), s("")),
        (
            "n".to_owned(),
            V::N("12345678901234567890123456789012345678".into()),
        ),
        (
            "b".to_owned(),
            V::B(Blob::new((0..=255).collect::<Vec<u8>>())),
        ),
        ("bool".to_owned(), V::Bool(false)),
        ("null".to_owned(), V::Null(true)),
        ("l".to_owned(), V::L(list)),
        (
            "m".to_owned(),
            V::M(HashMap::from([("x".to_owned(), V::M(HashMap::new()))])),
        ),
        ("ss".to_owned(), V::Ss(vec!["a".into(), "b".into()])),
        ("ns".to_owned(), V::Ns(vec!["1".into(), "2".into()])),
        ("bs".to_owned(), V::Bs(vec![Blob::new([1]), Blob::new([2])])),
    ])
}

/// Takes a snapshot of what `submit` queues at a sink that gets no answer, and ends that sink.
async fn state(submit: impl FnOnce(&TableSink) -> Vec<Receipt>) -> Vec<u8> {
    let fake = service();
    let table = open(&fake, settings().concurrency(1)).await;
    fake.inject(Fault::never_answer().always());
    let receipts = submit(&table);
    let snapshot = table.snapshot().await.expect("a snapshot");
    assert_eq!(snapshot.len(), receipts.len());
    table.abort().await;
    snapshot.to_bytes()
}

#[tokio::test(start_paused = true)]
async fn state_of_every_attribute_type_goes_round() {
    let whole = every_type();
    let bytes = state(|table| {
        vec![
            table.put_item(&whole).try_submit().expect("room"),
            table.put(&item("a", 1)).try_submit().expect("room"),
            table.delete(&key("a")).try_submit().expect("room"),
        ]
    })
    .await;
    let fake = service();
    let table = open(&fake, settings()).await;
    let snapshot = Snapshot::from_bytes(&bytes).expect("read");
    assert_eq!(snapshot.to_bytes(), bytes);
    let restored = table.restore(&snapshot).await.expect("restored");
    assert!(restored.handed_back.is_empty());
    assert_eq!(restored.receipts.len(), 3);
    all_written(restored.receipts).await;
    assert_eq!(fake.items(TABLE), [whole]);
    let kinds: Vec<_> = fake
        .applied()
        .iter()
        .map(dynamodb_connector::test_util::AppliedWrite::kind)
        .collect();
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == AppliedKind::Delete)
            .count(),
        1
    );
    assert_eq!(
        kinds.last(),
        Some(&AppliedKind::Delete),
        "the delete came after its put"
    );
}

#[tokio::test(start_paused = true)]
async fn state_of_an_unknown_version_is_rejected() {
    let bytes = state(|table| vec![put(table, "a", 1)]).await;
    let text = String::from_utf8(bytes).expect("text");
    let newer = text.replacen(r#""version":1"#, r#""version":2"#, 1);
    assert_ne!(text, newer);
    let refused = Snapshot::from_bytes(newer.as_bytes());
    assert!(
        matches!(refused, Err(SnapshotError::Version { found: 2 })),
        "{refused:?}"
    );
    let other = text.replacen("sink-snapshot", "other", 1);
    let refused = Snapshot::from_bytes(other.as_bytes());
    assert!(
        matches!(refused, Err(SnapshotError::Malformed { .. })),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn state_of_an_unknown_type_is_rejected() {
    let bytes = state(|table| vec![put(table, "a", 1)]).await;
    let text = String::from_utf8(bytes).expect("text");
    for (known, unknown) in [
        (r#""call":"batch""#, r#""call":"stream""#),
        (r#""kind":"put""#, r#""kind":"merge""#),
        (r#""kind":"put""#, r#""kind":"update""#),
    ] {
        let changed = text.replacen(known, unknown, 1);
        assert_ne!(text, changed);
        let refused = Snapshot::from_bytes(changed.as_bytes());
        assert!(
            matches!(refused, Err(SnapshotError::Malformed { line: 3, .. })),
            "{refused:?}"
        );
    }
    // A change that leaves it readable is found by its checksum; one cut short by its end.
    let changed = text.replacen(r#""N":"1""#, r#""N":"2""#, 1);
    assert_ne!(text, changed);
    let refused = Snapshot::from_bytes(changed.as_bytes());
    assert!(
        matches!(refused, Err(SnapshotError::Damaged(_))),
        "{refused:?}"
    );
    for cut in 0..text.len() {
        assert!(
            Snapshot::from_bytes(&text.as_bytes()[..cut]).is_err(),
            "cut at {cut}"
        );
    }
}

// Batching.

#[tokio::test(start_paused = true)]
async fn exact_multiples_of_the_batch_size_flush() {
    let fake = service();
    let table = open(&fake, settings().linger(Duration::from_secs(60))).await;
    let receipts: Vec<_> = (0..75).map(|n| put(&table, &format!("k{n}"), n)).collect();
    all_written(receipts).await;
    assert_eq!(sizes(&fake), [25, 25, 25]);
}

/// Puts of 200 KB, the last of them with `extra` bytes more.
fn large(table: &TableSink, count: usize, extra: usize) -> Vec<Receipt> {
    (0..count)
        .map(|n| {
            let more = if n + 1 == count { extra } else { 0 };
            let record = json!({ "pk": format!("k{n}"), "x": "x".repeat(200_000 + more) });
            table.put(&record).try_submit().expect("room")
        })
        .collect()
}

/// How many bytes a batch of that many large puts has.
async fn measured(count: usize) -> usize {
    let fake = service();
    let table = open(&fake, settings()).await;
    all_written(large(&table, count, 0)).await;
    let [batch] = &batches(&fake)[..] else {
        panic!("more than one batch");
    };
    assert_eq!(batch.items(), count);
    batch.body_bytes()
}

#[tokio::test(start_paused = true)]
async fn the_byte_limit_is_inclusive() {
    let limit = measured(3).await;
    for (extra, expected) in [(0, vec![3]), (1, vec![2, 1])] {
        let fake = service();
        let table = open(&fake, settings().max_batch_bytes(limit)).await;
        all_written(large(&table, 3, extra)).await;
        assert_eq!(sizes(&fake), expected, "{extra} bytes over");
        assert!(
            batches(&fake)
                .iter()
                .all(|batch| batch.body_bytes() <= limit)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn count_and_byte_limits_reached_at_once_flush_once() {
    let limit = measured(3).await;
    let fake = service();
    let both = settings()
        .max_batch_bytes(limit)
        .max_batch_items(3)
        .linger(Duration::from_secs(60));
    let table = open(&fake, both).await;
    all_written(large(&table, 3, 0)).await;
    table.flush().await.expect("nothing failed");
    assert_eq!(sizes(&fake), [3], "one batch, and none that is empty");
}

#[tokio::test(start_paused = true)]
async fn the_linger_takes_all_buffered_up_to_its_end_and_runs_once() {
    let fake = service();
    let table = open(&fake, settings().concurrency(2).linger(ms(50))).await;
    fake.inject(Fault::delay_after(ms(500)).on(Operation::BatchWriteItem));
    // One request is under way, so that what follows waits to fill a batch.
    let mut receipts = vec![put(&table, "first", 0)];
    tokio::time::sleep(ms(5)).await;
    let began = batches(&fake)[0].received() + ms(5);
    for n in 0..5 {
        receipts.push(put(&table, &format!("k{n}"), n));
        tokio::time::sleep(ms(9)).await;
    }
    tokio::time::sleep(ms(20)).await;
    assert_eq!(
        sizes(&fake),
        [1, 5],
        "all five at the end of the first one's linger"
    );
    let waited = batches(&fake)[1].received() - began;
    assert!((ms(50)..ms(53)).contains(&waited), "{waited:?}");
    tokio::time::sleep(ms(300)).await;
    assert_eq!(sizes(&fake), [1, 5], "no second timer, no empty batch");
    all_written(receipts).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_input_drains() {
    let fake = service();
    let table = open(
        &fake,
        settings().concurrency(2).linger(Duration::from_secs(60)),
    )
    .await;
    fake.inject(Fault::delay_after(Duration::from_secs(5)).on(Operation::BatchWriteItem));
    let mut receipts = vec![put(&table, "first", 0)];
    tokio::time::sleep(ms(5)).await;
    receipts.extend((0..7).map(|n| put(&table, &format!("k{n}"), n)));
    tokio::time::sleep(ms(5)).await;
    assert_eq!(sizes(&fake), [1], "the rest waits to fill a batch");
    table.close().await.expect("closed");
    assert_eq!(sizes(&fake), [1, 7]);
    for mut receipt in receipts {
        assert!(
            receipt
                .try_outcome()
                .is_some_and(|outcome| outcome.is_written())
        );
    }
    assert!(matches!(
        table.put(&item("a", 1)).await,
        Err(SubmitError::Closed)
    ));
}

#[tokio::test(start_paused = true)]
async fn an_empty_flush_is_safe() {
    let fake = service();
    let table = open(&fake, settings()).await;
    table.flush().await.expect("nothing to do");
    tokio::join!(table.flush(), table.flush())
        .1
        .expect("nothing to do");
    assert!(table.snapshot().await.expect("a snapshot").is_empty());
    table.close().await.expect("nothing to do");
    assert!(batches(&fake).is_empty());
    assert!(matches!(table.flush().await, Err(DrainError::Closed)));
}

// Checkpoints.

#[tokio::test(start_paused = true)]
async fn a_snapshot_holds_what_is_in_flight_and_the_rest() {
    let fake = service();
    let table = open(&fake, settings().concurrency(1).max_batch_items(2)).await;
    fake.inject(Fault::delay_after(Duration::from_secs(5)).on(Operation::BatchWriteItem));
    let receipts: Vec<_> = (0..5).map(|n| put(&table, &format!("k{n}"), n)).collect();
    tokio::time::sleep(ms(5)).await;
    assert_eq!(fake.in_flight(), 1);
    let asked = tokio::time::timeout(ms(1), table.snapshot()).await;
    let snapshot = asked.expect("it waits for no request").expect("a snapshot");
    assert_eq!(snapshot.len(), 5);
    let text = String::from_utf8(snapshot.to_bytes()).expect("text");
    assert_eq!(text.matches(r#""may_have_applied":true"#).count(), 2);
    all_written(receipts).await;
    assert!(table.snapshot().await.expect("a snapshot").is_empty());
}

#[tokio::test(start_paused = true)]
async fn several_states_merge() {
    let one = state(|table| vec![put(table, "a", 1), put(table, "b", 1)]).await;
    let two = state(|table| vec![put(table, "a", 2), put(table, "c", 2)]).await;
    let read = |bytes: &[u8]| Snapshot::from_bytes(bytes).expect("read");
    let merged = read(&one).merge(read(&two));
    assert_eq!(merged.len(), 4);
    let merged = read(&merged.to_bytes());
    let fake = service();
    let table = open(&fake, settings()).await;
    let restored = table.restore(&merged).await.expect("restored");
    all_written(restored.receipts).await;
    let found = ["a", "b", "c"].map(|pk| stored(&fake, pk).expect("there"));
    assert_eq!(found, ["2", "1", "2"], "the first one's writes come first");
}

#[tokio::test(start_paused = true)]
async fn an_oversize_restored_record_fails() {
    let bytes = state(|table| {
        vec![
            put(table, "a", 1),
            table
                .put(&json!({ "pk": "b", "x": "x".repeat(300_000) }))
                .try_submit()
                .expect("room"),
        ]
    })
    .await;
    let text = String::from_utf8(bytes).expect("text");
    let grown = text.replacen(&"x".repeat(300_000), &"x".repeat(450_000), 1);
    let (head, end) = grown.split_at(grown.find(r#"{"end""#).expect("an end"));
    let writes = end.contains(r#""writes":2"#);
    assert!(writes);
    let crc32 = crc32(head.as_bytes());
    let grown = format!("{head}{{\"end\":{{\"writes\":2,\"crc32\":{crc32}}}}}\n");
    let snapshot = Snapshot::from_bytes(grown.as_bytes()).expect("a whole snapshot");
    let fake = service();
    let table = open(&fake, settings()).await;
    let refused = table.restore(&snapshot).await;
    assert!(
        matches!(refused, Err(SnapshotError::Write { place: 1, .. })),
        "{refused:?}"
    );
    table.flush().await.expect("nothing was submitted");
    assert!(batches(&fake).is_empty(), "none was submitted");
}

/// CRC-32 (IEEE), as the format's documentation names it.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

// Retries.

#[tokio::test(start_paused = true)]
async fn what_is_retried_goes_before_newer_writes_of_its_key() {
    let fake = service();
    fake.inject(Fault::unprocessed_all().times(3));
    let table = open(&fake, settings()).await;
    let mut receipts = vec![put(&table, "a", 1)];
    tokio::time::sleep(ms(10)).await;
    receipts.extend([
        put(&table, "a", 2),
        put(&table, "b", 1),
        put(&table, "a", 3),
    ]);
    all_written(receipts).await;
    let of_a = fake
        .applied()
        .into_iter()
        .filter(|write| write.key()["pk"] == s("a"));
    let numbers: Vec<_> = of_a.filter_map(|write| write.attribute("n")).collect();
    assert_eq!(
        numbers,
        ["1", "2", "3"].map(|n| AttributeValue::N(n.to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_retried_keeps_its_room_and_its_size() {
    let limit = measured(3).await;
    let fake = service();
    let narrow = settings().max_batch_bytes(limit).buffer_records(25);
    let table = open(&fake, narrow).await;
    fake.inject(Fault::unprocessed_all().times(4));
    let receipts = large(&table, 5, 0);
    let before = table.stats();
    tokio::time::sleep(ms(20)).await;
    assert!(!batches(&fake).is_empty());
    let after = table.stats();
    assert_eq!(after.buffered_records, 5);
    assert_eq!(after.buffered_bytes, before.buffered_bytes);
    assert!(after.buffered_bytes > 5 * 200_000);
    all_written(receipts).await;
    assert!(
        batches(&fake)
            .iter()
            .all(|batch| batch.body_bytes() <= limit)
    );
    assert!(batches(&fake).len() > 4);
    table.flush().await.expect("nothing failed");
    assert_eq!(
        (table.stats().buffered_records, table.stats().buffered_bytes),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_sent_again() {
    for lost in [
        Fault::close_after(),
        Fault::garbage_body(),
        Fault::truncated_body(),
        Fault::internal_error().after_applying(),
        Fault::never_answer().after_applying(),
    ] {
        let fake = service();
        let told = format!("{lost:?}");
        fake.inject(lost.on(Operation::BatchWriteItem));
        let table = open(&fake, settings()).await;
        all_written(vec![put(&table, "a", 1), put(&table, "b", 2)]).await;
        assert_eq!(sizes(&fake), [2, 2], "{told}");
        assert_eq!(fake.applied().len(), 4, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_after_a_timeout_is_ignored() {
    let fake = service();
    let table = open(&fake, settings().request_timeout(Duration::from_secs(1))).await;
    // The answer would come at 1.5 s, when the write was sent again and before it is answered.
    fake.inject(Fault::delay_after(ms(1_500)).on(Operation::BatchWriteItem));
    fake.inject(Fault::delay_after(ms(900)).on(Operation::BatchWriteItem));
    let mut receipt = put(&table, "a", 1);
    tokio::time::sleep(ms(1_600)).await;
    assert_eq!(batches(&fake).len(), 2);
    assert!(
        receipt.try_outcome().is_none(),
        "the answer to the first attempt is nobody's"
    );
    assert!(receipt.await.is_written());
    table.close().await.expect("closed");
    assert_eq!(table.stats().written, 1);
    assert!(fake.overlaps().is_empty());
}

// In flight.

#[tokio::test(start_paused = true)]
async fn too_many_in_flight_blocks() {
    let fake = service();
    let table = open(
        &fake,
        settings()
            .concurrency(2)
            .max_batch_items(1)
            .buffer_records(4),
    )
    .await;
    fake.inject(
        Fault::delay_after(Duration::from_secs(1))
            .on(Operation::BatchWriteItem)
            .always(),
    );
    let receipts: Vec<_> = (0..4).map(|n| put(&table, &format!("k{n}"), n)).collect();
    tokio::time::sleep(ms(10)).await;
    assert_eq!(batches(&fake).len(), 2);
    assert_eq!(fake.in_flight(), 2);
    let full = table.put(&item("x", 1)).try_submit();
    assert!(matches!(full, Err(SubmitError::Full)), "{full:?}");
    let waits = tokio::time::timeout(ms(900), table.put(&item("x", 1))).await;
    assert!(waits.is_err(), "a submit waits for room");
    let entered = tokio::time::timeout(ms(200), table.put(&item("x", 1))).await;
    let last = entered.expect("an answer made room").expect("accepted");
    all_written(receipts).await;
    assert!(last.await.is_written());
    assert_eq!(fake.most_in_flight(), 2);
    assert_eq!(
        fake.applied().len(),
        5,
        "what was given up while it waited was never submitted"
    );
}

#[tokio::test(start_paused = true)]
async fn one_blocked_caller_does_not_stop_another() {
    let fake = service();
    // One key may take four of the sixteen places.
    let table = open(
        &fake,
        settings()
            .concurrency(2)
            .max_batch_items(4)
            .buffer_records(16),
    )
    .await;
    fake.inject(
        Fault::never_answer()
            .on_key(|key| key["pk"] == s("hot"))
            .always(),
    );
    let _hot: Vec<_> = (0..4).map(|n| put(&table, "hot", n)).collect();
    let blocked = tokio::spawn({
        let table = table.clone();
        async move { table.put(&item("hot", 4)).await }
    });
    tokio::time::sleep(ms(10)).await;
    assert!(!blocked.is_finished());
    let started = fake.applied().len();
    let others = (0..40).map(|n| {
        let table = table.clone();
        async move { table.put(&item(&format!("k{n}"), n)).confirm().await }
    });
    let all = tokio::time::timeout(Duration::from_secs(2), futures::future::join_all(others)).await;
    for outcome in all.expect("the others go on") {
        assert!(outcome.expect("accepted").is_written());
    }
    assert_eq!(fake.applied().len() - started, 40);
    assert!(!blocked.is_finished());
    table.abort().await;
    assert!(matches!(
        blocked.await.expect("no panic"),
        Err(SubmitError::Closed)
    ));
}

// Metrics.

#[derive(Debug, Default)]
struct Values(Mutex<Vec<f64>>);

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0.lock().expect("no panic").push(value);
    }
}

#[derive(Debug, Default)]
struct Count(AtomicU64);

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

/// Keeps counters and histograms by name.
#[derive(Debug, Default)]
struct Recorded {
    counters: Mutex<BTreeMap<String, Arc<Count>>>,
    histograms: Mutex<BTreeMap<String, Arc<Values>>>,
}

impl Recorded {
    fn count(&self, name: &str) -> u64 {
        self.counters.lock().expect("no panic")[name]
            .0
            .load(Ordering::Relaxed)
    }

    fn values(&self, name: &str) -> Vec<f64> {
        let histogram = Arc::clone(&self.histograms.lock().expect("no panic")[name]);
        histogram.0.lock().expect("no panic").clone()
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        assert!(
            key.labels()
                .any(|label| label.key() == "table" && label.value() == TABLE)
        );
        let mut counters = self.counters.lock().expect("no panic");
        Counter::from_arc(Arc::clone(
            counters.entry(key.name().to_owned()).or_default(),
        ))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let mut histograms = self.histograms.lock().expect("no panic");
        Histogram::from_arc(Arc::clone(
            histograms.entry(key.name().to_owned()).or_default(),
        ))
    }
}

#[test]
fn metrics_tell_records_bytes_times_errors_and_partial_failures() {
    let recorded = Recorded::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let bodies = metrics::with_local_recorder(&recorded, || {
        runtime.block_on(async {
            let fake = service();
            let table = open(&fake, settings().consumed_capacity(true)).await;
            let batch = |fault: Fault| fake.inject(fault.on(Operation::BatchWriteItem));
            batch(Fault::delay_after(ms(70)));
            all_written((0..10).map(|n| put(&table, &format!("k{n}"), n)).collect()).await;
            batch(Fault::internal_error());
            all_written(vec![put(&table, "a", 1), put(&table, "b", 1)]).await;
            fake.inject(Fault::unprocessed_count(3));
            all_written((0..5).map(|n| put(&table, &format!("k{n}"), n)).collect()).await;
            table.close().await.expect("closed");
            let stats = table.stats();
            assert_eq!(
                (stats.written, stats.requests, stats.failed_requests),
                (17, 5, 1)
            );
            let bytes = batches(&fake)
                .into_iter()
                .map(|batch| batch.body_bytes().to_string());
            bytes.collect::<Vec<_>>()
        })
    });
    let metric = |name: &str| format!("dynamodb_sink_{name}");
    assert_eq!(
        recorded.values(&metric("batch_items")),
        [10.0, 2.0, 2.0, 5.0, 3.0]
    );
    let bytes = recorded.values(&metric("request_bytes"));
    assert_eq!(
        bytes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        bodies
    );
    let times = recorded.values(&metric("request_seconds"));
    assert_eq!(times.len(), 5);
    assert!((0.07..0.08).contains(&times[0]), "{times:?}");
    assert!(times[1..].iter().all(|time| *time < 0.01), "{times:?}");
    assert_eq!(recorded.values(&metric("acknowledge_seconds")).len(), 17);
    for (name, count) in [
        ("written_total", 17),
        ("requests_total", 5),
        ("failed_requests_total", 1),
        ("retried_total", 5),
        ("throttled_total", 3),
        ("consumed_units_total", 17),
        ("rejected_total", 0),
    ] {
        assert_eq!(recorded.count(&metric(name)), count, "{name}");
    }
}
