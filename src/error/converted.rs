//! Samples of the types into which any error converts, and which so can be no [`Error`] themselves.

use std::error::Error;
use std::fmt;

use super::samples::{Sample, name};
use super::{Classified, ErrorKind};

/// Stands for a value of such a type.
struct Converted<E> {
    value: E,
    kind: ErrorKind,
    is_retryable: bool,
}

impl<E: fmt::Debug> fmt::Debug for Converted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<E: fmt::Display> fmt::Display for Converted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.value)
    }
}

impl<E: fmt::Debug + fmt::Display> Error for Converted<E> {}

impl<E: fmt::Debug + fmt::Display> Classified for Converted<E> {
    fn kind(&self) -> ErrorKind {
        self.kind
    }

    fn is_retryable(&self) -> bool {
        self.is_retryable
    }
}

impl Sample {
    /// Takes a value of such a type, with the kind that it says it is of and whether it says it is
    /// retryable.
    pub(crate) fn converted<E: fmt::Debug + fmt::Display + 'static>(
        value: E,
        (said, is_retryable): (ErrorKind, bool),
        kind: ErrorKind,
    ) -> Self {
        let error = Converted {
            value,
            kind: said,
            is_retryable,
        };
        Self {
            of: name::<E>(),
            is_in_table: false,
            ..Self::new(error, kind)
        }
    }
}
