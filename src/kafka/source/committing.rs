//! The commits of what is done, and what their answers say of the group.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use tokio::task::{JoinError, JoinHandle};

use super::super::error::KafkaError;
use super::clients::keys;
use super::open::SERVE;
use super::reader::{CLOSE, SourceThread};
use super::shared::Key;
use super::tracker::to_commit;

/// The answer to a commit of these partitions.
pub(super) type Answered = (KafkaResult<()>, Vec<Key>);

impl SourceThread<'_> {
    /// Follows the answer to a commit.
    fn committed(&mut self, result: Result<(), RDKafkaErrorCode>, keys: &[Key]) {
        use RDKafkaErrorCode as Code;
        let code = match result {
            Ok(()) => {
                self.shared.connection.succeeded();
                return self.shared.commits.succeeded();
            }
            Err(Code::NoOffset) => return,
            Err(code) => code,
        };
        for key in keys {
            if let Some(tracker) = self.shared.tracker(key) {
                tracker.not_committed();
            }
        }
        self.shared.meter.errors.add(1);
        self.shared.commits.failed(code.to_string());
        let is_out = matches!(
            code,
            Code::UnknownMemberId | Code::IllegalGeneration | Code::FencedInstanceId
        );
        if is_out && self.hold.take().is_some() {
            // In a hold a refused commit is the only sign that the group went on without this member.
            let all: Vec<Key> = self
                .shared
                .trackers()
                .iter()
                .map(|tracker| tracker.key())
                .collect();
            self.partitions.lost(&all);
            self.clients.release();
        }
    }

    /// Commits what is done, and in a hold something in any case: its answer says whether this is still
    /// a member. One commit at a time, so that none is overtaken by an older one.
    pub(super) fn start_commit(&mut self) {
        if let Some(hold) = self.hold.as_ref().filter(|hold| hold.is_draining())
            && let Some(first) = hold.trackers().first()
        {
            first.not_committed();
        }
        let Some(list) = to_commit(&self.shared.trackers()) else {
            return;
        };
        let clients = Arc::clone(self.clients);
        // It blocks until it is answered; of one that does not block rdkafka gives no answer.
        self.commit = Some(tokio::task::spawn_blocking(move || {
            let result = clients.member.commit(&list, CommitMode::Sync);
            (result, keys(&list))
        }));
    }

    /// Follows the answer to the commit that was under way.
    pub(super) fn commit_answered(&mut self, answered: Result<Answered, JoinError>) {
        self.commit = None;
        if let Ok((result, keys)) = answered {
            let code = |error: rdkafka::error::KafkaError| {
                error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
            };
            self.committed(result.map_err(code), &keys);
        }
    }

    /// Commits all that is done, also where the group is between two assignments: then once that is over, within `until`.
    pub(super) async fn last_commit(&mut self, until: Duration) -> Result<(), KafkaError> {
        if let Some(commit) = self.commit.take() {
            self.await_commit(commit, until).await;
        }
        if let Some(hold) = self.hold.as_mut().filter(|hold| hold.is_committing()) {
            // That of partitions that went just now.
            let committed = tokio::select! {
                committed = hold.committed() => committed,
                () = self.clock.until(until) => Ok(()),
            };
            committed.map_err(|error| KafkaError::NotCommitted {
                reason: error.to_string().into(),
            })?;
        }
        loop {
            let trackers = self.shared.trackers();
            let Some(list) = to_commit(&trackers) else {
                return Ok(());
            };
            let clients = Arc::clone(self.clients);
            let commit = move || clients.member.commit(&list, CommitMode::Sync);
            let mut commit = tokio::task::spawn_blocking(commit);
            let committed: KafkaResult<()> = loop {
                tokio::select! {
                    committed = &mut commit => break committed.unwrap_or(Ok(())),
                    () = tokio::time::sleep(SERVE) => {}
                }
                // librdkafka waits without end for brokers that are connected and answer nothing.
                if self.clock.now() >= until {
                    return Err(KafkaError::NotCommitted {
                        reason: format!("no answer within {} s", CLOSE.as_secs()).into(),
                    });
                }
                // Callbacks of a rebalance, and the bound of an own hold, do not wait for it.
                self.serve();
                self.move_hold(self.clock.now());
            };
            let Err(error) = committed else {
                return Ok(());
            };
            trackers.iter().for_each(|tracker| tracker.not_committed());
            let passing = matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::IllegalGeneration | RDKafkaErrorCode::RebalanceInProgress)
            );
            if !passing || self.clock.now() >= until {
                return Err(KafkaError::NotCommitted {
                    reason: error.to_string().into(),
                });
            }
            // Serves the callbacks of the rebalance.
            self.serve();
            self.move_hold(self.clock.now());
            tokio::time::sleep(SERVE).await;
        }
    }

    /// Waits for the commit that was under way, within `until`.
    async fn await_commit(&mut self, mut commit: JoinHandle<Answered>, until: Duration) {
        while self.clock.now() < until {
            tokio::select! {
                answered = &mut commit => return self.commit_answered(answered),
                () = tokio::time::sleep(SERVE) => {}
            }
            self.serve();
            self.move_hold(self.clock.now());
        }
    }
}
