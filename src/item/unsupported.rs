//! The methods of a serializer for the kinds of values that it refuses.

/// Writes the named `serialize_` methods so that each fails with `self.refusal("<what the value
/// is>")`.
macro_rules! refuse {
    ($($kind:ident)*) => { $($crate::item::unsupported::refuse_one!($kind);)* };
}

macro_rules! refuse_one {
    (@plain $method:ident($($arg:ty),*) -> $ok:ty, $found:literal) => {
        fn $method(self, $(_: $arg),*) -> Result<$ok, Self::Error> {
            Err(self.refusal($found))
        }
    };
    (@generic $method:ident($($arg:ty),*), $found:literal) => {
        fn $method<T: serde::Serialize + ?Sized>(self, $(_: $arg,)* _: &T) -> Result<Self::Ok, Self::Error> {
            Err(self.refusal($found))
        }
    };
    (bool) => { $crate::item::unsupported::refuse_one!(@plain serialize_bool(bool) -> Self::Ok, "a boolean"); };
    (i8) => { $crate::item::unsupported::refuse_one!(@plain serialize_i8(i8) -> Self::Ok, "a number"); };
    (i16) => { $crate::item::unsupported::refuse_one!(@plain serialize_i16(i16) -> Self::Ok, "a number"); };
    (i32) => { $crate::item::unsupported::refuse_one!(@plain serialize_i32(i32) -> Self::Ok, "a number"); };
    (i64) => { $crate::item::unsupported::refuse_one!(@plain serialize_i64(i64) -> Self::Ok, "a number"); };
    (i128) => { $crate::item::unsupported::refuse_one!(@plain serialize_i128(i128) -> Self::Ok, "an i128"); };
    (u8) => { $crate::item::unsupported::refuse_one!(@plain serialize_u8(u8) -> Self::Ok, "a number"); };
    (u16) => { $crate::item::unsupported::refuse_one!(@plain serialize_u16(u16) -> Self::Ok, "a number"); };
    (u32) => { $crate::item::unsupported::refuse_one!(@plain serialize_u32(u32) -> Self::Ok, "a number"); };
    (u64) => { $crate::item::unsupported::refuse_one!(@plain serialize_u64(u64) -> Self::Ok, "a number"); };
    (u128) => { $crate::item::unsupported::refuse_one!(@plain serialize_u128(u128) -> Self::Ok, "a u128"); };
    (f32) => { $crate::item::unsupported::refuse_one!(@plain serialize_f32(f32) -> Self::Ok, "a float"); };
    (f64) => { $crate::item::unsupported::refuse_one!(@plain serialize_f64(f64) -> Self::Ok, "a float"); };
    (char) => { $crate::item::unsupported::refuse_one!(@plain serialize_char(char) -> Self::Ok, "a string"); };
    (str) => { $crate::item::unsupported::refuse_one!(@plain serialize_str(&str) -> Self::Ok, "a string"); };
    (bytes) => { $crate::item::unsupported::refuse_one!(@plain serialize_bytes(&[u8]) -> Self::Ok, "bytes"); };
    (none) => { $crate::item::unsupported::refuse_one!(@plain serialize_none() -> Self::Ok, "nothing"); };
    (unit) => { $crate::item::unsupported::refuse_one!(@plain serialize_unit() -> Self::Ok, "a unit"); };
    (unit_struct) => {
        $crate::item::unsupported::refuse_one!(@plain serialize_unit_struct(&'static str) -> Self::Ok, "a unit");
    };
    (unit_variant) => {
        $crate::item::unsupported::refuse_one!(@plain serialize_unit_variant(&'static str, u32, &'static str) -> Self::Ok, "a string");
    };
    (some) => { $crate::item::unsupported::refuse_one!(@generic serialize_some(), "an option"); };
    // By its marker; any other newtype is its contents.
    (set) => {
        fn serialize_newtype_struct<T: serde::Serialize + ?Sized>(
            self,
            name: &'static str,
            value: &T,
        ) -> Result<Self::Ok, Self::Error> {
            if $crate::item::set::SetKind::of_marker(name).is_some() {
                return Err(self.refusal("a set"));
            }
            if name == $crate::item::attribute::ATTRIBUTE {
                return Err(self.refusal("an attribute of any type"));
            }
            value.serialize(self)
        }
    };
    (newtype_variant) => {
        $crate::item::unsupported::refuse_one!(@generic serialize_newtype_variant(&'static str, u32, &'static str), "a map");
    };
    (seq) => { $crate::item::unsupported::refuse_one!(@plain serialize_seq(Option<usize>) -> Self::SerializeSeq, "a list"); };
    (tuple) => { $crate::item::unsupported::refuse_one!(@plain serialize_tuple(usize) -> Self::SerializeTuple, "a list"); };
    (tuple_struct) => {
        $crate::item::unsupported::refuse_one!(@plain serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct, "a list");
    };
    (tuple_variant) => {
        $crate::item::unsupported::refuse_one!(@plain serialize_tuple_variant(&'static str, u32, &'static str, usize)
            -> Self::SerializeTupleVariant, "a map");
    };
    (map) => { $crate::item::unsupported::refuse_one!(@plain serialize_map(Option<usize>) -> Self::SerializeMap, "a map"); };
    (struct) => {
        $crate::item::unsupported::refuse_one!(@plain serialize_struct(&'static str, usize) -> Self::SerializeStruct, "a map");
    };
    (struct_variant) => {
        $crate::item::unsupported::refuse_one!(@plain serialize_struct_variant(&'static str, u32, &'static str, usize)
            -> Self::SerializeStructVariant, "a map");
    };
}

pub(super) use {refuse, refuse_one};
