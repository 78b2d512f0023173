//! The log lines of a test.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
/// The lines that are logged on a test's thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

/// Keeps a [`Log`] collecting.
pub(crate) struct Collecting {
    _subscriber: tracing::subscriber::DefaultGuard,
    _second: tracing::Dispatch,
}

impl Log {
    /// Collects what is logged on this thread from INFO on, until the result is dropped.
    pub(crate) fn collect() -> (Self, Collecting) {
        // With one dispatcher alone, tracing asks the thread that reaches a callsite first whether it is
        // of interest; that may be another test's.
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        let log = Self::default();
        let out = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("info")
            .with_ansi(false)
            .with_writer(move || out.clone())
            .finish();
        let collecting = Collecting {
            _subscriber: tracing::subscriber::set_default(subscriber),
            _second: second,
        };
        (log, collecting)
    }

    /// Returns the lines that contain this text, such as a level.
    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        let bytes = self.0.lock();
        let log = String::from_utf8_lossy(&bytes);
        let lines = log.lines().filter(|line| line.contains(text));
        lines.map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock();
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
