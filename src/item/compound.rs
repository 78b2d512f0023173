//! Lists and maps on the serde side, and the names of map entries.

use super::ItemError;
use super::elements::takes_elements;
use super::error::Fault;
use super::marked::text_of;
use super::refuse::refuse;
use super::serializer::{ValueSerializer, Wanted};
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
    writer: &'w mut Writer,
    open: OpenMap,
    /// What the record is wanted for, where this is the item itself.
    item: Option<Wanted<'s>>,
    pending: Pending,
}

/// Whether a name waits for its value, for `SerializeMap` gives them in two calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// The name is written.
    Value,
    /// The entry is not wanted.
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
    pub(super) fn item(writer: &'w mut Writer, open: OpenMap, wanted: Wanted<'s>) -> Self {
        Self {
            writer,
            open,
            item: Some(wanted),
            pending: Pending::Nothing,
        }
    }

    /// Writes a name; false where the entry is not wanted.
    fn name(&mut self, name: &str) -> Result<bool, Fault> {
        match self.item {
            None => self.writer.name(&mut self.open, name)?,
            Some(wanted) => return self.writer.item_name(&mut self.open, wanted, name),
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
    /// Writes the name of an attribute of the item; false where the attribute is not wanted.
    pub(super) fn item_name(
        &mut self,
        open: &mut OpenMap,
        wanted: Wanted<'_>,
        name: &str,
    ) -> Result<bool, Fault> {
        if wanted.key_only && !wanted.shape.keys().contains(name) {
            return Ok(false);
        }
        self.name(open, name)?;
        if let Some(position) = wanted.shape.watched().position(name) {
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
        // The path is built from the buffer: by the time of an error it holds the name still, as the entry's,
        // unless inner maps left theirs behind it.
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

/// Takes the key of a map entry, which names an attribute: strings, and what `serde_dynamo` turns into them.
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
    /// Whether the name was written.
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

/// A map of one entry that holds a list: a tuple variant.
pub(super) struct VariantList<'w, 's> {
    map: MapWriter<'w, 's>,
    /// The position of the next element; `None` where the entry is not wanted.
    next: Option<usize>,
    variant: &'static str,
}

impl<'w, 's> VariantList<'w, 's> {
    pub(super) fn open(mut map: MapWriter<'w, 's>, variant: &'static str) -> Result<Self, Fault> {
        let wanted = map.name(variant)?;
        if wanted {
            map.writer
                .open_list()
                .map_err(|fault| fault.under(variant))?;
        }
        Ok(Self {
            map,
            next: wanted.then_some(0),
            variant,
        })
    }
}

impl ser::SerializeTupleVariant for VariantList<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let Some(next) = &mut self.next else {
            return Ok(());
        };
        let at = *next;
        *next += 1;
        self.map.writer.element(at);
        value
            .serialize(ValueSerializer {
                writer: self.map.writer,
            })
            .map_err(|fault| self.map.writer.breaks(fault.at(at).under(self.variant)))
    }

    fn end(self) -> Result<(), Fault> {
        if self.next.is_some() {
            self.map.writer.close_list();
        }
        self.map.close()
    }
}

/// A map of one entry that holds a map: a struct variant.
pub(super) struct VariantMap<'w, 's> {
    outer: MapWriter<'w, 's>,
    /// `None` where the entry is not wanted.
    inner: Option<OpenMap>,
    variant: &'static str,
}

impl<'w, 's> VariantMap<'w, 's> {
    pub(super) fn open(mut outer: MapWriter<'w, 's>, variant: &'static str) -> Result<Self, Fault> {
        let inner = if outer.name(variant)? {
            Some(
                outer
                    .writer
                    .open_map()
                    .map_err(|fault| fault.under(variant))?,
            )
        } else {
            None
        };
        Ok(Self {
            outer,
            inner,
            variant,
        })
    }
}

impl ser::SerializeStructVariant for VariantMap<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        let Some(inner) = &mut self.inner else {
            return Ok(());
        };
        let writer = &mut *self.outer.writer;
        let written = writer.name(inner, key).and_then(|()| {
            value
                .serialize(ValueSerializer {
                    writer: &mut *writer,
                })
                .map_err(|fault| fault.under(key))
        });
        written.map_err(|fault| writer.breaks(fault.under(self.variant)))
    }

    fn end(self) -> Result<(), Fault> {
        if let Some(inner) = self.inner {
            self.outer.writer.close_map(inner);
        }
        self.outer.close()
    }
}
