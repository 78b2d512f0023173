//! Condition expressions.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};

use super::harness::*;

checks![
    conditions_hold_where_they_should,
    a_failed_condition_changes_nothing,
    a_failed_condition_returns_the_item_where_asked,
    bad_conditions_are_refused,
    placeholders_have_to_be_used_and_defined,
    names_stand_for_reserved_words,
];

fn sample() -> Item {
    let mut item = key("a", "1");
    item.insert("v".to_owned(), n("5"));
    item.insert("s".to_owned(), s("hello"));
    item.insert("b".to_owned(), b(b"abc"));
    item.insert("l".to_owned(), AttributeValue::L(vec![n("1"), s("b")]));
    item.insert(
        "m".to_owned(),
        AttributeValue::M(HashMap::from([("x".to_owned(), n("1"))])),
    );
    item.insert("ss".to_owned(), ss(&["a", "b"]));
    item.insert("ns".to_owned(), ns(&["1", "2"]));
    item.insert("t".to_owned(), AttributeValue::Bool(true));
    item
}

/// A condition, the values in it, and whether the sample meets it.
type Case<'a> = (&'a str, &'a [(&'a str, AttributeValue)], bool);

async fn conditions_hold_where_they_should(client: Client) {
    let table = table(&client).await;
    put(&client, &table, sample()).await;
    let cases: [Case<'_>; 34] = [
        (
            "attribute_exists(pk) AND attribute_not_exists(q)",
            &[],
            true,
        ),
        ("q <> :a", &[(":a", n("1"))], true),
        ("NOT q = :a", &[(":a", n("1"))], true),
        ("q IN (:a)", &[(":a", n("1"))], false),
        ("q < :a", &[(":a", n("1"))], false),
        ("v < :a", &[(":a", s("z"))], false),
        ("v <> :a", &[(":a", s("5"))], true),
        ("v = :a", &[(":a", n("5.0"))], true),
        ("size(q) < :a", &[(":a", n("1"))], false),
        ("size(v) = :a", &[(":a", n("1"))], false),
        ("size(s) = :a", &[(":a", n("5"))], true),
        ("size(b) = :a", &[(":a", n("3"))], true),
        ("size(ss) = :a AND size(l) = :a", &[(":a", n("2"))], true),
        ("contains(s, :a)", &[(":a", s("ell"))], true),
        ("contains(l, :a)", &[(":a", n("1.0"))], true),
        ("contains(ns, :a)", &[(":a", n("2.0"))], true),
        ("contains(b, :a)", &[(":a", b(b"b"))], true),
        ("begins_with(s, :a)", &[(":a", s("he"))], true),
        ("begins_with(b, :a)", &[(":a", b(b"a"))], true),
        ("begins_with(v, :a)", &[(":a", s("5"))], false),
        (
            "v BETWEEN :a AND :b",
            &[(":a", n("1")), (":b", n("9"))],
            true,
        ),
        (
            "v between :a and :b or t = :c",
            &[
                (":a", n("6")),
                (":b", n("9")),
                (":c", sample()["t"].clone()),
            ],
            true,
        ),
        ("v IN (:a, :b)", &[(":a", n("9")), (":b", n("5"))], true),
        ("ss = :a", &[(":a", ss(&["b", "a"]))], true),
        ("ss = :a", &[(":a", ss(&["a"]))], false),
        ("l[0] = :a AND m.x = :a", &[(":a", n("1"))], true),
        ("l[5] = :a", &[(":a", n("1"))], false),
        ("v.x = :a", &[(":a", n("1"))], false),
        ("l = :a", &[(":a", sample()["l"].clone())], true),
        ("attribute_type(l, :a)", &[(":a", s("L"))], true),
        ("q = r", &[], false),
        ("q <> r", &[], true),
        (
            "v > :a AND NOT (s = :b OR s = :c)",
            &[(":a", n("1")), (":b", s("x")), (":c", s("y"))],
            true,
        ),
        (
            "s = :b OR s = :b AND s = :c",
            &[(":b", s("hello")), (":c", s("y"))],
            true,
        ),
    ];
    for (condition, values, holds) in cases {
        let mut put = client
            .put_item()
            .table_name(&table)
            .set_item(Some(sample()))
            .condition_expression(condition);
        for (name, value) in values {
            put = put.expression_attribute_values(*name, value.clone());
        }
        match put.send().await {
            Ok(_) => assert!(holds, "{condition} {values:?} should not hold"),
            Err(error) => {
                let failed = error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception);
                assert!(failed && !holds, "{condition} {values:?}: {error:?}");
            }
        }
    }
}

async fn a_failed_condition_changes_nothing(client: Client) {
    let table = table(&client).await;
    put(&client, &table, with(key("a", "1"), "v", n("1"))).await;
    let create = client
        .put_item()
        .table_name(&table)
        .set_item(Some(with(key("a", "1"), "v", n("2"))))
        .condition_expression("attribute_not_exists(pk)");
    refused(
        create.send().await,
        "ConditionalCheckFailedException",
        &["conditional request failed"],
    );
    let delete = client
        .delete_item()
        .table_name(&table)
        .set_key(Some(key("none", "1")))
        .condition_expression("attribute_exists(pk)");
    refused(delete.send().await, "ConditionalCheckFailedException", &[]);
    assert_eq!(
        get(&client, &table, key("a", "1")).await.expect("an item")["v"],
        n("1")
    );
}

async fn a_failed_condition_returns_the_item_where_asked(client: Client) {
    let table = table(&client).await;
    let item = with(key("a", "1"), "v", n("1"));
    put(&client, &table, item.clone()).await;
    let failed = async |asked: Option<ReturnValuesOnConditionCheckFailure>| {
        let put = client
            .put_item()
            .table_name(&table)
            .set_item(Some(key("a", "1")))
            .condition_expression("attribute_not_exists(pk)")
            .set_return_values_on_condition_check_failure(asked);
        match put
            .send()
            .await
            .expect_err("a failure")
            .into_service_error()
        {
            PutItemError::ConditionalCheckFailedException(failure) => failure.item,
            other => unreachable!("another failure: {other:?}"),
        }
    };
    assert_eq!(failed(None).await, None);
    assert_eq!(
        failed(Some(ReturnValuesOnConditionCheckFailure::AllOld)).await,
        Some(item)
    );
}

async fn bad_conditions_are_refused(client: Client) {
    let table = table(&client).await;
    let cases = [
        ("attribute_not_exists(", "Syntax error"),
        ("pk", "Syntax error"),
        ("v == :a", "Syntax error"),
        ("(v = :a", "Syntax error"),
        ("v = :a AND", "Syntax error"),
        ("foo(v) AND v = :a", "Invalid function name; function: foo"),
        ("name = :a", "reserved keyword: name"),
        ("v = v", "must be distinct"),
        ("attribute_exists(pk, v)", "ncorrect number of operands"),
        ("((v = :a))", "redundant parentheses"),
        (
            "v BETWEEN :a AND :b",
            "greater than or equal to lower bound",
        ),
    ];
    for (condition, message) in cases {
        let put = client
            .put_item()
            .table_name(&table)
            .set_item(Some(key("a", "1")))
            .condition_expression(condition);
        let put = if condition.contains(":a") {
            put.expression_attribute_values(":a", n("2"))
        } else {
            put
        };
        let put = if condition.contains(":b") {
            put.expression_attribute_values(":b", n("1"))
        } else {
            put
        };
        refused(put.send().await, "ValidationException", &[message]);
    }
}

async fn placeholders_have_to_be_used_and_defined(client: Client) {
    let table = table(&client).await;
    let put = || {
        client
            .put_item()
            .table_name(&table)
            .set_item(Some(key("a", "1")))
    };
    let undefined = put().condition_expression("v = :a").send().await;
    refused(
        undefined,
        "ValidationException",
        &["not defined; attribute value: :a"],
    );
    let undefined = put()
        .condition_expression("attribute_exists(#n)")
        .send()
        .await;
    refused(
        undefined,
        "ValidationException",
        &["not defined; attribute name: #n"],
    );
    let unused = put()
        .condition_expression("v <> :a")
        .expression_attribute_values(":a", n("1"))
        .expression_attribute_values(":b", n("1"));
    refused(
        unused.send().await,
        "ValidationException",
        &["unused in expressions: keys: {:b}"],
    );
    let alone = put().expression_attribute_values(":b", n("1")).send().await;
    refused(
        alone,
        "ValidationException",
        &["can only be specified when using expressions"],
    );
}

async fn names_stand_for_reserved_words(client: Client) {
    let table = table(&client).await;
    let item = with(key("a", "1"), "name", n("1"));
    put(&client, &table, item.clone()).await;
    let put = client
        .put_item()
        .table_name(&table)
        .set_item(Some(item))
        .condition_expression("#n = :a")
        .expression_attribute_names("#n", "name")
        .expression_attribute_values(":a", n("1"));
    put.send().await.expect("put");
}
