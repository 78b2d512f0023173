//! From a record to the bytes that are sent: one pass, then the checks that need the whole item.

use dynamodb_table_spec::KeyAttribute;

use super::fault::Fault;
use super::find::{key_part, primary_part};
use super::index_set::IndexSet;
use super::key::{Key, KeyPart};
use super::limits::{MAX_ITEM_SIZE, MAX_PARTITION_KEY, MAX_SORT_KEY};
use super::serializer::{ItemSerializer, Selection, ValueSerializer};
use super::shape::{IndexShape, TableShape};
use super::writer::Writer;
use super::{ItemError, attributes, json};
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use std::cell::Cell;
use std::collections::HashMap;

/// An item or a key, ready to be sent.
#[derive(Clone)]
pub(crate) struct Encoded {
    /// DynamoDB's JSON, `{"pk":{"S":"a"},…}`, in an allocation of exactly its size.
    pub(crate) json: Vec<u8>,
    /// Bytes as DynamoDB stores them: names and values.
    pub(crate) stored_size: usize,
    /// The primary key.
    pub(crate) key: Key,
    /// The secondary indexes that the item is in: those whose key attributes it has. None for a key
    /// alone.
    pub(crate) indexes: IndexSet,
}

/// The size only: contents never reach a log.
impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoded")
            .field("json_bytes", &self.json.len())
            .field("stored_size", &self.stored_size)
            .finish_non_exhaustive()
    }
}

/// Encodes a record as an item of this table.
///
/// # Errors
///
/// Everything that DynamoDB would refuse about the item by itself, and everything that
/// `serde_dynamo` would.
pub(crate) fn encode<T: Serialize + ?Sized>(
    record: &T,
    shape: &TableShape,
) -> Result<Encoded, ItemError> {
    encode_record(
        record,
        Selection {
            shape,
            key_only: false,
        },
    )
}

/// Encodes the key of a record: of a struct that holds the key attributes, or of a whole item,
/// whose other attributes are left out unread.
///
/// # Errors
///
/// As [`encode`], for the key attributes alone.
pub(crate) fn encode_key<T: Serialize + ?Sized>(
    record: &T,
    shape: &TableShape,
) -> Result<Encoded, ItemError> {
    encode_record(
        record,
        Selection {
            shape,
            key_only: true,
        },
    )
}

fn encode_record<T: Serialize + ?Sized>(
    record: &T,
    selection: Selection<'_>,
) -> Result<Encoded, ItemError> {
    with_scratch(|writer| {
        record.serialize(ItemSerializer { writer, selection })?;
        finish(writer, selection)
    })
}

/// Encodes an item in the SDK's form, as [`encode`] does.
///
/// # Errors
///
/// As [`encode`].
pub(crate) fn encode_attributes(
    item: &HashMap<String, AttributeValue>,
    shape: &TableShape,
) -> Result<Encoded, ItemError> {
    encode_map(
        item,
        Selection {
            shape,
            key_only: false,
        },
    )
}

/// Encodes a key, or the key of an item, in the SDK's form, as [`encode_key`] does.
///
/// # Errors
///
/// As [`encode_key`].
pub(crate) fn encode_key_attributes(
    key: &HashMap<String, AttributeValue>,
    shape: &TableShape,
) -> Result<Encoded, ItemError> {
    encode_map(
        key,
        Selection {
            shape,
            key_only: true,
        },
    )
}

fn encode_map(
    item: &HashMap<String, AttributeValue>,
    selection: Selection<'_>,
) -> Result<Encoded, ItemError> {
    with_scratch(|writer| {
        attributes::write_item(writer, item, selection)?;
        finish(writer, selection)
    })
}

/// Checks an item in DynamoDB's JSON from outside by all the rules of [`encode`], and returns it in
/// the same form. With `key_only` the other attributes are left out unchecked.
///
/// # Errors
///
/// As [`encode`], and where the bytes are not such JSON.
pub(crate) fn check_json(
    json: &[u8],
    shape: &TableShape,
    key_only: bool,
) -> Result<Encoded, ItemError> {
    let selection = Selection { shape, key_only };
    with_scratch(|writer| {
        json::copy_item(writer, json, selection)?;
        finish(writer, selection)
    })
}

/// Encodes one value, such as `{"N":"1"}`, for an expression.
///
/// # Errors
///
/// As [`encode`], for a value.
pub(crate) fn encode_value<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, ItemError> {
    with_scratch(|writer| {
        writer.begin_value();
        value.serialize(ValueSerializer {
            writer: &mut *writer,
        })?;
        writer.copy_value()
    })
}

/// Encodes a value in the SDK's form, as [`encode_value`] does.
///
/// # Errors
///
/// As [`encode_value`].
pub(crate) fn encode_attribute_value(value: &AttributeValue) -> Result<Vec<u8>, ItemError> {
    with_scratch(|writer| {
        writer.begin_value();
        attributes::write_value(writer, value)?;
        writer.copy_value()
    })
}

/// Runs `f` with this thread's scratch writer. A record whose `Serialize` encodes another record
/// finds none and gets a new one.
fn with_scratch<R>(f: impl FnOnce(&mut Writer) -> Result<R, Fault>) -> Result<R, ItemError> {
    thread_local! {
        static SCRATCH: Cell<Option<Writer>> = const { Cell::new(None) };
    }
    // While a thread ends its scratch may be gone already.
    let kept = SCRATCH.try_with(Cell::take).ok().flatten();
    let mut writer = kept.unwrap_or_else(Writer::new);
    let result = f(&mut writer);
    writer.reset();
    // Where it can't be kept, the next encoding allocates again.
    let _ = SCRATCH.try_with(|scratch| scratch.set(Some(writer)));
    result.map_err(ItemError::from)
}

/// Checks the whole item, and copies it out of the scratch buffer.
fn finish(writer: &Writer, selection: Selection<'_>) -> Result<Encoded, Fault> {
    writer.check_whole()?;
    let keys = selection.shape.keys();
    let partition = checked_part(writer, selection.shape, keys.partition(), MAX_PARTITION_KEY)?;
    let sort = keys
        .sort()
        .map(|sort| checked_part(writer, selection.shape, sort, MAX_SORT_KEY))
        .transpose()?;
    let mut indexes = IndexSet::default();
    if !selection.key_only {
        for (position, index) in selection.shape.indexes().iter().enumerate() {
            if !index.is_dropped() && check_index(writer, selection.shape, index)? {
                indexes.insert(position);
            }
        }
        if writer.size > MAX_ITEM_SIZE {
            return Err(too_large(writer));
        }
    }
    Ok(Encoded {
        json: writer.buf.as_slice().to_vec(),
        stored_size: writer.size,
        key: Key::new(&partition, sort.as_ref()),
        indexes,
    })
}

/// Returns the value bytes of a watched attribute of the item in the writer.
fn watched<'w>(writer: &'w Writer, shape: &TableShape, name: &str) -> Option<&'w [u8]> {
    let position = Some(shape.watched().position(name)?);
    let (i, entry) = writer
        .entries
        .iter()
        .enumerate()
        .find(|(_, e)| e.watched == position)?;
    // Up to the comma before the next attribute, or the item's closing brace.
    let end = writer
        .entries
        .get(i + 1)
        .map_or(writer.buf.len(), |next| next.start)
        - 1;
    writer.buf.get(entry.value..end)
}

fn checked_part<'w>(
    writer: &'w Writer,
    shape: &TableShape,
    attribute: &KeyAttribute,
    limit: usize,
) -> Result<KeyPart<'w>, Fault> {
    let name = || attribute.name().to_owned();
    let part = primary_part(attribute, watched(writer, shape, attribute.name()))?;
    match part.limited_len() {
        Some(0) => Err(Fault::new(ItemError::EmptyKey { attribute: name() })),
        Some(size) if size > limit => Err(Fault::new(ItemError::KeyTooLong {
            attribute: name(),
            size,
            limit,
        })),
        _ => Ok(part),
    }
}

/// Returns whether the item is in the index: one without a key attribute of the index is not. One
/// with an unfit value is refused whole.
fn check_index(writer: &Writer, shape: &TableShape, index: &IndexShape) -> Result<bool, Fault> {
    let mut entered = true;
    for (attribute, limit) in index
        .keys()
        .attributes()
        .zip([MAX_PARTITION_KEY, MAX_SORT_KEY])
    {
        let Some(value) = watched(writer, shape, attribute.name()) else {
            entered = false;
            continue;
        };
        let (index, name) = (|| index.name().to_owned(), || attribute.name().to_owned());
        let part = key_part(value, attribute.kind())?.map_err(|found| {
            let wanted = attribute.kind();
            Fault::new(ItemError::IndexKeyType {
                index: index(),
                attribute: name(),
                found,
                wanted,
            })
        })?;
        match part.limited_len() {
            Some(0) => {
                let (index, attribute) = (index(), name());
                return Err(Fault::new(ItemError::EmptyIndexKey { index, attribute }));
            }
            Some(size) if size > limit => {
                let (index, attribute) = (index(), name());
                return Err(Fault::new(ItemError::IndexKeyTooLong {
                    index,
                    attribute,
                    size,
                    limit,
                }));
            }
            _ => {}
        }
    }
    Ok(entered)
}

#[cold]
fn too_large(writer: &Writer) -> Fault {
    let ends = writer
        .entries
        .iter()
        .skip(1)
        .map(|next| next.size)
        .chain([writer.size]);
    let largest = writer
        .entries
        .iter()
        .zip(ends)
        .max_by_key(|(entry, end)| end - entry.size);
    let (largest, largest_size) = largest.map_or((String::new(), 0), |(entry, end)| {
        (writer.name_of(entry), end - entry.size)
    });
    let size = writer.size;
    Fault::new(ItemError::TooLarge {
        size,
        limit: MAX_ITEM_SIZE,
        largest,
        largest_size,
    })
}
