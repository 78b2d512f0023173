//! The place at which a shard is read next, and the meaning of a failed read. No I/O, no clock.
//!
//! ```text
//!  refused as     from a record          from the first number      from TRIM_HORIZON
//!  ─────────────  ─────────────────────  ─────────────────────────  ─────────────────────────────
//!  trimmed        gap, TRIM_HORIZON      possible gap, TRIM_HORIZON three times: nothing is left
//!  not there, 3×  gap, end               gap, end                   first start: end; else gap
//! ```
//!
//! DynamoDB Local refuses as trimmed what is not missing: a shard's first number where no record
//! has it, and every place of a shard without records left. There the first record decides, or a
//! read to the shard's end within the last hour: changes since then are younger than 24 hours.

use std::time::Duration;

use super::super::super::lease::{Checkpoint, LeaseRow};
use super::super::super::read::{ReadFailure, ReadFrom};
use super::super::super::shared::LOCAL_TIME_STEP;
use super::super::super::{SequenceNumber, ShardId};
use crate::gap::GapCause;
use crate::retry::{ErrorClass, ServiceError};

/// The retention of a stream, in milliseconds: 24 hours (DynamoDB Developer Guide, streams).
pub(super) const RETENTION_MS: u64 = 24 * 60 * 60 * 1000;
/// The answers in a row after which a shard counts as gone or empty: an iterator may be behind.
const ANSWERS_NEEDED: u32 = 3;
/// The age of a read to the end within which nothing is trimmed unread: well below 24 hours.
const JUST_READ_UP: Duration = Duration::from_secs(60 * 60);

#[derive(Debug)]
pub(super) struct Position {
    /// The place where reading began, and begins again while nothing is done.
    begin: ReadFrom,
    from: ReadFrom,
    iterator: Option<String>,
    /// Set where the row is of the application's first start, and nothing of the shard was passed.
    untouched: bool,
    /// The time of the shard's creation, in milliseconds since 1970; only at DynamoDB Local.
    suspect_by: Option<u64>,
    /// Set where the first number was refused as trimmed: the first record shows whether it was.
    suspected: bool,
    /// The number of pages in a row without a record, and the time of the last page.
    empty: (u32, Duration),
    /// The number of reads in a row that found no shard.
    gone: u32,
    /// Set where the last page had no other behind it.
    at_end: bool,
    /// Set while no page was full since the shard was read up.
    was_read_up: bool,
    /// The number of reads in a row from the oldest record that were refused as trimmed.
    trimmed: u32,
}

/// The part of a page that moves the position.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) next: Option<String>,
    pub(super) first: Option<SequenceNumber>,
    pub(super) last: Option<SequenceNumber>,
    /// The time of the first change, in milliseconds since 1970.
    pub(super) oldest: Option<u64>,
}

/// The consequence of a failed read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The read is repeated at once.
    Again,
    /// The read is repeated after a delay.
    Later,
    /// Changes are missing. Reading continues behind them.
    Gap(GapCause),
    /// Changes are missing, and nothing is left of the shard.
    GapAndEnd(GapCause),
    /// The shard holds no record any more. One that is closed has ended.
    Empty,
    /// Nothing is left of the shard, and nothing is missing.
    End,
    /// The source ends with the error.
    GiveUp,
}

/// The kind of a failed read's error, whatever was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Trimmed,
    Expired,
    Gone,
    /// The same request would be refused again.
    Fatal,
    /// A new iterator may help, and so may time.
    Refused,
    /// The error may pass by itself.
    Passing,
}

impl Meaning {
    fn of(error: &ServiceError) -> Self {
        if error.is_trimmed() {
            Self::Trimmed
        } else if error.is_expired_iterator() {
            Self::Expired
        } else if error.is_missing() {
            Self::Gone
        } else {
            match error.class() {
                ErrorClass::Fatal => Self::Fatal,
                ErrorClass::Invalid | ErrorClass::Permanent | ErrorClass::Refused => Self::Refused,
                ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::Ambiguous => {
                    Self::Passing
                }
            }
        }
    }
}

impl Position {
    /// Returns the position of a lease's row. `pinned` is an iterator at LATEST, obtained when this
    /// worker made the row. `is_local` is set at DynamoDB Local, which numbers the records of all
    /// its shards together and so refuses a first number as trimmed where no record has it.
    pub(super) fn new(row: &LeaseRow, pinned: Option<String>, is_local: bool, now: u64) -> Self {
        let begin = match (&row.checkpoint, row.first) {
            (Checkpoint::After(sequence), _) => ReadFrom::After(*sequence),
            // Changes since the row was made must not be skipped. Other libraries don't store when.
            (Checkpoint::Latest, _) if pinned.is_some() || row.created.is_none() => {
                ReadFrom::Latest
            }
            (Checkpoint::TrimHorizon, Some(first)) => ReadFrom::First(first),
            _ => ReadFrom::TrimHorizon,
        };
        Self {
            // A shard that is gone was closed for as long: all that was in it is of before the row.
            untouched: begin == ReadFrom::TrimHorizon
                && row.checkpoint == Checkpoint::TrimHorizon
                && row
                    .created
                    .is_some_and(|created| now < created + RETENTION_MS),
            iterator: pinned.filter(|_| begin == ReadFrom::Latest),
            from: begin.clone(),
            begin,
            suspect_by: born(&row.shard).filter(|_| is_local),
            suspected: false,
            empty: (0, Duration::ZERO),
            gone: 0,
            at_end: false,
            was_read_up: false,
            trimmed: 0,
        }
    }

    /// Returns the place of the next page, and its iterator where there is one.
    pub(super) fn next(&self) -> (ReadFrom, Option<String>) {
        (self.from.clone(), self.iterator.clone())
    }

    /// Returns the record behind which reading continues; `None` where nothing has been read.
    pub(super) fn after(&self) -> Option<SequenceNumber> {
        match self.from {
            ReadFrom::After(sequence) | ReadFrom::At(sequence) => Some(sequence),
            ReadFrom::First(_) | ReadFrom::TrimHorizon | ReadFrom::Latest => None,
        }
    }

    /// Moves behind a page that was read. Returns the gap that lies before it, where there is one.
    pub(super) fn read(&mut self, page: Pages, now: Duration) -> Option<GapCause> {
        self.at_end = page.next.is_none();
        // Where no record was read at LATEST and this is not the end, a new iterator would skip changes.
        let used = self.iterator.take();
        let kept = used.filter(|_| self.from == ReadFrom::Latest && page.last.is_none());
        self.iterator = page.next.or(kept);
        (self.gone, self.trimmed) = (0, 0);
        self.empty = match page.first.or(page.last) {
            None => (self.empty.0.saturating_add(1), now),
            Some(_) => (0, now),
        };
        if self.begin == ReadFrom::Latest
            && let Some(first) = page.first
        {
            self.begin = ReadFrom::At(first);
        }
        if let Some(last) = page.last {
            self.from = ReadFrom::After(last);
            self.untouched = false;
        }
        if self.iterator.is_none() {
            self.anew(());
        }
        let oldest = page.oldest?;
        let suspected = std::mem::take(&mut self.suspected);
        // Records older than the shard's name says: the name does not show the shard's age.
        let older = self
            .suspect_by
            .is_some_and(|born| oldest + LOCAL_TIME_STEP <= born);
        (suspected && older).then_some(GapCause::PossiblyTrimmed)
    }

    /// Returns whether the last page showed all that there was. A page without a record may come before others (API reference of
    /// `GetRecords`), but not from the newest record on, nor several times in a row.
    pub(super) fn is_read_up(&self, full: bool) -> bool {
        let (empty, _) = self.empty;
        let is_sure = self.begin == ReadFrom::Latest || !(1..ANSWERS_NEEDED).contains(&empty);
        !full && !self.at_end && is_sure
    }

    /// Returns whether the last page showed all that there was, as far as a lag goes: once the shard
    /// has been read up, an empty page is taken at its word.
    pub(super) fn is_probably_read_up(&mut self, full: bool) -> bool {
        self.was_read_up = !full && (self.was_read_up || self.is_read_up(full));
        self.was_read_up && !self.at_end
    }

    /// Moves back to behind the last record with everything up to it done.
    pub(super) fn rewind(&mut self, done: Option<SequenceNumber>) {
        self.from = done.map_or_else(|| self.begin.clone(), ReadFrom::After);
        self.anew(());
    }

    /// Processes a failed read, and returns the consequence.
    pub(super) fn failed(&mut self, failure: &mut ReadFailure, now: Duration) -> Failed {
        // Kept as long as it may serve: a new one at LATEST would skip the changes made since.
        self.iterator = failure.iterator.take();
        let fresh = failure.fresh;
        match Meaning::of(&failure.error) {
            Meaning::Trimmed if fresh => self.refused_as_trimmed(now),
            // The iterator's place is gone; that of the checkpoint may still be there.
            Meaning::Trimmed => self.anew(Failed::Again),
            Meaning::Expired if fresh => self.anew(Failed::Later),
            Meaning::Expired => self.anew(Failed::Again),
            Meaning::Gone => {
                self.gone += 1;
                let untouched = self.untouched;
                self.anew(match self.gone {
                    0..ANSWERS_NEEDED => Failed::Later,
                    _ if untouched => Failed::End,
                    _ => Failed::GapAndEnd(GapCause::ShardLost),
                })
            }
            Meaning::Fatal => Failed::GiveUp,
            Meaning::Refused => self.anew(Failed::Later),
            // A new iterator at LATEST would be of a later moment.
            Meaning::Passing if self.iterator.is_none() => self.anew(Failed::Later),
            Meaning::Passing => Failed::Later,
        }
    }

    fn refused_as_trimmed(&mut self, now: Duration) -> Failed {
        let (times, last) = self.empty;
        let was_read_up = self.suspect_by.is_some()
            && times >= ANSWERS_NEEDED
            && now.saturating_sub(last) < JUST_READ_UP;
        let failed = match self.from {
            ReadFrom::TrimHorizon | ReadFrom::Latest => {
                // The oldest record may expire between the two requests, but not each time.
                self.trimmed += 1;
                let failed = match self.trimmed {
                    0..ANSWERS_NEEDED => Failed::Later,
                    _ if std::mem::take(&mut self.suspected) => {
                        Failed::Gap(GapCause::PossiblyTrimmed)
                    }
                    _ => Failed::Empty,
                };
                return self.anew(failed);
            }
            _ if was_read_up => Failed::Again,
            ReadFrom::After(_) | ReadFrom::At(_) => Failed::Gap(GapCause::Trimmed),
            ReadFrom::First(_) if self.suspect_by.is_some() => {
                self.suspected = true;
                Failed::Again
            }
            ReadFrom::First(_) => Failed::Gap(GapCause::PossiblyTrimmed),
        };
        (self.from, self.iterator) = (ReadFrom::TrimHorizon, None);
        failed
    }

    /// Discards the iterator. A new one at LATEST would skip changes: the next is at the oldest.
    fn anew<T>(&mut self, failed: T) -> T {
        self.iterator = None;
        if self.from == ReadFrom::Latest {
            (self.from, self.begin) = (ReadFrom::TrimHorizon, ReadFrom::TrimHorizon);
        }
        failed
    }
}

/// Returns when a shard was created, in milliseconds since 1970, from a name such as
/// `shardId-00000001795407353833-5148a727`.
fn born(shard: &ShardId) -> Option<u64> {
    shard.as_str().split('-').nth(1)?.parse().ok()
}

#[cfg(test)]
#[path = "position_tests.rs"]
mod tests;
