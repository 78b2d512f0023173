//! Values and records drawn for property tests.

use crate::item::model::{Model, NAMES, name};
use proptest::prelude::*;

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

pub(in crate::item) fn value() -> impl Strategy<Value = Model> {
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
