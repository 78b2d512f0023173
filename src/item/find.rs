//! Attributes and keys found in an item's JSON, without reading the rest.

use super::escape;
use super::fault::Fault;
use super::key::{Key, KeyPart};
use super::number::Decimal;
use super::scanner::Scanner;
use super::{ItemError, KeyAttribute, KeyKind, KeySchema};
use std::borrow::Cow;

/// Returns whether the inside of a JSON string is this text.
fn is_text(inside: &[u8], text: &str) -> bool {
    if inside.contains(&b'\\') {
        escape::unescape(inside).is_some_and(|unescaped| unescaped == text)
    } else {
        inside == text.as_bytes()
    }
}

/// Calls `visit` with each attribute's name (still escaped) and value until it returns false.
fn each_attribute<'a>(
    json: &'a [u8],
    mut visit: impl FnMut(&'a [u8], &'a [u8]) -> bool,
) -> Result<(), Fault> {
    let mut scanner = Scanner::new(json);
    scanner.expect(b'{', "an object")?;
    if scanner.eat(b'}') {
        return Ok(());
    }
    loop {
        let name = scanner.name()?;
        let value = scanner.skip()?;
        if !visit(name, value) || !scanner.eat(b',') {
            return Ok(());
        }
    }
}

/// Returns the bytes of a top-level attribute's value in an item, such as `{"N":"1"}`.
///
/// The first of that name, should there be several; this crate's encoding has each name once.
pub(crate) fn find_attribute<'a>(json: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut found = None;
    each_attribute(json, |candidate, value| {
        if is_text(candidate, name) {
            found = Some(value);
        }
        found.is_none()
    })
    .ok()?;
    found
}

/// Reads the primary key of an item in DynamoDB's JSON. Other attributes are skipped unread.
///
/// # Errors
///
/// [`ItemError`] where a key attribute is missing, of another type or malformed, or the bytes are no item.
pub(crate) fn key_of_json(json: &[u8], keys: &KeySchema) -> Result<Key, ItemError> {
    let mut partition = None;
    let mut sort = None;
    let sort_name = keys.sort().map(KeyAttribute::name);
    each_attribute(json, |name, value| {
        if is_text(name, keys.partition().name()) {
            partition = Some(value);
        } else if sort_name.is_some_and(|sort_name| is_text(name, sort_name)) {
            sort = Some(value);
        }
        partition.is_none() || (sort_name.is_some() && sort.is_none())
    })?;
    let partition = primary_part(keys.partition(), partition)?;
    let sort = keys
        .sort()
        .map(|attribute| primary_part(attribute, sort))
        .transpose()?;
    Ok(Key::new(&partition, sort.as_ref()))
}

/// Returns the value of an attribute of the primary key, which must be there and of the key's type.
pub(super) fn primary_part<'a>(
    attribute: &KeyAttribute,
    value: Option<&'a [u8]>,
) -> Result<KeyPart<'a>, Fault> {
    let name = || attribute.name().to_owned();
    let value = value.ok_or_else(|| Fault::new(ItemError::MissingKey { attribute: name() }))?;
    let part = key_part(value, attribute.kind()).map_err(|fault| fault.under(attribute.name()))?;
    part.map_err(|found| {
        Fault::new(ItemError::KeyType {
            attribute: name(),
            found,
            wanted: attribute.kind(),
        })
    })
}

/// Returns a key attribute's value of a wanted type, or the type that it has instead.
pub(super) fn key_part(
    value: &[u8],
    wanted: KeyKind,
) -> Result<Result<KeyPart<'_>, &'static str>, Fault> {
    let mut scanner = Scanner::new(value);
    let text = if let Some(text) = written_here(value, wanted) {
        Cow::Borrowed(text)
    } else {
        scanner.expect(b'{', "an attribute value")?;
        let found = scanner.name()?;
        if found != wanted.name().as_bytes() {
            return Ok(Err(type_name(found)));
        }
        let text = scanner.text()?;
        scanner.expect(b'}', "one type")?;
        match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    };
    Ok(Ok(match wanted {
        KeyKind::String => KeyPart::Text(text),
        KeyKind::Number => KeyPart::Number(Decimal::parse(&text)?),
        KeyKind::Binary => {
            let decoded = base64_simd::STANDARD.decode_to_vec(&text);
            KeyPart::Bytes(decoded.map_err(|_| scanner.fault("base64 as a key"))?)
        }
    }))
}

/// Returns the text of a value in exactly the form that the writer gives it, nothing escaped: the
/// usual case.
///
/// As bytes: the writer writes UTF-8, and a key in an answer that is not equals none that was sent.
fn written_here(value: &[u8], wanted: KeyKind) -> Option<&[u8]> {
    let opening: &[u8] = match wanted {
        KeyKind::String => b"{\"S\":\"",
        KeyKind::Number => b"{\"N\":\"",
        KeyKind::Binary => b"{\"B\":\"",
    };
    let inside = value.strip_prefix(opening)?.strip_suffix(b"\"}")?;
    (escape::plain_prefix(inside) == inside.len()).then_some(inside)
}

/// Returns DynamoDB's name of an attribute type.
pub(super) fn type_name(found: &[u8]) -> &'static str {
    const NAMES: [&str; 10] = ["S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"];
    NAMES
        .into_iter()
        .find(|name| name.as_bytes() == found)
        .unwrap_or("an unknown type")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::seeded::config;
    use crate::item::{TableShape, check_json, parse, same};
    use proptest::prelude::*;

    const ITEM: &[u8] =
        br#" { "a" : {"S":"} \" ]"}, "m":{"M":{"b":{"N":"9"},"c":{"L":[{"S":"{"}]}}},
        "\u0062" : { "N" : "1" }, "q\"":{"BOOL":true} , "z":{"NULL":true}}"#;

    #[test]
    fn an_attribute_is_found_past_anything() {
        assert_eq!(
            find_attribute(ITEM, "a"),
            Some(br#"{"S":"} \" ]"}"#.as_slice())
        );
        assert_eq!(
            find_attribute(ITEM, "b"),
            Some(br#"{ "N" : "1" }"#.as_slice())
        );
        assert_eq!(
            find_attribute(ITEM, "q\""),
            Some(br#"{"BOOL":true}"#.as_slice())
        );
        assert_eq!(
            find_attribute(ITEM, "z"),
            Some(br#"{"NULL":true}"#.as_slice())
        );
        for absent in ["c", "S", "", "q", "\\u0062"] {
            assert_eq!(find_attribute(ITEM, absent), None, "{absent}");
        }
        for broken in [
            b"".as_slice(),
            b"{",
            b"[]",
            b"{}",
            b"{\"a\"",
            b"{\"a\":}",
            b"{\"a\":{",
        ] {
            assert_eq!(find_attribute(broken, "a"), None);
        }
    }

    #[test]
    fn a_key_is_read_from_an_item() {
        let keys = KeySchema::new("a", KeyKind::String).with_sort("b", KeyKind::Number);
        let key = key_of_json(ITEM, &keys).unwrap();
        let other = br#"{"b":{"N":"1.0"},"a":{"S":"\u007d \" ]"}}"#;
        assert_eq!(key, key_of_json(other, &keys).unwrap());
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said() {
        let keys = KeySchema::new("a", KeyKind::Binary);
        for (json, message) in [
            (r#"{"b":{"S":"x"}}"#, "key attribute `a` is missing"),
            (
                r#"{"a":{"S":"x"}}"#,
                "key attribute `a` is of type S, the table's key is of type B",
            ),
            (
                r#"{"a":{"X":"x"}}"#,
                "key attribute `a` is of type an unknown type, the table's key is of type B",
            ),
            (
                r#"{"a":{"B":"??"}}"#,
                "not an item in DynamoDB's JSON: expected base64 as a key at byte 0",
            ),
            (
                "[]",
                "not an item in DynamoDB's JSON: expected an object at byte 0",
            ),
        ] {
            let error = key_of_json(json.as_bytes(), &keys).unwrap_err();
            assert_eq!(error.to_string(), message, "{json}");
        }
    }

    /// Asks for every kind of thing: any bytes have an answer, and none panics.
    fn try_everything(json: &[u8]) {
        let keys = KeySchema::new("a", KeyKind::String).with_sort("b", KeyKind::Number);
        let shape = TableShape::new(keys.clone());
        let _ = find_attribute(json, "a");
        let _ = key_of_json(json, &keys);
        let parsed = parse(json);
        assert_eq!(same(json, json), parsed.is_ok());
        let _ = check_json(json, &shape, true);
        if let Ok(encoded) = check_json(json, &shape, false) {
            assert!(parsed.is_ok());
            assert!(same(json, &encoded.json));
        }
    }

    #[test]
    fn depth_is_no_danger() {
        for opening in ["{\"L\":[", "{\"M\":{\"a\":", "[", "{\"a\":", "{"] {
            let deep = format!("{{\"a\":{}", opening.repeat(200_000));
            try_everything(deep.as_bytes());
        }
        let closed = format!(
            "{{\"a\":{}{}}}",
            "{\"L\":[".repeat(50_000),
            "]}".repeat(50_000)
        );
        try_everything(closed.as_bytes());
        assert!(find_attribute(closed.as_bytes(), "a").is_some());
        assert!(matches!(
            parse(closed.as_bytes()),
            Err(ItemError::TooDeep { .. })
        ));
    }

    proptest! {
        #![proptest_config(config(2000))]

        #[test]
        fn any_bytes_are_answered(json in prop::collection::vec(any::<u8>(), 0..80)) {
            try_everything(&json);
        }

        #[test]
        fn any_near_json_is_answered(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ":", ",", "\"", "\\", " ", "\"a\"", "\"b\"", "{\"S\":\"x\"}",
                    "{\"N\":\"1\"}", "\"a\":", "\"b\":", "\"L\":[", "\"M\":{", "\"NS\":[", "\"B\":",
                    "true", "null", "1", "\u{fc}", "\\u00", "\"\\ud800\"",
                ]),
                0..24,
            ),
        ) {
            try_everything(pieces.concat().as_bytes());
        }

        #[test]
        fn a_damaged_item_is_answered(at in 0..ITEM.len(), byte: u8) {
            let mut damaged = br#"{"a":{"S":"x"},"b":{"N":"1"},"#.to_vec();
            damaged.extend_from_slice(ITEM.get(3..).unwrap());
            try_everything(&damaged);
            if let Some(target) = damaged.get_mut(at) {
                *target = byte;
            }
            try_everything(&damaged);
            damaged.truncate(at);
            try_everything(&damaged);
        }
    }
}
