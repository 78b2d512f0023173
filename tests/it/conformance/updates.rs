//! Update expressions.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use super::harness::*;

checks![
    an_update_creates_what_is_missing,
    updates_do_what_they_say,
    sums_are_exact,
    bad_updates_are_refused,
    keys_cannot_be_updated,
    an_update_cannot_grow_an_item_over_400_kb,
    index_keys_are_checked_in_updates,
    return_values_are_those_asked_for,
];

fn update(client: &Client, table: &str, text: &str) -> UpdateItemFluentBuilder {
    let update = client
        .update_item()
        .table_name(table)
        .set_key(Some(key("a", "1")));
    update
        .update_expression(text)
        .return_values(ReturnValue::AllNew)
}

async fn an_update_creates_what_is_missing(client: Client) {
    let table = table(&client).await;
    let bare = client
        .update_item()
        .table_name(&table)
        .set_key(Some(key("b", "1")));
    bare.send().await.expect("updated");
    assert_eq!(
        get(&client, &table, key("b", "1")).await,
        Some(key("b", "1"))
    );
    let set = update(&client, &table, "SET v = :a").expression_attribute_values(":a", n("1"));
    let item = set.send().await.expect("updated").attributes;
    assert_eq!(item, Some(with(key("a", "1"), "v", n("1"))));
}

async fn updates_do_what_they_say(client: Client) {
    let table = table(&client).await;
    let list = |values: &[&str]| AttributeValue::L(values.iter().map(|value| n(value)).collect());
    let steps: [(&str, AttributeValue, &str, Option<AttributeValue>); 13] = [
        (
            "SET v = if_not_exists(v, :a) + :a",
            n("5"),
            "v",
            Some(n("10")),
        ),
        ("SET v = v - :a", n("12"), "v", Some(n("-2"))),
        ("ADD v :a", n("1.5"), "v", Some(n("-0.5"))),
        ("ADD c :a", n("3"), "c", Some(n("3"))),
        ("SET l = :a", list(&["1"]), "l", Some(list(&["1"]))),
        (
            "SET l = list_append(l, :a)",
            list(&["2"]),
            "l",
            Some(list(&["1", "2"])),
        ),
        ("SET l[9] = :a", n("9"), "l", Some(list(&["1", "2", "9"]))),
        (
            "REMOVE l[0] SET d = :a",
            n("0"),
            "l",
            Some(list(&["2", "9"])),
        ),
        (
            "SET m = :a",
            AttributeValue::M([].into()),
            "m",
            Some(AttributeValue::M([].into())),
        ),
        (
            "SET m.x = :a",
            n("1"),
            "m",
            Some(AttributeValue::M([("x".to_owned(), n("1"))].into())),
        ),
        ("ADD tags :a", ss(&["a"]), "tags", Some(ss(&["a"]))),
        ("DELETE tags :a", ss(&["a"]), "tags", None),
        ("SET e = v, v = :a", n("7"), "e", Some(n("-0.5"))),
    ];
    for (text, value, name, after) in steps {
        let update = update(&client, &table, text).expression_attribute_values(":a", value);
        let item = update
            .send()
            .await
            .expect(text)
            .attributes
            .expect("an item");
        assert_eq!(item.get(name).cloned(), after, "{text}");
    }
}

async fn sums_are_exact(client: Client) {
    let table = table(&client).await;
    let add = async |number: &str| {
        let update = update(&client, &table, "ADD v :a");
        update
            .expression_attribute_values(":a", n(number))
            .send()
            .await
    };
    add("0.1").await.expect("updated");
    let sum = add("0.2")
        .await
        .expect("updated")
        .attributes
        .expect("an item");
    assert_eq!(sum["v"], n("0.3"));
    add("12345678901234567890123456789012345678")
        .await
        .expect_err("39 digits");
    refused(
        add("12345678901234567890123456789012345678").await,
        "ValidationException",
        &["38"],
    );
}

async fn bad_updates_are_refused(client: Client) {
    let table = table(&client).await;
    put(&client, &table, with(key("a", "1"), "s", s("x"))).await;
    let cases = [
        ("SET", "Syntax error"),
        ("BOGUS x", "Syntax error"),
        ("SET v :a", "Syntax error"),
        ("SET v = :a SET w = :a", "can only be used once"),
        ("SET v = :a, v = :a", "overlap"),
        ("SET v = :a, v.x = :a", "overlap"),
        ("SET s.x = :a", "invalid for update"),
        ("SET v = nope", "does not exist in the item"),
        ("SET v = s + :a", "incorrect data type"),
        ("SET v = foo(:a)", "Invalid function name"),
        ("DELETE v :a", "Incorrect operand type"),
    ];
    for (text, message) in cases {
        let update = update(&client, &table, text);
        let update = if text.contains(":a") {
            update.expression_attribute_values(":a", n("1"))
        } else {
            update
        };
        refused(update.send().await, "ValidationException", &[message]);
    }
    assert_eq!(
        get(&client, &table, key("a", "1")).await,
        Some(with(key("a", "1"), "s", s("x")))
    );
}

async fn keys_cannot_be_updated(client: Client) {
    let table = table(&client).await;
    let set = update(&client, &table, "SET pk = :a").expression_attribute_values(":a", s("b"));
    refused(
        set.send().await,
        "ValidationException",
        &["This attribute is part of the key"],
    );
}

async fn an_update_cannot_grow_an_item_over_400_kb(client: Client) {
    let table = table(&client).await;
    put(
        &client,
        &table,
        with(key("a", "1"), "x", s("x".repeat(300_000))),
    )
    .await;
    let large = s("y".repeat(200_000));
    let set = update(&client, &table, "SET y = :a").expression_attribute_values(":a", large);
    let message = "Item size to update has exceeded";
    refused(set.send().await, "ValidationException", &[message]);
}

async fn index_keys_are_checked_in_updates(client: Client) {
    let table = table(&client).await;
    let set = update(&client, &table, "SET g = :a").expression_attribute_values(":a", s(""));
    refused(
        set.send().await,
        "ValidationException",
        &["secondary index key"],
    );
    let set = update(&client, &table, "SET g = :a").expression_attribute_values(":a", n("1"));
    refused(set.send().await, "ValidationException", &[]);
}

async fn return_values_are_those_asked_for(client: Client) {
    let table = table(&client).await;
    let old = with(with(key("a", "1"), "v", n("1")), "w", n("2"));
    let new = with(old.clone(), "v", n("9"));
    let only = |number: &str| Some(Item::from([("v".to_owned(), n(number))]));
    let cases = [
        (ReturnValue::None, None),
        (ReturnValue::AllOld, Some(old.clone())),
        (ReturnValue::AllNew, Some(new)),
        (ReturnValue::UpdatedOld, only("1")),
        (ReturnValue::UpdatedNew, only("9")),
    ];
    for (asked, expected) in cases {
        put(&client, &table, old.clone()).await;
        let set = update(&client, &table, "SET v = :a").expression_attribute_values(":a", n("9"));
        let answer = set
            .return_values(asked.clone())
            .send()
            .await
            .expect("updated");
        assert_eq!(answer.attributes, expected, "{asked:?}");
    }
    let put = client.put_item().table_name(&table).set_item(Some(old));
    let put = put.return_values(ReturnValue::AllNew).send().await;
    refused(
        put,
        "ValidationException",
        &["Return values set to invalid value", "ReturnValues"],
    );
}
