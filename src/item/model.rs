//! Values over the whole of serde's data model, to compare the encoder with `serde_dynamo`'s
//! mapping.

use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};
use serde_dynamo::{binary_set::BinarySet, number_set::NumberSet, string_set::StringSet};

/// A value of serde's data model, serialized through the method of its name.
#[derive(Clone, Debug)]
pub(crate) enum Model {
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    F32(f32),
    F64(f64),
    Char(char),
    Str(String),
    Bytes(Vec<u8>),
    None,
    Some(Box<Model>),
    Unit,
    UnitStruct,
    UnitVariant,
    Newtype(Box<Model>),
    NewtypeVariant(Box<Model>),
    Seq(Vec<Model>),
    Tuple(Vec<Model>),
    TupleStruct(Vec<Model>),
    TupleVariant(Vec<Model>),
    Map(Vec<(Model, Model)>),
    Struct(Vec<(usize, Model)>),
    StructVariant(Vec<(usize, Model)>),
    Strings(Box<Model>),
    Numbers(Box<Model>),
    Binaries(Box<Model>),
}

/// Few names, so that maps repeat them now and then.
pub(crate) const NAMES: [&str; 8] = [
    "a",
    "b",
    "pk",
    "sk",
    "with \"quotes\"",
    "größe",
    "a longer name",
    "",
];

pub(super) fn name(index: usize) -> &'static str {
    NAMES[index % NAMES.len()]
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(v) => s.serialize_bool(*v),
            Self::I8(v) => s.serialize_i8(*v),
            Self::I16(v) => s.serialize_i16(*v),
            Self::I32(v) => s.serialize_i32(*v),
            Self::I64(v) => s.serialize_i64(*v),
            Self::I128(v) => s.serialize_i128(*v),
            Self::U8(v) => s.serialize_u8(*v),
            Self::U16(v) => s.serialize_u16(*v),
            Self::U32(v) => s.serialize_u32(*v),
            Self::U64(v) => s.serialize_u64(*v),
            Self::U128(v) => s.serialize_u128(*v),
            Self::F32(v) => s.serialize_f32(*v),
            Self::F64(v) => s.serialize_f64(*v),
            Self::Char(v) => s.serialize_char(*v),
            Self::Str(v) => s.serialize_str(v),
            Self::Bytes(v) => s.serialize_bytes(v),
            Self::None => s.serialize_none(),
            Self::Some(v) => s.serialize_some(v),
            Self::Unit => s.serialize_unit(),
            Self::UnitStruct => s.serialize_unit_struct("Nothing"),
            Self::UnitVariant => s.serialize_unit_variant("Choice", 0, "First"),
            Self::Newtype(v) => s.serialize_newtype_struct("Wrapper", v),
            Self::NewtypeVariant(v) => s.serialize_newtype_variant("Choice", 1, "pk", v),
            Self::Seq(all) => {
                let mut seq = s.serialize_seq(None)?;
                all.iter().try_for_each(|v| seq.serialize_element(v))?;
                seq.end()
            }
            Self::Tuple(all) => {
                let mut tuple = s.serialize_tuple(all.len())?;
                all.iter().try_for_each(|v| tuple.serialize_element(v))?;
                tuple.end()
            }
            Self::TupleStruct(all) => {
                let mut tuple = s.serialize_tuple_struct("Pair", all.len())?;
                all.iter().try_for_each(|v| tuple.serialize_field(v))?;
                tuple.end()
            }
            Self::TupleVariant(all) => {
                let mut tuple = s.serialize_tuple_variant("Choice", 2, "Third", all.len())?;
                all.iter().try_for_each(|v| tuple.serialize_field(v))?;
                tuple.end()
            }
            Self::Map(all) => {
                let mut map = s.serialize_map(None)?;
                for (i, (k, v)) in all.iter().enumerate() {
                    if i % 2 == 0 {
                        map.serialize_entry(k, v)?;
                    } else {
                        map.serialize_key(k)?;
                        map.serialize_value(v)?;
                    }
                }
                map.end()
            }
            Self::Struct(all) => {
                let mut fields = s.serialize_struct("Record", all.len())?;
                for (i, v) in all {
                    fields.serialize_field(name(*i), v)?;
                    fields.skip_field("skipped")?;
                }
                fields.end()
            }
            Self::StructVariant(all) => {
                let mut fields = s.serialize_struct_variant("Choice", 3, "sk", all.len())?;
                all.iter()
                    .try_for_each(|(i, v)| fields.serialize_field(name(*i), v))?;
                fields.end()
            }
            Self::Strings(v) => StringSet(v).serialize(s),
            Self::Numbers(v) => NumberSet(v).serialize(s),
            Self::Binaries(v) => BinarySet(v).serialize(s),
        }
    }
}

/// Returns the number of entries of all maps in a value, repeated names counted each time.
pub(super) fn entries_given(value: &Model) -> usize {
    let of = |all: &[Model]| all.iter().map(entries_given).sum::<usize>();
    match value {
        Model::Some(v) | Model::Newtype(v) => entries_given(v),
        Model::NewtypeVariant(v) => 1 + entries_given(v),
        Model::Seq(all) | Model::Tuple(all) | Model::TupleStruct(all) => of(all),
        Model::TupleVariant(all) => 1 + of(all),
        Model::Map(all) => all.iter().map(|(_, v)| 1 + entries_given(v)).sum(),
        Model::Struct(all) => all.iter().map(|(_, v)| 1 + entries_given(v)).sum(),
        Model::StructVariant(all) => {
            1 + all.iter().map(|(_, v)| 1 + entries_given(v)).sum::<usize>()
        }
        _ => 0,
    }
}
