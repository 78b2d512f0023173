//! The contents of maps, lists and sets.

use super::error::Fault;
use super::scalar::Name;
use super::value::Value;
use crate::item::scanner::Scanner;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;

/// The state of a sequence: not begun, begun or at its end.
struct Commas {
    end: u8,
    taken: usize,
    ended: bool,
}

impl Commas {
    fn new(end: u8) -> Self {
        Self {
            end,
            taken: 0,
            ended: false,
        }
    }

    /// Moves to the next element, if there is one.
    #[inline]
    fn next(&mut self, scanner: &mut Scanner<'_>) -> Result<bool, Fault> {
        if self.ended {
            return Ok(false);
        }
        if self.taken > 0 && scanner.eat(b',') {
            self.taken += 1;
            return Ok(true);
        }
        if scanner.eat(self.end) {
            self.ended = true;
            return Ok(false);
        }
        if self.taken > 0 {
            return Err(scanner.fault("a comma or an end").into());
        }
        self.taken = 1;
        Ok(true)
    }
}

/// The elements of a list.
pub(super) struct Elements<'a, 'de> {
    scanner: &'a mut Scanner<'de>,
    depth: usize,
    commas: Commas,
}

impl<'a, 'de> Elements<'a, 'de> {
    pub(super) fn open(scanner: &'a mut Scanner<'de>, depth: usize) -> Result<Self, Fault> {
        scanner.expect(b'[', "an array")?;
        Ok(Self {
            scanner,
            depth,
            commas: Commas::new(b']'),
        })
    }

    /// Skips the elements that were not asked for, such as those that a list has more than a tuple.
    pub(super) fn close(mut self) -> Result<(), Fault> {
        while self.commas.next(self.scanner)? {
            self.scanner.skip()?;
        }
        Ok(())
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        if !self.commas.next(self.scanner)? {
            return Ok(None);
        }
        Value::attribute(self.scanner, self.depth)
            .take(|value| seed.deserialize(value))
            .map(Some)
            .map_err(|fault| fault.at(self.commas.taken - 1))
    }
}

/// The members of a set.
pub(super) struct Members<'a, 'de, R> {
    scanner: &'a mut Scanner<'de>,
    commas: Commas,
    read: R,
}

impl<'a, 'de, D, R> Members<'a, 'de, R>
where
    D: Deserializer<'de, Error = Fault>,
    R: FnMut(&mut Scanner<'de>) -> Result<D, Fault>,
{
    /// Has a set visited, each member read by `read`.
    pub(super) fn visit<V: Visitor<'de>>(
        scanner: &'a mut Scanner<'de>,
        visitor: V,
        read: R,
    ) -> Result<V::Value, Fault> {
        scanner.expect(b'[', "an array")?;
        let mut members = Self {
            scanner,
            commas: Commas::new(b']'),
            read,
        };
        let value = visitor.visit_seq(&mut members)?;
        while members.commas.next(members.scanner)? {
            members.scanner.skip()?;
        }
        Ok(value)
    }
}

impl<'de, D, R> SeqAccess<'de> for Members<'_, 'de, R>
where
    D: Deserializer<'de, Error = Fault>,
    R: FnMut(&mut Scanner<'de>) -> Result<D, Fault>,
{
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        if !self.commas.next(self.scanner)? {
            return Ok(None);
        }
        (self.read)(self.scanner)
            .and_then(|member| seed.deserialize(member))
            .map(Some)
            .map_err(|fault| fault.at(self.commas.taken - 1))
    }
}

/// The entries of a map, or the attributes of an item.
pub(super) struct Entries<'a, 'de> {
    scanner: &'a mut Scanner<'de>,
    depth: usize,
    /// The names that the type knows.
    fields: &'static [&'static str],
    commas: Commas,
    /// The position of the last name. Should there be an error, it is read again from there.
    name_at: usize,
    /// Set if the value of that name is still to be taken.
    pending: bool,
}

impl<'a, 'de> Entries<'a, 'de> {
    pub(super) fn open(
        scanner: &'a mut Scanner<'de>,
        depth: usize,
        fields: &'static [&'static str],
    ) -> Result<Self, Fault> {
        scanner.expect(b'{', "an object")?;
        Ok(Self {
            scanner,
            depth,
            fields,
            commas: Commas::new(b'}'),
            name_at: 0,
            pending: false,
        })
    }

    /// Moves to the next name, past a value that was not asked for.
    #[inline]
    fn next(&mut self) -> Result<Option<Cow<'de, str>>, Fault> {
        if std::mem::take(&mut self.pending) {
            self.scanner.skip()?;
        }
        if !self.commas.next(self.scanner)? {
            return Ok(None);
        }
        self.name_at = self.scanner.offset();
        let name = self.scanner.text()?;
        self.scanner.expect(b':', "a colon")?;
        self.pending = true;
        Ok(Some(name))
    }

    pub(super) fn close(mut self) -> Result<(), Fault> {
        while self.next()?.is_some() {}
        Ok(())
    }

    #[cold]
    fn name(&self) -> Cow<'de, str> {
        name_at(self.scanner, self.name_at)
    }
}

/// Returns the name that was read there before.
pub(super) fn name_at<'de>(scanner: &Scanner<'de>, offset: usize) -> Cow<'de, str> {
    let mut again = scanner.clone();
    again.rewind(offset);
    again.text().unwrap_or_default()
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Fault;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some(name) = self.next()? else {
            return Ok(None);
        };
        seed.deserialize(Name(name))
            .map(Some)
            .map_err(|fault| fault.of_name(&self.name()))
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        if !std::mem::take(&mut self.pending) {
            return Err(serde::de::Error::custom("a value was asked for twice"));
        }
        Value::attribute(self.scanner, self.depth)
            .take(|value| seed.deserialize(value))
            .map_err(|fault| {
                let name = self.name();
                if self.fields.contains(&&*name) {
                    fault.under(&name)
                } else {
                    fault.key(&name)
                }
            })
    }
}
