//! Settings: their form, their reader and their checks.
//!
//! A mistake in a settings file is found by a person who did not write this crate, often while something is broken. So
//! every error names the section or the table, the field, its value and the values that are allowed. Each settings type
//! is a [`Section`], read and checked by the same code. Setters
//! never fail, since a chain of `?` reads badly; one `validate` at the end does, and every bound is written once, as a
//! [`Bound`], from which both the check and its message come.
//!
//! Durations and sizes are text with a unit (`"250ms"`, `"8MiB"`). A bare number of seconds, or was it milliseconds, is
//! refused for a duration; a bare number for a size is bytes, which is not mistaken for anything else.
//!
//! This module lies below all others: each keeps its settings beside the code that obeys them and borrows the tools here.

mod bound;
mod error;
mod read;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod units;

pub(crate) use bound::{Bound, Bytes, allowed_at};
pub use error::{ConfigError, SettingsPlace};
pub(crate) use read::{
    Section, fields, one_line, parse_file, parse_json, parse_toml, settings_type, table,
};
