//! Reading a shard: when, from where, and what a failed read means.

use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::oneshot;

use super::super::super::gap::{Gap, GapCause, GapPolicy};
use super::super::super::page::Entry;
use super::super::super::read::{Read, ReadFailure, ReadFrom};
use super::super::super::{SequenceNumber, StreamsError};
use super::{
    CLOCKS_APART, Event, FULL_PAGE, MOST_REFUSALS, Order, ReadEnd, SURELY_GONE, ShardTask,
};
use crate::progress::Acknowledge;
use crate::retry::{ErrorClass, ServiceError};

impl ShardTask {
    pub(super) fn may_read(&self) -> bool {
        let bytes = self.book.bytes();
        !self.closed
            && self.leaving.is_none()
            && *self.orders.borrow() == Order::Run
            && self.read.is_none()
            && self.rescan.is_none()
            && self.barrier.borrow().is_none()
            && self.feed.has_room()
            && (bytes == 0 || bytes < self.shared.part() / 2)
    }

    pub(super) fn start_read(&mut self, now: Duration) {
        let most = self.shared.settings.get_page_records();
        let limit = (self.shared.part() / self.record_bytes.max(1)).clamp(1, most);
        let read = Read {
            transport: self.shared.streams.clone(),
            stream_arn: self.shared.stream_arn.clone(),
            shard: self.shard.clone(),
            from: self.from.clone(),
            iterator: self.iterator.clone(),
            limit,
        };
        self.poll.started(now);
        self.read = Some(Box::pin(async move {
            ReadEnd {
                sent: now,
                limit,
                result: read.page().await,
            }
        }));
    }

    pub(super) fn page(&mut self, end: ReadEnd) -> Result<(), StreamsError> {
        let now = self.shared.clock.now();
        let (page, bytes) = match end.result {
            Ok(page) => page,
            Err(failure) => return self.unread(failure, end.limit, now),
        };
        self.reads.succeeded();
        self.gone = 0;
        let count = page.records.len();
        let full = count >= end.limit || bytes >= FULL_PAGE;
        self.poll.read(count, full, now);
        self.iterator = page.next_iterator;
        self.refusals = 0;
        if count == 0 {
            self.hold.read_up(self.shared.millis());
        }
        self.record_bytes = bytes.checked_div(count).unwrap_or(self.record_bytes);
        if self.begin == ReadFrom::Latest
            && let Some(first) = page.records.iter().find_map(sequence)
        {
            self.begin = ReadFrom::At(*first);
        }
        if let Some(last) = page.records.iter().rev().find_map(sequence) {
            self.from = ReadFrom::After(*last);
        }
        let lag = match page.records.last() {
            // There may be more.
            Some(Ok(last)) if self.iterator.is_some() => {
                let age = self.shared.clock.time_of_day();
                age.duration_since(last.approximate_creation_time())
                    .unwrap_or_default()
            }
            _ => Duration::ZERO,
        };
        let (wanted, filtered) = self.number(page.records, bytes);
        let took = now.saturating_sub(end.sent);
        self.shared
            .counters
            .read(&self.shard, count, filtered, took, lag);
        let given = wanted.iter().filter_map(|(entry, _)| entry.as_ref().ok());
        self.shared.junction.seen(given);
        if !full && self.iterator.is_some() {
            self.shared.junction.read_up(&self.shard, end.sent);
        }
        self.feed.push(&self.book, wanted, now);
        if self.iterator.is_none() {
            self.close();
        }
        Ok(())
    }

    /// Marks the shard as read to its end and reports that.
    fn close(&mut self) {
        self.closed = true;
        self.feed.flush(true);
        // Whoever does not listen any more ends this task too.
        let _ = self.events.send(Event::Closed(self.shard.clone()));
    }

    /// Numbers a page's records; those that nobody wants are done with that.
    fn number(&self, entries: Vec<Entry>, bytes: usize) -> (Vec<(Entry, u64)>, usize) {
        let sequences = entries.iter().map(sequence);
        let first = self.book.push_page(sequences, bytes);
        let mut wanted = Vec::with_capacity(entries.len());
        let mut filtered = 0;
        for (entry, number) in entries.into_iter().zip(first..) {
            if self.wants(&entry) {
                wanted.push((entry, number));
            } else {
                filtered += 1;
                self.book.done(number);
            }
        }
        (wanted, filtered)
    }

    fn wants(&self, entry: &Entry) -> bool {
        // What can't be read can't be filtered either.
        let Ok(record) = entry else {
            return true;
        };
        if let Some(from) = self.from_time {
            // The service rounds down: a record may be as much younger as its step.
            let latest = record.approximate_creation_time() + self.shared.time_step;
            if latest <= UNIX_EPOCH + Duration::from_millis(from) {
                return false;
            }
        }
        self.shared
            .filter
            .as_ref()
            .is_none_or(|filter| filter(record))
    }

    fn unread(
        &mut self,
        failure: ReadFailure,
        limit: usize,
        now: Duration,
    ) -> Result<(), StreamsError> {
        let ReadFailure {
            error,
            fresh,
            iterator,
        } = failure;
        self.shared.counters.failed_read();
        // Kept where it may still serve: a new one at LATEST would pass over what came meanwhile.
        self.iterator = iterator;
        if error.is_trimmed() && fresh && matches!(self.from, ReadFrom::After(_) | ReadFrom::At(_))
        {
            self.gap(GapCause::Trimmed)?;
            self.drop_iterator();
            self.from = ReadFrom::TrimHorizon;
            return Ok(());
        }
        if error.is_trimmed() || error.is_expired_iterator() {
            // It lay unused for 15 minutes, or its place is gone and the checkpoint's may still be there: a new one from the same
            // place. That one may be refused too, where the oldest record goes just now.
            self.drop_iterator();
            if !fresh {
                return Ok(());
            }
        } else if error.is_missing() {
            self.drop_iterator();
            self.gone += 1;
            if self.gone >= SURELY_GONE {
                self.gap(GapCause::ShardLost)?;
                self.close();
                return Ok(());
            }
        } else if error.class() == ErrorClass::Fatal {
            return Err(self.unreadable(error));
        } else if !error.is_retryable() || error.class() == ErrorClass::Refused {
            // A new iterator may do.
            self.drop_iterator();
            self.refusals += 1;
            if self.refusals >= MOST_REFUSALS {
                return Err(self.unreadable(error));
            }
        }
        if error.is_past_limit() {
            // A local server's page knows no megabyte: the next asks for half as many records.
            self.record_bytes = self.shared.part().div_ceil((limit / 2).max(1));
        }
        let pause = self.reads.failed();
        let failures = self.reads.failures();
        tracing::debug!(shard = %self.shard, %error, failures, "a read failed");
        self.poll.pause_until(now + pause);
        Ok(())
    }

    fn unreadable(&self, error: ServiceError) -> StreamsError {
        StreamsError::service("GetRecords", &self.shared.stream_arn, error)
    }

    /// Has the next read get a new iterator. At LATEST that would pass over what came meanwhile.
    fn drop_iterator(&mut self) {
        self.iterator = None;
        if self.from == ReadFrom::Latest {
            self.from = ReadFrom::TrimHorizon;
            self.begin = ReadFrom::TrimHorizon;
            self.from_time = Some(self.shared.opened.saturating_sub(CLOCKS_APART));
        }
    }

    pub(super) fn gap(&mut self, cause: GapCause) -> Result<(), StreamsError> {
        let after = match &self.from {
            ReadFrom::After(sequence) | ReadFrom::At(sequence) => Some(*sequence),
            ReadFrom::TrimHorizon | ReadFrom::Latest => None,
        };
        self.shared.gap(Gap {
            shard: Some(self.shard.clone()),
            after,
            cause,
        })?;
        if self.shared.settings.get_on_gap() == GapPolicy::Rescan {
            let (noted, rescan) = oneshot::channel();
            // Whoever does not listen any more ends this task too.
            let _ = self.events.send(Event::Rescan(noted));
            self.rescan = Some(rescan);
        }
        Ok(())
    }
}

fn sequence(entry: &Entry) -> Option<&SequenceNumber> {
    match entry {
        Ok(record) => record.sequence_number(),
        Err(malformed) => malformed.sequence_number(),
    }
}
