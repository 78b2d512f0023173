//! Items: what is stored, what is refused.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValue};

use super::harness::*;

checks![
    every_type_comes_back,
    numbers_compare_by_value_as_keys,
    numbers_have_limits,
    keys_have_to_be_there,
    keys_have_to_have_their_type,
    keys_must_not_be_empty,
    keys_have_sizes,
    index_keys_are_checked,
    sets_are_checked,
    nesting_has_a_limit,
    an_item_of_exactly_400_kb_passes,
    map_and_list_sizes_count,
    number_sizes_count,
    deletes_return_what_was_there,
    consumed_capacity_names_indexes,
    a_missing_table_is_said,
];

async fn refuse(client: &Client, table: &str, item: Item, messages: &[&str]) {
    let answer = client
        .put_item()
        .table_name(table)
        .set_item(Some(item))
        .send()
        .await;
    refused(answer, "ValidationException", messages);
}

async fn every_type_comes_back(client: Client) {
    let table = table(&client).await;
    let item = HashMap::from([
        ("pk".to_owned(), s("é")),
        ("sk".to_owned(), n("-12.5")),
        ("empty".to_owned(), s("")),
        ("bytes".to_owned(), b(&[0, 255, 10])),
        ("flag".to_owned(), AttributeValue::Bool(false)),
        ("nothing".to_owned(), AttributeValue::Null(true)),
        (
            "list".to_owned(),
            AttributeValue::L(vec![n("1"), s("x"), AttributeValue::L(vec![])]),
        ),
        (
            "map".to_owned(),
            AttributeValue::M(HashMap::from([("a.b".to_owned(), n("7"))])),
        ),
        ("one".to_owned(), ns(&["3"])),
        ("text".to_owned(), ss(&["only"])),
        (
            "digits".to_owned(),
            n("12345678901234567890.123456789012345678"),
        ),
    ]);
    put(&client, &table, item.clone()).await;
    assert_eq!(get(&client, &table, key("é", "-12.5")).await, Some(item));
}

async fn numbers_compare_by_value_as_keys(client: Client) {
    let table = table(&client).await;
    put(&client, &table, with(key("a", "1"), "v", s("first"))).await;
    put(&client, &table, with(key("a", "1.0"), "v", s("second"))).await;
    put(&client, &table, with(key("a", "10e-1"), "v", s("third"))).await;
    let scan = client
        .scan()
        .table_name(&table)
        .send()
        .await
        .expect("scanned");
    assert_eq!(scan.count(), 1);
    let read = get(&client, &table, key("a", "0.1E+1"))
        .await
        .expect("an item");
    assert_eq!(read["v"], s("third"));
}

async fn numbers_have_limits(client: Client) {
    let table = table(&client).await;
    let cases = [
        ("1e126", "overflow"),
        ("1e-131", "underflow"),
        ("123456789012345678901234567890123456789", "38"),
        ("abc", "cannot be converted"),
        ("", "cannot be converted"),
        ("NaN", "cannot be converted"),
    ];
    for (number, message) in cases {
        refuse(
            &client,
            &table,
            with(key("a", "1"), "x", n(number)),
            &[message],
        )
        .await;
    }
    for number in [
        "9.9999999999999999999999999999999999999E+125",
        "1e-130",
        "-1E-130",
        "+.5",
    ] {
        put(&client, &table, with(key("a", "1"), "x", n(number))).await;
    }
}

async fn keys_have_to_be_there(client: Client) {
    let table = table(&client).await;
    let half = HashMap::from([("pk".to_owned(), s("a"))]);
    let missing = [
        "Missing the key",
        "required keys was not given",
        "does not match the schema",
    ];
    refuse(&client, &table, half.clone(), &missing).await;
    let wrong = [
        "does not match the schema",
        "number of conditions on the keys",
    ];
    let get = client
        .get_item()
        .table_name(&table)
        .set_key(Some(half.clone()))
        .send()
        .await;
    refused(get, "ValidationException", &wrong);
    let delete = client
        .delete_item()
        .table_name(&table)
        .set_key(Some(half))
        .send()
        .await;
    refused(delete, "ValidationException", &wrong);
    let more = with(key("a", "1"), "z", s("more"));
    let delete = client
        .delete_item()
        .table_name(&table)
        .set_key(Some(more))
        .send()
        .await;
    refused(delete, "ValidationException", &wrong);
}

async fn keys_have_to_have_their_type(client: Client) {
    let table = table(&client).await;
    let item = HashMap::from([("pk".to_owned(), n("1")), ("sk".to_owned(), n("1"))]);
    refuse(&client, &table, item.clone(), &["Type mismatch for key"]).await;
    let get = client
        .get_item()
        .table_name(&table)
        .set_key(Some(item))
        .send()
        .await;
    refused(
        get,
        "ValidationException",
        &["does not match the schema", "Type mismatch for key"],
    );
}

async fn keys_must_not_be_empty(client: Client) {
    let table = table(&client).await;
    refuse(
        &client,
        &table,
        key("", "1"),
        &["empty string value. Key: pk"],
    )
    .await;
}

async fn keys_have_sizes(client: Client) {
    let table = table(&client).await;
    put(&client, &table, key(&"k".repeat(2048), "1")).await;
    let sizes = ["2048"];
    refuse(&client, &table, key(&"k".repeat(2049), "1"), &sizes).await;
}

async fn index_keys_are_checked(client: Client) {
    let table = table(&client).await;
    put(&client, &table, key("a", "1")).await;
    let item = |value| with(key("a", "1"), "g", value);
    refuse(
        &client,
        &table,
        item(n("1")),
        &["Type mismatch for Index Key"],
    )
    .await;
    refuse(
        &client,
        &table,
        item(s("")),
        &["empty string value. IndexName: by-group"],
    )
    .await;
    refuse(
        &client,
        &table,
        item(s("g".repeat(2049))),
        &["ize limit exceeded", "2048"],
    )
    .await;
}

async fn sets_are_checked(client: Client) {
    let table = table(&client).await;
    let item = |value| with(key("a", "1"), "x", value);
    refuse(&client, &table, item(ss(&[])), &["may not be empty"]).await;
    refuse(&client, &table, item(ns(&[])), &["may not be empty"]).await;
    refuse(&client, &table, item(ss(&["a", "a"])), &["duplicates"]).await;
    refuse(&client, &table, item(ns(&["1", "1.0"])), &["duplicates"]).await;
}

async fn nesting_has_a_limit(client: Client) {
    let table = table(&client).await;
    let deep = |levels| (0..levels).fold(n("1"), |inner, _| AttributeValue::L(vec![inner]));
    put(&client, &table, with(key("a", "1"), "x", deep(31))).await;
    refuse(
        &client,
        &table,
        with(key("a", "1"), "x", deep(32)),
        &["esting"],
    )
    .await;
}

/// Pads the item with key `a`, `1` to this many stored bytes, an attribute of its own included.
fn padded(total: usize, name: &str, value: AttributeValue, value_bytes: usize) -> Item {
    // pk + "a", sk + one digit as a number of two bytes, the attribute, and the padding's name.
    let rest = total - (2 + 1) - (2 + 2) - (name.len() + value_bytes) - 1;
    with(with(key("a", "1"), name, value), "p", s("x".repeat(rest)))
}

async fn exactly(client: &Client, value: AttributeValue, bytes: usize) {
    let table = table(client).await;
    put(client, &table, padded(409_600, "v", value.clone(), bytes)).await;
    let too_large = padded(409_601, "v", value, bytes);
    refuse(client, &table, too_large, &["Item size has exceeded"]).await;
}

async fn an_item_of_exactly_400_kb_passes(client: Client) {
    exactly(&client, s("é"), 2).await;
    exactly(&client, b(&[1, 2, 3]), 3).await;
    exactly(&client, AttributeValue::Bool(true), 1).await;
    exactly(&client, ss(&["ab", "c"]), 3).await;
}

async fn map_and_list_sizes_count(client: Client) {
    let map = HashMap::from([("k".to_owned(), s("ab"))]);
    exactly(&client, AttributeValue::M(map), 7).await;
    exactly(&client, AttributeValue::L(vec![s("ab")]), 6).await;
    exactly(&client, AttributeValue::L(vec![]), 3).await;
}

async fn number_sizes_count(client: Client) {
    for (number, bytes) in [
        ("0", 1),
        ("12", 2),
        ("123", 3),
        ("-1", 3),
        ("1.5", 3),
        ("1000", 2),
        ("0.123", 3),
    ] {
        exactly(&client, n(number), bytes).await;
    }
}

async fn deletes_return_what_was_there(client: Client) {
    let table = table(&client).await;
    let item = with(key("a", "1"), "v", s("x"));
    put(&client, &table, item.clone()).await;
    let delete = || {
        let delete = client
            .delete_item()
            .table_name(&table)
            .set_key(Some(key("a", "1")));
        delete
            .return_values(ReturnValue::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
    };
    assert_eq!(
        delete().send().await.expect("deleted").attributes,
        Some(item)
    );
    let again = delete().send().await.expect("deleted");
    assert_eq!(again.attributes, None);
    assert_eq!(
        again.consumed_capacity.and_then(|c| c.capacity_units),
        Some(1.0)
    );
}

async fn consumed_capacity_names_indexes(client: Client) {
    let table = table(&client).await;
    let write = async |item: Item| {
        let put = client.put_item().table_name(&table).set_item(Some(item));
        let put = put.return_consumed_capacity(ReturnConsumedCapacity::Indexes);
        let consumed = put
            .send()
            .await
            .expect("put")
            .consumed_capacity
            .expect("a capacity");
        let index = consumed
            .global_secondary_indexes()
            .and_then(|indexes| indexes.get("by-group"))
            .and_then(aws_sdk_dynamodb::types::Capacity::capacity_units);
        (
            consumed.capacity_units(),
            consumed
                .table()
                .and_then(aws_sdk_dynamodb::types::Capacity::capacity_units),
            index,
        )
    };
    let plain = key("a", "1");
    let large = with(with(plain.clone(), "g", s("q")), "x", s("y".repeat(3000)));
    assert_eq!(write(plain.clone()).await, (Some(1.0), Some(1.0), None));
    assert_eq!(write(large).await, (Some(6.0), Some(3.0), Some(3.0)));
    // The larger of the old and the new item counts.
    assert_eq!(write(plain).await, (Some(6.0), Some(3.0), Some(3.0)));
}

async fn a_missing_table_is_said(client: Client) {
    let put = client
        .put_item()
        .table_name("no-such-table")
        .set_item(Some(key("a", "1")));
    refused(put.send().await, "ResourceNotFoundException", &[]);
    let describe = client
        .describe_table()
        .table_name("no-such-table")
        .send()
        .await;
    refused(describe, "ResourceNotFoundException", &[]);
}
