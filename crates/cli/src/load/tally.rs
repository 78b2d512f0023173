//! The counts of lines by their outcome.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::letters::Letters;
use crate::Ending;

/// The number of bad lines that are named one by one. All are in the dead-letter file.
const NAMED: u64 = 20;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Lines that were submitted, or became a dead letter.
    lines: u64,
    last_line: u64,
    pub(super) written: u64,
    pub(super) dead_lettered: u64,
    /// Handed back: the table failed, or the load was aborted.
    pub(super) unwritten: u64,
    pub(super) interrupted: bool,
}

impl Tally {
    pub(super) fn submitted(&mut self, line: u64) {
        self.lines += 1;
        self.last_line = line;
    }

    /// Returns the message about a bad line, if it is among the first, which this counts.
    pub(super) fn complaint(
        &self,
        file: &str,
        line: u64,
        why: &str,
        letters: &Path,
    ) -> Option<String> {
        let letters = letters.display();
        match self.dead_lettered {
            ..=NAMED => Some(format!("{file}:{line}: {why}")),
            count if count == NAMED + 1 => Some(format!("more bad lines are in {letters} alone")),
            _ => None,
        }
    }

    pub(super) fn ending(&self) -> Ending {
        match self {
            Self {
                interrupted: true, ..
            } => Ending::Interrupted,
            Self { unwritten: 1.., .. } => Ending::Failed,
            Self {
                dead_lettered: 1.., ..
            } => Ending::DeadLettered,
            _ => Ending::Done,
        }
    }

    pub(super) fn summary<'a>(
        &self,
        file: &'a str,
        table: &'a str,
        letters: &'a Letters,
    ) -> Summary<'a> {
        Summary {
            file,
            table,
            lines: self.lines,
            last_line: self.last_line,
            written: self.written,
            dead_lettered: self.dead_lettered,
            unwritten: self.unwritten,
            interrupted: self.interrupted,
            dead_letters: (letters.count() > 0).then(|| letters.path()),
        }
    }
}

/// The end of a load, for people and as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    file: &'a str,
    table: &'a str,
    lines: u64,
    last_line: u64,
    written: u64,
    dead_lettered: u64,
    unwritten: u64,
    interrupted: bool,
    /// The dead-letter file, where there is a letter of this load in it.
    dead_letters: Option<&'a Path>,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, written, .. } = self;
        write!(f, "{written} of {lines} lines written to {}", self.table)?;
        if let Some(path) = self.dead_letters {
            write!(
                f,
                "\n{} not written: see {}",
                self.dead_lettered,
                path.display()
            )?;
        }
        if self.unwritten > 0 {
            let count = self.unwritten;
            write!(
                f,
                "\n{count} handed back: load the file again, which writes each line once more"
            )?;
        }
        if self.interrupted {
            write!(f, "\ninterrupted after line {}", self.last_line)?;
        }
        Ok(())
    }
}
