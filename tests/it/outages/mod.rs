//! Outages: how long they cost, how often the service is asked meanwhile, and what nothing is rejected for.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do, and how long something takes is measured"
)]

mod shares;
mod whole;

use std::time::Duration;

use dynamodb_connector::Health;
use dynamodb_connector::sink::{
    DrainError, LimitedBy, Outcome, RejectReason, SubmitError, TableSettings, TableSink,
};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation, Throttle};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::setup::{
    Log, TABLE, builder, fake, id, is_pk, on_writes, open_with, opened, row, writes_sent,
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn unknown() -> Fault {
    Fault::error(400, "SomethingNewException", "not now")
}

/// Puts so many records and waits for their outcomes. All are buffered before the first request: what is sent is
/// counted, and records that arrive beside retries are spread over more requests.
fn puts(table: &TableSink, count: u64) -> JoinHandle<Vec<Outcome>> {
    let table = table.clone();
    tokio::spawn(async move {
        let mut receipts = Vec::new();
        let submitting = async {
            for n in 0..count {
                receipts.push(table.put(&row(format!("k{n}"), n)).await.unwrap());
            }
        };
        tokio::task::unconstrained(submitting).await;
        futures::future::join_all(receipts).await
    })
}

fn assert_written(outcomes: &[Outcome], told: &str) {
    let other = outcomes.iter().find(|outcome| !outcome.is_written());
    assert!(other.is_none(), "{told}: {other:?}");
}

/// Refuses, of each `of` batches, the first `fails`.
fn refuse_share(fake: &FaultyDynamoDb, fault: &Fault, fails: usize, of: usize) {
    let passes = of - fails;
    for nth in 0..1_000 {
        let fault = fault.clone().on(Operation::BatchWriteItem);
        fake.inject(fault.skip(passes * nth).times(fails));
    }
}
