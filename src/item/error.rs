//! Why a record is no item that DynamoDB would take.
//!
//! Inside the room an error is a [`Fault`]: a boxed pair of the error and the way to it, which grows a step a
//! level while the encoder unwinds. So the good path neither builds nor carries a path, and results stay one
//! word wide. At the door it becomes an [`ItemError`], the path written out.

use super::KeyKind;
use super::number::NumberFault;
use crate::error::ErrorKind;
use std::fmt::{self, Write as _};

/// Names longer than this are cut in messages.
const SHOWN_NAME: usize = 80;

/// Why a record can't be written as an item, or bytes can't be read as one.
///
/// Every variant names the place, as a path like `parts[2].score`, what was found there, and the limit where
/// there is one. None carries what the item holds. All are final: the same record fails in the same way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The record is not a struct or a map.
    #[error("a record must be a struct or a map, this one is {found}")]
    NotAMap {
        /// What the record is.
        found: &'static str,
    },
    /// An attribute of the primary key is not there.
    #[error("key attribute `{attribute}` is missing")]
    MissingKey {
        /// The attribute.
        attribute: String,
    },
    /// An attribute of the primary key has another type than the table's.
    #[error("key attribute `{attribute}` is of type {found}, the table's key is of type {wanted}")]
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
    EmptyKey {
        /// The attribute.
        attribute: String,
    },
    /// An attribute of the primary key is too long.
    #[error("key attribute `{attribute}` has {size} bytes, the limit is {limit}")]
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
    /// A key attribute of a secondary index is empty; leave it out to leave the item out of the index.
    #[error("attribute `{attribute}` is empty, index `{index}` has it as a key")]
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
    TooLarge {
        /// Bytes as stored: names and values.
        size: usize,
        /// 409,600.
        limit: usize,
        /// The attribute that takes most.
        largest: String,
        /// What it takes in bytes, its name included.
        largest_size: usize,
    },
    /// Maps and lists are nested too deep.
    #[error("{} is nested deeper than {limit} levels", place(.path))]
    TooDeep {
        /// The first attribute beyond the limit.
        path: String,
        /// 32, the item itself being the first.
        limit: usize,
    },
    /// A set has no members; DynamoDB has no empty sets.
    #[error("{} is an empty set", place(.path))]
    EmptySet {
        /// The set.
        path: String,
    },
    /// A set holds a member twice; numbers count by value.
    #[error("{} repeats an earlier member of its set", place(.path))]
    RepeatedMember {
        /// The second of the two.
        path: String,
    },
    /// A value marked as a set is not a sequence.
    #[error("{} is {found} and can't be a set ({wanted})", place(.path))]
    NotASet {
        /// The attribute.
        path: String,
        /// `SS`, `NS` or `BS`.
        wanted: &'static str,
        /// What the value is.
        found: &'static str,
    },
    /// A member of a set is of the wrong kind.
    #[error("{} is {found}, which a set ({wanted}) can't hold", place(.path))]
    WrongMember {
        /// The member.
        path: String,
        /// `SS`, `NS` or `BS`.
        wanted: &'static str,
        /// What the member is.
        found: &'static str,
    },
    /// The text of a number is not one: NaN and infinity included.
    #[error("{} is not a number that DynamoDB has", place(.path))]
    NotANumber {
        /// The attribute.
        path: String,
    },
    /// A number has too many significant digits.
    #[error("{} has {digits} significant digits, the limit is {limit}", place(.path))]
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
    NumberTooLarge {
        /// The attribute.
        path: String,
    },
    /// The magnitude of a number is below 1E-130 and not zero.
    #[error("{} is a number of magnitude below 1E-130", place(.path))]
    NumberTooSmall {
        /// The attribute.
        path: String,
    },
    /// An attribute name is empty.
    #[error("{} has an attribute with an empty name", place(.path))]
    EmptyName {
        /// The map that has it; empty for the item itself.
        path: String,
    },
    /// An attribute name is too long.
    #[error("{} has an attribute whose name has {size} bytes, the limit is {limit}", place(.path))]
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
    NotAName {
        /// The map.
        path: String,
        /// What the key is.
        found: &'static str,
    },
    /// A value is of a Rust type that the mapping lacks.
    #[error("{} is {found}, which has no form in DynamoDB", place(.path))]
    Unsupported {
        /// The attribute.
        path: String,
        /// What the value is.
        found: &'static str,
    },
    /// An `AttributeValue::Null(false)`: DynamoDB has only `true` there.
    #[error("{} is a NULL that is not true", place(.path))]
    FalseNull {
        /// The attribute.
        path: String,
    },
    /// An `AttributeValue` of a type that this version doesn't know.
    #[error("{} is of an attribute type unknown to this version", place(.path))]
    UnknownType {
        /// The attribute.
        path: String,
    },
    /// The record's own `Serialize` failed. Its message is left out, since it may quote the record.
    #[error("{} could not be serialised by its own type", place(.path))]
    Refused {
        /// Where it failed.
        path: String,
    },
    /// Bytes that should be an item in DynamoDB's JSON are not.
    #[error("not an item in DynamoDB's JSON: expected {expected} at byte {offset}")]
    Json {
        /// Where in the bytes; in those of the attribute's value alone for a key.
        offset: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// An item doesn't fit the type asked for. What serde said is left out, since it may quote the item.
    #[error("the item does not read as `{wanted}`")]
    Decode {
        /// The type.
        wanted: &'static str,
    },
}

/// The place of a key of an inner map in a path.
const HIDDEN_KEY: &str = "*";

/// The words for a path in a message.
pub(super) fn place(path: &str) -> String {
    if path.is_empty() {
        "the item".to_owned()
    } else {
        format!("attribute `{path}`")
    }
}

impl ItemError {
    /// Returns [`ErrorKind::Invalid`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// The path of the attribute at fault, such as `parts[2].score`; empty where the item as a whole is.
    /// A key of an inner map may be data, and is `*`: `scores.*`. The fields of a struct are shown.
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

    fn path_mut(&mut self) -> Option<&mut String> {
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

/// An error on its way out, one word wide.
pub(crate) struct Fault(Box<Inner>);

struct Inner {
    /// Its path still empty.
    error: ItemError,
    way: Way,
}

/// The way from an item to a place in it, put together from its end.
#[derive(Default)]
pub(super) struct Way(Vec<Step>);

enum Step {
    Name(String),
    /// A name that may be data. It is shown only where it names an attribute of the item itself.
    Key(String),
    Index(usize),
}

impl Way {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn under(&mut self, name: &str) {
        self.0.push(Step::Name(shown(name)));
    }

    pub(super) fn key(&mut self, name: &str) {
        self.0.push(Step::Key(shown(name)));
    }

    pub(super) fn at(&mut self, index: usize) {
        self.0.push(Step::Index(index));
    }

    /// Appends it as messages show it, such as `parts[2].score`.
    pub(super) fn write(&self, path: &mut String) {
        for (depth, step) in self.0.iter().rev().enumerate() {
            let written = match step {
                Step::Name(name) | Step::Key(name) if depth == 0 => write!(path, "{name}"),
                Step::Name(name) => write!(path, ".{name}"),
                Step::Key(_) => write!(path, ".{HIDDEN_KEY}"),
                Step::Index(index) => write!(path, "[{index}]"),
            };
            debug_assert!(written.is_ok(), "writing to a string does not fail");
        }
    }
}

impl Fault {
    #[cold]
    pub(super) fn new(error: ItemError) -> Self {
        Self(Box::new(Inner {
            error,
            way: Way::default(),
        }))
    }

    /// The same, found in the entry of this name.
    #[cold]
    pub(super) fn under(mut self, name: &str) -> Self {
        self.0.way.under(name);
        self
    }

    /// Returns this fault in an entry of an inner map. Its key may be data, and is not shown.
    #[cold]
    pub(super) fn under_key(mut self) -> Self {
        self.0.way.under(HIDDEN_KEY);
        self
    }

    /// Returns this fault in an entry of an item or of an inner map.
    #[cold]
    pub(super) fn key(mut self, name: &str) -> Self {
        self.0.way.key(name);
        self
    }

    /// The same, found in the element at this position.
    #[cold]
    pub(super) fn at(mut self, index: usize) -> Self {
        self.0.way.at(index);
        self
    }
}

/// A name as messages show it: cut where it is very long.
pub(super) fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN_NAME) {
        Some((cut, _)) => format!("{}…", name.get(..cut).unwrap_or_default()),
        None => name.to_owned(),
    }
}

impl From<NumberFault> for Fault {
    fn from(fault: NumberFault) -> Self {
        let path = String::new();
        Self::new(match fault {
            NumberFault::Syntax => ItemError::NotANumber { path },
            NumberFault::Digits(digits) => ItemError::TooManyDigits {
                path,
                digits,
                limit: super::limits::MAX_DIGITS,
            },
            NumberFault::TooLarge => ItemError::NumberTooLarge { path },
            NumberFault::TooSmall => ItemError::NumberTooSmall { path },
        })
    }
}

impl From<Fault> for ItemError {
    fn from(fault: Fault) -> Self {
        let Inner { mut error, way } = *fault.0;
        if let Some(path) = error.path_mut() {
            way.write(path);
        }
        error
    }
}

impl serde::ser::Error for Fault {
    /// The message is dropped: a `Serialize` implementation may well put the value into it.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::new(ItemError::Refused {
            path: String::new(),
        })
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl std::error::Error for Fault {}
