//! When to describe the table: while it is in doubt whether a table or its writes cause a refusal.

use std::time::Duration;

use super::access::Run;
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
    /// No answer of use. It says nothing of the table.
    Failed(ServiceError),
}

/// The descriptions of a table that is in doubt.
#[derive(Debug, Default)]
pub(super) struct Description {
    wanted: bool,
    /// The time of the next one, if one is wanted.
    due: Duration,
    /// The number of the next request when the one under way was asked for.
    asked_at: Option<u64>,
    /// The number in a row that decided nothing.
    undecided: u32,
    /// Those that called it missing.
    missing: Option<Run>,
    denied: bool,
    /// Set while descriptions are refused as writes are that break a rule: the service refuses whatever
    /// is sent.
    invalid: bool,
}

/// The least time between two descriptions. Chosen: many bad records share one.
const MIN_INTERVAL: Duration = Duration::from_millis(500);

impl Description {
    /// Wants one, once the time of the next is there.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// Returns the time at which to ask for one; `None` where none is wanted, or one is under way.
    pub(super) fn due_at(&self) -> Option<Duration> {
        (self.wanted && self.asked_at.is_none()).then_some(self.due)
    }

    /// Returns whether the table may not be described.
    pub(super) fn is_denied(&self) -> bool {
        self.denied
    }

    /// Returns whether refusals of writes for what is in them are in doubt themselves.
    pub(super) fn is_invalid(&self) -> bool {
        self.invalid
    }

    /// Nothing is in doubt any more.
    fn settle(&mut self, now: Duration) {
        *self = Self {
            due: now.saturating_add(MIN_INTERVAL),
            ..Self::default()
        };
    }
}

impl<C, F> Core<C, F> {
    /// Returns whether the table should be described now. One description is asked for at a time.
    pub(crate) fn take_describe(&mut self, now: Duration) -> bool {
        let due = self.failed.is_none() && self.description.due_at().is_some_and(|due| due <= now);
        if due {
            self.description.wanted = false;
            self.description.asked_at = Some(self.next_request);
        }
        due
    }

    /// Returns whether the table is to be described again: it is still in doubt.
    pub(crate) fn wants_description(&self) -> bool {
        self.description.wanted
    }

    /// Takes the table's description, asked for by [`take_describe`](Self::take_describe).
    pub(crate) fn on_described(&mut self, now: Duration, described: Described) {
        let asked_at = self.description.asked_at.take();
        if !self.groups.awaits_description() && !self.access.is_refused() {
            // It says nothing of the writes that are there now.
            self.description.settle(now);
            return;
        }
        match described {
            Described::KeysChanged(error) => return self.fail(now, error),
            Described::Missing(error) => {
                let missing = Run::add(&mut self.description.missing, now, Duration::MAX);
                // Its writes have to say the same, or to be in doubt: they may be let in again by now.
                let doubted = self.access.is_missing() || self.groups.awaits_description();
                if missing.is_lasting() && doubted {
                    return self.fail(now, error);
                }
                self.description.want();
            }
            Described::Failed(error) => {
                Run::interrupt(&mut self.description.missing);
                self.description.invalid |= error.class() == ErrorClass::Invalid;
                self.description.want();
            }
            Described::Unchanged | Described::Denied => {
                self.description.missing = None;
                self.description.denied = matches!(described, Described::Denied);
                // Where it may not be described, nothing speaks for the records.
                if let Some(asked_at) = asked_at {
                    self.groups.prove(asked_at);
                }
                let proven = self.groups.take_proven();
                if !proven.is_empty() && self.stop_asking_consumed() {
                    self.send_again(now, proven);
                } else {
                    self.reject_refusals(now, proven);
                }
                self.description.invalid = false;
                if self.groups.awaits_description() {
                    // Requests went out after this one was asked for.
                    self.description.want();
                    self.description.due = now.saturating_add(MIN_INTERVAL);
                    return;
                }
            }
        }
        self.description.undecided += 1;
        let delay = self
            .backoff
            .delay(self.description.undecided, &mut self.rng);
        self.description.due = now.saturating_add(delay);
        if !self.groups.awaits_description() && !self.access.is_refused() {
            self.description.settle(now);
        }
    }
}
