//! Messages of the handles, and the end by an abort.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Running;
use crate::sink::error::DrainError;
use crate::sink::message::{Control, Message, Reply};
use crate::sink::outcome::Outcome;

/// The most messages that are taken in before requests are sent and other tasks have their turn.
///
/// Chosen: about a millisecond of work.
const MAX_MESSAGES_PER_STEP: usize = 1_000;

impl Running {
    /// Takes in messages that passed admission. Returns whether the table was aborted.
    pub(super) fn receive(&mut self, now: Duration) -> bool {
        if self.inbox.is_empty() {
            self.worker.admission.receive(&mut self.inbox);
        }
        for _ in 0..MAX_MESSAGES_PER_STEP {
            let Some(message) = self.inbox.pop_front() else {
                return false;
            };
            match message {
                Message::Write(submission) => {
                    self.idle_since = None;
                    self.worker.core.submit(now, submission);
                }
                Message::Control(control) => {
                    if self.obey(now, control) {
                        return true;
                    }
                }
                Message::Unobserved(outcomes) => {
                    for outcome in outcomes {
                        self.keep_unobserved(outcome);
                    }
                }
                Message::Misfit(outcome) => self.worker.meter.settled(&outcome, Duration::ZERO),
            }
        }
        false
    }

    /// Carries out a request of a handle. Returns whether it was the abort of the table.
    fn obey(&mut self, now: Duration, control: Control) -> bool {
        let core = &mut self.worker.core;
        match control {
            Control::Flush(reply) => {
                core.forget_flushes(Reply::is_closed);
                core.flush(reply);
            }
            Control::Snapshot(reply) => {
                // The outcomes of writes that it does not hold are passed on before: a caller that
                // stores it after looking at the outcomes misses none.
                self.pass_on(now);
                // A caller that gave up loses nothing.
                let _ = reply.send(Ok(self.worker.core.snapshot()));
            }
            Control::SetRate(rate) => core.set_rate(now, rate),
            Control::SetConcurrency(range) => core.set_concurrency(range),
            Control::Close(reply) => {
                // Callers that gave up are forgotten, so that a table that is stuck does not
                // collect them.
                if self.closing.len().is_power_of_two() {
                    self.closing.retain(|reply| !reply.is_closed());
                }
                self.closing.push(reply);
                core.drain();
            }
            Control::Abort(reply) => {
                self.abort(now, reply);
                return true;
            }
        }
        false
    }

    /// Answers the messages that came in after the close or the abort that ended the table. Left to
    /// the drop, it would be answered as if the runtime had been shut down.
    pub(super) fn dismiss(&mut self) {
        let late = self.worker.admission.finish();
        let messages: Vec<Message> = self.inbox.drain(..).chain(late).collect();
        for message in messages {
            match message {
                // Admission was closed before the close or the abort went through it.
                Message::Write(submission) => {
                    let outcome = Outcome::Unwritten {
                        may_have_applied: submission.may_have_applied,
                        record: Some(submission.payload.to_record(&self.worker.table, 0)),
                        cause: None,
                    };
                    let _ = submission.completion.complete(outcome, false, None);
                }
                Message::Control(Control::Flush(reply) | Control::Close(reply)) => {
                    let _ = reply.send(Err(DrainError::Closed));
                }
                Message::Control(Control::Snapshot(reply)) => {
                    let _ = reply.send(Err(DrainError::Closed));
                }
                Message::Control(Control::Abort(reply)) => {
                    let _ = reply.send(Vec::new());
                }
                Message::Unobserved(outcomes) => {
                    for outcome in outcomes {
                        let bytes = outcome.held_bytes();
                        self.unobserved.keep(outcome, bytes);
                    }
                }
                Message::Control(Control::SetRate(_) | Control::SetConcurrency(_))
                | Message::Misfit(_) => {}
            }
        }
        self.log_unreported();
    }

    /// Ends all requests that are under way. Every write is handed back, to its receipt and to the
    /// caller.
    fn abort(&mut self, now: Duration, reply: oneshot::Sender<Vec<Outcome>>) {
        self.tasks.abort_all();
        self.worker.core.abort(now);
        let mut handed_back = self.unobserved.take();
        self.worker.core.take_settled(&mut self.settled);
        for settled in std::mem::take(&mut self.settled) {
            if !settled.outcome.is_written() && settled.outcome.record().is_some() {
                handed_back.push(settled.outcome.clone());
            }
            self.complete(now, settled, false);
        }
        self.free();
        for flush in self.worker.core.take_flushed() {
            let _ = flush.send(Err(DrainError::Closed));
        }
        for close in self.closing.drain(..) {
            let _ = close.send(Err(DrainError::Closed));
        }
        self.publish(now);
        // If the caller of abort is gone, the receipts still have the records.
        let _ = reply.send(handed_back);
    }
}
