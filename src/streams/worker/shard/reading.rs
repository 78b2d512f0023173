//! Reads of a shard: when, from where, and the meaning of a failed read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use super::super::super::gap::{Gap, GapCause, GapPolicy};
use super::super::super::lease::Checkpoint;
use super::super::super::page::Entry;
use super::super::super::read::{Read, ReadFailure};
use super::super::super::shared::{Order, millis};
use super::super::super::{SequenceNumber, StreamsError};
use super::position::{Failed, Pages};
use super::{Event, FULL_PAGE, Phase, ReadEnd, ShardTask};
use crate::progress::Acknowledge;

impl ShardTask {
    pub(super) fn may_read(&self) -> bool {
        let bytes = self.book.bytes();
        !self.closed
            && matches!(self.phase, Phase::Working)
            && self.instructions.borrow().order == Order::Run
            && self.read.is_none()
            && self.rescan.is_none()
            && !self.barrier.is_up()
            && self.feed.has_room()
            && (bytes == 0 || bytes < self.shared.part() / 2)
    }

    pub(super) fn start_read(&mut self, now: Duration) {
        let most = self.shared.settings.get_page_records();
        let limit = (self.shared.part() / self.record_bytes.max(1)).clamp(1, most);
        let (from, iterator) = self.position.next();
        let read = Read {
            stream: self.shared.stream(),
            shard: self.row.shard.clone(),
            from,
            iterator,
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
        for operation in ["GetRecords", "GetShardIterator"] {
            self.shared
                .troubles
                .succeeded(operation, Some(&self.row.shard));
        }
        let count = page.records.len();
        let full = count >= end.limit || bytes >= FULL_PAGE;
        self.poll.read(count, full, now);
        self.record_bytes = bytes.checked_div(count).unwrap_or(self.record_bytes);
        let ended = page.next_iterator.is_none();
        if self.row.checkpoint == Checkpoint::Latest {
            self.hold.read_at(self.shared.time.earliest());
        }
        let pages = Pages {
            next: page.next_iterator,
            first: page.records.iter().find_map(sequence).copied(),
            last: page.records.iter().rev().find_map(sequence).copied(),
            oldest: page.records.iter().find_map(created),
        };
        if let Some(cause) = self.position.read(pages, now) {
            self.gap(cause, None)?;
        }
        let lag = match page.records.last() {
            // There may be more records.
            Some(Ok(last)) if !ended => {
                let age = self.shared.time.now();
                age.duration_since(last.approximate_creation_time())
                    .unwrap_or_default()
            }
            _ => Duration::ZERO,
        };
        let (wanted, filtered) = self.number(page.records, bytes)?;
        let took = now.saturating_sub(end.sent);
        self.shared
            .counters
            .read(&self.row.shard, count, filtered, took, lag);
        let given = wanted.iter().filter_map(|(entry, _)| entry.as_ref().ok());
        self.shared.junction.seen(given);
        if self.position.is_read_up(full) {
            self.shared.junction.read_up(&self.row.shard, end.sent);
        }
        self.feed.push(&self.book, wanted, now);
        if ended {
            self.close();
        }
        Ok(())
    }

    /// Marks the shard as read to its end and reports that.
    fn close(&mut self) {
        self.closed = true;
        self.feed.flush(true);
        // A worker that does not receive this any more ends this task too.
        let _ = self.events.send(Event::Closed(self.row.shard.clone()));
    }

    /// Numbers a page's records. Records that are not wanted are done at once.
    fn number(
        &self,
        entries: Vec<Entry>,
        bytes: usize,
    ) -> Result<(Vec<(Entry, u64)>, usize), StreamsError> {
        let sequences = entries.iter().map(sequence);
        let first = self.book.push_page(sequences, bytes);
        let mut wanted = Vec::with_capacity(entries.len());
        let mut filtered = 0;
        // Once a page: the step depends on the stream, which is behind a lock.
        let wanted_from = self.from_time.map(|from| {
            let from = UNIX_EPOCH + Duration::from_millis(from);
            (from, self.shared.time_step())
        });
        for (entry, number) in entries.into_iter().zip(first..) {
            if self.wants(&entry, wanted_from)? {
                wanted.push((entry, number));
            } else {
                filtered += 1;
                self.book.done(number);
            }
        }
        Ok((wanted, filtered))
    }

    fn wants(
        &self,
        entry: &Entry,
        wanted_from: Option<(SystemTime, Duration)>,
    ) -> Result<bool, StreamsError> {
        // A record that can't be decoded can't be filtered either.
        let Ok(record) = entry else {
            return Ok(true);
        };
        // The service rounds down: the change may be later, by up to the step.
        let is_early = |(from, step)| record.approximate_creation_time() + step <= from;
        if wanted_from.is_some_and(is_early) {
            return Ok(false);
        }
        self.shared.wants(record)
    }

    fn unread(
        &mut self,
        mut failure: ReadFailure,
        limit: usize,
        now: Duration,
    ) -> Result<(), StreamsError> {
        self.shared.counters.failed_read();
        let after = self.position.after();
        let failed = self.position.failed(&mut failure, now);
        let error = failure.error;
        if error.is_past_limit() {
            // A local server's pages may exceed 1 MB: the next read asks for half as many records.
            self.record_bytes = self.shared.part().div_ceil((limit / 2).max(1));
        }
        match failed {
            Failed::Again => Ok(()),
            Failed::Gap(cause) => self.gap(cause, after),
            Failed::GapAndEnd(cause) => {
                self.gap(cause, after)?;
                self.close();
                Ok(())
            }
            Failed::Empty if self.is_closed() => {
                self.close();
                Ok(())
            }
            Failed::End => {
                tracing::info!(shard = %self.row.shard, "a shard was gone before anything of it was to be read");
                self.close();
                Ok(())
            }
            Failed::GiveUp => {
                let stream = self.shared.stream();
                let operation = failure.operation;
                Err(StreamsError::service(operation, &stream.arn, error))
            }
            Failed::Empty => {
                let pause = self.reads.failed();
                self.poll.pause_until(now + pause);
                Ok(())
            }
            Failed::Later => {
                let pause = self.reads.failed();
                let operation = failure.operation;
                self.shared
                    .troubles
                    .failed(operation, Some(&self.row.shard), &error);
                self.poll.pause_until(now + pause);
                Ok(())
            }
        }
    }

    /// Returns whether the shard takes no more changes, as far as it was listed.
    fn is_closed(&self) -> bool {
        self.shared.graph().is_closed(&self.row.shard)
    }

    /// Reports that changes are missing, behind the record given.
    pub(super) fn gap(
        &mut self,
        cause: GapCause,
        after: Option<SequenceNumber>,
    ) -> Result<(), StreamsError> {
        self.shared.gap(Gap {
            shard: Some(self.row.shard.clone()),
            after,
            cause,
        })?;
        if self.shared.settings.get_on_gap() == GapPolicy::Rescan {
            let (noted, rescan) = oneshot::channel();
            // A worker that does not receive this any more ends this task too.
            let _ = self.events.send(Event::Rescan(noted));
            self.rescan = Some(rescan);
        }
        Ok(())
    }
}

fn created(entry: &Entry) -> Option<u64> {
    let record = entry.as_ref().ok()?;
    Some(millis(record.approximate_creation_time()))
}

fn sequence(entry: &Entry) -> Option<&SequenceNumber> {
    match entry {
        Ok(record) => record.sequence_number(),
        Err(malformed) => malformed.sequence_number(),
    }
}
