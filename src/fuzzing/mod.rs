//! Checks that must hold of any input, wherever it comes from.
//!
//! A check takes bytes and panics where a promise is broken. The targets in `fuzz` hand it whatever
//! reaches new code; the property tests here hand it a few hundred inputs, most of them valid ones
//! with something changed, so that a plain `cargo test` runs a slice of the same. Both begin with
//! the files in `seeds`.
//!
//! Present in tests and in builds by cargo-fuzz only, which sets `cfg(fuzzing)`: the parsers stay
//! private.

mod answers;
mod items;
mod odd_errors;
mod plan;
mod records;
mod requests;
mod settings;
mod snapshots;
#[cfg(test)]
mod tests;

pub use answers::answers;
pub use items::items;
pub use records::records;
pub use requests::requests;
pub use settings::settings;
pub use snapshots::snapshots;
