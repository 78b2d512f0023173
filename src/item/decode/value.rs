//! An attribute's value, or the item itself, as serde asks for it.

use super::access::{Elements, Entries, Members};
use super::error::Fault;
use super::kind::Kind;
use super::scalar::{Binary, Number, Text, visit_text, visit_unit_variant};
use super::variant::Variant;
use crate::item::attribute::ATTRIBUTE;
use crate::item::json::{base64, boolean};
use crate::item::limits::MAX_DEPTH;
use crate::item::scanner::Scanner;
use serde::de::{Deserializer, Visitor};
use std::borrow::Cow;

/// A value that is next in the text, not yet taken from it.
pub(super) struct Value<'a, 'de> {
    scanner: &'a mut Scanner<'de>,
    /// The number of maps and lists around it, the item included; none for the item, which has no
    /// type.
    depth: usize,
}

impl<'a, 'de> Value<'a, 'de> {
    pub(super) fn item(scanner: &'a mut Scanner<'de>) -> Self {
        Self { scanner, depth: 0 }
    }

    pub(super) fn attribute(scanner: &'a mut Scanner<'de>, depth: usize) -> Self {
        Self { scanner, depth }
    }

    /// Has the value read and moves past it, even where it was not read to its end: a type may
    /// leave a value alone, and one that ignores an error finds the next value where it should be.
    #[inline]
    pub(super) fn take<T>(
        self,
        read: impl FnOnce(Value<'_, 'de>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let start = self.scanner.offset();
        let result = read(Value {
            scanner: &mut *self.scanner,
            depth: self.depth,
        });
        if result.is_err() || self.scanner.offset() == start {
            self.scanner.rewind(start);
            let skipped = self.scanner.skip();
            if result.is_ok() {
                skipped?;
            }
        }
        result
    }

    /// Takes the opening, which holds the type of the value.
    #[inline]
    fn open(&mut self) -> Result<Kind, Fault> {
        if self.depth == 0 {
            return Ok(Kind::Map);
        }
        self.scanner.expect(b'{', "an attribute value")?;
        let name = self.scanner.name()?;
        Ok(Kind::of(name).ok_or_else(|| self.scanner.fault("an attribute type"))?)
    }

    /// Takes the end of the value.
    #[inline]
    fn close(&mut self) -> Result<(), Fault> {
        if self.depth == 0 {
            return Ok(());
        }
        Ok(self.scanner.expect(b'}', "one type")?)
    }

    /// Takes the type, which has to be this one.
    #[inline]
    fn expect<V: Visitor<'de>>(&mut self, wanted: Kind, visitor: &V) -> Result<(), Fault> {
        let found = self.open()?;
        if found == wanted {
            Ok(())
        } else {
            Err(Fault::unfit(found.name(), visitor))
        }
    }

    #[inline]
    fn text(mut self) -> Result<Cow<'de, str>, Fault> {
        let text = self.scanner.text()?;
        self.close()?;
        Ok(text)
    }

    fn binary(mut self) -> Result<Vec<u8>, Fault> {
        let bytes = base64(self.scanner)?;
        self.close()?;
        Ok(bytes)
    }

    fn boolean(mut self) -> Result<bool, Fault> {
        let value = boolean(self.scanner)?;
        self.close()?;
        Ok(value)
    }

    /// Takes the text of a value that has to be a string.
    #[inline]
    fn string<V: Visitor<'de>>(mut self, visitor: &V) -> Result<Cow<'de, str>, Fault> {
        self.expect(Kind::String, visitor)?;
        self.text()
    }

    #[inline]
    fn number<V: Visitor<'de>>(mut self, visitor: &V) -> Result<Number<'de>, Fault> {
        self.expect(Kind::Number, visitor)?;
        self.text().map(Number)
    }

    fn null<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        self.expect(Kind::Null, &visitor)?;
        self.visit_null(visitor)
    }

    /// Visits a NULL, which is always true in DynamoDB.
    fn visit_null<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.boolean()? {
            visitor.visit_unit()
        } else {
            Err(Fault::unfit(Kind::Null.name(), &visitor))
        }
    }

    fn visit_sequence<V: Visitor<'de>>(
        mut self,
        found: Kind,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let value = match found {
            Kind::List => {
                let depth = self.deeper()?;
                let mut elements = Elements::open(self.scanner, depth)?;
                let value = visitor.visit_seq(&mut elements)?;
                elements.close()?;
                Ok(value)
            }
            Kind::Strings => Members::visit(self.scanner, visitor, |s| Ok(Text(s.text()?))),
            Kind::Numbers => Members::visit(self.scanner, visitor, |s| Ok(Number(s.text()?))),
            Kind::Binaries => Members::visit(self.scanner, visitor, |s| Ok(Binary(base64(s)?))),
            _ => return Err(Fault::unfit(found.name(), &visitor)),
        };
        let value = value.map_err(|fault| fault.of_sequence(found.name()))?;
        self.close()?;
        Ok(value)
    }

    #[inline]
    fn visit_entries<V: Visitor<'de>>(
        mut self,
        found: Kind,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if found != Kind::Map {
            return Err(Fault::unfit(found.name(), &visitor));
        }
        let depth = self.deeper()?;
        let mut entries = Entries::open(self.scanner, depth, fields)?;
        let value = visitor.visit_map(&mut entries)?;
        entries.close()?;
        self.close()?;
        Ok(value)
    }

    /// Reads a map; the type knows these of its names.
    pub(super) fn map<V: Visitor<'de>>(
        mut self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let found = self.open()?;
        self.visit_entries(found, fields, visitor)
    }

    /// Returns the depth of the values in this map or list. The limit bounds the recursion.
    fn deeper(&self) -> Result<usize, Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::too_deep());
        }
        Ok(self.depth + 1)
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.number(&visitor)?.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        match self.open()? {
            Kind::String => visit_text(self.text()?, visitor),
            Kind::Number => Number(self.text()?).deserialize_any(visitor),
            Kind::Binary => visitor.visit_byte_buf(self.binary()?),
            Kind::Bool => visitor.visit_bool(self.boolean()?),
            Kind::Null => self.visit_null(visitor),
            Kind::Map => self.visit_entries(Kind::Map, &[], visitor),
            found @ (Kind::List | Kind::Strings | Kind::Numbers | Kind::Binaries) => {
                self.visit_sequence(found, visitor)
            }
        }
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visit_text(self.string(&visitor)?, visitor)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let text = self.string(&visitor)?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(only), None) => visitor.visit_char(only),
            _ => Err(Fault::unfit(Kind::String.name(), &visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        self.expect(Kind::Bool, &visitor)?;
        visitor.visit_bool(self.boolean()?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        self.expect(Kind::Binary, &visitor)?;
        visitor.visit_byte_buf(self.binary()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.null(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.null(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        let start = self.scanner.offset();
        if self.open()? == Kind::Null && boolean(self.scanner)? {
            self.close()?;
            return visitor.visit_none();
        }
        self.scanner.rewind(start);
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name == ATTRIBUTE && self.depth > 0 {
            return visitor.visit_borrowed_bytes(self.scanner.skip()?);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        let found = self.open()?;
        self.visit_sequence(found, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.map(&[], visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.open()? {
            Kind::List => self.visit_sequence(Kind::List, visitor),
            found => self.visit_entries(found, fields, visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.open()? {
            Kind::String => visit_unit_variant(self.text()?, visitor),
            Kind::Map => {
                let depth = self.deeper()?;
                let variant = Variant::open(self.scanner, depth, variants, &visitor)?;
                self.close()?;
                visitor.visit_enum(variant)
            }
            found => Err(Fault::unfit(found.name(), &visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.scanner.skip()?;
        visitor.visit_unit()
    }
}
