//! Values with the key that they are grouped by.

/// A value and its key, as [`key_by`](super::Pipeline::key_by) makes it, and only it: what groups by key can't come to
/// stand where no key was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keyed<K, T> {
    key: K,
    value: T,
}

impl<K, T> Keyed<K, T> {
    pub(super) fn new(key: K, value: T) -> Self {
        Self { key, value }
    }

    /// Returns the key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Returns the value.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Returns the value, owned.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Returns both, owned.
    pub fn into_parts(self) -> (K, T) {
        (self.key, self.value)
    }

    /// Returns another value of the same key.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Keyed<K, U> {
        Keyed {
            key: self.key,
            value: f(self.value),
        }
    }
}
