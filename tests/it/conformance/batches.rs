//! `BatchWriteItem` and `BatchGetItem`.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    DeleteRequest, KeysAndAttributes, ReturnConsumedCapacity, WriteRequest,
};

use super::harness::*;

checks![
    twenty_five_writes_pass_and_twenty_six_do_not,
    empty_batches_are_refused,
    a_key_twice_fails_the_batch,
    one_bad_item_fails_the_batch,
    a_missing_table_fails_the_batch,
    a_batch_reports_its_capacity,
    a_batched_delete_of_nothing_costs_one_unit,
    a_body_over_16_mb_is_answered_413,
    batches_are_read,
];

fn delete_request(key: Item) -> WriteRequest {
    let delete = DeleteRequest::builder()
        .set_key(Some(key))
        .build()
        .expect("a key");
    WriteRequest::builder().delete_request(delete).build()
}

async fn refuse(client: &Client, table: &str, writes: Vec<WriteRequest>, messages: &[&str]) {
    let answer = client
        .batch_write_item()
        .request_items(table, writes)
        .send()
        .await;
    refused(answer, "ValidationException", messages);
}

async fn twenty_five_writes_pass_and_twenty_six_do_not(client: Client) {
    let table = table(&client).await;
    let writes = |count: usize| {
        (0..count)
            .map(|i| put_request(key(&i.to_string(), "1")))
            .collect()
    };
    refuse(
        &client,
        &table,
        writes(26),
        &["Too many items", "less than or equal to 25"],
    )
    .await;
    let answer = client
        .batch_write_item()
        .request_items(&table, writes(25))
        .send()
        .await;
    assert!(
        answer
            .expect("written")
            .unprocessed_items()
            .is_some_and(std::collections::HashMap::is_empty)
    );
    assert_eq!(
        client
            .scan()
            .table_name(&table)
            .send()
            .await
            .expect("scanned")
            .count(),
        25
    );
}

async fn empty_batches_are_refused(client: Client) {
    let table = table(&client).await;
    refuse(&client, &table, Vec::new(), &[]).await;
    let answer = client
        .batch_write_item()
        .set_request_items(Some([].into()))
        .send()
        .await;
    refused(answer, "ValidationException", &[]);
}

async fn a_key_twice_fails_the_batch(client: Client) {
    let table = table(&client).await;
    let duplicates = ["contains duplicates"];
    let twice = vec![put_request(key("a", "1")), put_request(key("a", "1.0"))];
    refuse(&client, &table, twice, &duplicates).await;
    let mixed = vec![put_request(key("a", "1")), delete_request(key("a", "1"))];
    refuse(&client, &table, mixed, &duplicates).await;
    assert_eq!(get(&client, &table, key("a", "1")).await, None);
}

async fn one_bad_item_fails_the_batch(client: Client) {
    let table = table(&client).await;
    let bad = [
        (put_request(key("", "1")), "empty string value"),
        (put_request([("pk".to_owned(), s("a"))].into()), ""),
        (
            put_request(with(key("b", "1"), "x", s("x".repeat(409_600)))),
            "Item size has exceeded",
        ),
        (
            put_request(with(key("b", "1"), "g", n("1"))),
            "Type mismatch for Index Key",
        ),
        (
            put_request(with(key("b", "1"), "x", ss(&[]))),
            "may not be empty",
        ),
        (
            put_request(with(key("b", "1"), "x", n("1e126"))),
            "overflow",
        ),
        (delete_request([("pk".to_owned(), s("a"))].into()), ""),
    ];
    for (write, message) in bad {
        refuse(
            &client,
            &table,
            vec![put_request(key("good", "1")), write],
            &[message],
        )
        .await;
    }
    assert_eq!(
        client
            .scan()
            .table_name(&table)
            .send()
            .await
            .expect("scanned")
            .count(),
        0
    );
}

async fn a_missing_table_fails_the_batch(client: Client) {
    let writes = vec![put_request(key("a", "1"))];
    let answer = client
        .batch_write_item()
        .request_items("no-such-table", writes)
        .send()
        .await;
    refused(answer, "ResourceNotFoundException", &[]);
}

async fn a_batch_reports_its_capacity(client: Client) {
    let table = table(&client).await;
    let writes = vec![
        put_request(with(
            with(key("a", "1"), "g", s("q")),
            "x",
            s("y".repeat(3000)),
        )),
        put_request(key("b", "1")),
    ];
    let batch = client.batch_write_item().request_items(&table, writes);
    let batch = batch.return_consumed_capacity(ReturnConsumedCapacity::Indexes);
    let answer = batch.send().await.expect("written");
    let consumed = &answer.consumed_capacity()[0];
    assert_eq!(consumed.table_name(), Some(table.as_str()));
    assert_eq!(consumed.capacity_units(), Some(7.0));
    assert_eq!(
        consumed
            .table()
            .and_then(aws_sdk_dynamodb::types::Capacity::capacity_units),
        Some(4.0)
    );
}

async fn a_batched_delete_of_nothing_costs_one_unit(client: Client) {
    let table = table(&client).await;
    let writes = vec![delete_request(key("none", "1"))];
    let batch = client.batch_write_item().request_items(&table, writes);
    let batch = batch.return_consumed_capacity(ReturnConsumedCapacity::Total);
    let answer = batch.send().await.expect("written");
    assert_eq!(answer.consumed_capacity()[0].capacity_units(), Some(1.0));
}

async fn a_body_over_16_mb_is_answered_413(client: Client) {
    let table = table(&client).await;
    // Within every limit as stored, over 16 MB on the wire: a control character takes six bytes.
    let writes = (0..25)
        .map(|i| {
            put_request(with(
                key(&i.to_string(), "1"),
                "x",
                s("\u{1}".repeat(120_000)),
            ))
        })
        .collect();
    let answer = client
        .batch_write_item()
        .request_items(&table, writes)
        .send()
        .await;
    let error = answer.expect_err("a refusal");
    let response = error.raw_response().expect("an answer");
    // The server may close this connection, which the next request would otherwise find out.
    let _ = client.list_tables().send().await;
    assert_eq!(response.status().as_u16(), 413);
    assert_eq!(
        response.body().bytes(),
        Some(br#"{"Message":""}"#.as_slice())
    );
}

async fn batches_are_read(client: Client) {
    let table = table(&client).await;
    put(&client, &table, key("a", "1")).await;
    let keys = |keys: Vec<Item>| {
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true);
        client
            .batch_get_item()
            .request_items(&table, keys.build().expect("keys"))
    };
    let answer = keys(vec![key("a", "1"), key("b", "1")])
        .send()
        .await
        .expect("read");
    assert_eq!(answer.responses().map(|found| found[&table].len()), Some(1));
    let twice = keys(vec![key("a", "1"), key("a", "1")]).send().await;
    refused(twice, "ValidationException", &["contains duplicates"]);
}
