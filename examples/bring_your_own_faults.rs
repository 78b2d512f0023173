//! A pipeline of yours, tested against a DynamoDB that fails on command.
//!
//! ```text
//! cargo run --features test-util --example bring_your_own_faults
//! cargo run --features test-util --example bring_your_own_faults -- 42
//! ```
//!
//! `import` stands for the pipeline: it knows nothing of the test. Around it, what would be a `#[tokio::test(start_paused = true)]`
//! in a project of your own: faults drawn by a seed (the argument, else 1 to 10), the pipeline run, and the table compared with
//! what went in. Prints a line for each seed; minutes of backoff pass at once, since time is paused.

use std::error::Error;
use std::process::ExitCode;

use dynamodb_connector::TableSpec;
use dynamodb_connector::sink::{DynamoDbSink, TableSettings, TableSink};
use dynamodb_connector::test_util::{FaultPlan, FaultyDynamoDb};
use serde_json::json;
use tokio::time::Instant;

/// The code under test.
async fn import(table: &TableSink, events: u32) -> Result<(), Box<dyn Error>> {
    for n in 0..events {
        let account = json!({"pk": format!("account-{}", n % 200), "n": n});
        drop(table.put(&account).await?);
    }
    Ok(table.close().await?)
}

/// The test of it: whatever goes wrong, each account ends with its newest event.
async fn test(seed: u64) -> Result<(), Box<dyn Error>> {
    const EVENTS: u32 = 2_000;
    let database = FaultyDynamoDb::new();
    database.create_table(TableSpec::new("accounts"));
    let plan = FaultPlan::seeded(seed).unprocessed(0.2).throttle(0.1);
    let plan = plan.internal_error_after(0.05).close_before(0.05);
    database.fault_plan(plan.close_after(0.05).never(0.02));

    // With a seed for the sink too, a run that fails fails again.
    let sink = DynamoDbSink::builder(&database.client()).seed(seed);
    let sink = sink.table("accounts", TableSettings::default());
    let table = sink.open().await?.table("accounts")?;
    let started = now();
    import(&table, EVENTS).await?;

    let mut newest = database.items("accounts").into_iter();
    let newest = newest.all(|item| {
        let n = item["n"].as_n().ok().and_then(|n| n.parse().ok());
        n.is_some_and(|n: u32| (EVENTS - 200..EVENTS).contains(&n))
    });
    assert!(newest, "seed {seed}: an account holds an old event");
    assert_eq!(database.item_count("accounts"), 200, "seed {seed}");
    assert!(database.overlaps().is_empty(), "seed {seed}: order at risk");
    let requests = database.requests();
    let failed = requests.iter().filter(|one| one.fault().is_some()).count();
    let (all, took) = (requests.len(), started.elapsed());
    println!("seed {seed}: passed, {failed} of {all} requests failed, {took:.0?} in paused time");
    Ok(())
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> ExitCode {
    let seeds = match std::env::args().nth(1).map(|seed| seed.parse()) {
        None => 1..=10,
        Some(Ok(seed)) => seed..=seed,
        Some(Err(_)) => {
            eprintln!("bring_your_own_faults: the seed must be a whole number");
            return ExitCode::from(2);
        }
    };
    for seed in seeds {
        if let Err(error) = test(seed).await {
            eprintln!("bring_your_own_faults: seed {seed}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

#[expect(clippy::disallowed_methods, reason = "an example measures time")]
fn now() -> Instant {
    Instant::now()
}
