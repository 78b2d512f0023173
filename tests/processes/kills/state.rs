//! What a writer keeps on disk: where it stands in its input, and what was outstanding there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::workload::of_counter;

/// Stored as one file, so that the three belong together whenever the process dies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The next record to submit.
    pub(super) position: u64,
    /// The snapshot's text; empty before the first one.
    pub(super) snapshot: String,
    /// Updates that came back as applied once or not at all: by a restore, or by a dead letter.
    pub(super) reported: BTreeSet<u64>,
}

impl State {
    pub(super) fn load(path: &Path) -> Self {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).expect("what was stored is whole"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Replaces the stored state as a whole: a reader finds the old one or the new one.
    pub(super) fn store(&self, path: &Path, before_rename: impl FnOnce()) {
        let partial = path.with_extension("partial");
        let mut file = File::create(&partial).expect("created");
        let bytes = serde_json::to_vec(self).expect("JSON");
        file.write_all(&bytes).expect("written");
        file.sync_all().expect("synced");
        before_rename();
        fs::rename(&partial, path).expect("renamed");
        let folder = path.parent().expect("it is in a folder");
        let folder = File::open(folder).expect("opened");
        folder.sync_all().expect("synced");
    }

    /// The updates that are not idempotent in the snapshot, each with whether it was sent before
    /// the snapshot was taken. Read from the documented format, not by the code under test.
    pub(super) fn adds(&self) -> BTreeMap<u64, bool> {
        let lines = self.snapshot.lines();
        let writes = lines.filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            let part = line.get("parts")?.get(0)?;
            let n = add_of(part.get("expressions")?)?;
            Some((n, line["may_have_applied"] == true))
        });
        writes.collect()
    }
}

/// Which record an update's expressions belong to, where it is an `ADD` of the workload.
pub(super) fn add_of(expressions: &serde_json::Value) -> Option<u64> {
    let names = expressions.get("ExpressionAttributeNames")?;
    of_counter(names.get("#u")?.as_str()?)
}
