//! The dead-letter file: what was not written and why, one line of JSON each.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dynamodb_connector::ErrorKind;
use serde::Serialize;

use super::source::Raw;

/// A dead-letter file, made with its first letter and appended to: letters of earlier loads stay.
#[derive(Clone, Debug)]
pub(super) struct Letters {
    path: PathBuf,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    file: Option<File>,
    letters: u64,
}

/// The form of the library's letters, of a line that never became a write.
#[derive(Serialize)]
struct Letter<'a> {
    v: u32,
    from: From<'a>,
    reason: Reason<'a>,
    attempts: u32,
    record: Row<'a>,
}

#[derive(Serialize)]
struct From<'a> {
    file: &'a str,
    line: u64,
    table: &'a str,
}

#[derive(Serialize)]
struct Reason<'a> {
    kind: ErrorKind,
    text: &'a str,
}

#[derive(Serialize)]
struct Row<'a> {
    row: &'a Raw,
}

/// Returns the letter of a line that could not be read, or is no item of the table.
pub(super) fn of_line(file: &str, line: u64, table: &str, why: &str, raw: &Raw) -> String {
    let letter = Letter {
        v: 1,
        from: From { file, line, table },
        reason: Reason {
            kind: ErrorKind::Invalid,
            text: why,
        },
        attempts: 0,
        record: Row { row: raw },
    };
    serde_json::to_string(&letter).expect("texts and numbers have a form in JSON")
}

impl Letters {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            open: Arc::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of letters written.
    pub(super) fn count(&self) -> u64 {
        let open = self.open.lock();
        open.unwrap_or_else(PoisonError::into_inner).letters
    }

    /// Appends a letter. It is in the file's hands when this returns.
    pub(super) fn write(&self, letter: &str) -> Result<(), String> {
        let open = self.open.lock();
        let mut open = open.unwrap_or_else(PoisonError::into_inner);
        open.append(&self.path, letter).map_err(|error| {
            let path = self.path.display();
            format!(
                "cannot write dead letters to {path}: {error}; name another file by --dead-letters"
            )
        })
    }
}

impl Open {
    fn append(&mut self, path: &Path, letter: &str) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().append(true).create(true).open(path)?),
        };
        // One write for a letter, so that a kill leaves none cut in two.
        file.write_all(format!("{letter}\n").as_bytes())?;
        self.letters += 1;
        Ok(())
    }
}
