//! Rules on values: sets, numbers, what has no form.

use super::*;

/// As measured on DynamoDB Local 3.1.0, by filling an item up to the last byte that it takes.
#[test]
fn stored_sizes_are_those_measured() {
    let list = AttributeValue::L;
    let map = |entries: Vec<(&str, AttributeValue)>| {
        AttributeValue::M(
            entries
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect(),
        )
    };
    let null = || AttributeValue::Null(true);
    for (value, size) in [
        (null(), 1),
        (AttributeValue::Bool(true), 1),
        (AttributeValue::Bool(false), 1),
        (AttributeValue::B(Blob::new("hello")), 5),
        (list(vec![]), 3),
        (map(vec![]), 3),
        (list(vec![s("ab")]), 6),
        (list(vec![n("12"), s("ab")]), 9),
        (map(vec![("ab", s("cd"))]), 8),
        (map(vec![("ab", s("cd")), ("ef", null())]), 12),
        (
            AttributeValue::Ss(vec!["ab".to_owned(), "cde".to_owned()]),
            5,
        ),
        (
            AttributeValue::Ns(vec!["1".to_owned(), "200".to_owned()]),
            4,
        ),
        (
            AttributeValue::Bs(vec![Blob::new("hello"), Blob::new("hi")]),
            7,
        ),
        (list(vec![list(vec![list(vec![])])]), 11),
        (s(""), 0),
        (AttributeValue::B(Blob::new("")), 0),
        (s("é€𝄞"), 9),
    ] {
        let keys = "pkp".len() + "sks".len();
        assert_eq!(
            outcome(&item([("v", value.clone())])),
            Ok(keys + 1 + size),
            "{value:?}"
        );
    }
}

#[test]
fn sets_have_members_and_each_once() {
    let strings = |all: &[&str]| AttributeValue::Ss(all.iter().map(|&m| m.to_owned()).collect());
    let numbers = |all: &[&str]| AttributeValue::Ns(all.iter().map(|&m| m.to_owned()).collect());
    assert_eq!(
        refusal([("v", strings(&[]))]),
        "attribute `v` is an empty set"
    );
    assert_eq!(
        refusal([("v", numbers(&[]))]),
        "attribute `v` is an empty set"
    );
    assert_eq!(
        refusal([("v", AttributeValue::Bs(vec![]))]),
        "attribute `v` is an empty set"
    );
    assert!(outcome(&item([("v", strings(&["", "a", "A"]))])).is_ok());
    assert_eq!(
        refusal([("v", strings(&["a", "b", "a"]))]),
        "attribute `v[2]` repeats an earlier member of its set"
    );
    let repeats = "attribute `v[1]` repeats an earlier member of its set";
    assert_eq!(refusal([("v", numbers(&["1", "1.0"]))]), repeats);
    assert_eq!(refusal([("v", numbers(&["0", "-0"]))]), repeats);
    assert_eq!(
        refusal([(
            "v",
            AttributeValue::Bs(vec![Blob::new("a"), Blob::new("a")])
        )]),
        repeats
    );
    assert_eq!(
        encode_attribute_value(&numbers(&["100", "1e2"]))
            .unwrap_err()
            .path(),
        "[1]"
    );
    let many: Vec<String> = (0..300).map(|i| i.to_string()).collect();
    assert!(outcome(&item([("v", AttributeValue::Ns(many.clone()))])).is_ok());
    let repeated = many.into_iter().chain(["200.0".to_owned()]).collect();
    assert_eq!(
        refusal([("v", AttributeValue::Ns(repeated))]),
        "attribute `v[300]` repeats an earlier member of its set"
    );
}

#[test]
fn numbers_keep_the_range() {
    let refused = |text: &str| {
        let list = AttributeValue::L(vec![n("1"), n(text)]);
        encode_attributes(&item([("v", list)]), &shape())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("NaN"),
        "attribute `v[1]` is not a number that DynamoDB has"
    );
    assert_eq!(
        refused("12a"),
        "attribute `v[1]` is not a number that DynamoDB has"
    );
    assert_eq!(
        refused("1e126"),
        "attribute `v[1]` is a number of magnitude 1E+126 or more"
    );
    assert_eq!(
        refused("-1e-131"),
        "attribute `v[1]` is a number of magnitude below 1E-130"
    );
    assert_eq!(
        refused("123456789012345678901234567890123456789"),
        "attribute `v[1]` has 39 significant digits, the limit is 38"
    );
    for float in [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        1e126,
        9e-131,
        5e-324,
    ] {
        assert!(encode_value(&float).is_err(), "{float}");
    }
    assert!(encode_value(&f32::NAN).is_err());
    for float in [1e-130, 9.99e125, f64::from(f32::MIN_POSITIVE), 0.0, -0.0] {
        assert!(encode_value(&float).is_ok(), "{float}");
    }
}

#[test]
fn what_has_no_form_is_named() {
    #[derive(Serialize)]
    struct One<T> {
        pk: &'static str,
        v: T,
    }
    fn refused<T: Serialize>(v: T) -> String {
        encode(&One { pk: "p", v }, &shape())
            .unwrap_err()
            .to_string()
    }
    assert_eq!(
        refused(1_i128),
        "attribute `v` is an i128, which has no form in DynamoDB"
    );
    assert_eq!(
        refused([1_u128]),
        "attribute `v[0]` is a u128, which has no form in DynamoDB"
    );
    assert_eq!(
        refused(HashMap::from([((1, 2), 3)])),
        "attribute `v` has a list as a map key, which can't name an attribute"
    );
    assert_eq!(
        refused(HashMap::from([(Some(1), 3)])),
        "attribute `v` has an option as a map key, which can't name an attribute"
    );
    assert_eq!(
        refused(StringSet(1)),
        "attribute `v` is a number and can't be a set (SS)"
    );
    assert_eq!(
        refused(BinarySet(NumberSet([1]))),
        "attribute `v` is a set and can't be a set (BS)"
    );
    assert_eq!(
        refused(NumberSet(("x", 1))),
        "attribute `v[0]` is a string, which a set (NS) can't hold"
    );
    for (error, found) in [
        (encode(&1, &shape()), "a number"),
        (encode("text", &shape()), "a string"),
        (encode(&[1], &shape()), "a list"),
        (encode(&StringSet(["a"]), &shape()), "a set"),
        (encode(&None::<u8>, &shape()), "nothing"),
    ] {
        let error = error.unwrap_err().to_string();
        assert_eq!(
            error,
            format!("a record must be a struct or a map, this one is {found}")
        );
    }
}

#[test]
fn the_sdks_odd_values_are_refused() {
    let refused = |value| {
        encode_attributes(&item([("v", value)]), &shape())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(AttributeValue::Null(false)),
        "attribute `v` is a NULL that is not true"
    );
}

#[test]
fn errors_never_quote_the_record() {
    struct Blabbing;
    impl Serialize for Blabbing {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("secret"))
        }
    }
    let error = encode(&BTreeMap::from([("a", Blabbing)]), &shape()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "attribute `a` could not be serialised by its own type"
    );
    let secret = item([("pk", n("987654321"))]);
    let error = encode_attributes(&secret, &shape()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("987654321"));
}
