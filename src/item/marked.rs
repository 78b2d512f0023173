//! Values that other crates mark by the private name of a struct.
//!
//! serde has no such kinds, so these crates use a struct of one field. Only their own serializers
//! know the names; any other would store a map with a private name. The names are pinned by tests.

use std::any::type_name;
use std::fmt;

use serde::Serialize;

/// The name of the struct, and of its one field, that marks a number of `serde_json`.
pub(crate) const MARKED_NUMBER: &str = "$serde_json::private::Number";

/// The kind of value that a struct stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marked {
    /// A number of any precision, as text: `serde_json::Number`, if the feature
    /// `arbitrary_precision` of `serde_json` is on. Features add up over a build, so any crate in
    /// it may have switched it on.
    Number,
    /// A value without a form in DynamoDB.
    Unsupported(&'static str),
}

impl Marked {
    /// Returns the kind of value that a struct of this name stands for, if it is one of these.
    pub(super) fn of_struct(name: &str) -> Option<Self> {
        // One comparison settles the usual case.
        if !name.starts_with('$') {
            return None;
        }
        match name {
            MARKED_NUMBER => Some(Self::Number),
            "$serde_json::private::RawValue" => Some(Self::Unsupported("a RawValue of serde_json")),
            "$__toml_private_Datetime" => Some(Self::Unsupported("a Datetime of toml")),
            _ => None,
        }
    }
}

/// Returns whether a type is one of `serde_json`'s that keep a number as text, and so take a marked
/// one.
///
/// The feature can't be seen from here, only its effect. A deserializer is handed a visitor, and
/// the name of its type is all there is to go by. Without the name, digits are lost.
pub(super) fn keeps_digits<T: ?Sized>() -> bool {
    let name = type_name::<T>();
    let is_json =
        name == type_name::<serde_json::Value>() || name == type_name::<serde_json::Number>();
    is_json && serde_json::Number::from_u128(u128::MAX).is_some()
}

/// Returns the text that a value serializes to, if it is a string or another simple value.
pub(super) fn text_of<T: Serialize + ?Sized>(value: &T) -> Option<String> {
    struct Text<'v, T: ?Sized>(&'v T);

    impl<T: Serialize + ?Sized> fmt::Display for Text<'_, T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.serialize(f)
        }
    }

    let mut text = String::new();
    fmt::Write::write_fmt(&mut text, format_args!("{}", Text(value))).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use serde::ser::SerializeStruct as _;
    use serde::{Deserialize, Serialize, Serializer};
    use serde_json::{Number, Value, json};

    use super::{MARKED_NUMBER, keeps_digits};
    use crate::item::{Item, KeyKind, KeySchema, TableShape, encode};

    /// A number as `serde_json` marks it with `arbitrary_precision`.
    struct Precise(&'static str);

    impl Serialize for Precise {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut number = serializer.serialize_struct(MARKED_NUMBER, 1)?;
            number.serialize_field(MARKED_NUMBER, self.0)?;
            number.end()
        }
    }

    #[derive(Deserialize, Serialize)]
    struct Row<T> {
        id: u8,
        v: T,
    }

    #[derive(Deserialize)]
    struct Numbers {
        n: Number,
    }

    fn encoded<T: Serialize>(v: T) -> Result<Value, String> {
        let shape = TableShape::new(KeySchema::new("id", KeyKind::Number));
        let encoded = encode(&Row { id: 1, v }, &shape).map_err(|error| error.to_string())?;
        Ok(serde_json::from_slice(&encoded.json).expect("JSON"))
    }

    #[test]
    fn a_number_of_any_precision_is_a_number() {
        for text in [
            "1",
            "-1.5",
            "1e10",
            "12345678901234567890123456789012345678",
        ] {
            assert_eq!(encoded(Precise(text)).unwrap()["v"], json!({"N": text}));
        }
        let list = [Precise("1"), Precise("2.50")];
        assert_eq!(
            encoded(list).unwrap()["v"],
            json!({"L": [{"N": "1"}, {"N": "2.50"}]})
        );
        let error = encoded(Precise("1e999")).unwrap_err();
        assert!(error.contains("`v`"), "{error}");
        assert!(encoded(Precise("NaN")).is_err());
    }

    #[test]
    fn a_json_number_is_a_number_whatever_features_are_on() {
        let value: Value = serde_json::from_str("[1, 2.5, -3, 1e2]").unwrap();
        let stored = encoded(value).unwrap();
        let list = stored["v"]["L"].as_array().expect("a list");
        assert!(list.iter().all(|value| value["N"].is_string()), "{stored}");
    }

    #[test]
    fn a_json_value_is_read_back_as_it_was_written() {
        let texts = [
            "0",
            "-1",
            "1.5",
            "-0.015",
            "1e100",
            "2.5e-100",
            "9223372036854775808",
            "18446744073709551615",
            "-9223372036854775808",
            "18446744073709551616",
            "12345678901234567890123456789012345678",
            "-0.12345678901234567890123456789012345678",
        ];
        let shape = TableShape::new(KeySchema::new("id", KeyKind::Number));
        for text in texts {
            let json = format!(r#"{{"n":{text},"in":[{text},{{"a":{text}}}]}}"#);
            let v: Value = serde_json::from_str(&json).unwrap();
            let json = encode(&Row { id: 1, v: &v }, &shape).unwrap().json;
            let written: Value = serde_json::from_slice(&json).unwrap();
            let item = Item::from_json(json.into());
            let read: Row<Value> = item.deserialize().unwrap();
            assert_eq!(read.v, v, "{text}");
            let number: Row<BTreeMap<String, Value>> = item.deserialize().unwrap();
            assert_eq!(number.v["n"], v["n"], "{text}");
            let Row { v, .. } = item.deserialize::<Row<Numbers>>().unwrap();
            let stored = written["v"]["M"]["n"]["N"].as_str().expect("a number");
            assert_eq!(v.n, stored.parse().unwrap(), "{text}");
            if keeps_digits::<Value>() {
                // `serde_json` writes the sign of an exponent.
                assert_eq!(stored.replace("e+", "e"), text);
            }
        }
    }

    #[test]
    fn numbers_of_other_types_are_read_whatever_features_are_on() {
        let item = Item::from_json(Bytes::from_static(
            br#"{"id":{"N":"1"},"v":{"M":{"n":{"N":"1.5"},"big":{"N":"1E+38"},"odd":{"N":"+.5"}}}}"#,
        ));
        let floats: Row<BTreeMap<String, f64>> = item.deserialize().unwrap();
        assert_eq!(floats.v["n"].to_bits(), 1.5_f64.to_bits());
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(f64),
        }
        let either: Row<BTreeMap<String, Either>> = item.deserialize().unwrap();
        let Either::Number(big) = either.v["big"];
        assert_eq!(big.to_bits(), 1e38_f64.to_bits());
        // A text that is no number in JSON is one in DynamoDB's, and loses no more than digits.
        let values: Row<BTreeMap<String, Value>> = item.deserialize().unwrap();
        assert_eq!(values.v["odd"].as_f64(), Some(0.5));
    }

    #[test]
    fn what_has_no_form_is_refused_by_name() {
        let raw = serde_json::value::RawValue::from_string("{\"a\":1}".to_owned()).unwrap();
        let error = encoded(raw).unwrap_err();
        assert!(
            error.contains("`v`") && error.contains("RawValue"),
            "{error}"
        );
        let date: toml::value::Datetime = "2026-01-02T03:04:05Z".parse().unwrap();
        let error = encoded(date).unwrap_err();
        assert!(error.contains("Datetime"), "{error}");
    }
}
