//! Writes that arrive on a schedule, and the time each takes.
//!
//! An open loop: the next write is due at its own time, however long the one before took. Its
//! latency counts from when it was due, so that a stall is charged to every write that it kept
//! waiting and not to one alone (coordinated omission). The latency from the call is taken too.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::rig::times::Times;
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

#[derive(Debug)]
pub(crate) struct Latencies {
    /// Writes a second that had their outcome.
    pub(crate) rate: f64,
    pub(crate) from_arrival: Times,
    pub(crate) from_call: Times,
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
        let mut groups = JoinSet::new();
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
                together.push((outcome, number >= self.warm_up, due(number), called));
            }
            groups.spawn(async move {
                let mut written = Vec::with_capacity(together.len());
                for (outcome, counts, due, called) in together {
                    outcome.await?;
                    if counts {
                        written.push((due, called, clock::instant()));
                    }
                }
                Ok::<_, Failure>(written)
            });
        }
        let (mut from_arrival, mut from_call) = (Times::default(), Times::default());
        let mut ended = began;
        while let Some(written) = groups.join_next().await {
            for (due, called, now) in written?? {
                from_arrival.add(now - due);
                from_call.add(now - called);
                ended = ended.max(now);
            }
        }
        let warm_up = Duration::from_secs_f64(f64::from(self.warm_up) / self.rate);
        Ok(Latencies {
            rate: f64::from(self.counted) / (ended - began - warm_up).as_secs_f64(),
            from_arrival,
            from_call,
        })
    }
}
