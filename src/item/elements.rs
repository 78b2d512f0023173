//! serde's three kinds of sequences, written alike.

/// Implements `SerializeSeq`, `SerializeTuple` and `SerializeTupleStruct` by the type's own `add`
/// and `close`.
macro_rules! takes_elements {
    ($type:ident) => {
        $crate::item::elements::takes_elements!(@ $type, SerializeSeq, serialize_element);
        $crate::item::elements::takes_elements!(@ $type, SerializeTuple, serialize_element);
        $crate::item::elements::takes_elements!(@ $type, SerializeTupleStruct, serialize_field);
    };
    (@ $type:ident, $trait:ident, $method:ident) => {
        impl serde::ser::$trait for $type<'_> {
            type Ok = ();
            type Error = $crate::item::fault::Fault;

            fn $method<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error> {
                self.add(value)
            }

            fn end(self) -> Result<(), Self::Error> {
                self.close()
            }
        }
    };
}

pub(super) use takes_elements;
