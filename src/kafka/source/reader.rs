//! The thread that owns librdkafka's clients.
//!
//! Freeing a client blocks, and so do some of its calls. So both live on a thread of their own, with a
//! runtime of its own that waits for records, the group, acknowledgements and times at once.
//!
//! ```text
//! assigned ──▶ start looked up ──▶ Opened, read ──▶ revoked: Closing, drained ──▶ last commit, answered
//!                                     │   ▲                  │
//!                           dropped   ▼   │ seek             └ time over, or the group went on: Lost
//! ```

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use tokio::sync::oneshot;

use super::super::error::KafkaError;
use super::GapFn;
use super::clients::{Clients, GroupEvent};
use super::committing::{Commit, CommitTimes, SHORTEST, next_answer};
use super::message::Key;
use super::open::{POLL_INTERVAL, open};
use super::partitions::Partitions;
use super::questions;
use super::revocation::Revocation;
use super::settings::{ClientConfigs, KafkaSourceSettings};
use super::shared::{EndOutput, Shared};
use crate::clock::Clock;

/// The longest time between two looks at the clients, whatever wakes the thread: a client that is not
/// looked at for `max.poll.interval.ms` is out of its group.
const LOOK: Duration = Duration::from_secs(1);

/// The longest that the end of a source waits: for a rebalance to end, or for answers.
pub(super) const CLOSE: Duration = Duration::from_secs(10);

type Close = oneshot::Receiver<oneshot::Sender<Result<(), KafkaError>>>;

/// The parts that the thread works with.
pub(super) struct Setup {
    pub(super) configs: ClientConfigs,
    pub(super) settings: KafkaSourceSettings,
    pub(super) on_gap: Option<GapFn>,
    pub(super) shared: Arc<Shared>,
}

/// Runs the thread's life: opens, reads until it is to close, leaves the group.
pub(super) async fn run(
    setup: Setup,
    opened: oneshot::Sender<Result<Weak<Clients>, KafkaError>>,
    close: Close,
) {
    let (clients, search) = match open(&setup).await {
        Ok(open) => open,
        Err(error) => {
            // The caller may have gone.
            let _ = opened.send(Err(error));
            return;
        }
    };
    if opened.send(Ok(Arc::downgrade(&clients))).is_err() {
        return;
    }
    let Setup {
        configs,
        settings,
        on_gap,
        shared,
    } = setup;
    let mut thread = SourceThread {
        partitions: Partitions::new(&clients, &shared, &settings, search, on_gap),
        clients: &clients,
        shared: &shared,
        clock: Clock::start(),
        commit_times: CommitTimes::new(settings.commit_interval),
        drain_timeout: configs.drain_timeout,
        next_look: Duration::ZERO,
        revocation: None,
        commit: None,
        has_failed: false,
        unseen: None,
    };
    let ending = EndOutput(Arc::clone(&shared));
    let asked = thread.run(close).await;
    thread.partitions.readings.advance();
    // What is done is committed before the partitions go, so that the caller learns if that fails.
    let until = thread.clock.now() + CLOSE;
    let committed = thread.last_commit(until).await;
    let unseen = thread.unseen.take().map_or(Ok(()), Err);
    // Before another member can have them.
    for tracker in shared.trackers() {
        shared.untrack(&tracker.key());
    }
    clients.leave();
    clients.release();
    let clock = thread.clock;
    drop(thread);
    drop(ending);
    // A question under way has the clients as well, and the last one to drop them leaves the group.
    while Arc::strong_count(&clients) > 1 && clock.now() < until {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    // It waits for brokers that are connected and answer nothing.
    let left = tokio::task::spawn_blocking(move || drop(clients));
    tokio::select! {
        _ = left => {}
        () = clock.until(until) => {}
    }
    if let Some(closed) = asked {
        let _ = closed.send(committed.and(unseen));
    }
}

pub(super) struct SourceThread<'a> {
    pub(super) clients: &'a Arc<Clients>,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) partitions: Partitions,
    pub(super) clock: Clock,
    pub(super) commit_times: CommitTimes,
    drain_timeout: Duration,
    next_look: Duration,
    /// The revocation that is not answered yet.
    pub(super) revocation: Option<Revocation>,
    /// The commit that is under way.
    pub(super) commit: Option<Commit>,
    has_failed: bool,
    /// The error that ended the source where its output had ended before: for the close.
    unseen: Option<KafkaError>,
}

impl SourceThread<'_> {
    /// Runs until it is to close; returns the waiting caller of the close. After an error nothing is
    /// handed out, and the partitions are kept until then all the same: records of theirs are in work.
    async fn run(&mut self, mut close: Close) -> Option<oneshot::Sender<Result<(), KafkaError>>> {
        loop {
            let has_more = self.step().unwrap_or_else(|error| {
                self.fail(error);
                false
            });
            let wake = self.next_time();
            tokio::select! {
                biased;
                asked = &mut close => return asked.ok(),
                answer = self.partitions.questions.answer() => {
                    if self.is_reading() {
                        self.found(answer);
                    }
                }
                answer = next_answer(&mut self.commit, &mut self.revocation) => {
                    self.answered(answer);
                }
                () = std::future::ready(()), if has_more => {}
                () = self.shared.wake.notified() => {}
                () = self.clock.until(wake) => {}
            }
        }
    }

    /// Goes on with an answer about partitions.
    fn found(&mut self, answer: questions::Answer) {
        match self.partitions.answered(answer) {
            // Soon: the next member would begin behind what came after a start at the newest record.
            Ok(true) => self.commit_times.within(SHORTEST),
            Ok(false) => {}
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: KafkaError) {
        if self.has_failed {
            return;
        }
        self.has_failed = true;
        self.shared.fail(&error);
        if !self.shared.output.end(Some(error.clone())) {
            self.unseen = Some(error);
        }
    }

    fn is_reading(&self) -> bool {
        !self.has_failed && !self.shared.stopped.load(SeqCst)
    }

    /// Does what is to be done now. Returns whether there may be more records at once.
    fn step(&mut self) -> Result<bool, KafkaError> {
        self.serve();
        if let Some(failure) = self.shared.failure() {
            self.fail(failure);
        }
        let now = self.clock.now();
        self.move_revocation(now);
        let rewinds = self.shared.take_rewinds();
        if !rewinds.is_empty() {
            self.partitions.rewind();
            for caller in rewinds {
                // One that has given up needs no answer.
                let _ = caller.send(());
            }
        }
        let is_reading = self.is_reading();
        let mut has_more = false;
        if is_reading {
            has_more = self.partitions.read()?;
            // After a stop nothing comes again, and what is out may still be acknowledged.
            self.partitions.readings.go_back(now);
        }
        if self
            .revocation
            .as_ref()
            .is_some_and(Revocation::is_draining)
        {
            // The answer to a commit is the only sign that the group goes on without this member.
            self.commit_times.within(LOOK);
        }
        if now >= self.commit_times.next && self.commit.is_none() {
            self.commit_times.note(now);
            self.partitions.readings.advance();
            self.start_commit();
        }
        if now >= self.next_look {
            self.next_look = now + LOOK;
            if is_reading {
                self.partitions.readings.retry();
                self.partitions.check_topics(now);
                self.partitions.check_silence(now);
            }
            self.shared.publish();
        }
        Ok(has_more)
    }

    /// Serves the clients' events, and follows those of the group.
    pub(super) fn serve(&mut self) {
        // Records come by queues of their own; here come errors, which the callbacks note.
        while self.clients.reader.poll(Duration::ZERO).is_some() {}
        while self.clients.member.poll(Duration::ZERO).is_some() {}
        for event in self.clients.events() {
            match event {
                // Nothing of it would be read.
                GroupEvent::Assigned(_) if !self.is_reading() => {}
                GroupEvent::Assigned(keys) => self.partitions.assigned(keys),
                GroupEvent::Revoked(keys) => self.revoked(&keys),
                GroupEvent::Lost(keys) => {
                    self.partitions.lost(&keys);
                    self.clients.has_followed_loss();
                    // It was answered by the callback.
                    self.revocation = None;
                }
            }
        }
    }

    fn next_time(&self) -> Duration {
        let now = self.clock.now();
        let times = [
            // The answer to the one that is under way wakes the thread.
            Some(self.commit_times.next).filter(|_| self.commit.is_none()),
            self.revocation.as_ref().map(Revocation::due),
            self.partitions
                .readings
                .next_time()
                .filter(|_| self.is_reading()),
        ];
        let times = times.into_iter().flatten();
        // A time that is over and has had no effect must not make the thread spin.
        times
            .fold(now + LOOK, Duration::min)
            .max(now + Duration::from_millis(1))
    }

    fn revoked(&mut self, keys: &[Key]) {
        let open = self.partitions.close(keys);
        let until = self.clock.now() + self.drain_timeout;
        match &mut self.revocation {
            Some(revocation) => revocation.add(open, until),
            None => self.revocation = Some(Revocation::new(open, until)),
        }
    }

    /// Moves the revocation on: gives partitions up that are drained, and answers once that is committed.
    pub(super) fn move_revocation(&mut self, now: Duration) {
        let Some(revocation) = &mut self.revocation else {
            return;
        };
        // None may overtake the commit that is under way.
        if revocation.is_drained(now) && (self.commit.is_none() || now >= revocation.due()) {
            let keys: Vec<Key> = revocation
                .trackers()
                .iter()
                .map(|tracker| tracker.key())
                .collect();
            let overdue = revocation
                .trackers()
                .iter()
                .filter(|tracker| !tracker.is_settled());
            let overdue: Vec<Key> = overdue.map(|tracker| tracker.key()).collect();
            if !overdue.is_empty() {
                tracing::warn!(
                    partitions = overdue.len(),
                    "kafka consumer: partitions go with records that are not done: drain_timeout is over"
                );
            }
            let list = self.shared.to_commit(revocation.trackers());
            // Before another member can have them, so that nothing more of them is done here.
            self.partitions.lost(&overdue);
            for key in &keys {
                self.shared.untrack(key);
            }
            let commit = list.map(|list| {
                let clients = Arc::clone(self.clients);
                tokio::task::spawn_blocking(move || clients.member.commit(&list, CommitMode::Sync))
            });
            revocation.committing(now, commit);
        }
        if revocation.is_over(now) {
            self.revocation = None;
            self.clients.release();
        }
    }
}
