//! The whole sink against the faulty DynamoDB: random settings, writes, faults and endings, one set of
//! promises.
//!
//! Several tasks submit writes of every kind to a few keys and flush, take snapshots and forget receipts at
//! random; at some moment the table is closed or aborted. Then every receipt is compared with what the table
//! took:
//!
//! - K1: every accepted write has one outcome; `Written` was applied; what says that it was not applied was not;
//!   what must not be applied twice was not; every dead letter was handed over once.
//! - K2: no two requests held one key at once; no write was applied after a later one of its key; after a close,
//!   the table holds the last write of each key.
//! - K3, K5: no request and no buffer was beyond its bounds.
//! - K6: what was submitted before a flush had its outcome when the flush was done.
//! - K8: a snapshot held every write that had no outcome yet.
//! - Everything ended within virtual hours.
//!
//! Writes carry their number as the attribute `id`, so each application can be distinguished from every other. A delete
//! carries none: it is matched to the earliest delete that may have been the one.
//!
//! Cases are drawn from a fixed seed; `PROPTEST_CASES` sets their number.

mod case;
mod checks;
mod run;

use parking_lot::Mutex;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::TableSpec;
use dynamodb_connector::retry::RetryPolicy;
use dynamodb_connector::sink::{
    DrainError, DynamoDbSink, Outcome, Receipt, Snapshot, SubmitError, TableSettings, TableSink,
    WriteRecord,
};
use dynamodb_connector::test_util::{
    AppliedKind, Fault, FaultPlan, FaultyDynamoDb, Operation, Throttle,
};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde::Serialize;

use case::*;
use checks::*;
use run::*;

const TABLE: &str = "decisions";
const KEYS: u8 = 4;
/// No case may take longer, in virtual time: each fault passes within seconds.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn check(late: bool, share: u32) {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    let config = ProptestConfig {
        cases: cases.unwrap_or(200) * share / 4,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, rng).run(&case(late), |case| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let ended = runtime.block_on(async { tokio::time::timeout(LONGEST, run(&case)).await });
        prop_assert!(ended.is_ok(), "it hangs");
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn every_promise_holds_under_every_fault() {
    check(false, 3);
}

/// A request that was given up may be applied by the service at any later time: then plain writes have no order
/// any more. Everything else holds.
#[test]
fn all_but_order_holds_where_given_up_requests_are_applied_late() {
    check(true, 1);
}

/// The service remembers a transaction's token for ten minutes. A counter whose answer was lost and that then
/// was throttled for longer must not be sent once more: it would count twice.
#[tokio::test(start_paused = true)]
async fn a_lapsed_token_is_not_used_again() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE));
    let table = TableSink::open(&fake.client(), TABLE)
        .await
        .expect("opened");
    fake.inject(Fault::close_after().on(Operation::TransactWriteItems));
    fake.inject(Fault::throttled(Throttle::ProvisionedThroughput).always());
    let add = table
        .update(&KeyOf { pk: pk(0) }, "SET id = :id ADD n :one")
        .value(":id", &1)
        .value(":one", &1)
        .exactly_once();
    let receipt = add.await.expect("accepted");
    let next = table.put(&Item { pk: pk(1), id: 2 }).exactly_once();
    let next = next.await.expect("accepted");
    tokio::time::sleep(Duration::from_secs(660)).await;
    fake.heal();
    assert!(matches!(receipt.await, Outcome::Unknown { .. }));
    assert!(
        matches!(next.await, Outcome::Written),
        "throttled alone, it was never applied"
    );
    assert_eq!(fake.applied().len(), 2);
}
