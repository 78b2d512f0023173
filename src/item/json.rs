//! DynamoDB's JSON from outside: checked and copied, or read into the SDK's form.

use super::ItemError;
use super::fault::Fault;
use super::limits::MAX_DEPTH;
use super::scanner::Scanner;
use super::serializer::Selection;
use super::set::SetKind;
use super::writer::Writer;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

/// Writes the item that `json` holds, and checks everything on the way.
pub(super) fn copy_item(
    writer: &mut Writer,
    json: &[u8],
    selection: Selection<'_>,
) -> Result<(), Fault> {
    let mut scanner = Scanner::new(json);
    let mut open = writer.open_item();
    entries(&mut scanner, |scanner, name| {
        if writer.item_name(&mut open, selection, name)? {
            copy_value(writer, scanner).map_err(|fault| fault.under(name))
        } else {
            scanner.skip().map(drop)
        }
    })?;
    scanner.end()?;
    writer.close_item(open);
    Ok(())
}

/// Writes the value that `json` holds, and checks everything on the way.
pub(super) fn copy_attribute(writer: &mut Writer, json: &[u8]) -> Result<(), Fault> {
    let mut scanner = Scanner::new(json);
    copy_value(writer, &mut scanner)?;
    scanner.end()
}

/// Copies one value. Recursion is bounded: the writer refuses to open more than its limit of maps
/// and lists.
fn copy_value(writer: &mut Writer, scanner: &mut Scanner<'_>) -> Result<(), Fault> {
    scanner.expect(b'{', "an attribute value")?;
    match scanner.name()? {
        b"S" => writer.string(&scanner.text()?),
        b"N" => writer.number(&scanner.text()?)?,
        b"B" => writer.binary(&base64(scanner)?),
        b"BOOL" => writer.bool(boolean(scanner)?),
        b"NULL" if boolean(scanner)? => writer.null(),
        b"NULL" => {
            return Err(Fault::new(ItemError::FalseNull {
                path: String::new(),
            }));
        }
        b"L" => {
            writer.open_list()?;
            elements(scanner, |scanner, index| {
                writer.element(index);
                copy_value(writer, scanner).map_err(|fault| fault.at(index))
            })?;
            writer.close_list();
        }
        b"M" => {
            let mut open = writer.open_map()?;
            entries(scanner, |scanner, name| {
                writer.name(&mut open, name)?;
                copy_value(writer, scanner).map_err(Fault::under_key)
            })?;
            writer.close_map(open);
        }
        b"SS" => copy_set(writer, scanner, SetKind::Strings)?,
        b"NS" => copy_set(writer, scanner, SetKind::Numbers)?,
        b"BS" => copy_set(writer, scanner, SetKind::Binaries)?,
        _ => return Err(scanner.fault("an attribute type")),
    }
    scanner.expect(b'}', "one type")
}

fn copy_set(writer: &mut Writer, scanner: &mut Scanner<'_>, kind: SetKind) -> Result<(), Fault> {
    writer.open_set(kind);
    elements(scanner, |scanner, _| {
        writer.member(|writer| {
            match kind {
                SetKind::Strings => writer.bare_string(&scanner.text()?),
                SetKind::Numbers => writer.bare_number(&scanner.text()?)?,
                SetKind::Binaries => writer.bare_binary(&base64(scanner)?),
            }
            Ok(())
        })
    })?;
    writer.close_set(kind)
}

/// Reads an item.
///
/// # Errors
///
/// Where the bytes are no item in DynamoDB's JSON, or are nested deeper than an item can be. Limits
/// of size and range are not checked: DynamoDB's items keep them.
pub(crate) fn parse(json: &[u8]) -> Result<HashMap<String, AttributeValue>, ItemError> {
    let mut scanner = Scanner::new(json);
    let item = parse_entries(&mut scanner, 1)?;
    scanner.end()?;
    Ok(item)
}

/// Reads one value, such as `{"N":"1"}`.
///
/// # Errors
///
/// As [`parse`], for a value.
pub(super) fn parse_attribute(json: &[u8]) -> Result<AttributeValue, ItemError> {
    let mut scanner = Scanner::new(json);
    let value = parse_value(&mut scanner, 1)?;
    scanner.end()?;
    Ok(value)
}

fn parse_entries(
    scanner: &mut Scanner<'_>,
    depth: usize,
) -> Result<HashMap<String, AttributeValue>, Fault> {
    let mut item = HashMap::new();
    entries(scanner, |scanner, name| {
        let value = parse_value(scanner, depth).map_err(|fault| fault.key(name))?;
        item.insert(name.to_owned(), value);
        Ok(())
    })?;
    Ok(item)
}

fn parse_value(scanner: &mut Scanner<'_>, depth: usize) -> Result<AttributeValue, Fault> {
    scanner.expect(b'{', "an attribute value")?;
    let kind = scanner.name()?;
    if matches!(kind, b"L" | b"M") && depth == MAX_DEPTH {
        return Err(Fault::new(ItemError::TooDeep {
            path: String::new(),
            limit: MAX_DEPTH,
        }));
    }
    let value = match kind {
        b"S" => AttributeValue::S(scanner.text()?.into_owned()),
        b"N" => AttributeValue::N(scanner.text()?.into_owned()),
        b"B" => AttributeValue::B(Blob::new(base64(scanner)?)),
        b"BOOL" => AttributeValue::Bool(boolean(scanner)?),
        b"NULL" => AttributeValue::Null(boolean(scanner)?),
        b"L" => AttributeValue::L(collect(scanner, |scanner| parse_value(scanner, depth + 1))?),
        b"M" => AttributeValue::M(parse_entries(scanner, depth + 1)?),
        b"SS" => AttributeValue::Ss(collect(scanner, |scanner| {
            Ok(scanner.text()?.into_owned())
        })?),
        b"NS" => AttributeValue::Ns(collect(scanner, |scanner| {
            Ok(scanner.text()?.into_owned())
        })?),
        b"BS" => AttributeValue::Bs(collect(scanner, |scanner| Ok(Blob::new(base64(scanner)?)))?),
        _ => return Err(scanner.fault("an attribute type")),
    };
    scanner.expect(b'}', "one type")?;
    Ok(value)
}

fn collect<T>(
    scanner: &mut Scanner<'_>,
    mut read: impl FnMut(&mut Scanner<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut all = Vec::new();
    elements(scanner, |scanner, index| {
        all.push(read(scanner).map_err(|fault| fault.at(index))?);
        Ok(())
    })?;
    Ok(all)
}

/// Takes an object, calling `read` for each entry with its name; `read` takes the value.
#[inline]
pub(crate) fn entries(
    scanner: &mut Scanner<'_>,
    mut read: impl FnMut(&mut Scanner<'_>, &str) -> Result<(), Fault>,
) -> Result<(), Fault> {
    scanner.expect(b'{', "an object")?;
    if scanner.eat(b'}') {
        return Ok(());
    }
    loop {
        let name = scanner.text()?;
        scanner.expect(b':', "a colon")?;
        read(scanner, &name)?;
        if !scanner.eat(b',') {
            return scanner.expect(b'}', "a comma or the end of an object");
        }
    }
}

/// Takes an array, calling `read` for each element with its position; `read` takes the element.
#[inline]
pub(crate) fn elements(
    scanner: &mut Scanner<'_>,
    mut read: impl FnMut(&mut Scanner<'_>, usize) -> Result<(), Fault>,
) -> Result<(), Fault> {
    scanner.expect(b'[', "an array")?;
    if scanner.eat(b']') {
        return Ok(());
    }
    for index in 0.. {
        read(scanner, index)?;
        if !scanner.eat(b',') {
            break;
        }
    }
    scanner.expect(b']', "a comma or the end of an array")
}

pub(super) fn boolean(scanner: &mut Scanner<'_>) -> Result<bool, Fault> {
    if scanner.word(b"true") {
        return Ok(true);
    }
    if scanner.word(b"false") {
        Ok(false)
    } else {
        Err(scanner.fault("a boolean"))
    }
}

pub(super) fn base64(scanner: &mut Scanner<'_>) -> Result<Vec<u8>, Fault> {
    let start = scanner.clone();
    let text = scanner.text()?;
    let decoded = base64_simd::STANDARD.decode_to_vec(text.as_bytes());
    decoded.map_err(|_| start.fault("base64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{KeyKind, KeySchema, TableShape, check_json};

    fn shape() -> TableShape {
        TableShape::new(KeySchema::new("pk", KeyKind::String))
    }

    #[test]
    fn json_from_outside_takes_our_form() {
        let json = br#" { "x" : { "B" : "AQI=" } , "l":{"L":[ ]}, "pk":{"S":"\u00e9\/"},
            "n":{"N":"01.50"}, "set":{"BS":["AQ=="]}, "t":{"BOOL": false}, "0":{"NULL":true}, "m":{"M":{ }} } "#;
        let encoded = check_json(json, &shape(), false).unwrap();
        assert_eq!(
            String::from_utf8(encoded.json).unwrap(),
            concat!(
                r#"{"x":{"B":"AQI="},"l":{"L":[]},"pk":{"S":"é/"},"n":{"N":"01.50"},"#,
                r#""set":{"BS":["AQ=="]},"t":{"BOOL":false},"0":{"NULL":true},"m":{"M":{}}}"#
            )
        );
        assert_eq!(parse(json).unwrap().len(), 8);
    }

    #[test]
    fn the_last_of_equal_names_wins_here_too() {
        let json = br#"{"pk":{"S":"early"},"a":{"N":"123456"},"pk":{"S":"k"},"a":{"N":"1"}}"#;
        let encoded = check_json(json, &shape(), false).unwrap();
        assert_eq!(encoded.json, br#"{"pk":{"S":"k"},"a":{"N":"1"}}"#);
        assert_eq!(encoded.stored_size, 6);
    }

    #[test]
    fn what_is_no_item_is_refused() {
        for (json, message) in [
            (
                "",
                "not an item in DynamoDB's JSON: expected an object at byte 0",
            ),
            (
                "[]",
                "not an item in DynamoDB's JSON: expected an object at byte 0",
            ),
            (
                "{",
                "not an item in DynamoDB's JSON: expected a string at byte 1",
            ),
            (
                r#"{"pk":"k"}"#,
                "not an item in DynamoDB's JSON: expected an attribute value at byte 6",
            ),
            (
                r#"{"pk":{}}"#,
                "not an item in DynamoDB's JSON: expected a string at byte 7",
            ),
            (
                r#"{"pk":{"S":1}}"#,
                "not an item in DynamoDB's JSON: expected a string at byte 11",
            ),
            (
                r#"{"pk":{"N":1}}"#,
                "not an item in DynamoDB's JSON: expected a string at byte 11",
            ),
            (
                r#"{"pk":{"S":"a","N":"1"}}"#,
                "not an item in DynamoDB's JSON: expected one type at byte 14",
            ),
            (
                r#"{"pk":{"Z":"a"}}"#,
                "not an item in DynamoDB's JSON: expected an attribute type at byte 11",
            ),
            (
                r#"{"pk":{"S":"a"}} x"#,
                "not an item in DynamoDB's JSON: expected the end at byte 17",
            ),
            (
                r#"{"pk":{"S":"a"},}"#,
                "not an item in DynamoDB's JSON: expected a string at byte 16",
            ),
            (
                r#"{"pk":{"S":"\ud800"}}"#,
                "not an item in DynamoDB's JSON: expected a well-formed string at byte 11",
            ),
            (
                r#"{"pk":{"B":"A"}}"#,
                "not an item in DynamoDB's JSON: expected base64 at byte 11",
            ),
            (
                r#"{"pk":{"BOOL":1}}"#,
                "not an item in DynamoDB's JSON: expected a boolean at byte 14",
            ),
        ] {
            assert_eq!(
                parse(json.as_bytes()).unwrap_err().to_string(),
                message,
                "{json}"
            );
            let checked = check_json(json.as_bytes(), &shape(), false).unwrap_err();
            assert_eq!(checked.to_string(), message, "{json}");
        }
    }

    #[test]
    fn json_from_outside_is_checked_by_the_rules() {
        for (json, message) in [
            (r#"{"pk":{"S":""}}"#, "key attribute `pk` is empty"),
            (
                r#"{"pk":{"S":"k"},"v":{"L":[{"SS":[]}]}}"#,
                "attribute `v[0]` is an empty set",
            ),
            (
                r#"{"pk":{"S":"k"},"v":{"M":{"n":{"N":"x"}}}}"#,
                "attribute `v.*` is not a number that DynamoDB has",
            ),
            (
                r#"{"pk":{"S":"k"},"v":{"NULL":false}}"#,
                "attribute `v` is a NULL that is not true",
            ),
        ] {
            let checked = check_json(json.as_bytes(), &shape(), false).unwrap_err();
            assert_eq!(checked.to_string(), message, "{json}");
        }
    }
}
