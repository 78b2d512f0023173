//! The error while the encoder unwinds.
//!
//! A [`Fault`] is a boxed pair of the error and the path to it, which grows by a step at each level. So
//! the good path neither builds nor carries a path, and results stay one word wide. At the outermost
//! call it becomes an [`ItemError`], the path written out.

use super::ItemError;
use super::number::NumberFault;
use std::fmt::{self, Write as _};

/// The number of characters that messages show of a name.
const MAX_SHOWN_CHARS: usize = 80;

/// The place of a key of an inner map in a path.
const HIDDEN_KEY: &str = "*";

/// An error on its way out, one word wide.
pub(crate) struct Fault(Box<Inner>);

struct Inner {
    /// Its path still empty.
    error: ItemError,
    path: Path,
}

/// The path from an item to a place in it, put together from its end.
#[derive(Default)]
pub(super) struct Path(Vec<Step>);

enum Step {
    Name(String),
    /// A name that may be data. It is shown only where it names an attribute of the item itself.
    Key(String),
    Index(usize),
}

impl Path {
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
            path: Path::default(),
        }))
    }

    /// Returns this fault in the entry of this name.
    #[cold]
    pub(super) fn under(mut self, name: &str) -> Self {
        self.0.path.under(name);
        self
    }

    /// Returns this fault in an entry of an inner map. Its key may be data, and is not shown.
    #[cold]
    pub(super) fn under_key(mut self) -> Self {
        self.0.path.under(HIDDEN_KEY);
        self
    }

    /// Returns this fault in an entry of an item or of an inner map.
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
}

/// Returns a name as messages show it: cut where it is very long.
pub(super) fn shown(name: &str) -> String {
    match name.char_indices().nth(MAX_SHOWN_CHARS) {
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

impl serde::ser::Error for Fault {
    /// Drops the message: a `Serialize` implementation may well put the value into it.
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
