//! A shard's part in a snapshot that hands out its pages.

use tokio::sync::watch;

use super::super::super::lease::Checkpoint;
use super::super::super::snapshot::{Coordinator, Epoch};
use super::super::super::{SequenceNumber, ShardId};

/// The state of a shard at a snapshot's barriers.
pub(super) struct Barrier {
    raised: watch::Receiver<Option<Epoch>>,
    /// The last epoch in which nothing of the shard was out.
    quiet: Option<Epoch>,
    /// The epoch that is settled once the shard's checkpoint has reached this record.
    settling: Option<(Epoch, Option<SequenceNumber>)>,
}

impl Barrier {
    pub(super) fn new(raised: watch::Receiver<Option<Epoch>>) -> Self {
        Self {
            raised,
            quiet: None,
            settling: None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.raised.borrow().is_some()
    }

    /// Resolves when a barrier was raised or lowered; never if there is no snapshot any more.
    ///
    /// # Cancel safety
    ///
    /// Harmless to drop.
    pub(super) async fn changed(&mut self) {
        if self.raised.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reports to the snapshot. `quiet` is set where nothing of the shard is out, and holds the
    /// record up to which it has been read. `stored` is the shard's checkpoint.
    pub(super) fn meet(
        &mut self,
        coordinator: &Coordinator,
        shard: &ShardId,
        quiet: Option<Option<SequenceNumber>>,
        stored: &Checkpoint,
    ) {
        let raised = *self.raised.borrow_and_update();
        if let Some(epoch) = raised
            && self.quiet != Some(epoch)
            && let Some(read) = quiet
        {
            self.quiet = Some(epoch);
            self.settling = Some((epoch, read));
            coordinator.quiet(shard, epoch);
        }
        if let Some((epoch, target)) = &self.settling {
            let settled = match (target, stored) {
                (None, _) | (_, Checkpoint::ShardEnd) => true,
                (Some(target), Checkpoint::After(stored)) => stored >= target,
                (Some(_), _) => false,
            };
            if settled {
                coordinator.settled(shard, *epoch);
                self.settling = None;
            }
        }
    }
}
