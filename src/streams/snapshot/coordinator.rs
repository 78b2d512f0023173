//! The shared state of a snapshot and the shards' tasks.
//!
//! Shards report the items they gave and how far they have read. To hand pages out, the snapshot
//! raises a barrier: shards stop reading and wait until the records they handed out are done. Then
//! the pages go out alone, and the barrier is lowered. So no change of an item is handled beside
//! its snapshot record, whichever shard the item is in; its key does not show the shard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::merge::{Merge, Ripe, ScanPage};
use super::scan::key_of_record;
use crate::streams::ShardId;
use crate::streams::record::Record;

/// The number of a barrier; the next has a larger one.
pub(crate) type Epoch = u64;

pub(crate) struct Coordinator {
    active: AtomicBool,
    state: Mutex<State>,
    changed: Notify,
    barrier: watch::Sender<Option<Epoch>>,
}

struct State {
    merge: Merge<Record>,
    /// The shards that this worker reads.
    shards: BTreeMap<ShardId, Mark>,
    /// Set while these are all the shards that have anything left.
    covered: bool,
    /// The last barrier that was raised, over all snapshots.
    epoch: Epoch,
}

#[derive(Default)]
struct Mark {
    /// The time up to which the shard has been read.
    read_up: Option<Duration>,
    /// The last barrier at which nothing of the shard was out.
    quiet: Option<Epoch>,
    /// The last barrier whose earlier records are behind the stored checkpoint.
    settled: Option<Epoch>,
}

impl State {
    fn read_up(&self) -> Option<Duration> {
        let marks = self.shards.values();
        let least = marks.map(|mark| mark.read_up).min();
        // With no shard left, no more records follow.
        self.covered
            .then_some(least.unwrap_or(Some(Duration::MAX)))?
    }
}

impl Coordinator {
    pub(crate) fn new() -> Self {
        Self {
            active: AtomicBool::new(false),
            state: Mutex::new(State {
                merge: Merge::new(),
                shards: BTreeMap::new(),
                covered: false,
                epoch: 0,
            }),
            changed: Notify::new(),
            barrier: watch::channel(None).0,
        }
    }

    // Reports of the worker.

    pub(crate) fn begins(&self, shard: &ShardId) {
        self.state
            .lock()
            .shards
            .insert(shard.clone(), Mark::default());
    }

    /// Removes a shard that is no longer read. Clears `covered` until the worker sets it again.
    pub(crate) fn ends(&self, shard: &ShardId) {
        let mut state = self.state.lock();
        state.shards.remove(shard);
        state.covered = false;
    }

    /// Sets whether the shards that this worker reads are all that have anything left.
    pub(crate) fn set_covered(&self, covered: bool) {
        let before = std::mem::replace(&mut self.state.lock().covered, covered);
        if before != covered {
            self.changed.notify_one();
        }
    }

    // Reports and queries of the shards.

    /// Returns whether this worker is taking a snapshot.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    pub(crate) fn barrier(&self) -> watch::Receiver<Option<Epoch>> {
        self.barrier.subscribe()
    }

    /// Takes in records of a shard that are about to be handed out.
    pub(crate) fn seen<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        if !self.is_active() {
            return;
        }
        let keys: Vec<_> = records.filter_map(key_of_record).collect();
        let mut state = self.state.lock();
        keys.iter().for_each(|key| state.merge.seen(key));
    }

    /// Notes that a shard has been read as it was at this time.
    pub(crate) fn read_up(&self, shard: &ShardId, time: Duration) {
        if self.is_active() {
            self.mark(shard, |mark| mark.read_up = Some(time));
        }
    }

    pub(crate) fn quiet(&self, shard: &ShardId, epoch: Epoch) {
        self.mark(shard, |mark| mark.quiet = Some(epoch));
    }

    pub(crate) fn settled(&self, shard: &ShardId, epoch: Epoch) {
        self.mark(shard, |mark| mark.settled = Some(epoch));
    }

    fn mark(&self, shard: &ShardId, change: impl FnOnce(&mut Mark)) {
        if let Some(mark) = self.state.lock().shards.get_mut(shard) {
            change(mark);
        }
        self.changed.notify_one();
    }

    // Calls of the snapshot.

    /// Starts a snapshot with nothing on hold. Resets the shards' marks, which no longer apply.
    pub(super) fn activate(&self) {
        let mut state = self.state.lock();
        state.merge = Merge::new();
        for mark in state.shards.values_mut() {
            *mark = Mark::default();
        }
        self.active.store(true, Ordering::Release);
    }

    pub(super) fn deactivate(&self) {
        self.active.store(false, Ordering::Release);
        self.state.lock().merge = Merge::new();
        self.lower();
    }

    /// Discards every page, including those that are being read.
    pub(super) fn forget(&self) {
        self.state.lock().merge = Merge::new();
    }

    pub(super) fn sent(&self, segment: usize) {
        self.state.lock().merge.sent(segment);
    }

    pub(super) fn failed(&self, segment: usize) {
        self.state.lock().merge.failed(segment);
    }

    pub(super) fn answered(&self, segment: usize, page: ScanPage<Record>, now: Duration) {
        self.state.lock().merge.answered(segment, page, now);
    }

    pub(super) fn bytes(&self) -> usize {
        self.state.lock().merge.bytes()
    }

    pub(super) fn is_ripe(&self, settling: Duration) -> bool {
        let state = self.state.lock();
        let read_up = state.read_up();
        read_up.is_some_and(|time| state.merge.is_ripe(time, settling))
    }

    pub(super) fn raise(&self) -> Epoch {
        let mut state = self.state.lock();
        state.epoch += 1;
        self.barrier.send_replace(Some(state.epoch));
        state.epoch
    }

    pub(super) fn lower(&self) {
        self.barrier.send_replace(None);
    }

    /// Returns the pages that may be handed out, once no shard has anything out.
    pub(super) fn release(&self, epoch: Epoch, settling: Duration) -> Option<Vec<Ripe<Record>>> {
        let mut state = self.state.lock();
        // A shard that began under the barrier has read nothing and can't read. Then no page is
        // ripe, and the barrier is lowered again.
        let read_up = state.read_up().unwrap_or_default();
        let quiet = |mark: &Mark| mark.quiet == Some(epoch);
        let all = state.shards.values().all(quiet);
        all.then(|| state.merge.release(read_up, settling))
    }

    /// Returns whether all that shards had read before a barrier is behind their checkpoints. A
    /// shard that is gone has been finished, or its lease was lost and `covered` waits for it.
    pub(super) fn is_settled(&self, epoch: Epoch) -> bool {
        let state = self.state.lock();
        let settled = |mark: &Mark| mark.settled.is_some_and(|settled| settled >= epoch);
        state.covered && state.shards.values().all(settled)
    }

    /// Returns whether a shard was not there when a barrier was raised: only the next barrier
    /// covers its records.
    pub(super) fn is_unmet(&self, epoch: Epoch) -> bool {
        let state = self.state.lock();
        let unmet = |mark: &Mark| mark.quiet.is_none_or(|quiet| quiet < epoch);
        state.covered && state.shards.values().any(unmet)
    }

    /// Resolves when something was reported since it last resolved.
    ///
    /// # Cancel safety
    ///
    /// Harmless to drop.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
