//! The faulty DynamoDB against real ones: one list of checks, the same for every server.
//!
//! Each server has a list of the checks it is known to fail. A check on that list that passes fails
//! the test as well, so the lists stay true.

mod batches;
mod conditions;
pub(crate) mod harness;
mod items;
mod reads;
#[cfg(feature = "streams")]
mod streams;
#[cfg(feature = "streams")]
mod streams_servers;
mod tables;
mod transactions;
mod updates;

use dynamodb_connector::test_util::FaultyDynamoDb;
use harness::{Check, run};

fn checks() -> Vec<Check> {
    [
        batches::checks(),
        conditions::checks(),
        items::checks(),
        reads::checks(),
        tables::checks(),
        transactions::checks(),
        updates::checks(),
    ]
    .concat()
}

#[tokio::test]
async fn the_faulty_dynamodb_in_process() {
    run(&checks(), &FaultyDynamoDb::new().client(), &[]).await;
}

#[tokio::test]
async fn the_faulty_dynamodb_over_http() {
    let server = FaultyDynamoDb::new().serve().await.expect("a server");
    run(&checks(), &server.client(), &[]).await;
    server.shutdown().await;
}

/// What dynoxide 3.2 does otherwise than DynamoDB.
#[cfg(feature = "embedded")]
const DYNOXIDE_GAPS: [&str; 3] = [
    // It answers 413 with its HTTP library's words instead of an empty message.
    "a_body_over_16_mb_is_answered_413",
    // It judges a condition with an upper bound below its lower bound instead of refusing it.
    "bad_conditions_are_refused",
    // It takes an index key over 2048 bytes.
    "index_keys_are_checked",
];

#[cfg(feature = "embedded")]
#[tokio::test]
async fn the_embedded_dynamodb() {
    use dynamodb_connector::embedded::EmbeddedDynamoDb;

    let database = EmbeddedDynamoDb::start().await.expect("a database");
    run(&checks(), &database.client(), &DYNOXIDE_GAPS).await;
    database.shutdown().await;
}

/// What DynamoDB Local 3.1 does otherwise than DynamoDB.
const LOCAL_GAPS: [&str; 2] = [
    // It counts two units; a single `DeleteItem` of nothing counts one there as well.
    "a_batched_delete_of_nothing_costs_one_unit",
    // It takes an update that gives an index key another type.
    "index_keys_are_checked_in_updates",
];

#[tokio::test]
async fn dynamodb_local() {
    let Some(url) = harness::local_url("conformance::dynamodb_local") else {
        return;
    };
    run(&checks(), &harness::client_for(&url), &LOCAL_GAPS).await;
}
