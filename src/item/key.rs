//! The primary key in one canonical form, to compare, hash and order by.

use super::KeyKind;
use super::number::Decimal;
use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The length of the longest key, in bytes with its framing, that needs no allocation of its own.
const MAX_INLINE_BYTES: usize = 46;

/// An item's primary key, equal where DynamoDB has one item.
///
/// The bytes are, for the partition key and then the sort key: a type tag, the length, the value in
/// canonical form (text, raw bytes, or a number's sign, exponent and digits). So `ab`+`cd` is not
/// `a`+`bcd`, the number 1 is not the string `1`, and 1, 1.0 and 1e0 are one.
///
/// Both hashes are worked out once. They are the same in every process of one build and no more
/// than that: do not store them. `Debug` shows none of the contents.
#[derive(Clone)]
pub(crate) struct Key {
    hash: u64,
    partition_hash: u64,
    bytes: Repr,
}

#[derive(Clone)]
enum Repr {
    Inline {
        len: u8,
        bytes: [u8; MAX_INLINE_BYTES],
    },
    Shared(Arc<[u8]>),
}

impl Key {
    pub(super) fn new(partition: &KeyPart<'_>, sort: Option<&KeyPart<'_>>) -> Self {
        let mut draft = Draft {
            len: 0,
            bytes: [0; MAX_INLINE_BYTES],
            spilled: Vec::new(),
        };
        let mut hasher = DefaultHasher::new();
        draft.part(partition);
        let partition_len = draft.len;
        hasher.write(draft.as_bytes());
        let partition_hash = hasher.finish();
        let mut hash = partition_hash;
        if let Some(sort) = sort {
            draft.part(sort);
            hasher.write(draft.as_bytes().get(partition_len..).unwrap_or_default());
            hash = hasher.finish();
        }
        Self {
            hash,
            partition_hash,
            bytes: draft.finish(),
        }
    }

    /// Returns the canonical bytes: equal for equal keys of one table.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match &self.bytes {
            Repr::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Repr::Shared(bytes) => bytes,
        }
    }

    /// Returns the bytes that the key takes beside its own size in memory: none unless it is long.
    pub(crate) fn heap_len(&self) -> usize {
        match &self.bytes {
            Repr::Inline { .. } => 0,
            Repr::Shared(bytes) => bytes.len() + 2 * size_of::<usize>(),
        }
    }

    /// Returns a hash of the whole key.
    pub(crate) fn hash64(&self) -> u64 {
        self.hash
    }

    /// Returns a hash of the partition key alone: one for all items of an item collection.
    pub(crate) fn partition_hash(&self) -> u64 {
        self.partition_hash
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("len", &self.as_bytes().len())
            .finish_non_exhaustive()
    }
}

/// The value of one key attribute.
pub(super) enum KeyPart<'a> {
    /// UTF-8.
    Text(Cow<'a, [u8]>),
    Number(Decimal),
    Bytes(Vec<u8>),
}

impl KeyPart<'_> {
    /// Returns the length that DynamoDB limits; `None` for numbers, which have no such limit.
    pub(super) fn limited_len(&self) -> Option<usize> {
        match self {
            Self::Text(text) => Some(text.len()),
            Self::Number(_) => None,
            Self::Bytes(bytes) => Some(bytes.len()),
        }
    }

    fn kind(&self) -> KeyKind {
        match self {
            Self::Text(_) => KeyKind::String,
            Self::Number(_) => KeyKind::Number,
            Self::Bytes(_) => KeyKind::Binary,
        }
    }
}

/// A key under construction, on the stack as long as it fits.
struct Draft {
    len: usize,
    bytes: [u8; MAX_INLINE_BYTES],
    spilled: Vec<u8>,
}

impl Draft {
    fn part(&mut self, part: &KeyPart<'_>) {
        let tag = match part.kind() {
            KeyKind::String => b'S',
            KeyKind::Number => b'N',
            KeyKind::Binary => b'B',
        };
        match part {
            KeyPart::Text(text) => self.framed(tag, text),
            KeyPart::Bytes(bytes) => self.framed(tag, bytes),
            KeyPart::Number(number) => number.with_bytes(|bytes| self.framed(tag, bytes)),
        }
    }

    fn framed(&mut self, tag: u8, value: &[u8]) {
        // Four bytes hold any length: over-long keys are refused before, but the form must not
        // depend on it.
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.push(&[tag, len[0], len[1], len[2], len[3]]);
        self.push(value);
    }

    fn push(&mut self, more: &[u8]) {
        let end = self.len + more.len();
        if let (true, Some(free)) = (self.spilled.is_empty(), self.bytes.get_mut(self.len..end)) {
            free.copy_from_slice(more);
        } else {
            if self.spilled.is_empty() {
                self.spilled.reserve(end + MAX_INLINE_BYTES);
                self.spilled
                    .extend_from_slice(self.bytes.get(..self.len).unwrap_or_default());
            }
            self.spilled.extend_from_slice(more);
        }
        self.len = end;
    }

    fn as_bytes(&self) -> &[u8] {
        if self.spilled.is_empty() {
            self.bytes.get(..self.len).unwrap_or_default()
        } else {
            &self.spilled
        }
    }

    fn finish(self) -> Repr {
        match u8::try_from(self.len) {
            Ok(len) if self.spilled.is_empty() => Repr::Inline {
                len,
                bytes: self.bytes,
            },
            _ => Repr::Shared(self.spilled.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::seeded::config;
    use crate::item::{KeySchema, key_of_json};
    use proptest::prelude::*;

    fn text(partition: &str, sort: &str) -> Key {
        let part = |text: &str| KeyPart::Text(Cow::Owned(text.as_bytes().to_vec()));
        Key::new(&part(partition), Some(&part(sort)))
    }

    fn number(text: &str) -> Key {
        Key::new(
            &KeyPart::Number(Decimal::parse(text.as_bytes()).unwrap()),
            None,
        )
    }

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(text("ab", "cd"), text("a", "bcd"));
        assert_ne!(text("ab", "cd").as_bytes(), text("a", "bcd").as_bytes());
        assert_ne!(text("ab", "").as_bytes(), text("", "ab").as_bytes());
        assert_eq!(
            text("ab", "cd").partition_hash(),
            text("ab", "x").partition_hash()
        );
        assert_ne!(text("ab", "cd").hash64(), text("ab", "x").hash64());
        assert_ne!(
            text("ab", "cd").partition_hash(),
            text("ac", "cd").partition_hash()
        );
    }

    #[test]
    fn types_are_kept_apart() {
        let as_text = Key::new(&KeyPart::Text(b"1".into()), None);
        let as_bytes = Key::new(&KeyPart::Bytes(b"1".to_vec()), None);
        assert_ne!(number("1"), as_text);
        assert_ne!(as_text, as_bytes);
    }

    #[test]
    fn numbers_are_one_by_value() {
        for same in ["1.0", "1e0", "10e-1", "001", "0.1e1"] {
            assert_eq!(number("1"), number(same));
            assert_eq!(number("1").hash64(), number(same).hash64());
        }
        assert_eq!(number("0"), number("-0"));
        assert_ne!(
            number("12345678901234567890123456789012345678"),
            number("12345678901234567890123456789012345679")
        );
    }

    #[test]
    fn a_key_without_a_sort_key_hashes_as_its_partition() {
        assert_eq!(number("7").hash64(), number("7").partition_hash());
    }

    #[test]
    fn debug_shows_no_contents() {
        let shown = format!("{:?}", text("secret", "hidden"));
        assert_eq!(shown, "Key { len: 22, .. }");
    }

    #[test]
    fn a_key_takes_little_room() {
        assert_eq!(size_of::<Key>(), 64);
        assert!(matches!(
            text("customer#123", "order#2024-01-01").bytes,
            Repr::Inline { .. }
        ));
    }

    proptest! {
        #![proptest_config(config(500))]

        #[test]
        fn equal_where_the_values_are(
            a in ("[ab]{0,60}", "[ab]{0,60}"), b in ("[ab]{0,60}", "[ab]{0,60}"), same: bool,
        ) {
            let b = if same { a.clone() } else { b };
            let (ka, kb) = (text(&a.0, &a.1), text(&b.0, &b.1));
            prop_assert_eq!(a == b, ka == kb);
            prop_assert_eq!(a == b, ka.as_bytes() == kb.as_bytes());
            prop_assert_eq!(a == b, ka.hash64() == kb.hash64());
            prop_assert_eq!(a.0 == b.0, ka.partition_hash() == kb.partition_hash());
        }

        #[test]
        fn writing_a_number_otherwise_keeps_the_key(
            digits in "[1-9][0-9]{0,37}", shift in -80_i32..80, negative: bool,
        ) {
            let keys = KeySchema::new("id", KeyKind::Number);
            let sign = if negative { "-" } else { "" };
            let plain = format!(r#"{{"id":{{"N":"{sign}{digits}E{shift}"}}}}"#);
            let point = format!(r#"{{"x":{{"L":[]}},"id":{{"N":"{sign}0.{digits}000e{}"}}}}"#,
                shift + i32::try_from(digits.len()).unwrap());
            let (a, b) = (key_of_json(plain.as_bytes(), &keys), key_of_json(point.as_bytes(), &keys));
            prop_assert_eq!(a.unwrap(), b.unwrap());
        }

        #[test]
        fn bytes_compare_as_bytes(a: [u8; 2], b: [u8; 2]) {
            let key = |bytes: [u8; 2]| Key::new(&KeyPart::Bytes(bytes.to_vec()), None);
            prop_assert_eq!(a == b, key(a) == key(b));
        }
    }
}
