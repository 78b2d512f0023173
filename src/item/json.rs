//! DynamoDB's JSON from outside: checked and copied, or read into the SDK's form.

use super::ItemError;
use super::error::Fault;
use super::escape;
use super::limits::MAX_DEPTH;
use super::raw::Scanner;
use super::serializer::Wanted;
use super::set::SetKind;
use super::writer::Writer;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// Writes the item that `json` is, checking everything on the way.
pub(super) fn copy_item(writer: &mut Writer, json: &[u8], wanted: Wanted<'_>) -> Result<(), Fault> {
    let mut scanner = Scanner::new(json);
    let mut open = writer.open_item();
    entries(&mut scanner, |scanner, name| {
        if writer.item_name(&mut open, wanted, name)? {
            copy_value(writer, scanner).map_err(|fault| fault.under(name))
        } else {
            scanner.skip().map(drop)
        }
    })?;
    scanner.end()?;
    writer.close_item(open);
    Ok(())
}

/// Recursion is bounded: the writer refuses to open more than its limit of maps and lists.
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
                copy_value(writer, scanner).map_err(|fault| fault.under(name))
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
/// Where the bytes are no item in DynamoDB's JSON, or are nested deeper than an item can be. Limits of size
/// and range are not looked at: what comes from DynamoDB keeps them.
pub(crate) fn parse(json: &[u8]) -> Result<HashMap<String, AttributeValue>, ItemError> {
    let mut scanner = Scanner::new(json);
    let item = parse_entries(&mut scanner, 1)?;
    scanner.end()?;
    Ok(item)
}

fn parse_entries(
    scanner: &mut Scanner<'_>,
    depth: usize,
) -> Result<HashMap<String, AttributeValue>, Fault> {
    let mut item = HashMap::new();
    entries(scanner, |scanner, name| {
        let value = parse_value(scanner, depth).map_err(|fault| fault.under(name))?;
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
fn entries(
    scanner: &mut Scanner<'_>,
    mut read: impl FnMut(&mut Scanner<'_>, &str) -> Result<(), Fault>,
) -> Result<(), Fault> {
    scanner.expect(b'{', "an object")?;
    if scanner.eat(b'}') {
        return Ok(());
    }
    loop {
        let start = scanner.clone();
        let name: Cow<'_, str> =
            escape::unescape(scanner.name()?).ok_or_else(|| start.fault("a well-formed string"))?;
        read(scanner, &name)?;
        if !scanner.eat(b',') {
            return scanner.expect(b'}', "a comma or the end of an object");
        }
    }
}

/// Takes an array, calling `read` for each element with its position; `read` takes the element.
fn elements(
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

fn boolean(scanner: &mut Scanner<'_>) -> Result<bool, Fault> {
    if scanner.word(b"true") {
        return Ok(true);
    }
    if scanner.word(b"false") {
        Ok(false)
    } else {
        Err(scanner.fault("a boolean"))
    }
}

fn base64(scanner: &mut Scanner<'_>) -> Result<Vec<u8>, Fault> {
    let start = scanner.clone();
    let text = scanner.text()?;
    let decoded = base64_simd::STANDARD.decode_to_vec(text.as_bytes());
    decoded.map_err(|_| start.fault("base64"))
}
