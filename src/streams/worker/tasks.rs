//! The tasks of the shards that a worker reads, and their way to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::super::ShardId;
use super::super::lease::LeaseRow;
use super::shard::{Ended, Event, Instruction, ShardTask};

/// A shard is held from the start of its task until the end of that was seen.
pub(super) struct ShardTasks {
    running: JoinSet<(ShardId, Ended)>,
    held: BTreeMap<ShardId, watch::Sender<Instruction>>,
    /// The shards whose tasks did not end in order, each until its lease would have lapsed.
    lost: BTreeMap<ShardId, Duration>,
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
}

/// News of the tasks.
pub(super) enum TaskNews {
    Ended(ShardId, Ended),
    Event(Event),
    Panicked,
}

impl ShardTasks {
    pub(super) fn new() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self {
            running: JoinSet::new(),
            held: BTreeMap::new(),
            lost: BTreeMap::new(),
            events,
            sender,
        }
    }

    /// Returns whether no task runs.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.held.len()
    }

    pub(super) fn holds(&self, shard: &ShardId) -> bool {
        self.held.contains_key(shard)
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = &ShardId> {
        self.held.keys()
    }

    pub(super) fn held(&self) -> BTreeSet<ShardId> {
        self.held.keys().cloned().collect()
    }

    /// Returns the channel of events for a new task.
    pub(super) fn sender(&self) -> mpsc::UnboundedSender<Event> {
        self.sender.clone()
    }

    /// Returns the instructions for the task of a shard that was taken.
    pub(super) fn hold(
        &mut self,
        shard: &ShardId,
        instruction: Instruction,
    ) -> watch::Receiver<Instruction> {
        let (instruct, instructions) = watch::channel(instruction);
        self.held.insert(shard.clone(), instruct);
        instructions
    }

    pub(super) fn run(&mut self, task: ShardTask) {
        self.running.spawn(task.run());
    }

    /// Sends each task its instruction, where that is another than before.
    pub(super) fn instruct(&self, instruction: impl Fn(&ShardId) -> Instruction) {
        for (shard, held) in &self.held {
            let instruction = instruction(shard);
            held.send_if_modified(|known| std::mem::replace(known, instruction) != instruction);
        }
    }

    /// Notes that the end of a shard's task was seen.
    pub(super) fn release(&mut self, shard: &ShardId) {
        self.held.remove(shard);
    }

    /// Notes that a shard's task did not end in order: work of it may be left until then.
    pub(super) fn lose(&mut self, shard: &ShardId, now: Duration, until: Duration) {
        self.lost.retain(|_, until| *until > now);
        self.lost.insert(shard.clone(), until);
    }

    /// Returns whether another worker has asked for a lease that this worker, `me`, has and does not read. A task that has
    /// lost its lease may have left work behind, for as long as the lease was valid.
    pub(super) fn may_hand_on(&self, row: &LeaseRow, me: &str, now: Duration) -> bool {
        let may_be_left = self.lost.get(&row.shard).is_some_and(|until| *until > now);
        row.checkpoint_owner.as_deref() == Some(me)
            && !row.is_finished()
            && !self.holds(&row.shard)
            && !may_be_left
    }

    /// Waits for news.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn news(&mut self) -> TaskNews {
        loop {
            tokio::select! {
                Some(joined) = self.running.join_next() => match joined {
                    Ok((shard, ended)) => return TaskNews::Ended(shard, ended),
                    Err(error) if error.is_panic() => return TaskNews::Panicked,
                    // The runtime is shutting down.
                    Err(_) => {}
                },
                Some(event) = self.events.recv() => return TaskNews::Event(event),
            }
        }
    }
}
