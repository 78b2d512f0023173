//! Lists and maps on the serde side, and the names of map entries.

use super::ItemError;
use super::elements::takes_elements;
use super::fault::Fault;
use super::marked::text_of;
use super::serializer::{Selection, ValueSerializer};
use super::unsupported::refuse;
use super::writer::{OpenMap, Writer};
use serde::Serialize;
use serde::ser::{self, Impossible};

/// The elements of a list, one after another.
pub(super) struct ListWriter<'w> {
    writer: &'w mut Writer,
    index: usize,
}

impl<'w> ListWriter<'w> {
    pub(super) fn new(writer: &'w mut Writer) -> Self {
        Self { writer, index: 0 }
    }

    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let index = self.index;
        self.index += 1;
        self.writer.element(index);
        value
            .serialize(ValueSerializer {
                writer: self.writer,
            })
            .map_err(|fault| self.writer.breaks(fault.at(index)))
    }

    fn close(self) -> Result<(), Fault> {
        self.writer.close_list();
        Ok(())
    }
}

takes_elements!(ListWriter);

/// The entries of a map, or of the item itself, one after another.
pub(super) struct MapWriter<'w, 's> {
    pub(super) writer: &'w mut Writer,
    open: OpenMap,
    /// The attributes to write, where this is the item itself.
    item: Option<Selection<'s>>,
    pending: Pending,
}

/// The name that waits for its value: `SerializeMap` gives them in two calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// The name is written.
    Value,
    /// The entry is left out.
    Skipped,
}

impl<'w> MapWriter<'w, 'static> {
    pub(super) fn new(writer: &'w mut Writer, open: OpenMap) -> Self {
        Self {
            writer,
            open,
            item: None,
            pending: Pending::Nothing,
        }
    }
}

impl<'w, 's> MapWriter<'w, 's> {
    pub(super) fn item(writer: &'w mut Writer, open: OpenMap, selection: Selection<'s>) -> Self {
        Self {
            writer,
            open,
            item: Some(selection),
            pending: Pending::Nothing,
        }
    }

    /// Writes a name, and returns `false` where the entry is left out.
    pub(super) fn name(&mut self, name: &str) -> Result<bool, Fault> {
        match self.item {
            None => self.writer.name(&mut self.open, name)?,
            Some(selection) => return self.writer.item_name(&mut self.open, selection, name),
        }
        Ok(true)
    }

    pub(super) fn entry<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        if !self.name(name).map_err(|fault| self.writer.breaks(fault))? {
            return Ok(());
        }
        value
            .serialize(ValueSerializer {
                writer: self.writer,
            })
            .map_err(|fault| self.writer.breaks(fault.under(name)))
    }

    pub(super) fn close(self) -> Result<(), Fault> {
        if self.item.is_some() {
            self.writer.close_item(self.open);
        } else {
            self.writer.close_map(self.open);
        }
        Ok(())
    }
}

impl Writer {
    /// Writes the name of an attribute of the item, and returns `false` where it is left out.
    pub(super) fn item_name(
        &mut self,
        open: &mut OpenMap,
        selection: Selection<'_>,
        name: &str,
    ) -> Result<bool, Fault> {
        if selection.key_only && !selection.shape.keys().contains(name) {
            return Ok(false);
        }
        self.name(open, name)?;
        if let Some(position) = selection.shape.watched().position(name) {
            self.watch(position);
        }
        Ok(true)
    }
}

/// The fields of a struct, or the text of a number that is marked as one.
pub(super) enum StructWriter<'w> {
    Map(MapWriter<'w, 'static>),
    Number(&'w mut Writer),
}

impl ser::SerializeStruct for StructWriter<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        match self {
            Self::Map(map) => map.entry(name, value),
            Self::Number(writer) => {
                let text = text_of(value).unwrap_or_default();
                writer.number(&text).map_err(|fault| writer.breaks(fault))
            }
        }
    }

    fn end(self) -> Result<(), Fault> {
        match self {
            Self::Map(map) => map.close(),
            Self::Number(_) => Ok(()),
        }
    }
}

impl ser::SerializeStruct for MapWriter<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        self.entry(key, value)
    }

    fn end(self) -> Result<(), Fault> {
        self.close()
    }
}

impl ser::SerializeMap for MapWriter<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        if self.pending != Pending::Nothing {
            return Err(ser::Error::custom("two keys in a row"));
        }
        let written = key
            .serialize(NameSerializer { map: &mut *self })
            .map_err(|fault| self.writer.breaks(fault))?;
        self.pending = if written {
            Pending::Value
        } else {
            Pending::Skipped
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        match std::mem::replace(&mut self.pending, Pending::Nothing) {
            Pending::Nothing => return Err(ser::Error::custom("a value without a key")),
            Pending::Skipped => return Ok(()),
            Pending::Value => {}
        }
        // The path is built from the buffer: by the time of an error it still holds the name, as
        // the entry's, unless inner maps left theirs behind it.
        let entry = self.writer.entries.len();
        value
            .serialize(ValueSerializer {
                writer: self.writer,
            })
            .map_err(|fault| {
                self.writer.entries.truncate(entry);
                let fault = match self.item {
                    Some(_) => fault.under(&self.writer.last_name()),
                    None => fault.under_key(),
                };
                self.writer.breaks(fault)
            })
    }

    fn end(self) -> Result<(), Fault> {
        // A key whose value never came is no entry.
        if self.pending == Pending::Value {
            self.writer.drop_entry(&self.open);
        }
        self.close()
    }
}

/// A serializer of the key of a map entry, which names an attribute: strings, and the types that
/// `serde_dynamo` turns into strings.
struct NameSerializer<'m, 'w, 's> {
    map: &'m mut MapWriter<'w, 's>,
}

impl NameSerializer<'_, '_, '_> {
    fn refusal(&self, found: &'static str) -> Fault {
        Fault::new(ItemError::NotAName {
            path: String::new(),
            found,
        })
    }
}

macro_rules! integer_names {
    ($($method:ident($int:ty))*) => {$(
        fn $method(self, value: $int) -> Result<bool, Fault> {
            self.map.name(itoa::Buffer::new().format(value))
        }
    )*};
}

impl ser::Serializer for NameSerializer<'_, '_, '_> {
    /// `true` where the name was written.
    type Ok = bool;
    type Error = Fault;
    type SerializeSeq = Impossible<bool, Fault>;
    type SerializeTuple = Impossible<bool, Fault>;
    type SerializeTupleStruct = Impossible<bool, Fault>;
    type SerializeTupleVariant = Impossible<bool, Fault>;
    type SerializeMap = Impossible<bool, Fault>;
    type SerializeStruct = Impossible<bool, Fault>;
    type SerializeStructVariant = Impossible<bool, Fault>;

    refuse!(
        f32 f64 bytes none some unit unit_struct newtype_variant seq tuple tuple_struct tuple_variant map
        struct struct_variant
    );

    integer_names!(
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
    );

    fn serialize_bool(self, value: bool) -> Result<bool, Fault> {
        self.map.name(if value { "true" } else { "false" })
    }

    fn serialize_char(self, value: char) -> Result<bool, Fault> {
        self.map.name(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<bool, Fault> {
        self.map.name(value)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<bool, Fault> {
        self.map.name(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<bool, Fault> {
        value.serialize(self)
    }
}
