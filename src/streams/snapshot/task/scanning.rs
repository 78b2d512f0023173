//! The task's scans: paced, and limited by the bytes that may be held.

use std::sync::Arc;
use std::time::Duration;

use super::super::merge::Cursor;
use super::super::scan::Scan;
use super::super::store::SnapshotTable;
use super::{PAGE_BYTES, Phase, ScanEnd, Segment, SnapshotTask};
use crate::streams::StreamsError;
use crate::streams::shared::Order;

impl SnapshotTask {
    fn has_room(&self) -> bool {
        let busy = self.segments.iter().filter(|segment| segment.busy).count();
        let given = match &self.phase {
            Phase::Giving(_, pages) => pages.iter().map(|page| page.bytes).sum(),
            Phase::Gathering | Phase::Quieting(_) => 0,
        };
        let held = self.shared.coordinator.bytes() + self.acks.bytes() + given;
        let most = self.shared.settings.get_snapshot().get_hold_bytes();
        (held == 0 && busy == 0) || held + (busy + 1) * PAGE_BYTES <= most
    }

    fn is_scanning(&self) -> bool {
        self.leaving.is_none() && *self.orders.borrow() == Order::Run && self.has_room()
    }

    /// Returns when the next page may be requested.
    pub(super) fn scan_due(&self) -> Option<Duration> {
        if !self.is_scanning() {
            return None;
        }
        let waiting = self.segments.iter().filter(|segment| segment.waits());
        let first = waiting.map(|segment| segment.not_before).min()?;
        Some(first.max(self.pace.due()))
    }

    pub(super) fn start_scans(&mut self, now: Duration) {
        while self.scan_due().is_some_and(|due| due <= now) {
            let next = self
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
                segments: self.stored.segments.len(),
                from: segment.scanned.clone(),
                limit: self.pace.limit(),
            };
            let predicted = self.pace.sent(now);
            self.shared.coordinator.sent(at);
            let (transport, time) = (self.snapshots.source.clone(), self.shared.time.now());
            self.scans.push(Box::pin(async move {
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
        let Some(segment) = self.segments.get_mut(end.segment) else {
            return Ok(());
        };
        segment.busy = false;
        match end.result {
            Ok(scanned) => {
                self.retries.succeeded();
                let lane = SnapshotTable::shard();
                self.shared.failure_log.succeeded("Scan", Some(&lane));
                let units = scanned.units.unwrap_or(end.predicted);
                self.pace.answered(end.predicted, units, scanned.count);
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
                segment.not_before = now + self.retries.failed();
                let lane = SnapshotTable::shard();
                self.shared.failure_log.failed("Scan", Some(&lane), &error);
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
