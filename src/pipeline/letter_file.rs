//! A file of dead letters.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::IgnoredAny;

use super::dead_letter::DeadLetter;
use super::delivery::Delivery;
use super::endpoint_error::EndpointError;
use super::sink::Sink;

/// A file of [dead letters](DeadLetter), one line of JSON each, for
/// [`dead_letter_with`](super::Pipeline::dead_letter_with). A letter counts as written once the
/// file is synced to disk.
///
/// Each line is read by [`DeadLetter::from_json_line`]. A letter may be there twice: its record was
/// not acknowledged before a crash, and came again.
///
/// A file has one writer at a time: it is locked until the writer is dropped and its last write has
/// ended. The lock is the operating system's, which others may ignore; do not rename or cut the
/// file meanwhile.
#[derive(Debug)]
pub struct LetterFile {
    /// Locked for as long as any clone of this lives. A write that outlives its pipeline, since a
    /// blocking thread can't be stopped, has one.
    file: Arc<Mutex<File>>,
}

impl LetterFile {
    /// Opens a file to append to it, and creates it where there is none.
    ///
    /// A line that a crash has cut short is taken off, and the number of its bytes logged as a
    /// warning: its record was not acknowledged, and comes again. A last letter that lacks its line
    /// break alone is kept.
    ///
    /// # Errors
    ///
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) where the file has another writer, in this
    /// process or another; also for a moment after a pipeline was aborted, while its last write
    /// ends. Else that of the file system.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            // Elsewhere a file that is opened to append can't be cut.
            .append(cfg!(unix))
            .truncate(false)
            .open(path)?;
        let locked = file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => in_use(path),
            TryLockError::Error(error) => error,
        });
        match locked {
            // A file system without locks: one writer is up to the caller there.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::warn!(%error, path = %path.display(), "letter file: not locked");
            }
            locked => locked?,
        }
        finish_last_line(&mut file, path)?;
        if file.metadata()?.len() == 0 {
            sync_directory(path)?;
        }
        let file = Arc::new(Mutex::new(file));
        Ok(Self { file })
    }
}

fn in_use(path: &Path) -> io::Error {
    let text = format!(
        "letter file {} is in use by another writer; close that one, or take another path",
        path.display()
    );
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}

/// Syncs the directory of a file, without which a crash may lose a new file with all its letters.
fn sync_directory(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        // A directory can't be opened there.
        return Ok(());
    }
    let path = path.canonicalize()?;
    path.parent().map_or(Ok(()), |directory| {
        File::open(directory).and_then(|directory| directory.sync_all())
    })
}

/// Ends the file by a whole line: adds the line break that a whole letter lacks, or takes off what
/// stands behind the last line break.
fn finish_last_line(file: &mut File, path: &Path) -> io::Result<()> {
    let len = file.metadata()?.len();
    let end = end_of_lines(file, len)?;
    if end == len {
        return Ok(());
    }
    file.seek(SeekFrom::Start(end))?;
    let mut tail = Vec::new();
    Read::by_ref(file).take(len - end).read_to_end(&mut tail)?;
    let is_letter = std::str::from_utf8(&tail)
        .is_ok_and(|tail| DeadLetter::<IgnoredAny>::from_json_line(tail).is_ok());
    if is_letter {
        file.seek(SeekFrom::End(0))?;
        file.write_all(b"\n")?;
    } else {
        let bytes = len - end;
        tracing::warn!(path = %path.display(), bytes, "a torn last line of a letter file is cut off");
        file.set_len(end)?;
    }
    file.sync_data()
}

/// Returns the place behind the last line break of a file of this length.
fn end_of_lines(file: &mut File, len: u64) -> io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        Read::by_ref(file)
            .take(end - start)
            .read_to_end(&mut block)?;
        if let Some(last) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn append(file: &Mutex<File>, line: &[u8]) -> io::Result<()> {
    let mut file = file.lock();
    let before = file.seek(SeekFrom::End(0))?;
    let written = file.write_all(line).and_then(|()| file.sync_data());
    if written.is_err() {
        // Half a line must not stand before the next one. Best effort: opening does it as well.
        let _ = file.set_len(before);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const LETTER: &str = r#"{"v":1,"from":{"operator":"o","partition":"p","position":7},"reason":{"kind":"invalid","text":"bad"},"attempts":1,"refusals":[{"operator":"o","kind":"invalid","text":"bad","values":1}],"record":{"id":5}}"#;

    /// A directory of one test alone, which is removed at its end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let name = format!("letter-file-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).expect("a directory");
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("letters.jsonl")
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.file()).expect("the file")
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_has_one_writer_until_the_last_write_has_ended() {
        let directory = Directory::new("writers");
        let letters = LetterFile::open(directory.file()).expect("a new file");
        // The write of a pipeline that was aborted goes on after the file's writer is dropped.
        let writing = Arc::clone(&letters.file);
        let refused = || {
            let error = LetterFile::open(directory.file()).expect_err("in use");
            assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
            assert!(error.to_string().contains("is in use"), "{error}");
        };
        refused();
        drop(letters);
        refused();
        append(&writing, b"late\n").expect("it is written");
        drop(writing);
        let reopened = LetterFile::open(directory.file()).expect("it is free");
        append(&reopened.file, b"next\n").expect("it is written");
        assert_eq!(directory.text(), "late\nnext\n");
    }

    #[cfg(unix)]
    #[test]
    fn what_a_writer_without_a_lock_has_appended_is_not_overwritten() {
        let directory = Directory::new("append");
        let letters = LetterFile::open(directory.file()).expect("a new file");
        append(&letters.file, b"one\n").expect("it is written");
        let other = OpenOptions::new().append(true).open(directory.file());
        other
            .and_then(|mut other| other.write_all(b"other\n"))
            .expect("it is written");
        append(&letters.file, b"two\n").expect("it is written");
        assert_eq!(directory.text(), "one\nother\ntwo\n");
    }

    #[test]
    fn a_torn_last_line_is_cut_and_a_whole_letter_without_its_line_break_is_kept() {
        let directory = Directory::new("torn");
        let long = format!("{}\n{}", LETTER, "x".repeat(200_000));
        let whole = format!("{LETTER}\n");
        let letter_twice = format!("{LETTER}\n{LETTER}");
        for (before, after) in [
            ("", ""),
            (&whole, &*whole),
            (LETTER, &whole),
            (&letter_twice, &format!("{letter_twice}\n")),
            (&LETTER[..LETTER.len() - 1], ""),
            (&long, &whole),
        ] {
            std::fs::write(directory.file(), before).expect("it is written");
            let letters = LetterFile::open(directory.file()).expect("the file");
            assert_eq!(directory.text(), after);
            append(&letters.file, b"next\n").expect("it is written");
            assert_eq!(directory.text(), format!("{after}next\n"));
        }
        std::fs::write(directory.file(), b"a\n\xff\xfe").expect("it is written");
        LetterFile::open(directory.file()).expect("the file");
        assert_eq!(directory.text(), "a\n");
    }
}
