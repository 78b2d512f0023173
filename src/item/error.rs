//! The error of a record that is no item that DynamoDB would take.

use super::KeyKind;
use crate::error::ErrorKind;

/// The reason that a record can't be written as an item, or bytes can't be read as one.
///
/// Every variant names the place, as a path like `parts[2].score`, what was found there, and the
/// limit where there is one. None carries the item's contents. All are final: the same record fails
/// in the same way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The record is not a struct or a map.
    #[error("a record must be a struct or a map, this one is {found}")]
    #[non_exhaustive]
    NotAMap {
        /// The kind of value that the record is.
        found: &'static str,
    },
    /// An attribute of the primary key is not there.
    #[error("key attribute `{attribute}` is missing")]
    #[non_exhaustive]
    MissingKey {
        /// The attribute.
        attribute: String,
    },
    /// An attribute of the primary key has another type than the table's.
    #[error("key attribute `{attribute}` is of type {found}, the table's key is of type {wanted}")]
    #[non_exhaustive]
    KeyType {
        /// The attribute.
        attribute: String,
        /// Its DynamoDB type, such as `N`.
        found: &'static str,
        /// The type that the table has.
        wanted: KeyKind,
    },
    /// An attribute of the primary key is empty.
    #[error("key attribute `{attribute}` is empty")]
    #[non_exhaustive]
    EmptyKey {
        /// The attribute.
        attribute: String,
    },
    /// An attribute of the primary key is too long.
    #[error("key attribute `{attribute}` has {size} bytes, the limit is {limit}")]
    #[non_exhaustive]
    KeyTooLong {
        /// The attribute.
        attribute: String,
        /// Its length in bytes.
        size: usize,
        /// 2,048 for a partition key, 1,024 for a sort key.
        limit: usize,
    },
    /// A key attribute of a secondary index has another type than the index's.
    #[error(
        "attribute `{attribute}` is of type {found}, index `{index}` has it as a key of type {wanted}"
    )]
    #[non_exhaustive]
    IndexKeyType {
        /// The index.
        index: String,
        /// The attribute.
        attribute: String,
        /// Its DynamoDB type, such as `NULL`.
        found: &'static str,
        /// The type that the index has.
        wanted: KeyKind,
    },
    /// A key attribute of a secondary index is empty; leave it out to leave the item out of the
    /// index.
    #[error("attribute `{attribute}` is empty, index `{index}` has it as a key")]
    #[non_exhaustive]
    EmptyIndexKey {
        /// The index.
        index: String,
        /// The attribute.
        attribute: String,
    },
    /// A key attribute of a secondary index is too long.
    #[error(
        "attribute `{attribute}` has {size} bytes, as a key of index `{index}` the limit is {limit}"
    )]
    #[non_exhaustive]
    IndexKeyTooLong {
        /// The index.
        index: String,
        /// The attribute.
        attribute: String,
        /// Its length in bytes.
        size: usize,
        /// 2,048 for a partition key, 1,024 for a sort key.
        limit: usize,
    },
    /// The item is over 400 KB as stored.
    #[error(
        "the item has {size} bytes as stored, the limit is {limit}; its largest attribute is `{largest}` with {largest_size}"
    )]
    #[non_exhaustive]
    TooLarge {
        /// Bytes as stored: names and values.
        size: usize,
        /// 409,600.
        limit: usize,
        /// The attribute that takes most.
        largest: String,
        /// Its size in bytes, its name included.
        largest_size: usize,
    },
    /// Maps and lists are nested too deep.
    #[error("{} is nested deeper than {limit} levels", place(.path))]
    #[non_exhaustive]
    TooDeep {
        /// The first attribute beyond the limit.
        path: String,
        /// 32, the item itself being the first.
        limit: usize,
    },
    /// A set has no members; DynamoDB has no empty sets.
    #[error("{} is an empty set", place(.path))]
    #[non_exhaustive]
    EmptySet {
        /// The set.
        path: String,
    },
    /// A set holds a member twice; numbers count by value.
    #[error("{} repeats an earlier member of its set", place(.path))]
    #[non_exhaustive]
    RepeatedMember {
        /// The second of the two.
        path: String,
    },
    /// A value marked as a set is not a sequence.
    #[error("{} is {found} and can't be a set ({wanted})", place(.path))]
    #[non_exhaustive]
    NotASet {
        /// The attribute.
        path: String,
        /// `SS`, `NS` or `BS`.
        wanted: &'static str,
        /// The kind of value that it is.
        found: &'static str,
    },
    /// A member of a set is of the wrong kind.
    #[error("{} is {found}, which a set ({wanted}) can't hold", place(.path))]
    #[non_exhaustive]
    WrongMember {
        /// The member.
        path: String,
        /// `SS`, `NS` or `BS`.
        wanted: &'static str,
        /// The kind of value that the member is.
        found: &'static str,
    },
    /// The text of a number is not one: NaN and infinity included.
    #[error("{} is not a number that DynamoDB has", place(.path))]
    #[non_exhaustive]
    NotANumber {
        /// The attribute.
        path: String,
    },
    /// A number has too many significant digits.
    #[error("{} has {digits} significant digits, the limit is {limit}", place(.path))]
    #[non_exhaustive]
    TooManyDigits {
        /// The attribute.
        path: String,
        /// Its significant digits.
        digits: usize,
        /// 38.
        limit: usize,
    },
    /// The magnitude of a number is 1E+126 or more.
    #[error("{} is a number of magnitude 1E+126 or more", place(.path))]
    #[non_exhaustive]
    NumberTooLarge {
        /// The attribute.
        path: String,
    },
    /// The magnitude of a number is below 1E-130 and not zero.
    #[error("{} is a number of magnitude below 1E-130", place(.path))]
    #[non_exhaustive]
    NumberTooSmall {
        /// The attribute.
        path: String,
    },
    /// An attribute name is empty.
    #[error("{} has an attribute with an empty name", place(.path))]
    #[non_exhaustive]
    EmptyName {
        /// The map that has it; empty for the item itself.
        path: String,
    },
    /// An attribute name is too long.
    #[error("{} has an attribute whose name has {size} bytes, the limit is {limit}", place(.path))]
    #[non_exhaustive]
    NameTooLong {
        /// The map that has it; empty for the item itself.
        path: String,
        /// The name's length in bytes.
        size: usize,
        /// 65,535.
        limit: usize,
    },
    /// The keys of a map are of a kind that can't name attributes.
    #[error("{} has {found} as a map key, which can't name an attribute", place(.path))]
    #[non_exhaustive]
    NotAName {
        /// The map.
        path: String,
        /// The kind of value that the key is.
        found: &'static str,
    },
    /// A value is of a Rust type that the mapping lacks.
    #[error("{} is {found}, which has no form in DynamoDB", place(.path))]
    #[non_exhaustive]
    Unsupported {
        /// The attribute.
        path: String,
        /// The kind of value that it is.
        found: &'static str,
    },
    /// An `AttributeValue::Null(false)`: DynamoDB has only `true` there.
    #[error("{} is a NULL that is not true", place(.path))]
    #[non_exhaustive]
    FalseNull {
        /// The attribute.
        path: String,
    },
    /// An `AttributeValue` of a type that this version doesn't know.
    #[error("{} is of an attribute type unknown to this version", place(.path))]
    #[non_exhaustive]
    UnknownType {
        /// The attribute.
        path: String,
    },
    /// The record's own `Serialize` failed. Its message is left out, since it may quote the record.
    #[error("{} could not be serialised by its own type", place(.path))]
    #[non_exhaustive]
    Refused {
        /// The place of the failure.
        path: String,
    },
    /// Bytes that should be an item in DynamoDB's JSON are not.
    #[error("not an item in DynamoDB's JSON: expected {expected} at byte {offset}")]
    #[non_exhaustive]
    Json {
        /// The position in the bytes; in those of the attribute's value alone for a key.
        offset: usize,
        /// The expected text.
        expected: &'static str,
    },
    /// An item doesn't fit the type asked for. serde's message is left out, since it may quote the
    /// item.
    #[error("the item does not read as `{wanted}`")]
    #[non_exhaustive]
    Decode {
        /// The type.
        wanted: &'static str,
    },
}

/// Returns the words for a path in a message.
pub(super) fn place(path: &str) -> String {
    if path.is_empty() {
        "the item".to_owned()
    } else {
        format!("attribute `{path}`")
    }
}

impl ItemError {
    /// Returns [`ErrorKind::Invalid`].
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// Returns `false`: the same record fails in the same way.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// Returns the path of the attribute at fault, such as `parts[2].score`; empty where it is the
    /// item as a whole. A key of an inner map may be data, and is `*`: `scores.*`. The fields of a
    /// struct are shown.
    pub fn path(&self) -> &str {
        match self {
            Self::NotAMap { .. }
            | Self::TooLarge { .. }
            | Self::Json { .. }
            | Self::Decode { .. } => "",
            Self::MissingKey { attribute }
            | Self::KeyType { attribute, .. }
            | Self::EmptyKey { attribute }
            | Self::KeyTooLong { attribute, .. }
            | Self::IndexKeyType { attribute, .. }
            | Self::EmptyIndexKey { attribute, .. }
            | Self::IndexKeyTooLong { attribute, .. } => attribute,
            Self::TooDeep { path, .. }
            | Self::EmptySet { path }
            | Self::RepeatedMember { path }
            | Self::NotASet { path, .. }
            | Self::WrongMember { path, .. }
            | Self::NotANumber { path }
            | Self::TooManyDigits { path, .. }
            | Self::NumberTooLarge { path }
            | Self::NumberTooSmall { path }
            | Self::EmptyName { path }
            | Self::NameTooLong { path, .. }
            | Self::NotAName { path, .. }
            | Self::Unsupported { path, .. }
            | Self::FalseNull { path }
            | Self::UnknownType { path }
            | Self::Refused { path } => path,
        }
    }

    /// Returns this error of a value that has a name of its own, such as `:v`.
    pub(crate) fn within(mut self, name: &str) -> Self {
        if let Some(path) = self.path_mut() {
            if !path.is_empty() && !path.starts_with('[') {
                path.insert(0, '.');
            }
            path.insert_str(0, name);
        }
        self
    }

    pub(super) fn path_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::TooDeep { path, .. }
            | Self::EmptySet { path }
            | Self::RepeatedMember { path }
            | Self::NotASet { path, .. }
            | Self::WrongMember { path, .. }
            | Self::NotANumber { path }
            | Self::TooManyDigits { path, .. }
            | Self::NumberTooLarge { path }
            | Self::NumberTooSmall { path }
            | Self::EmptyName { path }
            | Self::NameTooLong { path, .. }
            | Self::NotAName { path, .. }
            | Self::Unsupported { path, .. }
            | Self::FalseNull { path }
            | Self::UnknownType { path }
            | Self::Refused { path } => Some(path),
            _ => None,
        }
    }
}
