//! Memory is bounded by records and bytes; who waits is served in order.

#![expect(
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do"
)]

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::TableSpec;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::sink::{DynamoDbSink, SubmitError, TableSettings};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb};
use futures::FutureExt;

use crate::setup::{
    assert_no_room_taken, fake, is_pk, keys, large, on_writes, one_by_one, open_with, row, settle,
};

#[tokio::test(start_paused = true)]
async fn the_buffer_is_bounded_by_records() {
    let fake = fake();
    fake.inject(Fault::delay_before(Duration::from_secs(1)).always());
    let table = open_with(&fake, one_by_one().buffer_records(3)).await;
    for n in 0..3 {
        drop(table.put(&row(format!("k{n}"), n)).try_submit().unwrap());
    }
    let error = table.put(&row("k3", 3)).try_submit().unwrap_err();
    assert!(matches!(error, SubmitError::Full));
    assert!(error.is_retryable() && !error.is_record());
    // In flight or not, a record takes room until it has its outcome.
    settle().await;
    assert_eq!(table.stats().buffered_records, 3);
    let before = tokio::time::Instant::now();
    drop(table.put(&row("k3", 3)).await.unwrap());
    assert_eq!(before.elapsed(), Duration::from_secs(1));
    table.close().await.unwrap();
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn a_caller_in_a_loop_lets_other_tasks_run_before_the_buffer_is_full() {
    let fake = fake();
    let table = open_with(&fake, TableSettings::default()).await;
    let described = fake.requests().len();
    for n in 0..1_000 {
        drop(table.put(&row(format!("k{n}"), n)).await.unwrap());
    }
    assert!(fake.requests().len() > described, "the worker has its turn");
    table.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_buffer_is_bounded_by_bytes() {
    let fake = fake();
    fake.inject(Fault::never_answer().always());
    let table = open_with(&fake, one_by_one().buffer_bytes(4 << 20)).await;
    let mut accepted = 0;
    while let Ok(receipt) = table
        .put(&large(format!("k{accepted}"), 400_000))
        .try_submit()
    {
        drop(receipt);
        accepted += 1;
    }
    assert_eq!(accepted, 10);
    assert!(table.stats().buffered_bytes <= 4 << 20);
    // One that fits goes in still; one larger than the buffer never could.
    assert!(table.put(&row("small", 1)).try_submit().is_ok());
    let parts = (0..10).fold(table.transaction(), |all, n| {
        all.add(table.put(&large(format!("t{n}"), 300_000)))
    });
    let error = parts.await.unwrap_err();
    assert!(matches!(error, SubmitError::LargerThanBuffer { .. }));
    assert!(error.is_record());
    table.abort().await;
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn waiting_callers_are_served_in_order() {
    let fake = fake();
    fake.inject(Fault::delay_before(Duration::from_secs(1)).always());
    let table = open_with(&fake, one_by_one().buffer_records(1)).await;
    drop(table.put(&row("first", 0)).await.unwrap());
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for n in 0..20 {
        let (table, order) = (table.clone(), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            drop(table.put(&row(format!("k{n}"), n)).await.unwrap());
            order.lock().push(n);
        }));
        settle().await;
    }
    assert_eq!(table.stats().waiting_callers, 20);
    let barging = table.put(&row("barge", 1)).try_submit();
    assert!(matches!(barging, Err(SubmitError::Full)));
    // One that gives up passes its turn on.
    tasks.remove(3).abort();
    for task in tasks {
        task.await.unwrap();
    }
    let order = std::mem::take(&mut *order.lock());
    assert_eq!(order, (0..20).filter(|n| *n != 3).collect::<Vec<_>>());
    table.close().await.unwrap();
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn a_hot_partition_key_waits_apart() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(
        TableSpec::new("events")
            .partition("pk", KeyKind::String)
            .sort("n", KeyKind::Number),
    );
    fake.inject(
        Fault::delay_before(Duration::from_secs(60))
            .on_key(is_pk("hot"))
            .always(),
    );
    let settings = TableSettings::default()
        .buffer_records(100)
        .max_key_share(0.1)
        .concurrency(32)
        .max_batch_items(1)
        .request_timeout(Duration::from_secs(300));
    let sink = DynamoDbSink::builder(&fake.client())
        .table("events", settings)
        .keys("events", keys().with_sort("n", KeyKind::Number))
        .open();
    let table = sink.await.unwrap().table("events").unwrap();
    for n in 0..10 {
        drop(table.put(&row("hot", n)).try_submit().unwrap());
    }
    assert!(matches!(
        table.put(&row("hot", 10)).try_submit(),
        Err(SubmitError::Full)
    ));
    let mut blocked: Vec<_> = (10..13)
        .map(|n| Box::pin(table.put(&row("hot", n)).into_future()))
        .collect();
    for submit in &mut blocked {
        assert!(submit.as_mut().now_or_never().is_none());
    }
    // All other keys go on meanwhile.
    let before = tokio::time::Instant::now();
    for n in 0..500 {
        let outcome = table.put(&row(format!("cold{n}"), n)).confirm().await;
        assert!(outcome.unwrap().is_written());
    }
    assert!(before.elapsed() < Duration::from_secs(1));
    for submit in blocked {
        drop(submit.await.unwrap());
    }
    table.close().await.unwrap();
    assert_eq!(fake.item_count("events"), 513);
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn all_kinds_of_outcomes_give_their_room_back() {
    let fake = fake();
    let table = open_with(&fake, TableSettings::default().coalesce(true)).await;
    fake.inject(Fault::poison(is_pk("bad")));
    fake.inject(Fault::unprocessed_all().times(3));
    fake.inject(on_writes(Fault::close_after().times(2)));
    for n in 0..200 {
        let pk = if n % 10 == 0 { "bad" } else { "good" };
        drop(table.put(&row(pk, n)).await.unwrap());
        let put = table.put(&row(format!("k{n}"), n));
        drop(put.condition("attribute_exists(pk)").await.unwrap());
    }
    let late = table
        .put(&row("late", 1))
        .deadline(Duration::from_millis(1));
    drop(late.await.unwrap());
    let _ = table.flush().await;
    assert_no_room_taken(&table);
}
