//! The task that owns a table's state.
//!
//! One task per table drives the pure [`Core`]: it takes in the messages that passed admission,
//! sends the requests that are due (each a task of its own, so that signing and I/O use all cores),
//! feeds the answers back, passes the outcomes on, and frees their room.
//!
//! | file | part |
//! |---|---|
//! | `inbox` | messages of the handles, and the end by an abort |
//! | `tasks` | requests, descriptions, dead letters, and their results |
//! | `permits` | the table's part of the limit of requests over all tables |
//! | `outcomes` | outcomes on their way to receipts, flushes and numbers |
//!
//! **A circle.** `tasks` and `outcomes` are parts of the worker's `Running`, in files of their own.

mod inbox;
mod outcomes;
mod permits;
mod tasks;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::admission::{Admission, Charge};
use super::core::{Core, Settled};
use super::dead_letter::DeadLetterHandler;
use super::describing::SharedShape;
use super::error::{StopReason, SubmitError};
use super::message::{Message, Reply};
use super::outcome::Outcome;
use super::receipt::Completion;
use super::stats::{Meter, Published};
use crate::clock::Clock;
use crate::health::Reporter;
use crate::progress::{MAX_UNOBSERVED, Unobserved};
use crate::transport::Transport;
pub(super) use permits::Permits;
use tasks::Done;

/// The time after which a table without a write gives back memory that its writes took.
///
/// Chosen: longer than the pauses of a table in use, which would only take it anew.
const IDLE_BEFORE_SHRINK: Duration = Duration::from_secs(1);

/// The parts of a worker.
pub(super) struct Worker {
    pub(super) table: Arc<str>,
    pub(super) shape: SharedShape,
    pub(super) core: Core<Completion, Reply>,
    pub(super) admission: Arc<Admission<Message>>,
    /// The table's share of the requests that all tables may have in flight.
    pub(super) requests: Permits,
    pub(super) transport: Transport,
    pub(super) clock: Clock,
    pub(super) dead_letters: Option<DeadLetterHandler>,
    pub(super) meter: Meter,
    pub(super) reporter: Reporter,
    pub(super) stats: Arc<Mutex<Published>>,
    pub(super) account: Account,
}

/// The times that tables of the sink have met the account's quota, and those that this table knows
/// of.
#[derive(Debug, Default)]
pub(super) struct Account {
    met: Arc<AtomicU64>,
    known: u64,
}

impl Account {
    /// Returns the view of another table.
    pub(super) fn of_other_table(&self) -> Self {
        Self {
            met: Arc::clone(&self.met),
            known: 0,
        }
    }

    /// Notes that this table has met the quota.
    fn note(&mut self) {
        self.met.fetch_add(1, Ordering::Relaxed);
        self.known += 1;
    }

    /// Returns whether another table has met the quota since the last call.
    fn take_others(&mut self) -> bool {
        let met = self.met.load(Ordering::Relaxed);
        std::mem::replace(&mut self.known, met) < met
    }
}

/// A worker that runs, and its state.
struct Running {
    worker: Worker,
    tasks: JoinSet<Done>,
    inbox: VecDeque<Message>,
    settled: Vec<Settled<Completion>>,
    freed: Vec<Charge>,
    unobserved: Unobserved<Outcome>,
    stopped: Option<StopReason>,
    closing: Vec<Reply>,
    /// Set once the log has the table's failure.
    failed: bool,
    /// The indexes that admission knows to be short.
    short_indexes: u32,
    /// The time since which numbers have changed that are not published.
    unpublished_since: Option<Duration>,
    /// The time since which there is no write, until memory was given back.
    idle_since: Option<Duration>,
}

impl Worker {
    /// Runs until the table is closed or aborted, or all its handles are dropped and all accepted
    /// writes have their outcome.
    ///
    /// Dropped before that, polled or not, it resolves all that wait: a runtime may be shut down as
    /// soon as the table is open.
    pub(super) fn run(self) -> impl Future<Output = ()> + Send {
        let max_bytes = self.admission.bounds().buffer.bytes;
        let mut running = Running {
            worker: self,
            tasks: JoinSet::new(),
            inbox: VecDeque::new(),
            settled: Vec::new(),
            freed: Vec::new(),
            unobserved: Unobserved::new(MAX_UNOBSERVED, max_bytes),
            stopped: None,
            closing: Vec::new(),
            failed: false,
            short_indexes: 0,
            unpublished_since: None,
            idle_since: None,
        };
        async move {
            running.run().await;
            running.dismiss();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ends here in order, or because the runtime was shut down: then receipts and callers wait.
        self.worker.admission.end(SubmitError::Gone);
    }
}

impl Running {
    async fn run(&mut self) {
        let admission = Arc::clone(&self.worker.admission);
        loop {
            let now = self.worker.clock.now();
            if self.receive(now) {
                return;
            }
            // An abort hands back all writes before it that were not sent: so it is looked for first.
            if self.inbox.is_empty() {
                self.send(now);
            }
            self.pass_on(now);
            if self.finished(now) {
                return;
            }
            self.shrink_if_idle(now);
            let wake = self.wake_at();
            if !self.inbox.is_empty() || wake.is_some_and(|wake| wake <= now) {
                // There is more to do at once: one step at a time, with other tasks in between.
                tokio::task::yield_now().await;
                self.collect();
                continue;
            }
            tokio::select! {
                biased;
                Some(done) = self.tasks.join_next() => {
                    let now = self.worker.clock.now();
                    self.done(now, done);
                    self.collect();
                }
                () = admission.arrival() => {}
                () = sleep(self.worker.clock, wake), if wake.is_some() => {}
            }
        }
    }

    /// Takes the results of all tasks that are done.
    fn collect(&mut self) {
        let now = self.worker.clock.now();
        while let Some(done) = self.tasks.try_join_next() {
            self.done(now, done);
        }
    }

    fn wake_at(&mut self) -> Option<Duration> {
        let idle = self.idle_since;
        let times = [
            self.worker.core.wake_at(),
            self.worker.reporter.wake_at(),
            self.publish_at(),
            idle.map(|since| since.saturating_add(IDLE_BEFORE_SHRINK)),
        ];
        times.into_iter().flatten().min()
    }

    /// Sends all that is due.
    fn send(&mut self, now: Duration) {
        self.heed_account(now);
        self.send_requests(now);
        let core = &mut self.worker.core;
        let short = core.short_indexes(now);
        if short != self.short_indexes {
            self.short_indexes = short;
            self.worker.admission.cap_indexes(short);
        }
        if core.take_refresh(now) {
            self.refresh();
        }
        if self.worker.core.take_describe(now) {
            self.describe(now);
        }
        for letter in self.worker.core.take_dead_letters() {
            self.dead_letter(now, letter);
        }
    }

    /// Sends the requests that are due, each within the table's share of the requests in flight.
    fn send_requests(&mut self, now: Duration) {
        // Each request that is asked for does the same before it is chosen.
        self.worker.core.advance(now);
        loop {
            let core = &mut self.worker.core;
            let may_send = core.may_send();
            if !may_send && core.waits_for_permit() {
                self.worker.requests.stop_waiting();
            }
            let permitted = may_send && self.worker.requests.try_take();
            core.set_waits_for_permit(may_send && !permitted);
            let request = if permitted {
                core.next_request(now)
            } else {
                None
            };
            let Some(request) = request else {
                return self.worker.requests.give_back(usize::from(permitted));
            };
            self.spawn(request);
        }
    }

    /// Slows down where another table of the sink has met the account's quota, which is theirs in
    /// common.
    fn heed_account(&mut self, now: Duration) {
        if self.worker.core.take_account() {
            self.worker.account.note();
        }
        if self.worker.account.take_others() {
            self.worker.core.yield_to_account(now);
        }
    }

    /// Returns whether the table is closed (or its handles are gone) and nothing is outstanding.
    fn finished(&mut self, now: Duration) -> bool {
        let admission = &self.worker.admission;
        let idle = self.worker.core.is_idle() && self.inbox.is_empty();
        if !idle || admission.has_messages() {
            return false;
        }
        if self.closing.is_empty() && !admission.is_orphaned() {
            return false;
        }
        self.publish(now);
        for close in std::mem::take(&mut self.closing) {
            self.report(close);
        }
        self.log_unreported();
        true
    }

    /// Gives memory back once there was no write for a time.
    fn shrink_if_idle(&mut self, now: Duration) {
        if !self.worker.core.is_idle() || !self.inbox.is_empty() {
            self.idle_since = None;
            return;
        }
        let due = self
            .idle_since
            .take_if(|since| now >= since.saturating_add(IDLE_BEFORE_SHRINK));
        if due.is_some() {
            self.worker.core.shrink();
            self.worker.admission.shrink();
            self.inbox = VecDeque::new();
            self.settled = Vec::new();
            self.freed = Vec::new();
        }
    }
}

async fn sleep(clock: Clock, until: Option<Duration>) {
    match until {
        Some(time) => clock.until(time).await,
        None => std::future::pending().await,
    }
}
