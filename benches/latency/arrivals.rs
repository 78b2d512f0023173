//! Writes that arrive on a schedule, and the time each takes.
//!
//! An open loop: the next write is due at its own time, however long the one before took. Its
//! latency counts from when it was due, so that a stall is charged to every write that it kept
//! waiting and not to one alone (coordinated omission). The latency from the call is taken too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::rig::quantiles::Quantiles;
use crate::rig::{Failure, clock};

/// The least time between two arrivals. Where more writes come, several arrive at once, as they do
/// from an input that is polled; a thread that slept for each alone would be most of the load.
const TICK: Duration = Duration::from_micros(250);

/// So many writes at so many a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    rate: f64,
    /// How many come first and are left out of the figures.
    warm_up: u32,
    counted: u32,
}

/// In milliseconds.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// Writes a second that had their outcome.
    pub(crate) rate: f64,
    pub(crate) from_arrival: Quantiles,
    pub(crate) from_call: Quantiles,
}

/// Nanoseconds of one write.
#[derive(Default)]
struct Slot {
    from_arrival: AtomicU64,
    from_call: AtomicU64,
}

impl Schedule {
    pub(crate) fn new(rate: f64, warm_up: Duration, lasting: Duration) -> Self {
        // The largest rate that a machine reaches, for a minute, is far below 2^32.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and far below the largest"
        )]
        let writes = |time: Duration| (time.as_secs_f64() * rate) as u32;
        Self {
            rate,
            warm_up: writes(warm_up),
            counted: writes(lasting),
        }
    }

    /// All, those of the warm-up included.
    pub(crate) fn writes(self) -> u32 {
        self.warm_up + self.counted
    }

    /// When a write is due, from the beginning: at its own time, or with others at the next tick
    /// where the rate is higher than that of the ticks.
    fn due(self, number: u32) -> Duration {
        let time = f64::from(number) / self.rate;
        let tick = TICK.as_secs_f64();
        Duration::from_secs_f64(if self.rate * tick > 1.0 {
            (time / tick).ceil() * tick
        } else {
            time
        })
    }

    /// Calls `submit` with each write's number when it is due, one after the other, and awaits the
    /// outcomes aside. It sleeps by the thread, so it is not for a runtime's worker.
    ///
    /// Writes that are due at the same time share a task which awaits them in their order: what
    /// is measured may be too long where they are acknowledged in another one, never too short.
    pub(crate) async fn run<O>(
        self,
        mut submit: impl AsyncFnMut(usize) -> Result<O, Failure>,
    ) -> Result<Latencies, Failure>
    where
        O: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let slots: Vec<Slot> = (0..self.counted).map(|_| Slot::default()).collect();
        let slots = Arc::new(slots);
        let (failed, mut failures) = mpsc::unbounded_channel::<Failure>();
        let began = clock::instant();
        let mut writes = (0..self.writes()).zip(0..).peekable();
        let due = |number: u32| began + self.due(number);
        while let Some((next, _)) = writes.peek() {
            clock::sleep_until(due(*next));
            let mut together = Vec::new();
            while let Some((number, place)) =
                writes.next_if(|(number, _)| due(*number) <= clock::instant())
            {
                let called = clock::instant();
                let outcome = submit(place).await?;
                let slot = number.checked_sub(self.warm_up);
                together.push((outcome, slot, due(number), called));
            }
            let (slots, failed) = (Arc::clone(&slots), failed.clone());
            tokio::spawn(async move {
                for (outcome, slot, due, called) in together {
                    match outcome.await {
                        Ok(()) => take(&slots, slot, due, called),
                        // The receiver is gone where another has failed already.
                        Err(failure) => drop(failed.send(failure)),
                    }
                }
            });
        }
        drop(failed);
        // The last of the senders goes with the last outcome.
        if let Some(failure) = failures.recv().await {
            return Err(failure);
        }
        let warm_up = Duration::from_secs_f64(f64::from(self.warm_up) / self.rate);
        let rate = f64::from(self.counted) / (began + warm_up).elapsed().as_secs_f64();
        let milliseconds = |nanoseconds: &AtomicU64| {
            clock::milliseconds(Duration::from_nanos(nanoseconds.load(Ordering::Relaxed)))
        };
        Ok(Latencies {
            rate,
            from_arrival: slots
                .iter()
                .map(|slot| milliseconds(&slot.from_arrival))
                .collect(),
            from_call: slots
                .iter()
                .map(|slot| milliseconds(&slot.from_call))
                .collect(),
        })
    }
}

fn take(slots: &[Slot], slot: Option<u32>, due: Instant, called: Instant) {
    let now = clock::instant();
    let slot = slot.and_then(|slot| slots.get(usize::try_from(slot).ok()?));
    let Some(Slot {
        from_arrival,
        from_call,
    }) = slot
    else {
        return;
    };
    let nanoseconds =
        |since: Instant| u64::try_from((now - since).as_nanos()).expect("no run takes centuries");
    from_arrival.store(nanoseconds(due), Ordering::Relaxed);
    from_call.store(nanoseconds(called), Ordering::Relaxed);
}
