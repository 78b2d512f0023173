//! Descriptions of the table: requested while it is unproven whether the table or its writes cause
//! a refusal.

use std::time::Duration;

use super::{Core, ServiceError};
use crate::retry::ErrorClass;

/// The result of describing the table.
#[derive(Clone, Debug)]
pub(crate) enum Described {
    /// Its keys are unchanged.
    Unchanged,
    /// Its keys are others.
    KeysChanged(ServiceError),
    /// There is no such table.
    Missing(ServiceError),
    /// It may not be described.
    Denied,
    /// There was no useful answer. It gives no information about the table.
    Failed(ServiceError),
}

impl Described {
    /// Returns whether it gives the state of the table, or shows that none is available.
    fn is_decisive(&self) -> bool {
        !matches!(self, Self::Missing(_) | Self::Failed(_))
    }
}

/// The descriptions of a table whose state is unproven.
#[derive(Debug, Default)]
pub(super) struct Description {
    requested: bool,
    /// Set while the table is described for its capacity: one description is under way at a time.
    refreshing: bool,
    /// The time of the next one, if one is requested.
    due: Duration,
    /// The number of the next request when the one under way was asked for.
    asked_at: Option<u64>,
    /// The number of descriptions in a row that decided nothing.
    undecided: u32,
    denied: bool,
    /// Set while a refused write is tried again, since there is no description.
    trying: bool,
    /// Set once the table was proven without a description.
    resolved: bool,
    /// Set while descriptions are refused like writes that break a rule: the service refuses every
    /// request.
    invalid: bool,
}

/// The least time between two descriptions. Chosen: many bad records share one.
const MIN_DESCRIBE_INTERVAL: Duration = Duration::from_millis(500);

impl Description {
    /// Puts off a description that could not be asked for.
    fn postpone(&mut self, now: Duration) {
        self.asked_at = None;
        self.requested = true;
        self.due = now.saturating_add(MIN_DESCRIBE_INTERVAL);
    }

    /// Requests a description, once the next one is due.
    pub(super) fn request(&mut self) {
        self.requested = true;
    }

    /// Returns the time at which to ask for one; `None` where none is wanted, or one is under way.
    pub(super) fn due_at(&self) -> Option<Duration> {
        (self.requested && !self.is_under_way()).then_some(self.due)
    }

    fn is_under_way(&self) -> bool {
        self.refreshing || self.asked_at.is_some()
    }

    /// Returns whether the table may not be described.
    pub(super) fn is_denied(&self) -> bool {
        self.denied
    }

    /// Notes that a refused write is tried again.
    pub(super) fn begin_trying(&mut self) {
        self.trying = true;
    }

    /// Returns whether refusals of writes for their contents are unproven, since descriptions are
    /// refused too.
    pub(super) fn is_invalid(&self) -> bool {
        self.invalid
    }

    /// Ends the search: the state of the table is proven.
    fn settle(&mut self, now: Duration) {
        *self = Self {
            due: now.saturating_add(MIN_DESCRIBE_INTERVAL),
            refreshing: self.refreshing,
            ..Self::default()
        };
    }
}

impl<C, F> Core<C, F> {
    /// Returns whether the table should be described now. One description is asked for at a time.
    pub(crate) fn take_describe(&mut self, now: Duration) -> bool {
        let due = self.failed.is_none()
            && self
                .isolation
                .description
                .due_at()
                .is_some_and(|due| due <= now);
        if due {
            self.isolation.description.requested = false;
            self.isolation.description.asked_at = Some(self.requests.next());
        }
        due
    }

    /// Puts off the description that [`take_describe`](Self::take_describe) has granted: it was not asked for.
    pub(crate) fn postpone_description(&mut self, now: Duration) {
        self.isolation.description.postpone(now);
    }

    /// Returns whether the table should be described for its capacity now. It must be followed by
    /// [`refreshed`](Self::refreshed).
    pub(crate) fn take_refresh(&mut self, now: Duration) -> bool {
        let description = &mut self.isolation.description;
        let may = !self.queue.is_empty() && self.failed.is_none() && !description.is_under_way();
        if may && self.throttle.budgets.take_describe(now) {
            description.refreshing = true;
        }
        description.refreshing && may
    }

    /// Notes that the table was described for its capacity, or could not be.
    pub(crate) fn refreshed(&mut self) {
        self.isolation.description.refreshing = false;
    }

    /// Returns whether the state of the table is unproven: it is to be described again, or a write
    /// to be tried.
    pub(crate) fn is_unproven(&self) -> bool {
        self.isolation.description.requested || self.isolation.description.trying
    }

    /// Notes that a write was carried out, which may have been the one that was tried again.
    pub(super) fn end_trial(&mut self) {
        if self.isolation.description.trying && !self.isolation.awaits_description() {
            self.isolation.description.trying = false;
            self.isolation.description.resolved = !self.isolation.description.requested;
        }
    }

    /// Returns, once, whether the table was proven without a description.
    pub(crate) fn take_resolved(&mut self) -> bool {
        std::mem::take(&mut self.isolation.description.resolved)
    }

    /// Takes the table's description, asked for by [`take_describe`](Self::take_describe).
    pub(crate) fn on_described(&mut self, now: Duration, described: Described) {
        let asked_at = self.isolation.description.asked_at.take();
        let decisive = described.is_decisive();
        if !self.isolation.awaits_description() && !self.access.is_refused() {
            // It gives no information about the writes that are queued now.
            if decisive {
                self.isolation.description.settle(now);
            } else {
                self.delay_description(now);
            }
            return;
        }
        match described {
            Described::KeysChanged(error) => return self.fail(now, error),
            Described::Missing(error) => {
                if self.access.described_missing(now) {
                    return self.fail(now, error);
                }
                self.isolation.description.request();
                self.try_refused(now);
            }
            Described::Failed(error) => {
                self.access.description_failed();
                self.isolation.description.invalid |= error.class() == ErrorClass::Invalid;
                self.isolation.description.request();
                self.try_refused(now);
            }
            Described::Unchanged | Described::Denied => {
                self.access.described();
                self.isolation.description.denied = matches!(described, Described::Denied);
                // Where the table may not be described, nothing else can prove it unchanged.
                if let Some(asked_at) = asked_at {
                    self.isolation.prove(asked_at);
                }
                let proven = self.isolation.take_proven();
                if !proven.is_empty() && self.stop_asking_consumed() {
                    self.send_again(now, proven);
                } else {
                    self.reject_refusals(now, proven);
                }
                self.isolation.description.invalid = false;
                if self.isolation.awaits_description() {
                    // Requests went out after this one was asked for.
                    self.isolation.description.request();
                    self.isolation.description.due = now.saturating_add(MIN_DESCRIBE_INTERVAL);
                    return;
                }
            }
        }
        self.isolation.description.undecided += 1;
        self.delay_description(now);
        if !self.isolation.awaits_description() && !self.access.is_refused() {
            self.isolation.description.requested = false;
            if decisive {
                self.isolation.description.settle(now);
            }
        }
    }

    /// Puts the next description off, by a longer time the more of them decided nothing.
    fn delay_description(&mut self, now: Duration) {
        let undecided = self.isolation.description.undecided.max(1);
        let delay = self.retries.delay(undecided);
        self.isolation.description.due = now.saturating_add(delay);
    }
}
