//! Values to and from JSON.

use super::*;

fn refused(json: &Json) -> String {
    Value::from_json(json).expect_err("a refusal").message
}

#[test]
fn values_come_back_as_they_went_in() {
    let item = json!({
        "s": { "S": "" }, "n": { "N": "-1.5" }, "b": { "B": "AAEC" }, "t": { "BOOL": true },
        "z": { "NULL": true }, "l": { "L": [{ "S": "a" }, { "L": [] }] },
        "m": { "M": { "x": { "N": "1" } } }, "ss": { "SS": ["a", "b"] },
        "ns": { "NS": ["1", "20"] }, "bs": { "BS": ["YQ==", "Yg=="] },
    });
    let read = item_from_json(&item).expect("an item");
    assert_eq!(item_to_json(&read), item);
    for value in read.values() {
        assert_eq!(Value::from_sdk(&value.to_sdk()).as_ref(), Some(value));
    }
}

#[test]
fn nonsense_is_refused_in_dynamodbs_words() {
    assert!(refused(&json!({ "SS": [] })).contains("set  may not be empty"));
    assert!(refused(&json!({ "SS": ["a", "a"] })).contains("[a, a] contains duplicates"));
    assert!(refused(&json!({ "NS": ["1", "1.0"] })).contains("contains duplicates"));
    assert!(refused(&json!({ "BS": ["YQ==", "YQ=="] })).contains("of type BS contains duplicates"));
    assert!(refused(&json!({})).contains("is empty"));
    assert!(refused(&json!({ "S": "a", "N": "1" })).contains("more than one datatypes"));
    assert!(refused(&json!({ "NULL": false })).contains("value of true"));
    assert!(refused(&json!({ "N": 1 })).contains("NUMBER_VALUE"));
    assert!(refused(&json!({ "B": "!!" })).contains("Base64"));
    assert!(refused(&json!("x")).contains("Unexpected value type"));
}

#[test]
fn thirty_one_lists_around_a_value_pass_and_thirty_two_do_not() {
    let nested =
        |levels: usize| (0..levels).fold(json!({ "N": "1" }), |inner, _| json!({ "L": [inner] }));
    assert_eq!(Value::from_json(&nested(31)).expect("allowed").depth(), 31);
    assert!(refused(&nested(32)).contains("Nesting Levels"));
}

#[test]
fn sizes_are_those_measured() {
    let cases = [
        (json!({ "L": [] }), 3),
        (json!({ "L": [{ "S": "ab" }] }), 6),
        (json!({ "M": { "k": { "S": "ab" } } }), 7),
        (json!({ "SS": ["ab", "c"] }), 3),
        (json!({ "NS": ["1", "2"] }), 4),
        (json!({ "BOOL": false }), 1),
        (json!({ "B": "YWJj" }), 3),
        (json!({ "S": "é" }), 2),
    ];
    for (json, size) in cases {
        assert_eq!(
            Value::from_json(&json).expect("a value").size(),
            size,
            "{json}"
        );
    }
}
