//! The transactions of a pipeline, one after the other: the machine, without I/O.
//!
//! **Problem.** Each call of a transaction may fail in ways that ask for the same call again, for an
//! abort, for a new producer, or for the end; a commit may have an outcome that is not known; and a record
//! that brokers always refuse must not abort its transaction for ever, nor an outage make it a letter.
//!
//! **Choice.** One machine decides, of the outcome of each step, what the next one is. The driver
//! (`transact`) does the steps. Whatever is not a commit that was answered ends in a rewind: what was held
//! is dropped, and the source asks for its committed positions anew, which only what was really
//! committed has moved. So an unknown outcome needs no guess.
//!
//! ```text
//!  Idle ─▶ Beginning ─▶ Passing ─▶ Delivering ─▶ SendingOffsets ─▶ Committing ─▶ Settling ─▶ Idle
//!                          │ cut: the gate closes      │              │             │ worn
//!                          └──────┬────────────────────┴──────────────┘             ▼
//!                                 ▼                                              Renewing
//!                        Aborting ─▶ Renewing ─▶ Rewinding ─▶ Idle
//! ```

use std::time::Duration;

use crate::kafka::Verdict;

/// The time in which a second fencing shows that another producer has the same id.
const FENCED_AGAIN: Duration = Duration::from_secs(60);

/// Transactions that failed for refused records before the one at fault is looked for.
const REFUSALS: u32 = 2;

/// The next thing to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait until a record may pass.
    Wait,
    Begin,
    /// Let records pass, until this time at most, and at most so many of the source's.
    Pass {
        until: Duration,
        most: usize,
    },
    /// Close the gate, and wait for the reports of all that was produced.
    Deliver,
    SendOffsets,
    Commit,
    /// Acknowledge what was held, and open the gate.
    Settle,
    Abort,
    Renew,
    /// Drop what was held, have the source begin at its committed positions, and open the gate.
    Rewind,
}

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// Of [`Step::Pass`]: there is nothing to commit.
    Empty,
    /// Of [`Step::Settle`]. `is_past` where nothing is left of what was in transactions whose records were refused.
    Settled {
        is_past: bool,
    },
    Failed(Verdict),
    /// Of [`Step::Deliver`]: records failed for an outage.
    Undelivered,
    /// Of [`Step::Deliver`]: brokers refused a record for what it is, among so many of the source's. `is_known` where it
    /// was alone, and is to be a letter.
    Refused {
        records: usize,
        is_known: bool,
    },
}

impl Outcome {
    /// Returns whether a step has failed.
    pub(super) fn is_failure(self) -> bool {
        !matches!(self, Self::Done | Self::Empty | Self::Settled { .. })
    }
}

/// The end of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By an error that no further try removes.
    Stopped,
    /// Another producer has the same transactional id.
    FencedAgain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Beginning,
    Passing,
    Delivering,
    SendingOffsets,
    Committing,
    Settling,
    /// `renew` where the producer is of no use afterward.
    Aborting {
        renew: bool,
    },
    /// `rewind` where a transaction has failed, not where only its producer is not to be used again.
    Renewing {
        rewind: bool,
    },
    Rewinding,
}

#[derive(Debug)]
pub(super) struct Commits {
    interval: Duration,
    /// The longest time for which one step is repeated, and that of a transaction.
    timeout: Duration,
    state: State,
    /// The time of the first try of a step that is repeated.
    repeated_since: Option<Duration>,
    /// Failures since the last commit.
    failures: u32,
    /// Transactions that failed for refused records, until all that was in them is committed.
    refusals: u32,
    /// The most records of the source in a transaction: fewer at each refusal, until the one at fault is alone.
    most: usize,
    /// The begin of the transaction.
    began: Duration,
    fenced_at: Option<Duration>,
}

impl Commits {
    /// Returns the machine of transactions that are cut after `interval`, and time out after `timeout`.
    pub(super) fn new(interval: Duration, timeout: Duration) -> Self {
        Self {
            interval: interval.min(timeout / 2),
            timeout,
            state: State::Idle,
            repeated_since: None,
            failures: 0,
            refusals: 0,
            most: usize::MAX,
            began: Duration::ZERO,
            fenced_at: None,
        }
    }

    pub(super) fn step(&self) -> Step {
        match self.state {
            State::Idle => Step::Wait,
            State::Beginning => Step::Begin,
            State::Passing => Step::Pass {
                until: self.began + self.interval,
                most: self.most,
            },
            State::Delivering => Step::Deliver,
            State::SendingOffsets => Step::SendOffsets,
            State::Committing => Step::Commit,
            State::Settling => Step::Settle,
            State::Aborting { .. } => Step::Abort,
            State::Renewing { .. } => Step::Renew,
            State::Rewinding => Step::Rewind,
        }
    }

    /// Returns the number of failures since the last commit, by which the next try is delayed.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns whether a record that is refused alone in its transaction is at fault: it was tried before.
    pub(super) fn is_sure(&self) -> bool {
        self.refusals >= REFUSALS
    }

    /// Returns whether this refusal is the first after which a record at fault is looked for.
    pub(super) fn begins_search(&self) -> bool {
        self.refusals + 1 == REFUSALS
    }

    /// Notes the outcome of the step. `is_worn` says whether the producer is not to be trusted with another
    /// transaction.
    ///
    /// # Errors
    ///
    /// The end, where there is no next step.
    pub(super) fn done(
        &mut self,
        now: Duration,
        outcome: Outcome,
        is_worn: bool,
    ) -> Result<(), End> {
        if outcome == Outcome::Failed(Verdict::Again) && self.may_repeat(now) {
            return Ok(());
        }
        self.repeated_since = None;
        self.state = match outcome {
            Outcome::Done => self.after(now, is_worn),
            Outcome::Settled { is_past } => {
                if is_past {
                    (self.refusals, self.most) = (0, usize::MAX);
                }
                self.failures = 0;
                self.after(now, is_worn)
            }
            Outcome::Empty => State::Aborting { renew: false },
            Outcome::Failed(verdict) => self.failed(now, verdict)?,
            // Brokers refuse what follows a failed record on its partition once more.
            Outcome::Undelivered => {
                self.failures = self.failures.saturating_add(1);
                State::Aborting { renew: true }
            }
            Outcome::Refused { records, is_known } => {
                self.refused(records, is_known);
                State::Aborting { renew: true }
            }
        };
        Ok(())
    }

    fn may_repeat(&mut self, now: Duration) -> bool {
        let since = *self.repeated_since.get_or_insert(now);
        now.saturating_sub(since) < self.timeout
    }

    /// Returns the state after a step that succeeded.
    fn after(&mut self, now: Duration, is_worn: bool) -> State {
        match self.state {
            State::Idle => State::Beginning,
            State::Beginning => {
                self.began = now;
                State::Passing
            }
            State::Passing => State::Delivering,
            State::Delivering => State::SendingOffsets,
            State::SendingOffsets => State::Committing,
            State::Committing => State::Settling,
            State::Settling if is_worn => State::Renewing { rewind: false },
            State::Settling => State::Idle,
            State::Aborting { renew } if renew || is_worn => State::Renewing { rewind: true },
            State::Aborting { .. } | State::Renewing { rewind: true } => State::Rewinding,
            State::Renewing { rewind: false } | State::Rewinding => State::Idle,
        }
    }

    fn failed(&mut self, now: Duration, verdict: Verdict) -> Result<State, End> {
        if (verdict, self.state) == (Verdict::Renew, State::Beginning) {
            // Nothing has failed: the producer was found not to be trusted.
            return Ok(State::Renewing { rewind: false });
        }
        self.failures = self.failures.saturating_add(1);
        let rewind = self.state != State::Renewing { rewind: false };
        match (verdict, self.state) {
            (Verdict::Stop, _) => Err(End::Stopped),
            (Verdict::Fenced, _) => {
                // Of a transaction that took too long it says nothing of another producer.
                let is_young = now.saturating_sub(self.began) < self.timeout;
                let before = is_young.then(|| self.fenced_at.replace(now)).flatten();
                match before {
                    Some(before) if now.saturating_sub(before) < FENCED_AGAIN => {
                        Err(End::FencedAgain)
                    }
                    _ => Ok(State::Renewing { rewind }),
                }
            }
            // A transaction is open, and can be ended.
            (
                Verdict::Abort,
                State::Passing | State::Delivering | State::SendingOffsets | State::Committing,
            ) => Ok(State::Aborting { renew: false }),
            // A rewind that failed is made again.
            (_, State::Rewinding) => Ok(State::Rewinding),
            (Verdict::Again | Verdict::Abort | Verdict::Renew, _) => Ok(State::Renewing { rewind }),
        }
    }

    fn refused(&mut self, records: usize, is_known: bool) {
        self.failures = self.failures.saturating_add(1);
        self.refusals = self.refusals.saturating_add(1);
        if is_known {
            // It comes again as a letter.
            self.most = usize::MAX;
        } else if self.refusals >= REFUSALS {
            self.most = (self.most.min(records) / 2).max(1);
        }
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
