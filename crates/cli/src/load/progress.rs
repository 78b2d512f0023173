//! The progress of a load, on standard error, where that is a terminal.

use std::error::Error;
use std::io::Read;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

/// After how many writes the bar is drawn anew, at most.
const STEP: u64 = 100;

pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar by the bytes that are read; of what has no known length, the count alone.
    pub(super) fn new(path: &Path) -> Result<Self, Box<dyn Error>> {
        let length = std::fs::metadata(path)
            .ok()
            .filter(std::fs::Metadata::is_file);
        let bar = match length {
            Some(file) => ProgressBar::new(file.len()).with_style(ProgressStyle::with_template(
                "{bar:40} {percent}% read, {msg}",
            )?),
            None => ProgressBar::new_spinner()
                .with_style(ProgressStyle::with_template("{spinner} {msg}")?),
        };
        Ok(Self {
            bar: bar.with_message("0 written"),
        })
    }

    /// Counts what is read of a file, before it is unpacked.
    pub(super) fn count(&self, file: impl Read + Send + 'static) -> impl Read + Send + 'static {
        self.bar.wrap_read(file)
    }

    pub(super) fn written(&self, written: u64) {
        if written.is_multiple_of(STEP) {
            self.bar.set_message(format!("{written} written"));
        }
    }

    /// Prints a line, above the bar where there is one.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
