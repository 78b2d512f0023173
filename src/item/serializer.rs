//! The serde side: a record straight to DynamoDB's JSON, by `serde_dynamo`'s mapping.
//!
//! | serde | DynamoDB |
//! |---|---|
//! | bool, integers to 64 bits, floats | `BOOL`, `N` |
//! | string, char, unit variant | `S` |
//! | bytes | `B` |
//! | none, unit, unit struct | `NULL` |
//! | sequence, tuple, tuple struct | `L`, or a set inside `serde_dynamo`'s marker |
//! | map, struct | `M` |
//! | newtype, tuple and struct variant | `M` of one entry, named after the variant |
//! | some, newtype struct | their contents |
//!
//! 128-bit integers are refused as values and taken as map keys, as `serde_dynamo` does.

use super::ItemError;
use super::attribute::ATTRIBUTE;
use super::compound::{ListWriter, MapWriter, StructWriter};
use super::fault::Fault;
use super::float;
use super::json::copy_attribute;
use super::marked::{Marked, text_of};
use super::set::{SetKind, SetSerializer};
use super::shape::TableShape;
use super::unsupported::refuse;
use super::variants::{VariantList, VariantMap};
use super::writer::Writer;
use serde::Serialize;
use serde::ser::{self, Impossible};

/// A serializer of one value of any kind.
pub(super) struct ValueSerializer<'w> {
    pub(super) writer: &'w mut Writer,
}

impl<'w> ValueSerializer<'w> {
    fn list(self) -> Result<ListWriter<'w>, Fault> {
        self.writer.open_list()?;
        Ok(ListWriter::new(self.writer))
    }

    fn map(self) -> Result<MapWriter<'w, 'static>, Fault> {
        let open = self.writer.open_map()?;
        Ok(MapWriter::new(self.writer, open))
    }

    fn refusal(&self, found: &'static str) -> Fault {
        Fault::new(ItemError::Unsupported {
            path: String::new(),
            found,
        })
    }
}

macro_rules! integers {
    ($($method:ident($int:ty))*) => {$(
        fn $method(self, value: $int) -> Result<(), Fault> {
            self.writer.integer(value);
            Ok(())
        }
    )*};
}

impl<'w> ser::Serializer for ValueSerializer<'w> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = ListWriter<'w>;
    type SerializeTuple = ListWriter<'w>;
    type SerializeTupleStruct = ListWriter<'w>;
    type SerializeTupleVariant = VariantList<'w, 'static>;
    type SerializeMap = MapWriter<'w, 'static>;
    type SerializeStruct = StructWriter<'w>;
    type SerializeStructVariant = VariantMap<'w, 'static>;

    refuse!(i128 u128);

    integers!(
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
    );

    fn serialize_bool(self, value: bool) -> Result<(), Fault> {
        self.writer.bool(value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Fault> {
        float::with_f32(value, |text| self.writer.float(f64::from(value), text))
    }

    fn serialize_f64(self, value: f64) -> Result<(), Fault> {
        float::with_f64(value, |text| self.writer.float(value, text))
    }

    fn serialize_char(self, value: char) -> Result<(), Fault> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Fault> {
        self.writer.string(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Fault> {
        self.writer.binary(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Fault> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        self.writer.null();
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Fault> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Fault> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        match SetKind::of_marker(name) {
            None if name == ATTRIBUTE => {
                let json = text_of(value).ok_or_else(|| self.refusal("an attribute"))?;
                copy_attribute(self.writer, json.as_bytes())
            }
            None => value.serialize(self),
            Some(kind) => value.serialize(SetSerializer {
                writer: self.writer,
                kind,
            }),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        let mut map = self.map()?;
        map.entry(variant, value)?;
        map.close()
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<ListWriter<'w>, Fault> {
        self.list()
    }

    fn serialize_tuple(self, _len: usize) -> Result<ListWriter<'w>, Fault> {
        self.list()
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<ListWriter<'w>, Fault> {
        self.list()
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<VariantList<'w, 'static>, Fault> {
        VariantList::open(self.map()?, variant)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<MapWriter<'w, 'static>, Fault> {
        self.map()
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<StructWriter<'w>, Fault> {
        match Marked::of_struct(name) {
            None => self.map().map(StructWriter::Map),
            Some(Marked::Number) => Ok(StructWriter::Number(self.writer)),
            Some(Marked::Unsupported(found)) => Err(self.refusal(found)),
        }
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<VariantMap<'w, 'static>, Fault> {
        VariantMap::open(self.map()?, variant)
    }
}

/// The attributes of a record that are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selection<'s> {
    pub(super) shape: &'s TableShape,
    /// Only the attributes of the primary key.
    pub(super) key_only: bool,
}

/// A serializer of the record itself, which must come as a map.
pub(super) struct ItemSerializer<'w, 's> {
    pub(super) writer: &'w mut Writer,
    pub(super) selection: Selection<'s>,
}

impl<'w, 's> ItemSerializer<'w, 's> {
    fn map(self) -> MapWriter<'w, 's> {
        let open = self.writer.open_item();
        MapWriter::item(self.writer, open, self.selection)
    }

    fn refusal(&self, found: &'static str) -> Fault {
        Fault::new(ItemError::NotAMap { found })
    }
}

impl<'w, 's> ser::Serializer for ItemSerializer<'w, 's> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Impossible<(), Fault>;
    type SerializeTuple = Impossible<(), Fault>;
    type SerializeTupleStruct = Impossible<(), Fault>;
    type SerializeTupleVariant = VariantList<'w, 's>;
    type SerializeMap = MapWriter<'w, 's>;
    type SerializeStruct = MapWriter<'w, 's>;
    type SerializeStructVariant = VariantMap<'w, 's>;

    refuse!(
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes none unit unit_struct
        unit_variant set seq tuple tuple_struct
    );

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        let mut map = self.map();
        map.entry(variant, value)?;
        map.close()
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<VariantList<'w, 's>, Fault> {
        VariantList::open(self.map(), variant)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<MapWriter<'w, 's>, Fault> {
        Ok(self.map())
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<MapWriter<'w, 's>, Fault> {
        match Marked::of_struct(name) {
            None => Ok(self.map()),
            Some(Marked::Number) => Err(self.refusal("a number")),
            Some(Marked::Unsupported(found)) => Err(self.refusal(found)),
        }
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<VariantMap<'w, 's>, Fault> {
        VariantMap::open(self.map(), variant)
    }
}
