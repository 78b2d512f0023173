//! The error of an item that does not read as a type.

#[cfg(any(test, feature = "streams"))]
use crate::error::ErrorKind;
use crate::item::ItemError;
use crate::item::error::place;
use crate::item::fault::{Path, shown};
use serde::de::{self, Expected, Unexpected};
use std::fmt::{self, Write as _};

/// The reason that an item could not be read as a type of yours.
///
/// The variants name the place, as a path like `parts[2].score`, the type found and the type
/// wanted. None carries anything of a value: a type's message about a value that it refuses is left
/// out, since it may quote it. None carries the key of an inner map, which may be data: it is `*`,
/// as in `scores.*`. All are final: the same item fails in the same way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// An attribute has another type than the field, or a number does not fit it.
    #[error("{} of type {found} does not read as {wanted}", place(.path))]
    #[non_exhaustive]
    Unfit {
        /// The attribute; empty for the item as a whole.
        path: String,
        /// The type that the field wants, in its own words, such as `u8` or `struct Part`.
        wanted: String,
        /// The attribute's DynamoDB type, such as `N`.
        found: &'static str,
    },
    /// The name of an attribute, which is to be the key of a map, does not fit the key's type.
    #[error("the name of {} does not read as {wanted}", place(.path))]
    #[non_exhaustive]
    Name {
        /// The attribute.
        path: String,
        /// The type that the key wants.
        wanted: String,
    },
    /// A field has no attribute.
    #[error("{} is missing", place(.path))]
    #[non_exhaustive]
    Missing {
        /// The attribute.
        path: String,
    },
    /// An attribute has no field, and the type takes no others.
    #[error("{} has no field in its type", place(.path))]
    #[non_exhaustive]
    Unknown {
        /// The attribute.
        path: String,
    },
    /// Two attributes belong to the same field.
    #[error("{} is given twice", place(.path))]
    #[non_exhaustive]
    Twice {
        /// The field.
        path: String,
    },
    /// The type's own `Deserialize` refuses a value. Its message is left out, since it may quote
    /// the item.
    #[error("{} is refused by its type", place(.path))]
    #[non_exhaustive]
    Refused {
        /// The attribute.
        path: String,
    },
    /// Maps and lists are nested deeper than DynamoDB takes them.
    #[error("{} is nested deeper than {limit} levels", place(.path))]
    #[non_exhaustive]
    TooDeep {
        /// The first attribute beyond the limit.
        path: String,
        /// 32, the item itself being the first.
        limit: usize,
    },
    /// The bytes are no item in DynamoDB's JSON.
    #[error("not an item in DynamoDB's JSON: expected {expected} at byte {offset}")]
    #[non_exhaustive]
    Json {
        /// The position in the bytes.
        offset: usize,
        /// The expected text.
        expected: &'static str,
    },
}

#[cfg(any(test, feature = "streams"))]
impl DecodeError {
    /// Returns [`ErrorKind::Invalid`].
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// Returns `false`: the same item fails in the same way.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// Returns the path of the attribute at fault, such as `parts[2].score`; empty where it is the
    /// item as a whole. Of the names within attributes it shows those of the type's own fields and
    /// variants.
    pub fn path(&self) -> &str {
        match self {
            Self::Unfit { path, .. }
            | Self::Name { path, .. }
            | Self::Missing { path }
            | Self::Unknown { path }
            | Self::Twice { path }
            | Self::Refused { path }
            | Self::TooDeep { path, .. } => path,
            Self::Json { .. } => "",
        }
    }

    /// Returns the type wanted, in its own words, where it is known.
    pub fn wanted(&self) -> Option<&str> {
        match self {
            Self::Unfit { wanted, .. } | Self::Name { wanted, .. } => Some(wanted),
            _ => None,
        }
    }

    /// Returns the DynamoDB type of the attribute at fault, such as `N`, where the type is the
    /// fault.
    pub fn found(&self) -> Option<&'static str> {
        match self {
            Self::Unfit { found, .. } => Some(found),
            _ => None,
        }
    }
}

impl DecodeError {
    fn path_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Unfit { path, .. }
            | Self::Name { path, .. }
            | Self::Missing { path }
            | Self::Unknown { path }
            | Self::Twice { path }
            | Self::Refused { path }
            | Self::TooDeep { path, .. } => Some(path),
            Self::Json { .. } => None,
        }
    }
}

impl From<ItemError> for DecodeError {
    fn from(error: ItemError) -> Self {
        match error {
            ItemError::Json { offset, expected } => Self::Json { offset, expected },
            ItemError::TooDeep { path, limit } => Self::TooDeep { path, limit },
            other => Self::Refused {
                path: other.path().to_owned(),
            },
        }
    }
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        let Inner {
            mut error,
            path: end,
        } = *fault.0;
        if let Some(path) = error.path_mut() {
            end.write(path);
        }
        error
    }
}

/// An error on its way out, one word wide.
pub(super) struct Fault(Box<Inner>);

struct Inner {
    /// Its path still empty.
    error: DecodeError,
    path: Path,
}

impl Fault {
    #[cold]
    pub(super) fn new(error: DecodeError) -> Self {
        Self(Box::new(Inner {
            error,
            path: Path::default(),
        }))
    }

    /// Returns the fault of a type that wants another value than it was given.
    #[cold]
    pub(super) fn unfit(found: &'static str, wanted: &dyn Expected) -> Self {
        Self::new(DecodeError::Unfit {
            path: String::new(),
            wanted: words(wanted),
            found,
        })
    }

    /// Returns the fault of a key of a map that its type does not take.
    #[cold]
    pub(super) fn name(wanted: &dyn Expected) -> Self {
        Self::new(DecodeError::Name {
            path: String::new(),
            wanted: words(wanted),
        })
    }

    #[cold]
    pub(super) fn too_deep() -> Self {
        Self::new(DecodeError::TooDeep {
            path: String::new(),
            limit: crate::item::limits::MAX_DEPTH,
        })
    }

    /// Returns this fault in the entry of this name.
    #[cold]
    pub(super) fn under(mut self, name: &str) -> Self {
        self.0.path.under(name);
        self
    }

    /// Returns this fault in an entry whose name the type does not know: it may be data.
    #[cold]
    pub(super) fn key(mut self, name: &str) -> Self {
        self.0.path.key(name);
        self
    }

    /// Returns this fault in the element at this position.
    #[cold]
    pub(super) fn at(mut self, index: usize) -> Self {
        self.0.path.at(index);
        self
    }

    /// Returns this fault in a name that was read as the key of a map.
    #[cold]
    pub(super) fn of_name(mut self, name: &str) -> Self {
        // The field that is unknown has put its name there itself.
        if !self.0.path.is_empty() {
            return self;
        }
        if let DecodeError::Unfit { path, wanted, .. } = self.0.error {
            self.0.error = DecodeError::Name { path, wanted };
        }
        self.key(name)
    }

    /// Returns this fault of a list or a set: serde knows them as one.
    #[cold]
    pub(super) fn of_sequence(mut self, sequence: &'static str) -> Self {
        if self.0.path.is_empty()
            && let DecodeError::Unfit { found, .. } = &mut self.0.error
        {
            *found = sequence;
        }
        self
    }

    fn field(error: DecodeError, name: &str) -> Self {
        Self::new(error).under(name)
    }
}

/// Returns the words of a type for the values that it takes. They are fixed, and quote no value.
fn words(wanted: &dyn Expected) -> String {
    shown(&wanted.to_string())
}

impl From<crate::item::fault::Fault> for Fault {
    #[cold]
    fn from(fault: crate::item::fault::Fault) -> Self {
        Self::new(DecodeError::from(ItemError::from(fault)))
    }
}

impl de::Error for Fault {
    /// Drops the message: a `Deserialize` implementation may well put the value into it.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::new(DecodeError::Refused {
            path: String::new(),
        })
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::unfit(type_of(found), wanted)
    }

    fn invalid_length(_: usize, wanted: &dyn Expected) -> Self {
        Self::unfit("L", wanted)
    }

    /// Drops the variant found, which is a value. `expected` is fixed and holds names of variants.
    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        let mut wanted = String::from("one of ");
        for (i, variant) in expected.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let written = write!(wanted, "{comma}`{variant}`");
            debug_assert!(written.is_ok(), "writing to a string does not fail");
        }
        Self::unfit("S", &shown(&wanted).as_str())
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        let path = String::new();
        Self::new(DecodeError::Unknown { path }).key(field)
    }

    fn missing_field(field: &'static str) -> Self {
        let path = String::new();
        Self::field(DecodeError::Missing { path }, field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        let path = String::new();
        Self::field(DecodeError::Twice { path }, field)
    }
}

/// Returns the DynamoDB type that a value of serde's came from.
fn type_of(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "BOOL",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "N",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::UnitVariant => "S",
        Unexpected::Bytes(_) => "B",
        Unexpected::Unit | Unexpected::Option => "NULL",
        Unexpected::Seq => "L",
        Unexpected::NewtypeStruct
        | Unexpected::Map
        | Unexpected::Enum
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant => "M",
        Unexpected::Other(_) => "another kind",
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
