//! Rate and concurrency are set while a table runs, and it says in one line what limits it.

use std::time::Duration;

use dynamodb_connector::ConfigError;
use dynamodb_connector::sink::{Concurrency, LimitedBy, Rate, TableSink};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};

use super::{Class, open, seconds, settings, spec};
use crate::setup::{TABLE, settle};

/// A table that is said to take 200 units a second, and takes what comes within 4 to 6 ms.
fn fake() -> FaultyDynamoDb {
    super::fake([spec(TABLE).provisioned(5, 200)])
}

/// Writes in the next so many seconds.
async fn written_in(table: &TableSink, length: f64) -> u64 {
    let before = table.stats().written;
    seconds(length).await;
    table.stats().written - before
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_set_while_the_table_runs() {
    let fake = fake();
    let table = open(&fake, settings().burst(false), 1).await;
    let _load = Class::overload("all").start(&table);
    seconds(5.0).await;
    let written = written_in(&table, 5.0).await;
    assert!((975..=1_025).contains(&written), "{written} at 200");
    table.set_rate(50).expect("in range");
    // What had been saved up is spent.
    seconds(5.0).await;
    assert_eq!(table.stats().rate, Some(50.0));
    let written = written_in(&table, 10.0).await;
    assert!((475..=525).contains(&written), "{written} at 50");
    table.set_rate(400).expect("in range");
    seconds(2.0).await;
    let written = written_in(&table, 5.0).await;
    assert!((1_950..=2_050).contains(&written), "{written} at 400");
    // A fixed rate is not cut by refusals.
    fake.inject(Fault::unprocessed_count(1).times(3));
    seconds(2.0).await;
    assert_eq!(table.stats().rate, Some(400.0));
    table.set_rate(Rate::Adaptive).expect("in range");
    seconds(2.0).await;
    // What was refused meanwhile may still be felt.
    let rate = table.stats().rate.expect("it has one");
    assert!((170.0..=200.0).contains(&rate), "{rate}");
}

#[tokio::test(start_paused = true)]
async fn an_unlimited_rate_leaves_the_concurrency_alone_to_limit() {
    let fake = fake();
    fake.inject(
        Fault::delay_after(Duration::from_millis(20))
            .on(Operation::BatchWriteItem)
            .always(),
    );
    let table = open(&fake, settings().concurrency(2), 1).await;
    table.set_rate(Rate::Unlimited).expect("in range");
    let _load = Class::overload("all").start(&table);
    seconds(1.0).await;
    assert_eq!(table.stats().rate, None);
    let limited = table.stats().limited_by;
    assert!(
        matches!(limited, LimitedBy::Concurrency { requests: 2, .. }),
        "{limited:?}"
    );
    assert_eq!(
        limited.to_string(),
        "concurrency: all 2 requests that may be in flight are"
    );
    let written = written_in(&table, 2.0).await;
    // Two requests of 25 each 20 to 22 ms.
    assert!((4_400..=5_050).contains(&written), "{written}");
    assert_eq!(fake.max_in_flight(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_is_set_while_the_table_runs() {
    let fake = fake();
    fake.inject(
        Fault::delay_after(Duration::from_millis(20))
            .on(Operation::BatchWriteItem)
            .always(),
    );
    let settings = settings().rate(Rate::Unlimited).concurrency(1);
    let table = open(&fake, settings, 1).await;
    let _load = Class::overload("all").start(&table);
    for requests in [1, 4, 2] {
        table.set_concurrency(requests).expect("in range");
        seconds(0.5).await;
        assert_eq!(table.stats().concurrency, requests);
        assert_eq!(table.stats().in_flight, requests);
    }
    table.set_concurrency(1..=3).expect("in range");
    seconds(0.5).await;
    assert!((1..=3).contains(&table.stats().concurrency));
}

#[tokio::test(start_paused = true)]
async fn what_is_out_of_range_is_refused_with_field_value_and_bound() {
    let fake = fake();
    let table = open(&fake, settings().burst(false).concurrency(3), 1).await;
    let _load = Class::offered("all", |_| 20.0).start(&table);
    seconds(0.5).await;
    let before = table.stats();
    let concurrency = |range: Concurrency| table.set_concurrency(range);
    for (refused, expected) in [
        (table.set_rate(0), "rate is 0, allowed 1 to 10000000"),
        (
            table.set_rate(10_000_001),
            "rate is 10000001, allowed 1 to 10000000",
        ),
        (concurrency(0.into()), "concurrency is 0, allowed 1 to 1000"),
        (
            concurrency(1_001.into()),
            "concurrency is 1001, allowed 1 to 1000",
        ),
        (
            concurrency((0..=3).into()),
            "concurrency.min is 0, allowed 1 to 1000",
        ),
    ] {
        let error = refused.expect_err("out of range");
        assert!(matches!(error, ConfigError::OutOfRange { .. }), "{error:?}");
        let expected = format!("table \"{TABLE}\": {expected}");
        assert_eq!(error.to_string(), expected);
    }
    seconds(0.5).await;
    let after = table.stats();
    assert_eq!(
        (after.rate, after.concurrency),
        (before.rate, before.concurrency)
    );
}

#[tokio::test(start_paused = true)]
async fn on_a_closed_table_nothing_is_changed_and_nothing_fails() {
    let fake = fake();
    let table = open(&fake, settings().burst(false).concurrency(3), 1).await;
    table.close().await.expect("nothing to write");
    let before = table.stats();
    table.set_rate(7).expect("in range");
    table.set_concurrency(7).expect("in range");
    settle().await;
    assert_eq!(table.stats(), before);
}

#[tokio::test(start_paused = true)]
async fn a_table_says_in_one_line_what_limits_it() {
    let fake = fake();
    let table = open(&fake, settings().burst(false), 1).await;
    let limited = || table.stats().limited_by.to_string();
    assert_eq!(limited(), "nothing waits");
    let load = Class::overload("all").start(&table);
    seconds(5.0).await;
    assert_eq!(limited(), "rate: 200 write units a second");
    drop(load);
    table.flush().await.expect("all written");
    seconds(1.0).await;
    assert_eq!(limited(), "nothing waits");
    // Elsewhere more is asked of the table.
    fake.inject(
        Fault::throttled(dynamodb_connector::test_util::Throttle::ProvisionedThroughput)
            .reason("TableWriteProvisionedThroughputExceeded", TABLE)
            .on(Operation::BatchWriteItem)
            .always(),
    );
    let _load = Class::overload("all").start(&table);
    seconds(3.0).await;
    assert_eq!(
        limited(),
        "throttled: the table's provisioned write units are used up"
    );
}
