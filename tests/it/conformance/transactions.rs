//! `TransactWriteItems`.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsFluentBuilder;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, ReturnConsumedCapacity,
    ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use super::harness::*;

checks![
    all_actions_are_applied_together,
    one_failed_condition_cancels_all,
    a_hundred_actions_pass_and_more_do_not,
    an_item_twice_is_refused,
    a_missing_table_is_said,
    a_token_applies_once,
    a_token_with_another_body_is_refused,
    transactions_have_a_size,
    transactions_cost_twice,
];

fn action() -> aws_sdk_dynamodb::types::builders::TransactWriteItemBuilder {
    TransactWriteItem::builder()
}

fn put_action(table: &str, item: Item) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .build();
    action().put(put.expect("complete")).build()
}

fn put_new(table: &str, item: Item) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    action().put(put.build().expect("complete")).build()
}

fn increment(table: &str, by: &str) -> TransactWriteItem {
    let update = Update::builder()
        .table_name(table)
        .set_key(Some(key("a", "1")))
        .update_expression("ADD v :a")
        .expression_attribute_values(":a", n(by));
    action().update(update.build().expect("complete")).build()
}

fn transact(client: &Client, actions: Vec<TransactWriteItem>) -> TransactWriteItemsFluentBuilder {
    client
        .transact_write_items()
        .set_transact_items(Some(actions))
}

async fn reasons(transaction: TransactWriteItemsFluentBuilder) -> Vec<CancellationReason> {
    match transaction
        .send()
        .await
        .expect_err("cancelled")
        .into_service_error()
    {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            cancelled.cancellation_reasons().to_vec()
        }
        other => unreachable!("another failure: {other:?}"),
    }
}

async fn all_actions_are_applied_together(client: Client) {
    let table = table(&client).await;
    put(&client, &table, with(key("old", "1"), "v", n("1"))).await;
    put(&client, &table, key("checked", "1")).await;
    let delete = Delete::builder()
        .table_name(&table)
        .set_key(Some(key("old", "1")));
    let check = ConditionCheck::builder()
        .table_name(&table)
        .set_key(Some(key("checked", "1")))
        .condition_expression("attribute_exists(pk)");
    let actions = vec![
        put_action(&table, key("new", "1")),
        increment(&table, "5"),
        action().delete(delete.build().expect("complete")).build(),
        action()
            .condition_check(check.build().expect("complete"))
            .build(),
    ];
    transact(&client, actions).send().await.expect("applied");
    assert_eq!(
        get(&client, &table, key("new", "1")).await,
        Some(key("new", "1"))
    );
    assert_eq!(get(&client, &table, key("old", "1")).await, None);
    assert_eq!(
        get(&client, &table, key("a", "1")).await.expect("an item")["v"],
        n("5")
    );
}

async fn one_failed_condition_cancels_all(client: Client) {
    let table = table(&client).await;
    let item = with(key("b", "1"), "v", n("1"));
    put(&client, &table, item.clone()).await;
    let actions = vec![
        put_action(&table, key("a", "1")),
        put_new(&table, key("b", "1")),
    ];
    let reasons = reasons(transact(&client, actions)).await;
    assert_eq!(reasons[0].code(), Some("None"));
    assert_eq!(reasons[1].code(), Some("ConditionalCheckFailed"));
    assert_eq!(reasons[1].item(), Some(&item));
    assert_eq!(get(&client, &table, key("a", "1")).await, None);
}

async fn a_hundred_actions_pass_and_more_do_not(client: Client) {
    let table = table(&client).await;
    let puts = |count: usize| (0..count).map(|i| put_action(&table, key(&i.to_string(), "1")));
    transact(&client, puts(100).collect())
        .send()
        .await
        .expect("applied");
    refused(
        transact(&client, puts(101).collect()).send().await,
        "ValidationException",
        &["100"],
    );
    refused(
        transact(&client, Vec::new()).send().await,
        "ValidationException",
        &[],
    );
}

async fn an_item_twice_is_refused(client: Client) {
    let table = table(&client).await;
    let twice = vec![put_action(&table, key("a", "1.0")), increment(&table, "1")];
    let message = "cannot include multiple operations on one item";
    refused(
        transact(&client, twice).send().await,
        "ValidationException",
        &[message],
    );
}

async fn a_missing_table_is_said(client: Client) {
    let table = table(&client).await;
    let actions = vec![
        put_action(&table, key("a", "1")),
        put_action("no-table", key("a", "1")),
    ];
    refused(
        transact(&client, actions).send().await,
        "ResourceNotFoundException",
        &[],
    );
    assert_eq!(get(&client, &table, key("a", "1")).await, None);
}

async fn a_token_applies_once(client: Client) {
    let table = table(&client).await;
    for _ in 0..3 {
        let transaction = transact(&client, vec![increment(&table, "1")]);
        let transaction = transaction.client_request_token(format!("{table}-1"));
        transaction.send().await.expect("applied");
    }
    assert_eq!(
        get(&client, &table, key("a", "1")).await.expect("an item")["v"],
        n("1")
    );
}

async fn a_token_with_another_body_is_refused(client: Client) {
    let table = table(&client).await;
    let send = async |by: &str| {
        let transaction = transact(&client, vec![increment(&table, by)]);
        transaction
            .client_request_token(format!("{table}-2"))
            .send()
            .await
    };
    send("1").await.expect("applied");
    refused(send("2").await, "IdempotentParameterMismatchException", &[]);
    let long = transact(&client, vec![increment(&table, "1")]).client_request_token("x".repeat(37));
    refused(long.send().await, "ValidationException", &["36"]);
}

async fn transactions_have_a_size(client: Client) {
    let table = table(&client).await;
    let large = |i: usize| with(key(&i.to_string(), "1"), "x", s("x".repeat(400_000)));
    let puts = |count: usize| (0..count).map(|i| put_action(&table, large(i))).collect();
    transact(&client, puts(10)).send().await.expect("applied");
    refused(
        transact(&client, puts(11)).send().await,
        "ValidationException",
        &["4MB"],
    );
}

async fn transactions_cost_twice(client: Client) {
    let table = table(&client).await;
    let transaction = transact(&client, vec![increment(&table, "1")]);
    let transaction = transaction.return_consumed_capacity(ReturnConsumedCapacity::Total);
    let answer = transaction.send().await.expect("applied");
    assert_eq!(answer.consumed_capacity()[0].capacity_units(), Some(2.0));
}
