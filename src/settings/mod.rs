//! How settings are written, read and checked.
//!
//! A mistake in a settings file is found by somebody who did not write this crate, often while something is broken. So
//! every complaint names the table, the field, the value that stands there and the values that may stand there. Setters
//! never fail, since a chain of `?` reads badly; one `validate` at the end does, and every bound is written once, as a
//! [`Bound`], from which both the check and its message come.
//!
//! Durations and sizes are text with a unit (`"250ms"`, `"8MiB"`). A bare number of seconds, or was it milliseconds, is
//! refused for a duration; a bare number for a size is bytes, which nobody mistakes.
//!
//! This room lies below all others: each keeps its settings beside the code that obeys them and borrows the tools here.

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
