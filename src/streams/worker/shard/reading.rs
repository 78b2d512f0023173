//! Reads of a shard: when, from where, and the meaning of a failed read.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use tokio::sync::{oneshot, watch};

use super::super::super::events::Progress;
use super::super::super::graph::ShardGraph;
use super::super::super::lag;
use super::super::super::lease::{Checkpoint, LeaseRow};
use super::super::super::page::{Entry, Page};
use super::super::super::poll::Poll;
use super::super::super::read::{Read, ReadFailure};
use super::super::super::shared::{Order, Shared};
use super::super::super::time::millis;
use super::super::super::{SequenceNumber, StreamsError};
use super::end::EndOfShard;
use super::position::{Failed, Pages, Position};
use super::{Event, ShardTask};
use crate::gap::{Gap, GapCause, GapPolicy};
use crate::progress::Acknowledge;
use crate::retry::Retries;

/// The bytes from which a page counts as full, by size: `GetRecords` answers with 1 MB at most.
const FULL_PAGE: usize = 900_000;
/// The assumed size of a record before any has been read, in bytes.
const TYPICAL_RECORD: usize = 2_048;

/// The state of reading a shard.
pub(super) struct Reading {
    pub(super) position: Position,
    /// The time from which records are wanted, in milliseconds since 1970.
    from_time: Option<u64>,
    /// Nothing was handed out since all that there was had been read.
    pub(super) is_idle: bool,
    pub(super) end: EndOfShard,
    /// The listings of the stream's shards.
    pub(super) listings: watch::Receiver<Arc<ShardGraph>>,
    pub(super) poll: Poll,
    read_up: lag::Entry,
    record_bytes: usize,
    pub(super) read: Option<BoxFuture<'static, ReadEnd>>,
    /// The answer to the request for a rescan. Nothing is read, and nothing passes the gap, before.
    pub(super) rescan: Option<oneshot::Receiver<()>>,
    retries: Retries,
}

pub(super) struct ReadEnd {
    sent: Duration,
    /// The same, by the service's clock, in milliseconds since 1970.
    sent_at: u64,
    limit: usize,
    result: Result<(Page, usize), ReadFailure>,
}

/// A page's records with their numbers.
#[derive(Default)]
struct Numbered {
    wanted: Vec<(Entry, u64)>,
    /// The number of records that are not wanted.
    filtered: usize,
    /// The last record, where it is not wanted.
    unwanted: Option<SequenceNumber>,
}

impl Reading {
    pub(super) fn new(
        shared: &Shared,
        row: &LeaseRow,
        pinned: Option<String>,
        from_time: Option<u64>,
        retries: Retries,
    ) -> Self {
        let (interval, idle_interval, idle_after) = shared.settings.get_poll();
        // A row that was taken before has been read since, and does not say until when.
        let found = row.created.filter(|_| row.counter <= 1);
        Self {
            position: Position::new(row, pinned, shared.is_local(), shared.time.earliest()),
            from_time,
            is_idle: false,
            end: EndOfShard::default(),
            listings: shared.graph.subscribe(),
            poll: Poll::new(interval, idle_interval, idle_after),
            read_up: shared.lags.begins(&row.shard, found),
            record_bytes: TYPICAL_RECORD,
            read: None,
            rescan: None,
            retries,
        }
    }
}

impl ShardTask {
    pub(super) fn may_read(&self) -> bool {
        let bytes = self.handout.acks.bytes();
        !self.reading.end.is_reached()
            && self.phase.is_working()
            && self.instructions.borrow().order == Order::Run
            && self.reading.read.is_none()
            && self.reading.rescan.is_none()
            && !self.barrier.is_up()
            && self.handout.dispatcher.has_room()
            && (bytes == 0 || bytes < self.shared.read_below())
    }

    pub(super) fn start_read(&mut self, now: Duration) {
        let most = self.shared.settings.get_page_records();
        let limit = (self.shared.part() / self.reading.record_bytes.max(1)).clamp(1, most);
        let (from, iterator) = self.reading.position.next();
        let read = Read {
            stream: self.shared.stream(),
            shard: self.row.shard.clone(),
            from,
            iterator,
            limit,
        };
        self.reading.poll.started(now);
        let sent_at = self.shared.lags.now();
        self.reading.read = Some(Box::pin(async move {
            ReadEnd {
                sent: now,
                sent_at,
                limit,
                result: read.page().await,
            }
        }));
    }

    pub(super) fn page(&mut self, end: ReadEnd) -> Result<(), StreamsError> {
        let now = self.shared.clock.now();
        let (page, bytes) = match end.result {
            Ok(page) => page,
            Err(failure) => {
                let sent = (end.sent, end.sent_at);
                return self.unread(failure, end.limit, sent, now);
            }
        };
        self.note_success();
        let count = page.records.len();
        let full = count >= end.limit || bytes >= FULL_PAGE;
        let ended = page.next_iterator.is_none();
        // The first page without another is asked for again, at once.
        let again = ended && !self.reading.end.is_suspected();
        self.reading.poll.read(count, full || again, now);
        self.reading.record_bytes = bytes
            .checked_div(count)
            .unwrap_or(self.reading.record_bytes);
        if self.row.checkpoint == Checkpoint::Latest {
            self.lease.read_at(self.shared.time.earliest());
        }
        let pages = Pages {
            next: page.next_iterator,
            first: page.records.iter().find_map(sequence).copied(),
            last: page.records.iter().rev().find_map(sequence).copied(),
            oldest: page.records.iter().find_map(created),
        };
        if let Some(cause) = self.reading.position.read(pages, now) {
            self.gap(cause, None)?;
        }
        let newest = page.records.iter().rev().find_map(created);
        let numbered = self.number(page.records, bytes)?;
        let took = now.saturating_sub(end.sent);
        self.shared.counters.read(count, numbered.filtered, took);
        let given = numbered
            .wanted
            .iter()
            .filter_map(|(entry, _)| entry.as_ref().ok());
        self.shared.coordinator.seen(given);
        let is_read_up = self.reading.position.is_read_up(full);
        if is_read_up {
            self.shared.coordinator.read_up(&self.row.shard, end.sent);
        }
        if self.reading.position.is_probably_read_up(full) {
            self.note_read_up((end.sent, end.sent_at), now);
        } else if let Some(newest) = newest {
            self.reading.read_up.up_to(newest);
        }
        self.hand_out(numbered, is_read_up, now);
        let was_suspected = self.reading.end.is_suspected();
        self.reading.end.page(ended);
        // A listing is to show the end and the children. A worker that does not receive this any more
        // ends this task too.
        let shard = || self.row.shard.clone();
        if ended && !was_suspected {
            let _ = self.events.send(Event::Closed(shard()));
        } else if !ended && was_suspected {
            let _ = self.events.send(Event::Reopened(shard()));
        }
        self.believe_end();
        Ok(())
    }

    /// Hands the wanted records of a page out, and the progress that they don't show.
    fn hand_out(&mut self, numbered: Numbered, is_read_up: bool, now: Duration) {
        let was_idle = self.reading.is_idle && numbered.wanted.is_empty();
        self.reading.is_idle = was_idle || is_read_up;
        let progress = Progress {
            advanced: numbered.unwanted,
            is_idle: is_read_up && !was_idle,
        };
        self.handout
            .dispatcher
            .push(&self.handout.acks, numbered.wanted, progress, now);
    }

    fn note_success(&mut self) {
        self.reading.retries.succeeded();
        for operation in ["GetRecords", "GetShardIterator"] {
            self.shared
                .failure_log
                .succeeded(operation, Some(&self.row.shard));
        }
    }

    /// Notes that a read showed all that there was when it was sent, by this worker's clock and by
    /// the service's.
    fn note_read_up(&mut self, (sent, sent_at): (Duration, u64), now: Duration) {
        // The next read may take as long as this one.
        let next = self.reading.poll.due().max(now) + now.saturating_sub(sent);
        self.reading.read_up.all(sent_at, next.saturating_sub(sent));
    }

    /// Marks the shard as read to its end, once two pages in a row had no other behind them and the
    /// listing agrees: a finished shard is never read again.
    pub(super) fn believe_end(&mut self) {
        let is_read = self.reading.read.is_none();
        if is_read && self.reading.end.is_confirmed() && !self.is_listed_open() {
            self.close();
        }
    }

    fn close(&mut self) {
        self.reading.end.reach();
        self.reading.read_up.ended();
        self.handout.dispatcher.flush(true);
        if !self.reading.end.is_suspected() {
            let _ = self.events.send(Event::Closed(self.row.shard.clone()));
        }
    }

    fn is_listed_open(&self) -> bool {
        let graph = self.shared.graph();
        graph.contains(&self.row.shard) && !graph.is_closed(&self.row.shard)
    }

    /// Numbers a page's records. Records that are not wanted are done at once.
    fn number(&self, entries: Vec<Entry>, bytes: usize) -> Result<Numbered, StreamsError> {
        let sequences = entries.iter().map(sequence);
        let first = self.handout.acks.push_page(sequences, bytes);
        let mut numbered = Numbered::default();
        // Once a page: the step depends on the stream, which is behind a lock.
        let wanted_from = self.reading.from_time.map(|from| {
            let from = UNIX_EPOCH + Duration::from_millis(from);
            (from, self.shared.time_step())
        });
        for (entry, number) in entries.into_iter().zip(first..) {
            if self.accepts(&entry, wanted_from)? {
                numbered.wanted.push((entry, number));
                numbered.unwanted = None;
            } else {
                numbered.filtered += 1;
                numbered.unwanted = sequence(&entry).copied();
                self.handout.acks.done(number);
            }
        }
        Ok(numbered)
    }

    fn accepts(
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
        self.shared.accepts(record)
    }

    fn unread(
        &mut self,
        mut failure: ReadFailure,
        limit: usize,
        sent: (Duration, u64),
        now: Duration,
    ) -> Result<(), StreamsError> {
        self.shared.counters.failed_read();
        self.reading.read_up.failed();
        let after = self.reading.position.after();
        let failed = match self.reading.position.failed(&mut failure, now) {
            // The listing contradicts it, and nothing shows which is right: time does.
            Failed::End | Failed::GapAndEnd(_) if self.is_listed_open() => Failed::Later,
            failed => failed,
        };
        let error = failure.error;
        if error.is_past_limit() {
            // A local server's pages may exceed 1 MB: the next read asks for half as many records.
            self.reading.record_bytes = self.shared.part().div_ceil((limit / 2).max(1));
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
            // As a page without a record: DynamoDB Local refuses where nothing is left to be read.
            Failed::Empty => {
                self.note_success();
                self.reading.poll.read(0, false, now);
                self.shared.coordinator.read_up(&self.row.shard, sent.0);
                self.note_read_up(sent, now);
                self.hand_out(Numbered::default(), true, now);
                Ok(())
            }
            Failed::Later => {
                let pause = self.reading.retries.failed();
                let operation = failure.operation;
                self.shared
                    .failure_log
                    .failed(operation, Some(&self.row.shard), &error);
                self.reading.poll.pause_until(now + pause);
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
        let shard = Some(self.row.shard.name());
        let after = after.map(|after| after.to_string().into());
        self.shared.gap(Gap::new(shard, after, cause))?;
        if self.shared.settings.get_on_gap() == GapPolicy::Rescan {
            let (noted, rescan) = oneshot::channel();
            // A worker that does not receive this any more ends this task too.
            let _ = self.events.send(Event::Rescan(noted));
            self.reading.rescan = Some(rescan);
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
