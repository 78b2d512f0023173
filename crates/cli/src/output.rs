//! The standard output of commands.

use std::fmt;
use std::io::{self, Write as _};

/// Prints a text. Where the program that reads it has ended, this one ends too, as if it had printed all.
pub(crate) fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        printed => printed,
    }
}
