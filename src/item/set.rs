//! Sets: `serde_dynamo`'s markers, and DynamoDB's rules for sets.
//!
//! serde knows no sets. `serde_dynamo` marks them with a newtype of a private name around a
//! sequence. The same names are honored here (pinned by a test), so its modules work, under its own
//! name and as `item::string_set`.

use super::ItemError;
use super::elements::takes_elements;
use super::fault::Fault;
use super::float;
use super::marked::{Marked, text_of};
use super::number::Decimal;
use super::unsupported::refuse;
use super::writer::Writer;
use serde::Serialize;
use serde::ser::{self, Impossible};

/// The most members that are compared one with another; more are sorted.
const MAX_PAIRWISE_MEMBERS: usize = 8;

/// The type of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetKind {
    Strings,
    Numbers,
    Binaries,
}

impl SetKind {
    /// Returns the set that a newtype of this name asks for.
    pub(super) fn of_marker(name: &str) -> Option<Self> {
        // Each begins with U+037E, which no Rust identifier may; one comparison settles the usual
        // case.
        if !name.starts_with('\u{37e}') {
            return None;
        }
        match name {
            "\u{37e}STRINGSET\u{37e}" => Some(Self::Strings),
            "\u{37e}NUMBERSET\u{37e}" => Some(Self::Numbers),
            "\u{37e}BYTESSET\u{37e}" => Some(Self::Binaries),
            _ => None,
        }
    }

    /// Returns DynamoDB's name of the type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Strings => "SS",
            Self::Numbers => "NS",
            Self::Binaries => "BS",
        }
    }

    pub(super) fn opening(self) -> &'static [u8] {
        match self {
            Self::Strings => b"{\"SS\":[",
            Self::Numbers => b"{\"NS\":[",
            Self::Binaries => b"{\"BS\":[",
        }
    }

    #[cold]
    pub(super) fn not_a_set(self, found: &'static str) -> Fault {
        Fault::new(ItemError::NotASet {
            path: String::new(),
            wanted: self.name(),
            found,
        })
    }

    #[cold]
    fn wrong_member(self, found: &'static str) -> Fault {
        Fault::new(ItemError::WrongMember {
            path: String::new(),
            wanted: self.name(),
            found,
        })
    }
}

impl Writer {
    /// Writes the next member of the open set by `write`, between quotes.
    pub(super) fn member(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let index = self.members.len();
        self.buf
            .extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
        let start = self.buf.len();
        write(self).map_err(|fault| self.breaks(fault.at(index)))?;
        self.members.push((start, self.buf.len()));
        self.buf.push(b'"');
        Ok(())
    }

    /// Closes the open set, unless it is empty or repeats a member.
    pub(super) fn close_set(&mut self, kind: SetKind) -> Result<(), Fault> {
        if self.members.is_empty() {
            return Err(Fault::new(ItemError::EmptySet {
                path: String::new(),
            }));
        }
        if let Some(index) = self.repeated_member(kind) {
            return Err(Fault::new(ItemError::RepeatedMember {
                path: String::new(),
            })
            .at(index));
        }
        self.buf.extend_from_slice(b"]}");
        Ok(())
    }

    /// Returns the position of a member that was there before. Escaping and base64 give equal bytes
    /// for equal values; numbers need their canonical form.
    fn repeated_member(&self, kind: SetKind) -> Option<usize> {
        let texts = self
            .members
            .iter()
            .map(|&(start, end)| self.buf.get(start..end).unwrap_or_default());
        match kind {
            SetKind::Strings | SetKind::Binaries => repeated(texts),
            SetKind::Numbers => repeated(texts.map(|text| Decimal::parse(text).ok())),
        }
    }
}

fn repeated<T: Ord>(values: impl ExactSizeIterator<Item = T>) -> Option<usize> {
    if values.len() < 2 {
        return None;
    }
    let mut values: Vec<(T, usize)> = values.enumerate().map(|(i, value)| (value, i)).collect();
    if values.len() <= MAX_PAIRWISE_MEMBERS {
        let same_before = |i: usize| {
            values
                .iter()
                .take(i)
                .any(|(value, _)| *value == values[i].0)
        };
        return (1..values.len()).find(|&i| same_before(i));
    }
    values.sort_unstable();
    values
        .windows(2)
        .filter(|pair| pair[0].0 == pair[1].0)
        .map(|pair| pair[1].1)
        .min()
}

/// A serializer of the sequence inside a set marker.
pub(super) struct SetSerializer<'w> {
    pub(super) writer: &'w mut Writer,
    pub(super) kind: SetKind,
}

impl<'w> SetSerializer<'w> {
    fn open(self) -> SetMembers<'w> {
        self.writer.open_set(self.kind);
        SetMembers {
            writer: self.writer,
            kind: self.kind,
        }
    }

    fn refusal(&self, found: &'static str) -> Fault {
        self.kind.not_a_set(found)
    }
}

impl<'w> ser::Serializer for SetSerializer<'w> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = SetMembers<'w>;
    type SerializeTuple = SetMembers<'w>;
    type SerializeTupleStruct = SetMembers<'w>;
    type SerializeTupleVariant = Impossible<(), Fault>;
    type SerializeMap = Impossible<(), Fault>;
    type SerializeStruct = Impossible<(), Fault>;
    type SerializeStructVariant = Impossible<(), Fault>;

    refuse!(
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes none unit unit_struct
        unit_variant set newtype_variant tuple_variant map struct struct_variant
    );

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<SetMembers<'w>, Fault> {
        Ok(self.open())
    }

    fn serialize_tuple(self, _len: usize) -> Result<SetMembers<'w>, Fault> {
        Ok(self.open())
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<SetMembers<'w>, Fault> {
        Ok(self.open())
    }
}

/// The members of a set, one after another.
pub(super) struct SetMembers<'w> {
    writer: &'w mut Writer,
    kind: SetKind,
}

impl SetMembers<'_> {
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let kind = self.kind;
        self.writer
            .member(|writer| value.serialize(MemberSerializer { writer, kind }))
    }

    fn close(self) -> Result<(), Fault> {
        self.writer.close_set(self.kind)
    }
}

takes_elements!(SetMembers);

/// A serializer of one member of a set: an `S`, `N` or `B` without its type.
struct MemberSerializer<'w> {
    writer: &'w mut Writer,
    kind: SetKind,
}

impl MemberSerializer<'_> {
    fn require(&self, kind: SetKind, found: &'static str) -> Result<(), Fault> {
        if self.kind == kind {
            Ok(())
        } else {
            Err(self.refusal(found))
        }
    }

    fn refusal(&self, found: &'static str) -> Fault {
        self.kind.wrong_member(found)
    }
}

macro_rules! integer_members {
    ($($method:ident($int:ty))*) => {$(
        fn $method(self, value: $int) -> Result<(), Fault> {
            self.require(SetKind::Numbers, "a number")?;
            self.writer.bare_integer(value);
            Ok(())
        }
    )*};
}

impl<'w> ser::Serializer for MemberSerializer<'w> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Impossible<(), Fault>;
    type SerializeTuple = Impossible<(), Fault>;
    type SerializeTupleStruct = Impossible<(), Fault>;
    type SerializeTupleVariant = Impossible<(), Fault>;
    type SerializeMap = Impossible<(), Fault>;
    type SerializeStruct = NumberMember<'w>;
    type SerializeStructVariant = Impossible<(), Fault>;

    refuse!(
        bool i128 u128 none unit unit_struct set newtype_variant seq tuple tuple_struct tuple_variant map
        struct_variant
    );

    integer_members!(
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
    );

    fn serialize_f32(self, value: f32) -> Result<(), Fault> {
        self.require(SetKind::Numbers, "a number")?;
        float::with_f32(value, |text| self.writer.bare_float(f64::from(value), text))
    }

    fn serialize_f64(self, value: f64) -> Result<(), Fault> {
        self.require(SetKind::Numbers, "a number")?;
        float::with_f64(value, |text| self.writer.bare_float(value, text))
    }

    fn serialize_char(self, value: char) -> Result<(), Fault> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Fault> {
        self.require(SetKind::Strings, "a string")?;
        self.writer.bare_string(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Fault> {
        self.require(SetKind::Binaries, "bytes")?;
        self.writer.bare_binary(value);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<NumberMember<'w>, Fault> {
        if Marked::of_struct(name) != Some(Marked::Number) {
            return Err(self.refusal("a map"));
        }
        self.require(SetKind::Numbers, "a number")?;
        Ok(NumberMember(self.writer))
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Fault> {
        self.serialize_str(variant)
    }
}

/// A serializer of the text of a number that is marked by the name of a struct.
struct NumberMember<'w>(&'w mut Writer);

impl ser::SerializeStruct for NumberMember<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        self.0.bare_number(&text_of(value).unwrap_or_default())
    }

    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}
