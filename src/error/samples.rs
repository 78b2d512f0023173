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
}

impl Sample {
    /// Takes an error of this kind, which is retryable where the kind is transient.
    pub(crate) fn new<E: Classified + 'static>(error: E, kind: ErrorKind) -> Self {
        let path = std::any::type_name::<E>();
        Self {
            error: Box::new(error),
            of: path.rsplit("::").next().unwrap_or(path),
            kind,
            is_retryable: kind.is_transient(),
        }
    }

    /// Sets whether it is retryable, where its kind alone does not say.
    pub(crate) fn retryable(mut self, is_retryable: bool) -> Self {
        self.is_retryable = is_retryable;
        self
    }
}
