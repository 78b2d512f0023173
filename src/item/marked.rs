//! Values that other crates mark by the private name of a struct.
//!
//! serde has no such kinds, so these crates use a struct of one field. Only their own serializers know the
//! names; any other would store a map with a private name. The names are pinned by tests.

use std::fmt;

use serde::Serialize;

/// The kind of value that a struct stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marked {
    /// A number of any precision, as text: `serde_json::Number`, if the feature `arbitrary_precision` of
    /// `serde_json` is on. Features add up over a build, so any crate in it may have switched it on.
    Number,
    /// A value without a form in DynamoDB.
    Unsupported(&'static str),
}

impl Marked {
    /// Returns what a struct of this name stands for, if it is one of these.
    pub(super) fn of_struct(name: &str) -> Option<Self> {
        // One comparison settles the usual case.
        if !name.starts_with('$') {
            return None;
        }
        match name {
            "$serde_json::private::Number" => Some(Self::Number),
            "$serde_json::private::RawValue" => Some(Self::Unsupported("a RawValue of serde_json")),
            "$__toml_private_Datetime" => Some(Self::Unsupported("a Datetime of toml")),
            _ => None,
        }
    }
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
    use serde::ser::SerializeStruct as _;
    use serde::{Serialize, Serializer};
    use serde_json::{Value, json};

    use crate::item::{KeyKind, KeySchema, TableShape, encode};

    /// A number as `serde_json` marks it with `arbitrary_precision`.
    struct Precise(&'static str);

    impl Serialize for Precise {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            const NAME: &str = "$serde_json::private::Number";
            let mut number = serializer.serialize_struct(NAME, 1)?;
            number.serialize_field(NAME, self.0)?;
            number.end()
        }
    }

    #[derive(Serialize)]
    struct Row<T> {
        id: u8,
        v: T,
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
