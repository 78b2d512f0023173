//! The bounds of what a source hands out, which its partitions share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::Notify;

use crate::admission::{AtomicLevel, Level, Limits};

/// The bounds of what is handed out and not acknowledged. Each partition that is assigned has an
/// equal share of them, so that a slow one holds back no other.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    partitions: AtomicUsize,
    pub(super) level: AtomicLevel,
    /// Wakes the source's thread.
    pub(super) wake: Arc<Notify>,
}

impl Admission {
    pub(super) fn new(limits: Limits, wake: Arc<Notify>) -> Self {
        Self {
            limits,
            partitions: AtomicUsize::new(0),
            level: AtomicLevel::default(),
            wake,
        }
    }

    /// Sets the number of partitions that share the bounds.
    pub(super) fn share_among(&self, partitions: usize) {
        self.partitions.store(partitions, SeqCst);
    }

    /// Returns the records and bytes that are out, over all partitions.
    pub(super) fn level(&self) -> Level {
        self.level.get()
    }

    /// Returns the share of one partition.
    pub(super) fn share(&self) -> Limits {
        self.limits.share(self.partitions.load(SeqCst))
    }
}
