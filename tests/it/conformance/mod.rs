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

use crate::servers::environment;

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

/// What moto 5.2 does otherwise than DynamoDB. It checks little of what it is sent, ignores the tokens of
/// transactions, and counts sizes and capacity in its own way.
const MOTO_GAPS: [&str; 31] = [
    "twenty_five_writes_pass_and_twenty_six_do_not",
    "empty_batches_are_refused",
    "a_key_twice_fails_the_batch",
    "one_bad_item_fails_the_batch",
    "a_batch_reports_its_capacity",
    "a_body_over_16_mb_is_answered_413",
    "conditions_hold_where_they_should",
    "bad_conditions_are_refused",
    "placeholders_have_to_be_used_and_defined",
    "numbers_have_limits",
    "keys_have_to_be_there",
    "keys_have_to_have_their_type",
    "keys_must_not_be_empty",
    "index_keys_are_checked",
    "sets_are_checked",
    "nesting_has_a_limit",
    "an_item_of_exactly_400_kb_passes",
    "map_and_list_sizes_count",
    "number_sizes_count",
    "consumed_capacity_names_indexes",
    "a_query_reads_an_index",
    "table_names_are_checked",
    "a_hundred_actions_pass_and_more_do_not",
    "an_item_twice_is_refused",
    "a_token_applies_once",
    "a_token_with_another_body_is_refused",
    "transactions_have_a_size",
    "transactions_cost_twice",
    "an_update_creates_what_is_missing",
    "sums_are_exact",
    "bad_updates_are_refused",
];

#[tokio::test]
async fn moto() {
    let Some([url]) = environment("conformance::moto", ["MOTO_URL"]) else {
        return;
    };
    run(&checks(), &harness::client_for(&url), &MOTO_GAPS).await;
}
