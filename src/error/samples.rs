//! An error of each variant, as the modules that make them give them to the tests of all errors.

use super::{Classified, ErrorKind};

/// The text of the cause in an error that has one.
pub(crate) const ROOT: &str = "the root";

/// An error, and how it is to classify itself.
pub(crate) struct Sample {
    pub(crate) error: Box<dyn Classified>,
    /// The name of its type.
    pub(crate) of: &'static str,
    pub(crate) kind: ErrorKind,
    pub(crate) is_retryable: bool,
    /// Set where it is found by its type, which no type is that any error converts into.
    pub(crate) is_in_table: bool,
}

impl Sample {
    /// Takes an error of this kind, which is retryable where the kind is transient.
    pub(crate) fn new<E: Classified + 'static>(error: E, kind: ErrorKind) -> Self {
        Self {
            error: Box::new(error),
            of: name::<E>(),
            kind,
            is_retryable: kind.is_transient(),
            is_in_table: true,
        }
    }

    /// Sets whether it is retryable, where its kind alone does not say.
    pub(crate) fn retryable(mut self, is_retryable: bool) -> Self {
        self.is_retryable = is_retryable;
        self
    }
}

/// Returns the name of a type, without its path.
pub(super) fn name<E>() -> &'static str {
    let path = std::any::type_name::<E>();
    path.rsplit("::").next().unwrap_or(path)
}
