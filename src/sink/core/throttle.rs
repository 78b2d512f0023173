//! The throttle: the amount that may be sent now, by concurrency and by budgets, and the time until
//! which to wait.

use std::time::Duration;

use super::lane::Ticket;
use crate::capacity::{BudgetKey, Budgets, ConcurrencyLimit};

/// The time for which an index counts as short after a write was last parked for it.
///
/// Chosen: longer than the moments without a parked write of an index that stays short.
const SHORT_INDEX_MEMORY: Duration = Duration::from_secs(1);

/// The answer to requests that ask for the units that they consume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ConsumedAnswer {
    /// No request that asks was carried out.
    #[default]
    Unknown,
    /// A request that asks was carried out.
    Given,
    /// All requests that ask were refused: they don't ask any more.
    Refused,
}

/// The limits of a table's requests.
#[derive(Debug)]
pub(super) struct Throttle {
    pub(super) limit: ConcurrencyLimit,
    pub(super) budgets: Budgets,
    /// The time until which the lanes wait for the table's budget, as of the last check.
    table_until: Option<Duration>,
    /// The time until which parked writes wait for their budgets, as of the last check.
    parked_until: Option<Duration>,
    /// The indexes that writes were parked for, and the last time of each.
    short_indexes: Vec<(usize, Duration)>,
    /// The write that is sent alone to obtain a reason: a request that is refused whole bears one.
    cause_probe: Option<Ticket>,
    /// Set while the limit over all tables lets no request be sent.
    waits_for_permit: bool,
    /// Set where this table met the account's limit.
    pub(super) account: bool,
    pub(super) consumed: ConsumedAnswer,
}

impl Throttle {
    pub(super) fn new(limit: ConcurrencyLimit, budgets: Budgets) -> Self {
        Self {
            limit,
            budgets,
            table_until: None,
            parked_until: None,
            short_indexes: Vec::new(),
            cause_probe: None,
            waits_for_permit: false,
            account: false,
            consumed: ConsumedAnswer::default(),
        }
    }

    /// Sets whether the limit over all tables lets no request be sent.
    pub(super) fn set_waits_for_permit(&mut self, waits: bool) {
        self.waits_for_permit = waits;
    }

    /// Returns whether the limit over all tables lets no request be sent.
    pub(super) fn waits_for_permit(&self) -> bool {
        self.waits_for_permit
    }

    /// Returns whether a write is to be sent by itself next, to obtain a reason.
    pub(super) fn has_cause_probe(&self) -> bool {
        self.cause_probe.is_some()
    }

    /// Returns the write units a second that may leave now; `None` where nothing limits them.
    pub(super) fn rate(&self, now: Duration) -> Option<f64> {
        self.budgets.rate(now)
    }

    /// Returns the units of the table that may leave now; `None` where they have to wait.
    pub(super) fn permitted(&mut self, now: Duration, want: u32, least: u32) -> Option<u32> {
        match self.budgets.permit(now, want, least) {
            Ok(units) => Some(units),
            Err(until) => {
                self.table_until = Some(until);
                None
            }
        }
    }

    /// Begins a check of all budgets.
    pub(super) fn begin_check(&mut self) {
        self.table_until = None;
        self.parked_until = None;
    }

    /// Returns whether the lanes wait for the table's budget.
    pub(super) fn table_waits(&self) -> bool {
        self.table_until.is_some()
    }

    /// Returns the time until which the lanes wait for the table's budget.
    pub(super) fn table_until(&self) -> Option<Duration> {
        self.table_until
    }

    /// Returns the time until which parked writes wait for their budgets.
    pub(super) fn parked_until(&self) -> Option<Duration> {
        self.parked_until
    }

    /// Checks the budgets of parked writes again at this time.
    pub(super) fn wait_for_parked(&mut self, until: Duration) {
        let known = self.parked_until;
        self.parked_until = Some(known.map_or(until, |known| known.min(until)));
    }

    /// Notes that a write was parked. Its budget is checked again before the worker sleeps.
    pub(super) fn parked(&mut self, now: Duration, key: BudgetKey) {
        self.parked_until = Some(now);
        let BudgetKey::Index(index) = key else {
            return;
        };
        let mut short = self.short_indexes.iter_mut();
        match short.find(|(at, _)| *at == index) {
            Some((_, noted)) => *noted = now,
            None => self.short_indexes.push((index, now)),
        }
    }

    /// Returns the indexes that writes were parked for a moment ago, or are now, a bit for each.
    pub(super) fn short_indexes(
        &self,
        now: Duration,
        is_parked: impl Fn(BudgetKey) -> bool,
    ) -> u32 {
        let short = self.short_indexes.iter().filter(|(at, noted)| {
            let recent = now.saturating_sub(*noted) < SHORT_INDEX_MEMORY;
            recent || is_parked(BudgetKey::Index(*at))
        });
        short.fold(0, |bits, (at, _)| {
            bits | 1_u32.wrapping_shl(u32::try_from(*at).unwrap_or(0))
        })
    }

    /// Sends a write by itself next, to obtain a reason.
    pub(super) fn probe_cause(&mut self, ticket: Option<Ticket>) {
        self.cause_probe = ticket;
    }

    /// Returns the write that is to be sent by itself next, once.
    pub(super) fn take_cause_probe(&mut self) -> Option<Ticket> {
        self.cause_probe.take()
    }

    /// Cancels the sending of this write by itself.
    pub(super) fn cancel_cause_probe(&mut self, ticket: Ticket) {
        self.cause_probe.take_if(|probe| *probe == ticket);
    }
}
