//! The one place that takes randomness: everything else has a generator handed in.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// Randomness of the operating system, as the standard library's hash maps take it.
pub(crate) fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}
