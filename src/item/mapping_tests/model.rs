//! Values over the whole of serde's data model, and how to draw them.

use proptest::prelude::*;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};
use serde_dynamo::{binary_set::BinarySet, number_set::NumberSet, string_set::StringSet};

/// A value of serde's data model, serialised through the method of its name.
#[derive(Clone, Debug)]
pub(super) enum Model {
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
const NAMES: [&str; 8] = [
    "a",
    "b",
    "pk",
    "sk",
    "with \"quotes\"",
    "größe",
    "a longer name",
    "",
];

fn name(index: usize) -> &'static str {
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

fn scalar() -> impl Strategy<Value = Model> {
    prop_oneof![
        any::<bool>().prop_map(Model::Bool),
        any::<i8>().prop_map(Model::I8),
        any::<i16>().prop_map(Model::I16),
        any::<i32>().prop_map(Model::I32),
        any::<i64>().prop_map(Model::I64),
        any::<u8>().prop_map(Model::U8),
        any::<u16>().prop_map(Model::U16),
        any::<u32>().prop_map(Model::U32),
        any::<u64>().prop_map(Model::U64),
        any::<f32>().prop_map(Model::F32),
        (-1e30..1e30).prop_map(Model::F64),
        any::<char>().prop_map(Model::Char),
        "(?s).{0,12}".prop_map(Model::Str),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Model::Bytes),
        Just(Model::None),
        Just(Model::Unit),
        Just(Model::UnitStruct),
        Just(Model::UnitVariant),
    ]
}

/// Rarely accepted by anyone, so drawn rarely.
fn awkward() -> impl Strategy<Value = Model> {
    prop_oneof![
        any::<i128>().prop_map(Model::I128),
        any::<u128>().prop_map(Model::U128),
        any::<f64>().prop_map(Model::F64),
        prop::num::f64::ANY.prop_map(Model::F64),
    ]
}

/// Keys for which `serde_dynamo` has an answer; for the rest it panics.
fn map_key() -> impl Strategy<Value = Model> {
    prop_oneof![
        8 => (0..NAMES.len() - 1).prop_map(|i| Model::Str(name(i).to_owned())),
        2 => "(?s).{1,9}".prop_map(Model::Str),
        1 => any::<i128>().prop_map(Model::I128),
        1 => any::<u128>().prop_map(Model::U128),
        1 => any::<u8>().prop_map(Model::U8),
        1 => any::<i64>().prop_map(Model::I64),
        1 => any::<char>().prop_map(Model::Char),
        1 => any::<bool>().prop_map(Model::Bool),
        1 => Just(Model::UnitVariant),
        1 => (0..4_usize).prop_map(|i| Model::Newtype(Box::new(Model::Str(name(i).to_owned())))),
    ]
}

fn bad_map_key() -> impl Strategy<Value = Model> {
    prop_oneof![
        any::<f64>().prop_map(Model::F64),
        Just(Model::None),
        Just(Model::Unit),
        Just(Model::Some(Box::new(Model::Bool(true)))),
    ]
}

fn set() -> impl Strategy<Value = Model> {
    let many = |one: BoxedStrategy<Model>| {
        prop::collection::vec(one, 0..12).prop_map(|all| Box::new(Model::Seq(all)))
    };
    let number = prop_oneof![
        (0..20_u8).prop_map(Model::U8),
        any::<i64>().prop_map(Model::I64),
        (-9..9_i8).prop_map(|v| Model::F32(f32::from(v) / 4.0)),
    ];
    let bytes = prop::collection::vec(0..4_u8, 0..4).prop_map(Model::Bytes);
    prop_oneof![
        many("[a-c\"\\\\]{0,3}".prop_map(Model::Str).boxed()).prop_map(Model::Strings),
        many(number.boxed()).prop_map(Model::Numbers),
        many(bytes.boxed()).prop_map(Model::Binaries),
        many(scalar().boxed()).prop_map(Model::Strings),
        many(scalar().boxed()).prop_map(Model::Numbers),
        scalar().prop_map(|v| Model::Binaries(Box::new(v))),
    ]
}

pub(super) fn value() -> impl Strategy<Value = Model> {
    let leaf = prop_oneof![40 => scalar(), 1 => awkward(), 6 => set()];
    leaf.prop_recursive(6, 60, 8, |inner| {
        let all = || prop::collection::vec(inner.clone(), 0..6);
        let fields = || prop::collection::vec((0..NAMES.len() - 1, inner.clone()), 0..7);
        let key = prop_oneof![60 => map_key(), 1 => bad_map_key()];
        prop_oneof![
            all().prop_map(Model::Seq),
            all().prop_map(Model::Tuple),
            all().prop_map(Model::TupleStruct),
            all().prop_map(Model::TupleVariant),
            prop::collection::vec((key, inner.clone()), 0..8).prop_map(Model::Map),
            fields().prop_map(Model::Struct),
            fields().prop_map(Model::StructVariant),
            inner.clone().prop_map(|v| Model::Some(Box::new(v))),
            inner.clone().prop_map(|v| Model::Newtype(Box::new(v))),
            inner
                .clone()
                .prop_map(|v| Model::NewtypeVariant(Box::new(v))),
            inner.clone().prop_map(|v| Model::Strings(Box::new(v))),
        ]
    })
}

/// A record that has, more often than not, a fit key.
pub(super) fn record() -> impl Strategy<Value = Model> {
    let keys = (
        "[a-z]{1,4}".prop_map(Model::Str),
        any::<i64>().prop_map(Model::I64),
    );
    let fields = prop::collection::vec((0..NAMES.len() - 1, value()), 0..8);
    let whole = (keys, fields, any::<bool>()).prop_map(|((pk, sk), mut fields, first)| {
        let at = if first { 0 } else { fields.len() };
        fields.splice(at..at, [(2, pk), (3, sk)]);
        Model::Struct(fields)
    });
    prop_oneof![8 => whole, 1 => value()]
}

/// The entries of all maps in a value, repeated names counted each time.
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
