//! The room of a buffer, and its use.

use super::charge::{Bounds, Charge};
use super::quota_groups::{QuotaGroup, QuotaGroups};
use crate::admission::Level;
use crate::sink::shared_limit::Share;

/// The room in use, by records and by bytes, by quota group, and of the bytes of all tables.
#[derive(Debug)]
pub(super) struct Room {
    bounds: Bounds,
    level: Level,
    pub(super) groups: QuotaGroups,
    /// The share of the bytes of all tables; `None` once the table takes no more.
    share: Option<Share>,
    /// Set while the head of the line waits for the share.
    waits_for_share: bool,
}

impl Room {
    /// Returns an empty buffer's room.
    pub(super) fn new(bounds: Bounds, share: Share) -> Self {
        Self {
            bounds,
            level: Level::default(),
            groups: QuotaGroups::default(),
            share: Some(share),
            waits_for_share: false,
        }
    }

    /// Returns whether the buffer itself has room for a record.
    pub(super) fn fits(&self, charge: Charge) -> bool {
        self.bounds.buffer.fits(self.level, charge.bytes)
    }

    /// Returns whether a quota group has its share of the buffer.
    pub(super) fn is_full(&self, group: QuotaGroup) -> bool {
        self.groups.is_full(group, self.bounds.share)
    }

    /// Takes a record's bytes of the limit over all tables, or else waits for them if it is to
    /// `wait`.
    pub(super) fn try_share(&self, charge: Charge, wait: bool) -> bool {
        let share = self.share.as_ref();
        share.is_none_or(|share| share.try_take(charge.bytes, wait))
    }

    /// Gives bytes back to the limit over all tables.
    pub(super) fn free_share(&self, bytes: usize) {
        if let Some(share) = &self.share {
            share.free(bytes);
        }
    }

    /// Gives the share of the limit over all tables up.
    pub(super) fn leave_share(&mut self) {
        self.share = None;
    }

    /// Notes that the head of the line waits for the share.
    pub(super) fn wait_for_share(&mut self) {
        self.waits_for_share = true;
    }

    /// Returns whether the head of the line waits for the share.
    pub(super) fn waits_for_share(&self) -> bool {
        self.waits_for_share
    }

    /// Waits for the share no longer.
    pub(super) fn stop_waiting_for_share(&mut self) {
        if std::mem::take(&mut self.waits_for_share)
            && let Some(share) = &self.share
        {
            share.stop_waiting();
        }
    }

    /// Takes the buffer's room for a record.
    pub(super) fn take(&mut self, charge: Charge) {
        self.level.take(charge.bytes);
        self.groups.take(charge);
    }

    /// Frees the buffer's room of a record.
    pub(super) fn free(&mut self, charge: Charge) {
        self.level.free(charge.bytes);
        self.groups.free(charge);
    }

    /// Returns the records and the bytes in the buffer.
    pub(super) fn level(&self) -> Level {
        self.level
    }
}
