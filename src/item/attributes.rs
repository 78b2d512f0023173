//! The SDK's form of an item, to and from the wire.

use super::ItemError;
use super::fault::Fault;
use super::serializer::Selection;
use super::set::SetKind;
use super::writer::Writer;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

pub(super) fn write_item(
    writer: &mut Writer,
    item: &HashMap<String, AttributeValue>,
    selection: Selection<'_>,
) -> Result<(), Fault> {
    let mut open = writer.open_item();
    for (name, value) in item {
        if writer.item_name(&mut open, selection, name)? {
            write_value(writer, value).map_err(|fault| fault.under(name))?;
        }
    }
    writer.close_item(open);
    Ok(())
}

/// Writes one value. Recursion is bounded: the writer refuses to open more than its limit of maps
/// and lists.
pub(super) fn write_value(writer: &mut Writer, value: &AttributeValue) -> Result<(), Fault> {
    match value {
        AttributeValue::S(text) => writer.string(text),
        AttributeValue::N(text) => writer.number(text)?,
        AttributeValue::B(blob) => writer.binary(blob.as_ref()),
        AttributeValue::Bool(value) => writer.bool(*value),
        AttributeValue::Null(true) => writer.null(),
        AttributeValue::Null(false) => {
            return Err(Fault::new(ItemError::FalseNull {
                path: String::new(),
            }));
        }
        AttributeValue::L(elements) => {
            writer.open_list()?;
            for (index, element) in elements.iter().enumerate() {
                writer.element(index);
                write_value(writer, element).map_err(|fault| fault.at(index))?;
            }
            writer.close_list();
        }
        AttributeValue::M(entries) => {
            let mut open = writer.open_map()?;
            for (name, entry) in entries {
                writer.name(&mut open, name)?;
                write_value(writer, entry).map_err(Fault::under_key)?;
            }
            writer.close_map(open);
        }
        AttributeValue::Ss(members) => {
            writer.open_set(SetKind::Strings);
            for text in members {
                writer.member(|writer| {
                    writer.bare_string(text);
                    Ok(())
                })?;
            }
            writer.close_set(SetKind::Strings)?;
        }
        AttributeValue::Ns(members) => {
            writer.open_set(SetKind::Numbers);
            for text in members {
                writer.member(|writer| writer.bare_number(text))?;
            }
            writer.close_set(SetKind::Numbers)?;
        }
        AttributeValue::Bs(members) => {
            writer.open_set(SetKind::Binaries);
            for blob in members {
                writer.member(|writer| {
                    writer.bare_binary(blob.as_ref());
                    Ok(())
                })?;
            }
            writer.close_set(SetKind::Binaries)?;
        }
        _ => {
            return Err(Fault::new(ItemError::UnknownType {
                path: String::new(),
            }));
        }
    }
    Ok(())
}
