//! Enum variants that hold something: a map of one entry, named after the variant.

use super::compound::MapWriter;
use super::fault::Fault;
use super::serializer::ValueSerializer;
use super::writer::OpenMap;
use serde::Serialize;
use serde::ser;

/// A map of one entry that holds a list: a tuple variant.
pub(super) struct VariantList<'w, 's> {
    map: MapWriter<'w, 's>,
    /// The position of the next element; `None` where the entry is left out.
    next: Option<usize>,
    variant: &'static str,
}

impl<'w, 's> VariantList<'w, 's> {
    pub(super) fn open(mut map: MapWriter<'w, 's>, variant: &'static str) -> Result<Self, Fault> {
        let selected = map.name(variant)?;
        if selected {
            map.writer
                .open_list()
                .map_err(|fault| fault.under(variant))?;
        }
        Ok(Self {
            map,
            next: selected.then_some(0),
            variant,
        })
    }
}

impl ser::SerializeTupleVariant for VariantList<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let Some(next) = &mut self.next else {
            return Ok(());
        };
        let at = *next;
        *next += 1;
        self.map.writer.element(at);
        value
            .serialize(ValueSerializer {
                writer: self.map.writer,
            })
            .map_err(|fault| self.map.writer.breaks(fault.at(at).under(self.variant)))
    }

    fn end(self) -> Result<(), Fault> {
        if self.next.is_some() {
            self.map.writer.close_list();
        }
        self.map.close()
    }
}

/// A map of one entry that holds a map: a struct variant.
pub(super) struct VariantMap<'w, 's> {
    outer: MapWriter<'w, 's>,
    /// `None` where the entry is left out.
    inner: Option<OpenMap>,
    variant: &'static str,
}

impl<'w, 's> VariantMap<'w, 's> {
    pub(super) fn open(mut outer: MapWriter<'w, 's>, variant: &'static str) -> Result<Self, Fault> {
        let inner = if outer.name(variant)? {
            Some(
                outer
                    .writer
                    .open_map()
                    .map_err(|fault| fault.under(variant))?,
            )
        } else {
            None
        };
        Ok(Self {
            outer,
            inner,
            variant,
        })
    }
}

impl ser::SerializeStructVariant for VariantMap<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        let Some(inner) = &mut self.inner else {
            return Ok(());
        };
        let writer = &mut *self.outer.writer;
        let written = writer.name(inner, key).and_then(|()| {
            value
                .serialize(ValueSerializer {
                    writer: &mut *writer,
                })
                .map_err(|fault| fault.under(key))
        });
        written.map_err(|fault| writer.breaks(fault.under(self.variant)))
    }

    fn end(self) -> Result<(), Fault> {
        if let Some(inner) = self.inner {
            self.outer.writer.close_map(inner);
        }
        self.outer.close()
    }
}
