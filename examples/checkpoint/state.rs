//! The checkpoint on disk: position and snapshot in one file, so that they belong together.

use std::error::Error;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use dynamodb_connector::sink::{Snapshot, SnapshotError};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The next record to submit.
    pub(crate) position: u64,
    snapshot: String,
}

impl Checkpoint {
    pub(crate) fn new(position: u64, snapshot: &Snapshot) -> Result<Self, Box<dyn Error>> {
        let snapshot = String::from_utf8(snapshot.to_bytes())?;
        Ok(Self { position, snapshot })
    }

    pub(crate) fn snapshot(&self) -> Result<Snapshot, SnapshotError> {
        Snapshot::from_bytes(self.snapshot.as_bytes())
    }

    pub(crate) fn load(path: &Path) -> Result<Option<Self>, Box<dyn Error>> {
        let name = path.display();
        match fs::read(path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes).map_err(|error| format!("{name}: {error}"))?,
            )),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{name}: {error}").into()),
        }
    }

    /// Replaces the last one as a whole: whenever the process dies, one of the two is there.
    pub(crate) fn store(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let partial = path.with_extension("partial");
        let mut file = File::create(&partial)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        Ok(fs::rename(&partial, path)?)
    }
}
