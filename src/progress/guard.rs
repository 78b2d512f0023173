//! The guard of a partition that its source is about to give up.

use std::fmt;

/// A guard of a partition or shard that its source is about to give up: another reader has it only
/// once this is dropped, or once the source's time for it is over.
///
/// Its records need no guard: the source waits for their acknowledgements as well. It is for what
/// has to be finished beside them, such as a transaction or a file.
#[must_use = "a guard that is dropped at once holds nothing"]
pub struct PartitionGuard(Option<Box<dyn FnOnce() + Send>>);

impl PartitionGuard {
    /// Returns a guard that calls `release` once, when it is dropped: for sources of your own.
    /// `release` must not block, and must not panic.
    pub fn new(release: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(release)))
    }
}

impl Drop for PartitionGuard {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}

impl fmt::Debug for PartitionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionGuard").finish_non_exhaustive()
    }
}
