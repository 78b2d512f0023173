//! Records of any type that serde knows.

use super::plan::Plan;
use crate::item::mapping::{check_record, check_value};
use crate::item::model::{Model, NAMES};
use crate::test_util::fuzzing::stored_size;

/// Deeper than an item can be, so that the limit is met.
const MAX_DEPTH: usize = 40;

/// Any bytes as the plan of a record: encoded as `serde_dynamo` maps it, to valid JSON, with the size
/// that another implementation comes to; or refused.
///
/// # Panics
///
/// Where that does not hold.
pub fn records(bytes: &[u8]) {
    let mut plan = Plan(bytes);
    let mut fields = vec![(2, Model::Str(plan.text())), (3, Model::I16(plan.i16()))];
    while !plan.0.is_empty() {
        let name = usize::from(plan.byte());
        let value = plan.value(0);
        check_value(&value);
        fields.push((name % NAMES.len(), value));
    }
    if let Some(encoded) = check_record(&Model::Struct(fields)) {
        let json = serde_json::from_slice(&encoded.json).expect("what was encoded is JSON");
        assert_eq!(stored_size(&json), Some(encoded.stored_size));
    }
}

impl Plan<'_> {
    fn i16(&mut self) -> i16 {
        i16::from_le_bytes(self.bytes())
    }

    fn blob(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte() % 40).min(self.0.len());
        let (blob, rest) = self.0.split_at(len);
        self.0 = rest;
        blob.to_vec()
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.blob()).into_owned()
    }

    fn name(&mut self) -> usize {
        usize::from(self.byte()) % NAMES.len()
    }

    fn char(&mut self) -> char {
        char::from_u32(u32::from_le_bytes(self.bytes()) % 0x11_0000).unwrap_or('\u{fffd}')
    }

    fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.byte() % 12;
        let mut all = Vec::new();
        for _ in 0..count {
            if self.0.is_empty() {
                break;
            }
            all.push(one(self));
        }
        all
    }

    fn scalar(&mut self) -> Model {
        match self.byte() % 22 {
            0 => Model::Unit,
            1 => Model::Bool(self.byte() % 2 == 1),
            2 => Model::I8(i8::from_le_bytes(self.bytes())),
            3 => Model::I16(self.i16()),
            4 => Model::I32(i32::from_le_bytes(self.bytes())),
            5 => Model::I64(i64::from_le_bytes(self.bytes())),
            6 => Model::I128(i128::from_le_bytes(self.bytes())),
            7 => Model::U8(self.byte()),
            8 => Model::U16(u16::from_le_bytes(self.bytes())),
            9 => Model::U32(u32::from_le_bytes(self.bytes())),
            10 => Model::U64(u64::from_le_bytes(self.bytes())),
            11 => Model::U128(u128::from_le_bytes(self.bytes())),
            12 => Model::F32(f32::from_le_bytes(self.bytes())),
            13 => Model::F64(f64::from_le_bytes(self.bytes())),
            // Numbers that are written with a few digits, and numbers near the bounds of the range.
            14 => Model::F64(f64::from(self.i16()) / 64.0),
            15 => Model::F64(f64::from(self.i16()) * 10_f64.powi(i32::from(self.i16()) % 135)),
            16 => Model::Char(self.char()),
            17 => Model::Bytes(self.blob()),
            18 => Model::None,
            19 => Model::UnitStruct,
            20 => Model::UnitVariant,
            _ => Model::Str(self.text()),
        }
    }

    /// Keys for which `serde_dynamo` has an answer; for the rest it panics.
    fn map_key(&mut self) -> Model {
        match self.byte() % 12 {
            0 => Model::U8(self.byte()),
            1 => Model::I64(i64::from_le_bytes(self.bytes())),
            2 => Model::I128(i128::from_le_bytes(self.bytes())),
            3 => Model::Char(self.char()),
            4 => Model::Bool(self.byte() % 2 == 1),
            5 => Model::UnitVariant,
            6 => Model::F64(f64::from_le_bytes(self.bytes())),
            7 => Model::None,
            8 => Model::Newtype(Box::new(Model::Str(NAMES[self.name()].to_owned()))),
            9 => Model::Str(self.text()),
            _ => Model::Str(NAMES[self.name()].to_owned()),
        }
    }

    fn value(&mut self, depth: usize) -> Model {
        let kind = self.byte() % 24;
        if depth == MAX_DEPTH || self.0.is_empty() {
            return self.scalar();
        }
        let inner = |plan: &mut Self| plan.value(depth + 1);
        match kind {
            0 => Model::Some(Box::new(inner(self))),
            1 => Model::Newtype(Box::new(inner(self))),
            2 => Model::NewtypeVariant(Box::new(inner(self))),
            3 => Model::Seq(self.many(inner)),
            4 => Model::Tuple(self.many(inner)),
            5 => Model::TupleStruct(self.many(inner)),
            6 => Model::TupleVariant(self.many(inner)),
            7 | 8 => Model::Map(self.many(|plan| (plan.map_key(), inner(plan)))),
            9 | 10 => Model::Struct(self.many(|plan| (plan.name(), inner(plan)))),
            11 => Model::StructVariant(self.many(|plan| (plan.name(), inner(plan)))),
            12 => Model::Strings(Box::new(Model::Seq(
                self.many(|plan| Model::Str(plan.text())),
            ))),
            13 => Model::Numbers(Box::new(Model::Seq(
                self.many(|plan| Model::I8(i8::from_le_bytes(plan.bytes()))),
            ))),
            14 => Model::Numbers(Box::new(Model::Seq(self.many(Self::scalar)))),
            15 => Model::Binaries(Box::new(Model::Seq(
                self.many(|plan| Model::Bytes(plan.blob())),
            ))),
            16 => Model::Strings(Box::new(inner(self))),
            17 => Model::Numbers(Box::new(inner(self))),
            18 => Model::Binaries(Box::new(inner(self))),
            _ => self.scalar(),
        }
    }
}
