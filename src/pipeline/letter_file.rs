//! A file of dead letters.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::dead_letter::DeadLetter;
use super::delivery::Delivery;
use super::endpoint_error::EndpointError;
use super::sink::Sink;

/// A file of [dead letters](DeadLetter), one line of JSON each, for
/// [`dead_letter_with`](super::Pipeline::dead_letter_with). A letter counts as written once the
/// file is synced to disk.
///
/// Each line is read by [`DeadLetter::from_json_line`]. One process at a time may have a file.
#[derive(Debug)]
pub struct LetterFile {
    file: Arc<Mutex<File>>,
}

impl LetterFile {
    /// Opens a file to append to it, and creates it where there is none.
    ///
    /// A line that a crash has cut short is taken off: its record was not acknowledged, and comes
    /// again.
    ///
    /// # Errors
    ///
    /// That of the file system.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(path)?;
        cut_torn_line(&mut file)?;
        let file = Arc::new(Mutex::new(file));
        Ok(Self { file })
    }
}

/// Takes off what stands behind the last line break, and goes to the end.
fn cut_torn_line(file: &mut File) -> io::Result<()> {
    const BLOCK: u64 = 64 << 10;
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        Read::by_ref(file)
            .take(end - start)
            .read_to_end(&mut block)?;
        if let Some(last) = block.iter().rposition(|byte| *byte == b'\n') {
            end = start + last as u64 + 1;
            break;
        }
        end = start;
    }
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    Ok(())
}

fn append(file: &Mutex<File>, line: &[u8]) -> io::Result<()> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    let before = file.stream_position()?;
    let written = file.write_all(line).and_then(|()| file.sync_data());
    if written.is_err() {
        // Half a line must not stand before the next one. Best effort: opening does it as well.
        let _ = file.set_len(before);
        let _ = file.seek(SeekFrom::Start(before));
    }
    written
}

impl<R: Serialize + Send + 'static> Sink<DeadLetter<R>> for LetterFile {
    async fn write(
        &mut self,
        letter: DeadLetter<R>,
        delivery: Delivery,
    ) -> Result<(), EndpointError> {
        let mut line = letter.to_json_line()?;
        line.push('\n');
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || append(&file, line.as_bytes())).await??;
        delivery.done();
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        Ok(())
    }

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}
