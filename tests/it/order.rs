//! K2: writes of one key are applied in the order in which they were submitted, whatever fails in between.
//!
//! 10,000 writes of rising numbers to 100 keys, with dozens of requests in flight, in each way in which
//! DynamoDB and the network fail. The measure is the one by which other clients were found to leave old values
//! behind: no write lands after a newer one of its key, and at the end every key holds its newest.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::sink::{Outcome, Sink, TableSettings};
use dynamodb_connector::test_util::{FaultPlan, FaultyDynamoDb, TableSpec};
use serde::Serialize;

const TABLE: &str = "decisions";
const KEYS: usize = 100;
const WRITES: u64 = 10_000;

#[derive(Serialize)]
struct Value {
    pk: String,
    n: u64,
}

fn number(value: Option<AttributeValue>) -> u64 {
    let Some(AttributeValue::N(text)) = value else {
        panic!("a number, not {value:?}");
    };
    text.parse().expect("a number")
}

/// Writes under the plan and looks at the order in which the table took the writes. Returns how many
/// applications there were.
async fn in_order_under(plan: FaultPlan) -> usize {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE));
    let settings = TableSettings::default()
        .concurrency(16)
        .buffer_records(2_000)
        .request_timeout(Duration::from_secs(2));
    let sink = Sink::builder(&fake.client())
        .table(TABLE, settings)
        .seed(plan.seed())
        .open()
        .await
        .expect("opened");
    let table = sink.table(TABLE).expect("opened");
    fake.fault_plan(plan.clone());

    let mut rng = fastrand::Rng::with_seed(plan.seed());
    let mut newest = HashMap::new();
    let mut receipts = Vec::new();
    for n in 1..=WRITES {
        let pk = format!("key-{}", rng.usize(..KEYS));
        newest.insert(pk.clone(), n);
        receipts.push(table.put(&Value { pk, n }).await.expect("accepted"));
    }
    table.close().await.expect("all written");
    for receipt in receipts {
        assert!(matches!(receipt.await, Outcome::Written));
    }

    let applied = fake.applied();
    let mut last: HashMap<String, u64> = HashMap::new();
    for write in &applied {
        let n = number(write.attribute("n"));
        let Some(AttributeValue::S(pk)) = write.attribute("pk") else {
            panic!("a write without a key");
        };
        let before = last.insert(pk.clone(), n).unwrap_or(0);
        assert!(before <= n, "{pk}: {n} landed after {before}");
    }
    assert!(fake.overlaps().is_empty(), "two requests held one key");
    assert_eq!(last, newest);
    assert_eq!(newest.len(), KEYS);
    for item in fake.items(TABLE) {
        let AttributeValue::S(pk) = &item["pk"] else {
            panic!("a key of another type");
        };
        assert_eq!(number(item.get("n").cloned()), newest[pk], "{pk}");
    }
    assert!(
        fake.most_in_flight() > 4,
        "the test must have had requests to reorder"
    );
    applied.len()
}

/// As many as there were writes, for faults that apply nothing that they deny.
const ONCE: usize = 10_000;

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_writes_left_unprocessed_at_random() {
    let plan = FaultPlan::seeded(1).unprocessed(0.3);
    assert_eq!(in_order_under(plan.delay(0.5, ms(1)..=ms(80))).await, ONCE);
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_whole_requests_throttled() {
    let plan = FaultPlan::seeded(2).throttle(0.3);
    assert_eq!(in_order_under(plan.delay(0.5, ms(1)..=ms(80))).await, ONCE);
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_internal_errors() {
    let plan = FaultPlan::seeded(3)
        .internal_error(0.1)
        .internal_error_after(0.1)
        .unavailable(0.1);
    assert!(in_order_under(plan.delay(0.5, ms(1)..=ms(80))).await > ONCE);
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_connections_closed_before_applying() {
    let plan = FaultPlan::seeded(4).close_before(0.25);
    assert_eq!(in_order_under(plan.delay(0.5, ms(1)..=ms(80))).await, ONCE);
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_connections_closed_after_applying() {
    let plan = FaultPlan::seeded(5).close_after(0.25);
    assert!(in_order_under(plan.delay(0.5, ms(1)..=ms(80))).await > ONCE);
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_answers_so_slow_that_they_are_given_up() {
    // The request times out after 2 s: of the slowest, some are given up before and some after they were applied.
    let plan = FaultPlan::seeded(6).delay(0.4, ms(1)..=ms(6_000));
    assert!(in_order_under(plan).await > ONCE);
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_all_of_it_at_once() {
    let plan = FaultPlan::seeded(7)
        .unprocessed(0.2)
        .throttle(0.05)
        .internal_error(0.03)
        .internal_error_after(0.03)
        .unavailable(0.03)
        .close_before(0.03)
        .close_after(0.03)
        .never(0.02)
        .never_after(0.02)
        .garbage(0.03)
        .truncated(0.03)
        .delay(0.3, ms(1)..=ms(3_000));
    assert!(in_order_under(plan).await > ONCE);
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
