//! The time between a revocation and its answer, in which the partitions that go are still this member's.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use rdkafka::error::KafkaResult;

use super::tracker::PartitionTracker;

/// The longest wait for the last commit of partitions that go. Where it takes longer, what was done
/// since the commit before comes again, at the next member.
pub(super) const LAST_COMMIT: Duration = Duration::from_secs(2);

/// A revocation that is not answered yet. librdkafka has one at a time.
pub(super) struct Revocation {
    /// The partitions that go, and whose start was known.
    trackers: Vec<Arc<PartitionTracker>>,
    phase: Phase,
}

enum Phase {
    /// Records of theirs are out, or guards.
    Draining { until: Duration },
    /// They are given up, and the last commit is on its way.
    Committing {
        until: Duration,
        commit: Option<JoinHandle<KafkaResult<()>>>,
    },
}

impl Revocation {
    pub(super) fn new(trackers: Vec<Arc<PartitionTracker>>, until: Duration) -> Self {
        let phase = Phase::Draining { until };
        Self { trackers, phase }
    }

    /// Adds partitions that are to go as well: they are drained first.
    pub(super) fn add(&mut self, trackers: Vec<Arc<PartitionTracker>>, until: Duration) {
        self.trackers.extend(trackers);
        self.phase = Phase::Draining { until };
    }

    pub(super) fn trackers(&self) -> &[Arc<PartitionTracker>] {
        &self.trackers
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. })
    }

    /// Returns whether the last commit is on its way.
    pub(super) fn is_committing(&self) -> bool {
        matches!(
            self.phase,
            Phase::Committing {
                commit: Some(_),
                ..
            }
        )
    }

    /// Returns whether the partitions are to be given up now: nothing of them is out, or time is over.
    pub(super) fn is_drained(&self, now: Duration) -> bool {
        match self.phase {
            Phase::Draining { until } => {
                now >= until || self.trackers.iter().all(|tracker| tracker.is_settled())
            }
            Phase::Committing { .. } => false,
        }
    }

    /// Notes that the partitions were given up, with their last commit.
    pub(super) fn committing(
        &mut self,
        now: Duration,
        commit: Option<JoinHandle<KafkaResult<()>>>,
    ) {
        let until = now + LAST_COMMIT;
        self.phase = Phase::Committing { until, commit };
    }

    /// Returns the time of the next step.
    pub(super) fn due(&self) -> Duration {
        match &self.phase {
            Phase::Draining { until } | Phase::Committing { until, .. } => *until,
        }
    }

    /// Returns whether the revocation is to be answered now.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        match &self.phase {
            Phase::Draining { .. } => false,
            Phase::Committing { until, commit } => commit.is_none() || now >= *until,
        }
    }

    /// Resolves once the last commit is answered, with its failure.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn committed(&mut self) -> KafkaResult<()> {
        let Phase::Committing { commit, .. } = &mut self.phase else {
            return std::future::pending().await;
        };
        let Some(answer) = commit else {
            return std::future::pending().await;
        };
        let result = answer.await;
        *commit = None;
        result.unwrap_or(Ok(()))
    }
}
