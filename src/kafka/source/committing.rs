//! The commits of what is done, and what their answers say of the group.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use tokio::task::{JoinError, JoinHandle};

use super::super::error::KafkaError;
use super::clients::keys;
use super::message::Key;
use super::open::POLL_INTERVAL;
use super::reader::{CLOSE, SourceThread};
use super::revocation::Revocation;

/// The shortest time between two commits: partitions may be opened one by one, and brokers refuse at once.
pub(super) const SHORTEST: Duration = Duration::from_millis(100);

/// The times of commits.
pub(super) struct CommitTimes {
    interval: Duration,
    last: Duration,
    pub(super) next: Duration,
}

impl CommitTimes {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: Duration::ZERO,
            next: interval,
        }
    }

    /// Notes a commit.
    pub(super) fn note(&mut self, now: Duration) {
        (self.last, self.next) = (now, now + self.interval);
    }

    /// Has the next one come at most this long after the last.
    pub(super) fn within(&mut self, longest: Duration) {
        self.next = self.next.min(self.last + longest);
    }

    /// Has the next one come at least this long after the last.
    fn not_before(&mut self, shortest: Duration) {
        self.next = self.next.max(self.last + shortest);
    }
}

/// A commit that is under way.
pub(super) type Commit = JoinHandle<Committed>;

/// The answer to a commit of these partitions.
pub(super) struct Committed {
    result: KafkaResult<()>,
    keys: Vec<Key>,
    /// It was made while a revocation was held.
    in_revocation: bool,
}

/// The next answer to a commit.
pub(super) enum Answer {
    ByInterval(Result<Committed, JoinError>),
    OfRevocation(KafkaResult<()>),
}

/// Waits for the next answer to a commit, for good where none is under way.
///
/// # Cancel safety
///
/// Cancel safe.
pub(super) async fn next_answer(
    commit: &mut Option<Commit>,
    revocation: &mut Option<Revocation>,
) -> Answer {
    let by_interval = async {
        match commit {
            Some(commit) => commit.await,
            None => pending().await,
        }
    };
    let of_revocation = async {
        match revocation {
            Some(revocation) => revocation.committed().await,
            None => pending().await,
        }
    };
    tokio::select! {
        by_interval = by_interval => Answer::ByInterval(by_interval),
        of_revocation = of_revocation => Answer::OfRevocation(of_revocation),
    }
}

impl SourceThread<'_> {
    /// Commits what is done, and while a revocation drains something in any case: its answer says
    /// whether this is still a member.
    pub(super) fn start_commit(&mut self) {
        let revocation = self
            .revocation
            .as_ref()
            .filter(|revocation| revocation.is_draining());
        if let Some(first) = revocation.and_then(|revocation| revocation.trackers().first()) {
            first.not_committed();
        }
        self.commit_done();
    }

    /// Commits what is done. One commit at a time, so that none is overtaken by an older one. Returns
    /// whether there was anything to commit.
    fn commit_done(&mut self) -> bool {
        let in_revocation = self
            .revocation
            .as_ref()
            .is_some_and(Revocation::is_draining);
        let Some(list) = self.shared.to_commit(&self.shared.trackers()) else {
            return false;
        };
        let clients = Arc::clone(self.clients);
        // It blocks until it is answered; of one that does not block rdkafka gives no answer.
        self.commit = Some(tokio::task::spawn_blocking(move || Committed {
            result: clients.member.commit(&list, CommitMode::Sync),
            keys: keys(&list),
            in_revocation,
        }));
        true
    }

    /// Follows the answer to a commit. Returns the reason of one that failed.
    pub(super) fn answered(&mut self, answer: Answer) -> Option<RDKafkaErrorCode> {
        let code = |error: rdkafka::error::KafkaError| {
            error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
        };
        match answer {
            Answer::ByInterval(answered) => {
                self.commit = None;
                let Ok(committed) = answered else {
                    return Some(RDKafkaErrorCode::Fail);
                };
                let failed = committed.result.err().map(code);
                self.committed(failed, &committed.keys, committed.in_revocation)
            }
            Answer::OfRevocation(result) => {
                let failed = result.err().map(code);
                if let Some(code) = failed {
                    tracing::warn!(%code, "kafka consumer: the offsets of partitions that go are not committed");
                }
                failed
            }
        }
    }

    fn committed(
        &mut self,
        failed: Option<RDKafkaErrorCode>,
        keys: &[Key],
        in_revocation: bool,
    ) -> Option<RDKafkaErrorCode> {
        use RDKafkaErrorCode as Code;
        let Some(code) = failed else {
            self.shared.connection.succeeded();
            self.shared.commits.succeeded();
            return None;
        };
        if code == Code::NoOffset {
            return None;
        }
        for key in keys {
            if let Some(tracker) = self.shared.tracker(key) {
                tracker.not_committed();
            }
        }
        self.commit_times.not_before(SHORTEST);
        self.shared.meter.errors.add(1);
        self.shared.commits.failed(code.to_string());
        let is_out = matches!(
            code,
            Code::UnknownMemberId | Code::IllegalGeneration | Code::FencedInstanceId
        );
        // One of before the revocation may be refused for the rebalance itself.
        if is_out
            && in_revocation
            && self
                .revocation
                .as_ref()
                .is_some_and(Revocation::is_draining)
        {
            // While a revocation drains, a refused commit is the only sign that the group went on without
            // this member.
            self.revocation = None;
            let trackers = self.shared.trackers();
            let all: Vec<Key> = trackers.iter().map(|tracker| tracker.key()).collect();
            self.partitions.lost(&all);
            self.clients.release();
        }
        Some(code)
    }

    /// Commits all that is done, also where the group is between two assignments: then once that is over, within `until`.
    pub(super) async fn last_commit(&mut self, until: Duration) -> Result<(), KafkaError> {
        let mut of_revocation: Option<RDKafkaErrorCode> = None;
        // One that fails now is made again.
        self.await_commit(until, &mut of_revocation).await?;
        while self.commit_done() {
            let Some(code) = self.await_commit(until, &mut of_revocation).await? else {
                continue;
            };
            let passing = matches!(
                code,
                RDKafkaErrorCode::IllegalGeneration | RDKafkaErrorCode::RebalanceInProgress
            );
            if !passing || self.clock.now() >= until {
                return Err(not_committed(code.to_string()));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        of_revocation.map_or(Ok(()), |code| Err(not_committed(code.to_string())))
    }

    /// Waits until no commit is under way. Returns the reason of the last one if it failed; that of
    /// partitions which go is kept in `of_hold`.
    ///
    /// # Errors
    ///
    /// [`KafkaError::NotCommitted`] where there is no answer within `until`: librdkafka waits without end for
    /// brokers that are connected and answer nothing.
    async fn await_commit(
        &mut self,
        until: Duration,
        of_revocation: &mut Option<RDKafkaErrorCode>,
    ) -> Result<Option<RDKafkaErrorCode>, KafkaError> {
        let mut failed = None;
        while self.commit.is_some()
            || self
                .revocation
                .as_ref()
                .is_some_and(Revocation::is_committing)
        {
            tokio::select! {
                answer = next_answer(&mut self.commit, &mut self.revocation) => {
                    let is_of_revocation = matches!(answer, Answer::OfRevocation(_));
                    let code = self.answered(answer);
                    if is_of_revocation {
                        *of_revocation = of_revocation.take().or(code);
                    } else {
                        failed = code;
                    }
                }
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
            // Callbacks of a rebalance, and the time limit of a revocation, do not wait for it.
            self.serve();
            let now = self.clock.now();
            self.move_revocation(now);
            if now >= until && self.commit.is_some() {
                return Err(not_committed(format!(
                    "no answer within {} s",
                    CLOSE.as_secs()
                )));
            }
        }
        Ok(failed)
    }
}

fn not_committed(reason: String) -> KafkaError {
    KafkaError::NotCommitted {
        reason: reason.into(),
    }
}
