//! Conditions and updates against what DynamoDB Local answers to them.

use serde_json::{Value as Json, json};

use super::*;
use crate::item::value::{Item, item_from_json, item_to_json};
use crate::store::request::Members;

fn sample() -> Item {
    item_from_json(&json!({
        "pk": { "S": "e" }, "n": { "N": "5" }, "s": { "S": "hello" },
        "l": { "L": [{ "N": "1" }, { "S": "b" }] }, "ss": { "SS": ["a", "b"] },
        "m": { "M": { "x": { "N": "1" } } }, "b": { "B": "YWJj" },
        "ns": { "NS": ["1", "2"] }, "t": { "BOOL": true },
    }))
    .expect("an item")
}

fn scope(values: &Json) -> Scope {
    let request = json!({ "ExpressionAttributeValues": values });
    let request = if values == &json!({}) {
        json!({})
    } else {
        request
    };
    Scope::read(Members::of(&request).expect("members"), &[("E", Some("x"))]).expect("a scope")
}

fn check(text: &str, values: &Json) -> Result<bool, String> {
    Condition::parse(text, "ConditionExpression", &scope(values))
        .map(|condition| condition.matches(Some(&sample())))
        .map_err(|refusal| refusal.message)
}

fn update(text: &str, values: &Json, item: &Json) -> Result<Json, String> {
    let mut item = item_from_json(item).expect("an item");
    Update::parse(text, &scope(values))
        .and_then(|update| update.apply(&mut item))
        .map(|()| item_to_json(&item))
        .map_err(|refusal| refusal.message)
}

#[test]
fn conditions_hold_where_dynamodb_says_so() {
    let a = |value: Json| json!({ ":a": value });
    let one = json!({ "N": "1" });
    let cases = [
        ("z1 <> :a", a(one.clone()), true),
        ("NOT z1 = :a", a(one.clone()), true),
        ("z1 IN (:a)", a(one.clone()), false),
        ("z1 < :a", a(one.clone()), false),
        ("n < :a", a(json!({ "S": "z" })), false),
        ("n <> :a", a(json!({ "S": "5" })), true),
        ("n = :a", a(json!({ "N": "5.0" })), true),
        ("size(z1) < :a", a(one.clone()), false),
        ("size(n) = :a", a(one.clone()), false),
        ("size(s) = :a", a(json!({ "N": "5" })), true),
        ("size(b) = :a", a(json!({ "N": "3" })), true),
        ("size(ss) = :a", a(json!({ "N": "2" })), true),
        ("contains(s, :a)", a(json!({ "S": "ell" })), true),
        ("contains(l, :a)", a(json!({ "N": "1.0" })), true),
        ("contains(ns, :a)", a(json!({ "N": "2.0" })), true),
        ("contains(b, :a)", a(json!({ "B": "Yg==" })), true),
        ("contains(s, :a)", a(one.clone()), false),
        ("begins_with(b, :a)", a(json!({ "B": "YQ==" })), true),
        ("begins_with(n, :a)", a(json!({ "S": "a" })), false),
        ("ss = :a", a(json!({ "SS": ["b", "a"] })), true),
        ("ss = :a", a(json!({ "SS": ["a"] })), false),
        ("l[0] = :a AND m.x = :a", a(one.clone()), true),
        ("l[5] = :a", a(one.clone()), false),
        ("n.x = :a", a(one.clone()), false),
        ("attribute_type(l, :a)", a(json!({ "S": "L" })), true),
        (":a = n", a(json!({ "N": "5" })), true),
        ("contains(:a, s)", a(json!({ "S": "say hello" })), true),
        ("(n = :a)", a(json!({ "N": "5" })), true),
        (
            "(n = :a) AND (attribute_exists(s))",
            a(json!({ "N": "5" })),
            true,
        ),
        (
            "attribute_exists(l[1]) AND not attribute_exists(z1)",
            json!({}),
            true,
        ),
        ("z1 = z2", json!({}), false),
        ("z1 <> z2", json!({}), true),
        ("size(s) > size(l)", json!({}), true),
        (
            "attribute_not_exists(z1) OR s = z1 AND s = z2",
            json!({}),
            true,
        ),
    ];
    for (text, values, matches) in cases {
        assert_eq!(check(text, &values), Ok(matches), "{text} {values}");
    }
    let between = json!({ ":a": one, ":b": { "N": "9" } });
    assert_eq!(
        check(
            "n BETWEEN :a AND :b AND n IN (:b, :a, n2) OR n > :a",
            &between
        ),
        Ok(true)
    );
    let not = json!({ ":a": { "N": "1" }, ":b": { "S": "x" }, ":c": { "BOOL": false } });
    assert_eq!(check("n > :a AND NOT (s = :b OR t = :c)", &not), Ok(true));
}

#[test]
fn nonsense_is_refused_in_dynamodbs_words() {
    let a = json!({ ":a": { "S": "a" } });
    let cases = [
        ("", "The expression can not be empty;"),
        (
            "attribute_not_exists(",
            "Syntax error; token: \"<EOF>\", near: \"(\"",
        ),
        ("s", "Syntax error; token: \"<EOF>\", near: \"s\""),
        ("s ! s", "Syntax error; token: \"!\""),
        ("n == :a", "Syntax error; token: \"=\", near: \"== :a\""),
        ("n[a] = :a", "Syntax error; token: \"a\", near: \"[a]\""),
        (
            "n = :a AND",
            "Syntax error; token: \"<EOF>\", near: \"AND\"",
        ),
        ("(n = :a", "Syntax error; token: \"<EOF>\", near: \":a\""),
        ("#n = :a", "not defined; attribute name: #n"),
        ("n = :z", "not defined; attribute value: :z"),
        ("name = :a", "reserved keyword: name"),
        ("foo(s)", "Invalid function name; function: foo"),
        (
            "size(s)",
            "not allowed to be used this way in an expression; function: size",
        ),
        ("s = s", "operator: =, first operand: [s]"),
        ("n IN (:a, n)", "operator: IN, first operand: [n]"),
        (
            "attribute_exists(s, n)",
            "attribute_exists, number of operands: 2",
        ),
        ("attribute_exists(:a)", "requires a document path"),
        ("((attribute_exists(s)))", "redundant parentheses"),
        (
            "attribute_type(s, :a)",
            "Invalid attribute type name found; type: a",
        ),
    ];
    for (text, message) in cases {
        let refused = check(text, &a).expect_err(text);
        assert!(refused.contains(message), "{text}: {refused}");
    }
    let bounds = json!({ ":a": { "N": "2" }, ":b": { "N": "1" } });
    let refused = check("n BETWEEN :a AND :b", &bounds).expect_err("a refusal");
    assert!(refused.contains("upper bound to be greater"), "{refused}");
    let flag = json!({ ":a": { "BOOL": true } });
    assert!(
        check("t < :a", &flag)
            .expect_err("a refusal")
            .contains("operand type: BOOL")
    );
    assert!(
        check(&"(".repeat(4000), &a)
            .expect_err("a refusal")
            .contains("nesting")
    );
    assert!(
        check(&"NOT ".repeat(900), &a)
            .expect_err("a refusal")
            .contains("nesting")
    );
    assert!(check(&"é".repeat(40), &a).is_err());
}

#[test]
fn updates_do_what_dynamodb_does() {
    let one = json!({ ":a": { "N": "1" }, ":e": { "L": [] }, ":l": { "L": [{ "N": "1" }] } });
    let cases = [
        ("SET x = :a + :a", json!({}), json!({ "x": { "N": "2" } })),
        ("set x = (:a)", json!({}), json!({ "x": { "N": "1" } })),
        (
            "SET x = x - :a",
            json!({ "x": { "N": "0.5" } }),
            json!({ "x": { "N": "-0.5" } }),
        ),
        (
            "SET q = if_not_exists(q, :a) + :a",
            json!({ "q": { "N": "5" } }),
            json!({ "q": { "N": "6" } }),
        ),
        (
            "SET l = list_append(if_not_exists(l, :e), :l)",
            json!({}),
            json!({ "l": { "L": [{ "N": "1" }] } }),
        ),
        (
            "SET l[9] = l[0], l[5] = :a REMOVE x",
            json!({ "l": { "L": [{ "S": "z" }] }, "x": { "S": "gone" } }),
            json!({ "l": { "L": [{ "S": "z" }, { "N": "1" }, { "S": "z" }] } }),
        ),
        (
            "REMOVE l[0], l[1] SET q = l[0]",
            json!({ "l": { "L": [{ "N": "1" }, { "N": "2" }, { "N": "3" }] } }),
            json!({ "l": { "L": [{ "N": "3" }] }, "q": { "N": "1" } }),
        ),
        (
            "ADD c :a",
            json!({ "c": { "N": "1.5" } }),
            json!({ "c": { "N": "2.5" } }),
        ),
        ("ADD c :a", json!({}), json!({ "c": { "N": "1" } })),
        (
            "SET m.b = :a",
            json!({ "m": { "M": {} } }),
            json!({ "m": { "M": { "b": { "N": "1" } } } }),
        ),
    ];
    for (text, before, after) in cases {
        assert_eq!(update(text, &one, &before), Ok(after), "{text}");
    }
    let set = json!({ ":a": { "SS": ["a"] } });
    let ab = json!({ "x": { "SS": ["a", "b"] } });
    assert_eq!(
        update("DELETE x :a", &set, &ab),
        Ok(json!({ "x": { "SS": ["b"] } }))
    );
    assert_eq!(
        update("DELETE x :a", &set, &json!({ "x": { "SS": ["a"] } })),
        Ok(json!({}))
    );
    assert_eq!(
        update("ADD x :a", &set, &json!({ "x": { "SS": ["b"] } })),
        Ok(ab)
    );
}

#[test]
fn updates_are_refused_in_dynamodbs_words() {
    let values = json!({ ":a": { "N": "1" }, ":s": { "S": "x" }, ":t": { "SS": ["x"] } });
    let item = json!({ "s": { "S": "x" }, "n": { "N": "1" } });
    let cases = [
        ("", "can not be empty"),
        ("SET", "Syntax error; token: \"<EOF>\", near: \"SET\""),
        (
            "BOGUS x",
            "Syntax error; token: \"BOGUS\", near: \"BOGUS x\"",
        ),
        ("SET x :a", "Syntax error; token: \":a\", near: \"x :a\""),
        ("SET x = :a + :a + :a", "Syntax error; token: \"+\""),
        (
            "SET x = :a SET q = :a",
            "\"SET\" section can only be used once",
        ),
        ("SET x = :a, x = :a", "path one: [x], path two: [x]"),
        (
            "SET x.r = :a, x.r.z = :a",
            "path one: [x, r], path two: [x, r, z]",
        ),
        ("SET x = :a ADD x :a", "overlap"),
        (
            "SET x.r = :a",
            "document path provided in the update expression is invalid",
        ),
        (
            "REMOVE nope.x",
            "document path provided in the update expression is invalid",
        ),
        ("SET x = nope", "refers to an attribute that does not exist"),
        ("SET x = s + :a", "incorrect data type"),
        (
            "SET x = :s + :a",
            "operator or function: +, operand type: S",
        ),
        ("SET x = foo(:a)", "Invalid function name; function: foo"),
        ("SET x = list_append(s, :a)", "list_append, operand type: N"),
        ("ADD n :t", "incorrect data type"),
        (
            "ADD x :s",
            "operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND",
        ),
        ("DELETE x :a", "operator: DELETE, operand type: NUMBER"),
        ("SET x = name", "reserved keyword: name"),
    ];
    for (text, message) in cases {
        let refused = update(text, &values, &item).expect_err(text);
        assert!(refused.contains(message), "{text}: {refused}");
    }
}

#[test]
fn projections_keep_the_form() {
    let part = Projection::parse("n, m.x, l[1], z1", &scope(&json!({}))).expect("a projection");
    assert_eq!(
        item_to_json(&part.of(&sample())),
        json!({ "n": { "N": "5" }, "m": { "M": { "x": { "N": "1" } } }, "l": { "L": [{ "S": "b" }] } })
    );
}
