//! The reading is `serde_dynamo`'s, whatever is asked of whatever value.

use super::Value;
use crate::item::mapping_tests::draw;
use crate::item::model::Model;
use crate::item::scanner::Scanner;
use crate::item::seeded::config;
use crate::item::{encode_value, parse};
use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use std::fmt;

/// The requests to a deserializer, method by method.
#[derive(Clone, Debug)]
enum Ask {
    Any,
    Leaf(usize),
    Option(Box<Ask>),
    Newtype(Box<Ask>),
    Seq(Box<Ask>),
    Tuple(usize, Box<Ask>),
    Map(Box<Ask>, Box<Ask>),
    Struct(Box<Ask>),
    /// The requests to the variant, and to its contents.
    Enum(usize, Box<Ask>),
    Ignored,
}

/// The methods without anything inside.
const LEAVES: usize = 20;

/// The 128-bit integers, which `serde_dynamo` reads as names only.
const WIDE: usize = LEAVES + 2;

macro_rules! ask_leaf {
    ($which:expr, $d:expr, $visitor:expr, $($number:literal $method:ident)*) => {
        match $which {
            $($number => $d.$method($visitor),)*
            18 => $d.deserialize_unit_struct("Nothing", $visitor),
            19 => $d.deserialize_identifier($visitor),
            other => panic!("no method of number {other}"),
        }
    };
}

/// Asks, and returns the result as a text.
#[derive(Clone, Copy)]
struct See<'a>(&'a Ask);

impl<'de> DeserializeSeed<'de> for See<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<String, D::Error> {
        match self.0 {
            Ask::Any => d.deserialize_any(self),
            Ask::Leaf(which) => ask_leaf!(*which, d, self,
                0 deserialize_bool 1 deserialize_i8 2 deserialize_i16 3 deserialize_i32 4 deserialize_i64
                5 deserialize_u8 6 deserialize_u16 7 deserialize_u32 8 deserialize_u64 9 deserialize_f32
                10 deserialize_f64 11 deserialize_char 12 deserialize_str 13 deserialize_string
                14 deserialize_bytes 15 deserialize_byte_buf 16 deserialize_unit 17 deserialize_any
                20 deserialize_i128 21 deserialize_u128),
            Ask::Option(_) => d.deserialize_option(self),
            Ask::Newtype(_) => d.deserialize_newtype_struct("Wrapper", self),
            Ask::Seq(_) => d.deserialize_seq(self),
            Ask::Tuple(len, _) if len % 2 == 0 => d.deserialize_tuple(*len, self),
            Ask::Tuple(len, _) => d.deserialize_tuple_struct("Pair", *len, self),
            Ask::Map(..) => d.deserialize_map(self),
            Ask::Struct(_) => d.deserialize_struct("Record", &[], self),
            Ask::Enum(..) => d.deserialize_enum("Choice", &[], self),
            Ask::Ignored => {
                serde::Deserialize::deserialize(d).map(|IgnoredAny| "ignored".to_owned())
            }
        }
    }
}

impl See<'_> {
    fn inner(&self) -> &Ask {
        match self.0 {
            Ask::Option(inner)
            | Ask::Newtype(inner)
            | Ask::Seq(inner)
            | Ask::Tuple(_, inner)
            | Ask::Map(_, inner)
            | Ask::Struct(inner)
            | Ask::Enum(_, inner) => inner,
            _ => &Ask::Any,
        }
    }
}

macro_rules! tell {
    ($($method:ident $type:ty, $name:literal)*) => {$(
        fn $method<E: serde::de::Error>(self, v: $type) -> Result<String, E> {
            Ok(format!("{} {v:?}", $name))
        }
    )*};
}

impl<'de> Visitor<'de> for See<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    tell! {
        visit_bool bool, "bool"
        visit_i8 i8, "i8" visit_i16 i16, "i16" visit_i32 i32, "i32" visit_i64 i64, "i64" visit_i128 i128, "i128"
        visit_u8 u8, "u8" visit_u16 u16, "u16" visit_u32 u32, "u32" visit_u64 u64, "u64" visit_u128 u128, "u128"
        visit_f32 f32, "f32" visit_f64 f64, "f64" visit_char char, "char" visit_str &str, "str"
        visit_bytes &[u8], "bytes"
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok("unit".to_owned())
    }

    fn visit_none<E>(self) -> Result<String, E> {
        Ok("none".to_owned())
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<String, D::Error> {
        See(self.inner())
            .deserialize(d)
            .map(|v| format!("some {v}"))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<String, D::Error> {
        See(self.inner())
            .deserialize(d)
            .map(|v| format!("newtype {v}"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<String, A::Error> {
        let most = match self.0 {
            Ask::Tuple(len, _) => *len,
            _ => usize::MAX,
        };
        let mut all = Vec::new();
        while all.len() < most
            && let Some(one) = seq.next_element_seed(See(self.inner()))?
        {
            all.push(one);
        }
        Ok(format!("{all:?}"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let key = match self.0 {
            Ask::Map(key, _) => key,
            _ => &Ask::Any,
        };
        let mut all = Vec::new();
        while let Some(key) = map.next_key_seed(See(key))? {
            // A value now and then that is not asked for.
            if key.contains("longer") {
                all.push((key, String::new()));
            } else {
                all.push((key, map.next_value_seed(See(self.inner()))?));
            }
        }
        all.sort();
        Ok(format!("{all:?}"))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<String, A::Error> {
        let (variant, content) = data.variant_seed(See(&Ask::Leaf(19)))?;
        let content = match self.0 {
            Ask::Enum(0, _) => content.unit_variant().map(|()| "unit".to_owned()),
            Ask::Enum(1, inner) => content.newtype_variant_seed(See(inner)),
            Ask::Enum(2, inner) => content.tuple_variant(2, See(&Ask::Tuple(2, inner.clone()))),
            Ask::Enum(3, inner) => content.struct_variant(&[], See(&Ask::Struct(inner.clone()))),
            _ => Ok("left alone".to_owned()),
        }?;
        Ok(format!("{variant} of {content}"))
    }
}

/// Mostly something that fits the value, now and then something that may not.
fn ask(value: &AttributeValue, dice: &mut fastrand::Rng) -> Ask {
    match dice.u8(..40) {
        0 => return Ask::Leaf(dice.usize(..LEAVES)),
        1 => return Ask::Ignored,
        2 => return Ask::Struct(Box::new(Ask::Any)),
        3 => return Ask::Enum(dice.usize(..5), Box::new(Ask::Any)),
        4 => return Ask::Any,
        5 => return Ask::Tuple(dice.usize(..4), Box::new(Ask::Any)),
        6..9 => return Ask::Option(Box::new(ask(value, dice))),
        9..12 => return Ask::Newtype(Box::new(ask(value, dice))),
        _ => {}
    }
    let one = |dice: &mut fastrand::Rng, from: &[usize]| Ask::Leaf(from[dice.usize(..from.len())]);
    match value {
        AttributeValue::S(_) if dice.bool() => Ask::Enum(0, Box::new(Ask::Any)),
        AttributeValue::S(_) => one(dice, &[11, 12, 13, 17, 19]),
        AttributeValue::N(_) => one(dice, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17]),
        AttributeValue::B(_) => one(dice, &[14, 15, 17]),
        AttributeValue::Bool(_) => one(dice, &[0, 17]),
        AttributeValue::Null(_) => one(dice, &[16, 17, 18]),
        AttributeValue::L(all) => {
            let inner = Box::new(all.first().map_or(Ask::Any, |first| ask(first, dice)));
            match dice.u8(..3) {
                0 => Ask::Seq(inner),
                1 => Ask::Tuple(dice.usize(..4), inner),
                _ => Ask::Struct(inner),
            }
        }
        AttributeValue::M(all) => {
            let first = all.iter().min_by_key(|(name, _)| *name);
            let inner = Box::new(first.map_or(Ask::Any, |(_, first)| ask(first, dice)));
            match dice.u8(..4) {
                0 => Ask::Enum(dice.usize(..5), inner),
                1 => Ask::Struct(inner),
                2 => Ask::Map(Box::new(Ask::Leaf(dice.usize(..WIDE))), inner),
                _ => Ask::Map(Box::new(Ask::Any), inner),
            }
        }
        // No options and newtypes among members: there ours has a reading where `serde_dynamo` has
        // none.
        _ => Ask::Seq(Box::new(one(
            dice,
            &[0, 1, 4, 8, 9, 10, 11, 13, 14, 17, 19],
        ))),
    }
}

/// Checks that both read the same or neither reads anything, and returns whether they read.
fn read_alike(model: &Model, seed: u64) -> Option<bool> {
    let json = encode_value(model).ok()?;
    let json = [b"{\"v\":", json.as_slice(), b"}"].concat();
    let item = parse(&json).expect("what was encoded can be read");
    let mut dice = fastrand::Rng::with_seed(seed);
    let asked = ask(&item["v"], &mut dice);

    let theirs: serde_dynamo::AttributeValue = item["v"].clone().into();
    let theirs = serde_dynamo::Deserializer::from_attribute_value(theirs);
    let theirs = See(&asked).deserialize(theirs);
    let mut scanner = Scanner::new(json.get(5..).expect("the name was put before it"));
    let ours = Value::attribute(&mut scanner, 1).take(|value| See(&asked).deserialize(value));
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{asked:?}"),
        (Err(_), Err(_)) => {}
        _ => panic!("{asked:?} of {:?}: {ours:?}, theirs {theirs:?}", item["v"]),
    }
    // Well or not, the value has been taken whole.
    scanner
        .expect(b'}', "the end of the item")
        .expect("it is next");
    scanner.end().expect("nothing follows");
    Some(ours.is_ok())
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn a_value_reads_as_serde_dynamo_reads_it(value in draw::value(), seed: u64) {
        read_alike(&value, seed);
    }
}

#[test]
fn the_asks_are_answered_often_and_refused_often() {
    let values = [
        Model::Str("a".to_owned()),
        Model::U8(7),
        Model::Seq(vec![Model::Bool(true), Model::Bool(false)]),
        Model::Map(vec![(Model::Str("a".to_owned()), Model::Bytes(vec![1]))]),
        Model::Strings(Box::new(Model::Seq(vec![Model::Str("a".to_owned())]))),
    ];
    for value in values {
        let answered = (0..500)
            .filter(|&seed| read_alike(&value, seed) == Some(true))
            .count();
        assert!((50..490).contains(&answered), "{answered} of {value:?}");
    }
}
