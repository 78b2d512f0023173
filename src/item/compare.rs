//! Equality of items by value.

use super::json::parse;
use super::number::{self, Decimal};
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

/// Returns whether two items in DynamoDB's JSON are equal: numbers by value, sets and maps in any
/// order.
///
/// Bytes that are no items equal nothing, not even themselves.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    match (parse(a), parse(b)) {
        (Ok(a), Ok(b)) => same_map(&a, &b),
        _ => false,
    }
}

fn same_map(a: &HashMap<String, AttributeValue>, b: &HashMap<String, AttributeValue>) -> bool {
    a.len() == b.len()
        && a.iter()
            .all(|(name, value)| b.get(name).is_some_and(|other| same_value(value, other)))
}

pub(super) fn same_value(a: &AttributeValue, b: &AttributeValue) -> bool {
    use AttributeValue::{Bs, L, M, N, Ns, Ss};
    match (a, b) {
        (N(a), N(b)) => number::equal(a, b),
        (L(a), L(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b)),
        (M(a), M(b)) => same_map(a, b),
        (Ss(a), Ss(b)) => sorted(a.iter()) == sorted(b.iter()),
        (Bs(a), Bs(b)) => {
            sorted(a.iter().map(AsRef::as_ref)) == sorted::<&[u8]>(b.iter().map(AsRef::as_ref))
        }
        (Ns(a), Ns(b)) => sorted(a.iter().map(by_value)) == sorted(b.iter().map(by_value)),
        (a, b) => a == b,
    }
}

/// Returns a number by its value, and a text that is none as it is.
fn by_value(text: &String) -> Result<Decimal, &String> {
    Decimal::parse(text.as_bytes()).map_err(|_| text)
}

fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_count_and_order_does_not() {
        let a = br#"{"n":{"N":"1"},"s":{"SS":["x","y"]},"ns":{"NS":["1","2.50"]},
            "bs":{"BS":["AQ==","Ag=="]},"m":{"M":{"a":{"L":[{"N":"100"}]},"b":{"S":"\u0041"}}}}"#;
        let b = br#"{"m":{"M":{"b":{"S":"A"},"a":{"L":[{"N":"1e2"}]}}},"bs":{"BS":["Ag==","AQ=="]},
            "ns":{"NS":["2.5","1.0"]},"s":{"SS":["y","x"]},"n":{"N":"1.0"}}"#;
        assert!(same(a, b));
    }

    #[test]
    fn different_items_differ() {
        let one = br#"{"a":{"N":"1"}}"#;
        for other in [
            r#"{"a":{"N":"2"}}"#,
            r#"{"a":{"S":"1"}}"#,
            r#"{"b":{"N":"1"}}"#,
            r#"{"a":{"N":"1"},"b":{"N":"1"}}"#,
            "{}",
            "",
        ] {
            assert!(!same(one, other.as_bytes()), "{other}");
            assert!(!same(other.as_bytes(), one), "{other}");
        }
        let lists = [
            r#"{"a":{"L":[{"S":"x"},{"S":"y"}]}}"#,
            r#"{"a":{"L":[{"S":"y"},{"S":"x"}]}}"#,
        ];
        assert!(!same(lists[0].as_bytes(), lists[1].as_bytes()));
        let sets = [r#"{"a":{"SS":["x","y"]}}"#, r#"{"a":{"SS":["x"]}}"#];
        assert!(!same(sets[0].as_bytes(), sets[1].as_bytes()));
        assert!(!same(b"no item", b"no item"));
    }
}
