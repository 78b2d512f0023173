//! An enum whose variant holds something: a map of one entry, the variant's name.

use super::access::name_at;
use super::error::Fault;
use super::scalar::Text;
use super::value::Value;
use crate::item::scanner::Scanner;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, VariantAccess, Visitor};
use std::borrow::Cow;

/// The one entry, its value still to be read.
///
/// It has a place in the text of its own: a type may leave the value alone, and gives no sign when
/// it is done with it.
pub(super) struct Variant<'de> {
    name: Cow<'de, str>,
    content: Content<'de>,
}

pub(super) struct Content<'de> {
    scanner: Scanner<'de>,
    depth: usize,
    variants: &'static [&'static str],
    name_at: usize,
}

impl<'de> Variant<'de> {
    /// Takes the whole map.
    pub(super) fn open<V: Visitor<'de>>(
        scanner: &mut Scanner<'de>,
        depth: usize,
        variants: &'static [&'static str],
        visitor: &V,
    ) -> Result<Self, Fault> {
        let not_one = || Fault::unfit("M", visitor);
        scanner.expect(b'{', "an object")?;
        if scanner.eat(b'}') {
            return Err(not_one());
        }
        let name_at = scanner.offset();
        let name = scanner.text()?;
        scanner.expect(b':', "a colon")?;
        let content = Content {
            scanner: scanner.clone(),
            depth,
            variants,
            name_at,
        };
        scanner.skip()?;
        if scanner.eat(b',') {
            return Err(not_one());
        }
        scanner.expect(b'}', "a comma or an end")?;
        Ok(Self { name, content })
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = Content<'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Content<'de>), Fault> {
        let variant = seed.deserialize(Text(self.name))?;
        Ok((variant, self.content))
    }
}

impl<'de> Content<'de> {
    fn read<T>(
        mut self,
        read: impl FnOnce(Value<'_, 'de>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        read(Value::attribute(&mut self.scanner, self.depth)).map_err(|fault| {
            let name = name_at(&self.scanner, self.name_at);
            if self.variants.contains(&&*name) {
                fault.under(&name)
            } else {
                fault.key(&name)
            }
        })
    }
}

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = Fault;

    /// Leaves the contents of the variant unread.
    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        self.read(|value| seed.deserialize(value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.read(|value| value.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.read(|value| value.map(fields, visitor))
    }
}
