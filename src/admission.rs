//! Admission by records and bytes: what is under way, and whether more of it may be.
//!
//! **Problem.** What is between a source and a sink is bounded in records and in bytes, by several
//! owners: a table's buffer, a Kafka producer's, a partition of a topic, a pipeline, a snapshot.
//!
//! **Choice.** A [`Level`] is what is under way, and [`Limits`] say of it whether something fits, and
//! whether those that were refused may go on; who waits, and in which order, is the owner's. Something
//! larger than the whole limit goes alone, when nothing else is under way: refused for ever, it would
//! be lost, or block its source. (The table's sink refuses it before, with an error.) Something whose
//! size is known only once it is read counts as one byte before, so the level may end up above the
//! limit by one of them.
//!
//! Those that were refused go on once a quarter is free, for records and for bytes: woken for each
//! single record that leaves, they would enter one by one, with a wake-up each. The table's sink is
//! the exception: its outcomes come by batch, and each batch wakes as many callers as fit.
//!
//! A shard of a table's stream decides by the bytes of whole pages (`streams::worker::shard`), and the
//! limit over all tables by shares (`sink::shared_limit`): these are other ideas.

#[cfg(any(feature = "kafka", feature = "pipeline"))]
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// The part of a limit that is free before those that were refused go on: a quarter.
#[cfg(any(feature = "kafka", feature = "pipeline"))]
const RESUME_PART: usize = 4;

/// Records and bytes under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

/// The most records and bytes that may be under way. Both are at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

impl Level {
    /// Counts a record in.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
    }

    /// Counts a record out.
    pub(crate) fn free(&mut self, bytes: usize) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Limits {
    /// Returns whether a record of this size may join what is under way.
    pub(crate) fn fits(self, level: Level, bytes: usize) -> bool {
        level.is_empty()
            || (level.records < self.records && bytes <= self.bytes.saturating_sub(level.bytes))
    }
}

#[cfg(any(feature = "kafka", feature = "pipeline"))]
impl Limits {
    /// Returns whether a record whose size is not known yet may join what is under way.
    pub(crate) fn has_room(self, level: Level) -> bool {
        self.fits(level, 1)
    }

    /// Returns whether so much is free that those go on for which there was no room.
    pub(crate) fn resumes(self, level: Level) -> bool {
        let at = |max: usize| max.saturating_sub((max / RESUME_PART).max(1));
        level.records <= at(self.records) && level.bytes <= at(self.bytes)
    }
}

#[cfg(feature = "kafka")]
impl Limits {
    /// Returns the equal share of each of so many parts, which may have one record in any case.
    pub(crate) fn share(self, parts: usize) -> Self {
        let share = |all: usize| (all / parts.max(1)).max(1);
        Self {
            records: share(self.records),
            bytes: share(self.bytes),
        }
    }
}

/// A [`Level`] that tasks change without a lock. Records and bytes are not changed at the same
/// instant: a look between them sees one of the two.
#[cfg(any(feature = "kafka", feature = "pipeline"))]
#[derive(Debug, Default)]
pub(crate) struct AtomicLevel {
    records: AtomicUsize,
    bytes: AtomicUsize,
}

#[cfg(any(feature = "kafka", feature = "pipeline"))]
impl AtomicLevel {
    pub(crate) fn get(&self) -> Level {
        Level {
            records: self.records.load(SeqCst),
            bytes: self.bytes.load(SeqCst),
        }
    }

    /// Counts a record in.
    pub(crate) fn take(&self, bytes: usize) {
        self.records.fetch_add(1, SeqCst);
        self.bytes.fetch_add(bytes, SeqCst);
    }

    /// Counts records out. Returns what is left.
    pub(crate) fn free(&self, level: Level) -> Level {
        Level {
            records: self.records.fetch_sub(level.records, SeqCst) - level.records,
            bytes: self.bytes.fetch_sub(level.bytes, SeqCst) - level.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_larger_than_the_limit_goes_alone() {
        let limits = Limits {
            records: 10,
            bytes: 100,
        };
        let mut level = Level::default();
        assert!(limits.fits(level, 500));
        level.take(500);
        assert!(!limits.fits(level, 1));
        level.free(500);
        level.take(60);
        assert!(!limits.fits(level, 60) && limits.fits(level, 40));
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn each_share_is_of_one_record_at_least() {
        let limits = Limits {
            records: 8,
            bytes: 8,
        };
        assert_eq!(limits.share(3).records, 2);
        assert_eq!(limits.share(100).bytes, 1);
    }

    #[cfg(any(feature = "kafka", feature = "pipeline"))]
    proptest! {
        #[test]
        fn limits_hold_but_for_what_goes_alone_and_those_that_go_on_have_room(
            records in 1_usize..20,
            bytes in 1_usize..200,
            steps in proptest::collection::vec((any::<bool>(), 0_usize..300), 1..100),
        ) {
            let limits = Limits { records, bytes };
            let (mut level, atomic) = (Level::default(), AtomicLevel::default());
            let mut under_way: Vec<usize> = Vec::new();
            for (enters, size) in steps {
                if enters && limits.fits(level, size) {
                    level.take(size);
                    atomic.take(size);
                    under_way.push(size);
                } else if !enters && let Some(size) = under_way.pop() {
                    level.free(size);
                    prop_assert_eq!(atomic.free(Level { records: 1, bytes: size }), level);
                }
                prop_assert_eq!(level.records, under_way.len());
                prop_assert_eq!(level.bytes, under_way.iter().sum::<usize>());
                prop_assert_eq!(atomic.get(), level);
                prop_assert!(level.records <= records);
                prop_assert!(level.bytes <= bytes || under_way.len() == 1 || under_way.iter().any(|size| *size > bytes));
                if limits.resumes(level) {
                    prop_assert!(limits.has_room(level));
                    prop_assert!(level.records + records.div_ceil(5) <= records, "it is worth a wake-up");
                }
            }
        }
    }
}
