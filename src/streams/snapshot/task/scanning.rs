//! The task's scans: paced, and limited by the bytes that may be held.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::super::merge::Cursor;
use super::super::pace::Pace;
use super::super::scan::{Scan, Scanned};
use super::super::store::SnapshotTable;
use super::{Phase, SnapshotTask};
use crate::admission::{Level, Limits};
use crate::retry::{Retries, ServiceError};
use crate::streams::StreamsError;
use crate::streams::shared::Order;

/// The bytes counted for a page under way. A page holds 1 MB at most (API reference of `Scan`); its
/// JSON is larger than the stored items.
const PAGE_BYTES: usize = 2 << 20;

/// The scans of the table's segments, and the read units that they may use.
pub(super) struct Scans {
    pub(super) segments: Vec<Segment>,
    pub(super) under_way: FuturesUnordered<BoxFuture<'static, ScanEnd>>,
    pace: Pace,
    retries: Retries,
}

pub(super) struct Segment {
    /// The position of the next page to request.
    scanned: Cursor,
    busy: bool,
    not_before: Duration,
}

pub(super) struct ScanEnd {
    segment: usize,
    predicted: f64,
    result: Result<Scanned, ServiceError>,
}

impl Scans {
    pub(super) fn new(read_units: usize, retries: Retries) -> Self {
        Self {
            segments: Vec::new(),
            under_way: FuturesUnordered::new(),
            pace: Pace::new(read_units),
            retries,
        }
    }

    /// Restarts the scan from these positions.
    pub(super) fn begin(&mut self, from: &[Cursor], not_before: Duration) {
        self.under_way.clear();
        let segment = |cursor: &Cursor| Segment {
            scanned: cursor.clone(),
            busy: false,
            not_before,
        };
        self.segments = from.iter().map(segment).collect();
    }
}

impl SnapshotTask {
    fn has_room(&self) -> bool {
        let busy = self
            .scans
            .segments
            .iter()
            .filter(|segment| segment.busy)
            .count();
        let given = match &self.phase {
            Phase::Giving(_, pages) => pages.iter().map(|page| page.bytes).sum(),
            Phase::Gathering | Phase::Quieting(_) => 0,
        };
        let held = self.shared.coordinator.bytes() + self.handout.acks.bytes() + given;
        let limits = Limits {
            records: usize::MAX,
            bytes: self.shared.settings.get_snapshot().get_hold_bytes(),
        };
        // Pages, and for those under way the most that they may have: none counts as a record.
        let level = Level {
            records: 0,
            bytes: held + busy * PAGE_BYTES,
        };
        limits.fits(level, PAGE_BYTES)
    }

    fn is_scanning(&self) -> bool {
        self.leaving.is_none() && *self.orders.borrow() == Order::Run && self.has_room()
    }

    /// Returns when the next page may be requested.
    pub(super) fn scan_due(&self) -> Option<Duration> {
        if !self.is_scanning() {
            return None;
        }
        let waiting = self.scans.segments.iter().filter(|segment| segment.waits());
        let first = waiting.map(|segment| segment.not_before).min()?;
        Some(first.max(self.scans.pace.due()))
    }

    pub(super) fn start_scans(&mut self, now: Duration) {
        while self.scan_due().is_some_and(|due| due <= now) {
            let next = self
                .scans
                .segments
                .iter_mut()
                .enumerate()
                .find(|(_, segment)| segment.waits() && segment.not_before <= now);
            let Some((at, segment)) = next else {
                return;
            };
            segment.busy = true;
            let scan = Scan {
                table: self.shared.table.clone(),
                keys: Arc::clone(&self.snapshots.keys),
                segment: at,
                segments: self.saves.stored.segments.len(),
                from: segment.scanned.clone(),
                limit: self.scans.pace.limit(),
            };
            let predicted = self.scans.pace.sent(now);
            self.shared.coordinator.sent(at);
            let (transport, time) = (self.snapshots.source.clone(), self.shared.time.now());
            self.scans.under_way.push(Box::pin(async move {
                ScanEnd {
                    segment: at,
                    predicted,
                    result: scan.page(transport, time).await,
                }
            }));
        }
    }

    pub(super) fn scanned(&mut self, end: ScanEnd) -> Result<(), StreamsError> {
        let now = self.shared.clock.now();
        let Some(segment) = self.scans.segments.get_mut(end.segment) else {
            return Ok(());
        };
        segment.busy = false;
        match end.result {
            Ok(scanned) => {
                self.scans.retries.succeeded();
                let shard = SnapshotTable::shard();
                self.shared.failure_log.succeeded("Scan", Some(&shard));
                let units = scanned.units.unwrap_or(end.predicted);
                self.scans
                    .pace
                    .answered(end.predicted, units, scanned.count);
                self.shared.counters.snapshot_items(scanned.count);
                segment.scanned = scanned.page.cursor.clone();
                let coordinator = &self.shared.coordinator;
                coordinator.answered(end.segment, scanned.page, now);
                Ok(())
            }
            Err(error) if error.is_fatal() => {
                Err(StreamsError::service("Scan", &self.shared.table, error))
            }
            Err(error) => {
                self.shared.coordinator.failed(end.segment);
                segment.not_before = now + self.scans.retries.failed();
                let shard = SnapshotTable::shard();
                self.shared.failure_log.failed("Scan", Some(&shard), &error);
                Ok(())
            }
        }
    }
}

impl Segment {
    /// Returns whether there is a page to request.
    fn waits(&self) -> bool {
        !self.busy && self.scanned != Cursor::End
    }
}
