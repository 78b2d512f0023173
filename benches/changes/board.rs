//! When each write was called, acknowledged and seen at the other end, by one process's clock.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::rig::times::Times;
use crate::rig::{Failure, clock};

pub(crate) struct Board {
    began: Instant,
    slots: Vec<Slot>,
}

/// Nanoseconds since the board was made; 0 for what has not happened.
#[derive(Default)]
struct Slot {
    called: AtomicU64,
    acknowledged: AtomicU64,
    seen: AtomicU64,
}

impl Board {
    pub(crate) fn new(writes: usize) -> Arc<Self> {
        Arc::new(Self {
            began: clock::instant(),
            slots: (0..writes).map(|_| Slot::default()).collect(),
        })
    }

    pub(crate) fn writes(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn called(&self, write: usize) {
        self.note(write, |slot| &slot.called);
    }

    pub(crate) fn acknowledged(&self, write: usize) {
        self.note(write, |slot| &slot.acknowledged);
    }

    /// A write may be seen again: the first time counts.
    pub(crate) fn seen(&self, write: u64) {
        if let Ok(write) = usize::try_from(write) {
            self.note(write, |slot| &slot.seen);
        }
    }

    fn note(&self, write: usize, which: impl Fn(&Slot) -> &AtomicU64) {
        let now = u64::try_from(self.began.elapsed().as_nanos()).expect("no run takes centuries");
        if let Some(slot) = self.slots.get(write) {
            let _ = which(slot).compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Waits until all these writes were seen.
    pub(crate) async fn all_seen(&self, writes: Range<usize>) -> Result<(), Failure> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let waiting = clock::instant();
        loop {
            let slots = &self.slots[writes.clone()];
            let missing = slots
                .iter()
                .filter(|slot| slot.seen.load(Ordering::Relaxed) == 0)
                .count();
            if missing == 0 {
                return Ok(());
            }
            if waiting.elapsed() > PATIENCE {
                let all = slots.len();
                return Err(format!("{missing} of {all} writes never came out").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// From the call to its acknowledgement: what the server takes to write.
    pub(crate) fn to_acknowledge(&self, writes: Range<usize>) -> Times {
        self.between(writes, |slot| (&slot.called, &slot.acknowledged))
    }

    /// From the call until it was seen.
    pub(crate) fn call_to_seen(&self, writes: Range<usize>) -> Times {
        self.between(writes, |slot| (&slot.called, &slot.seen))
    }

    /// From the acknowledgement until it was seen; 0 where it was seen before that arrived.
    pub(crate) fn acknowledged_to_seen(&self, writes: Range<usize>) -> Times {
        self.between(writes, |slot| (&slot.acknowledged, &slot.seen))
    }

    fn between(
        &self,
        writes: Range<usize>,
        ends: impl Fn(&Slot) -> (&AtomicU64, &AtomicU64),
    ) -> Times {
        let slots = self.slots[writes].iter();
        slots
            .map(|slot| {
                let (from, to) = ends(slot);
                let (from, to) = (from.load(Ordering::Relaxed), to.load(Ordering::Relaxed));
                Duration::from_nanos(to.saturating_sub(from))
            })
            .collect()
    }
}
