//! All tables of a sink share its limits, and none of them starves.

#![expect(
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do"
)]

use std::time::Duration;

use dynamodb_connector::TableSpec;
use dynamodb_connector::sink::{
    DynamoDbSink, DynamoDbSinkBuilder, LimitedBy, OpenError, TableSettings, TableSink,
};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};
use futures::future::join_all;

use crate::setup::{keys, large, row, settle};

fn name(n: usize) -> String {
    format!("table-{n}")
}

/// The faulty DynamoDB with so many tables, and a sink of them.
fn tables(n: usize, settings: &TableSettings) -> (FaultyDynamoDb, DynamoDbSinkBuilder) {
    let fake = FaultyDynamoDb::new();
    let mut builder = DynamoDbSink::builder(&fake.client()).seed(7);
    for n in 0..n {
        fake.create_table(TableSpec::new(name(n)));
        let settings = settings.clone();
        builder = builder.table(name(n), settings).keys(name(n), keys());
    }
    (fake, builder)
}

fn table(sink: &DynamoDbSink, n: usize) -> TableSink {
    sink.table(&name(n)).expect("it was opened")
}

fn in_flight(sink: &DynamoDbSink) -> usize {
    sink.tables().map(|table| table.stats().in_flight).sum()
}

/// A pause after which published numbers are up to date.
async fn published() {
    tokio::time::sleep(Duration::from_millis(5)).await;
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_are_bounded_over_all_tables_and_shared_evenly() {
    let settings = TableSettings::default().max_batch_items(1).concurrency(32);
    let (fake, builder) = tables(8, &settings);
    fake.inject(Fault::delay_before(Duration::from_secs(1)).always());
    let sink = builder.max_requests(32).open().await.unwrap();
    for n in 0..400 {
        for at in 0..8 {
            drop(
                table(&sink, at)
                    .put(&row(format!("k{n}"), n))
                    .await
                    .unwrap(),
            );
        }
    }
    let mut before = Vec::new();
    for second in 0..20 {
        published().await;
        assert_eq!(in_flight(&sink), 32);
        if second == 4 {
            before = (0..8).map(|at| table(&sink, at).stats().written).collect();
        }
        tokio::time::sleep(Duration::from_millis(995)).await;
    }
    let written = (0..8).map(|at| table(&sink, at).stats().written - before[at]);
    let written: Vec<u64> = written.collect();
    assert!(written.iter().all(|n| (60..=64).contains(n)), "{written:?}");
    let stats = table(&sink, 0).stats();
    assert_eq!(stats.limited_by, LimitedBy::AllTables);
    sink.close().await.unwrap();
    for n in 0..8 {
        assert_eq!(fake.items(&name(n)).len(), 400);
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_whose_requests_hang_leaves_requests_to_the_others() {
    let settings = TableSettings::default()
        .max_batch_items(1)
        .concurrency(64)
        .request_timeout(Duration::from_secs(300));
    let (fake, builder) = tables(2, &settings);
    fake.inject(Fault::never_answer().table(name(0)).always());
    let sink = builder.max_requests(64).open().await.unwrap();
    let (hangs, works) = (table(&sink, 0), table(&sink, 1));
    for n in 0..200 {
        drop(hangs.put(&row(format!("k{n}"), n)).await.unwrap());
    }
    published().await;
    assert_eq!(hangs.stats().in_flight, 64 - 4);
    let begun = tokio::time::Instant::now();
    for n in 0..200 {
        drop(works.put(&row(format!("k{n}"), n)).await.unwrap());
    }
    works.flush().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    sink.abort().await;
    assert_eq!(fake.items(&name(1)).len(), 200);
}

#[tokio::test(start_paused = true)]
async fn buffered_bytes_are_bounded_over_all_tables_and_a_stuck_one_starves_none() {
    const MIB: usize = 1 << 20;
    let settings = TableSettings::default().buffer_bytes(16 * MIB);
    let (fake, builder) = tables(4, &settings);
    fake.inject(Fault::never_answer().table(name(0)).always());
    fake.inject(Fault::never_answer().table(name(1)).always());
    let sink = builder.buffer_bytes(16 * MIB).open().await.unwrap();
    let buffered = || -> usize {
        sink.tables()
            .map(|table| table.stats().buffered_bytes)
            .sum()
    };
    let mut feeding = Vec::new();
    for at in 0..2 {
        let table = table(&sink, at);
        feeding.push(tokio::spawn(async move {
            let mut accepted = 0;
            while let Ok(receipt) = table.put(&large(format!("k{accepted}"), 100_000)).await {
                drop(receipt);
                accepted += 1;
            }
            accepted
        }));
    }
    published().await;
    assert!(
        (14 * MIB..=15 * MIB).contains(&buffered()),
        "{}",
        buffered()
    );
    assert!(table(&sink, 0).stats().waiting_callers > 0);
    // Two others come: one with small records, one with large ones.
    let begun = tokio::time::Instant::now();
    let working = (2..4).map(|at| {
        let table = table(&sink, at);
        async move {
            for n in 0..300_u64 {
                let bytes = if at == 2 { 100 } else { 300_000 };
                drop(table.put(&large(format!("k{n}"), bytes)).await.unwrap());
            }
            table.flush().await.unwrap();
        }
    });
    join_all(working).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(buffered() <= 16 * MIB);
    for feeding in &feeding {
        feeding.abort();
    }
    sink.abort().await;
    assert_eq!(buffered(), 0);
    assert_eq!(
        (fake.items(&name(2)).len(), fake.items(&name(3)).len()),
        (300, 300)
    );
}

#[tokio::test(start_paused = true)]
async fn every_table_may_hold_one_record_whatever_the_bound() {
    const MIB: usize = 1 << 20;
    let settings = TableSettings::default().buffer_bytes(4 * MIB);
    let (fake, builder) = tables(40, &settings);
    fake.inject(Fault::never_answer().always());
    let sink = builder.buffer_bytes(4 * MIB).open().await.unwrap();
    let all = sink.tables().map(|table| {
        let put = table.put(&large("k1", 390_000));
        async move { put.await.map(drop) }
    });
    let entered = tokio::time::timeout(Duration::from_secs(1), join_all(all)).await;
    assert!(entered.unwrap().iter().all(Result::is_ok));
    published().await;
    let buffered: usize = sink
        .tables()
        .map(|table| table.stats().buffered_bytes)
        .sum();
    assert!(buffered > 14 * MIB);
    for table in sink.tables() {
        assert!(table.put(&large("k2", 10)).try_submit().is_err());
    }
    sink.abort().await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_below_that_of_a_table_is_refused_at_opening_and_later() {
    let settings = TableSettings::default().concurrency(16);
    let (_, builder) = tables(1, &settings);
    let error = builder.max_requests(15).open().await.unwrap_err();
    assert!(matches!(error, OpenError::Config(_)), "{error}");
    assert!(error.to_string().contains("max_requests is 15"), "{error}");
    let (_, builder) = tables(1, &settings);
    let error = builder.buffer_bytes(32 << 20).open().await.unwrap_err();
    assert!(
        error.to_string().contains("buffer_bytes is 32MiB"),
        "{error}"
    );
    let (_, builder) = tables(1, &settings);
    let sink = builder.open().await.unwrap();
    let table = table(&sink, 0);
    table.set_concurrency(256).unwrap();
    let refused = table.set_concurrency(1..=257).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "table \"table-0\": concurrency is 257, allowed 1 to 256 (max_requests of the sink)"
    );
    sink.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_abort_hands_back_all_that_was_not_sent_before_it() {
    let settings = TableSettings::default();
    let (fake, builder) = tables(1, &settings);
    let sink = builder.open().await.unwrap();
    let table = table(&sink, 0);
    let receipts: Vec<_> = (0..5_000)
        .map(|n| table.put(&row(format!("k{n}"), n)).try_submit().unwrap())
        .collect();
    let handed_back = table.abort().await;
    assert_eq!(handed_back.len(), receipts.len());
    assert!(
        handed_back
            .iter()
            .all(|outcome| !outcome.may_have_applied())
    );
    assert!(fake.items(&name(0)).is_empty());
}

/// More messages wait than a worker takes at a time, at the moment at which it gives memory back.
#[tokio::test(start_paused = true)]
async fn a_table_that_was_idle_drops_no_message() {
    let (_, builder) = tables(1, &TableSettings::default());
    let sink = builder.open().await.unwrap();
    let table = table(&sink, 0);
    table.put(&row("first", 0)).confirm().await.unwrap();
    tokio::time::advance(Duration::from_millis(1_100)).await;
    let flushes = join_all((0..1_500).map(|_| table.flush()));
    let (flushed, written) = tokio::join!(flushes, table.put(&row("second", 1)));
    assert!(flushed.iter().all(Result::is_ok));
    assert!(written.unwrap().await.is_written());
    table.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn descriptions_that_hang_are_bounded_over_all_tables_and_writes_go_on() {
    let settings = TableSettings::default().refresh(Duration::from_secs(1));
    let (fake, builder) = tables(40, &settings);
    fake.inject(Fault::never_answer().on(Operation::DescribeTable).always());
    let sink = builder.max_requests(40).open().await.unwrap();
    for n in 0..40 {
        for at in 0..40 {
            let written = table(&sink, at).put(&row(format!("k{n}"), n)).confirm();
            assert!(written.await.unwrap().is_written(), "table {at}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let requests = fake.requests();
    let described = requests
        .iter()
        .filter(|request| request.operation() == Some(Operation::DescribeTable))
        .count();
    // None was given up yet.
    assert_eq!(described, 5, "an eighth of 40");
}
