//! The demands of the tests of Flink's DynamoDB connector on its sink and its state, made of this one.
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
//! | not retryable: missing table | [`a_table_that_vanishes_is_not_retried_for_ever`] |
//! | … failed condition | [`a_failed_condition_is_not_retried`] |
//! | … validation error | [`a_validation_error_is_tried_once_more_and_no_further`] |
//! | … STS error | [`refused_credentials_are_not_retried_for_ever`], [`expired_credentials_are_not_retried_for_ever`] |
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

mod batching;
mod counters;
mod failures;
mod keys;
mod order;
mod pressure;
mod retries;
mod state;

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Returns the writes that were applied: the kind, and the number of a put.
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

/// Returns the bytes of a batch of that many large puts.
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
