//! The watch over a running pipeline: its metrics, and whether its sinks go on.
//!
//! A sink that never answers would keep its partitions for ever: the source goes on polling, so
//! that no broker and no lease takes them away. So the pipeline ends once the sink, or the
//! dead-letter output, has something and has settled nothing for
//! [`stall_timeout`](super::PipelineSettings::stall_timeout). What is in an operator does not
//! count: each attempt there has a time-out of its own, and a lookup that fails is tried again by
//! policy, and reported as such.

use std::sync::Arc;
use std::time::Duration;

use super::delivery::Holder;
use super::error::PipelineError;
use super::in_flight::InFlight;
use super::meter::Meter;
use super::operator::Operator;
use crate::settings::units::format_duration;

/// The time between two looks.
const TICK: Duration = Duration::from_secs(1);

/// The time without a settled value after which a line is logged.
const REPORT_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Monitor<'a> {
    in_flight: Arc<InFlight>,
    meter: &'a mut Meter,
    stall_timeout: Option<Duration>,
    watched: [Watched; 2],
}

/// A sink that is watched.
struct Watched {
    holder: Holder,
    operator: Arc<Operator>,
    /// The last time at which it was seen to go on, or to have nothing.
    alive: Duration,
}

impl<'a> Monitor<'a> {
    pub(super) fn new(
        in_flight: Arc<InFlight>,
        meter: &'a mut Meter,
        stall_timeout: Option<Duration>,
        sink: &Arc<Operator>,
        dead_letters: &Arc<Operator>,
    ) -> Self {
        let alive = in_flight.clock().now();
        let watched = |holder, operator: &Arc<Operator>| Watched {
            holder,
            operator: Arc::clone(operator),
            alive,
        };
        for operator in [sink, dead_letters] {
            operator.report("write", TICK);
        }
        Self {
            in_flight,
            meter,
            stall_timeout,
            watched: [
                watched(Holder::Sink, sink),
                watched(Holder::DeadLetters, dead_letters),
            ],
        }
    }

    /// Watches until a sink has stalled. Returns the error.
    pub(super) async fn run(mut self) -> PipelineError {
        let clock = self.in_flight.clock();
        loop {
            clock.until(clock.now() + TICK).await;
            self.meter.publish();
            let now = clock.now();
            let goes_on = self.in_flight.next_tick();
            for (watched, goes_on) in self.watched.iter_mut().zip(goes_on) {
                let stalled = watched.look(now, goes_on, &self.in_flight, self.stall_timeout);
                if let Some(stalled) = stalled {
                    return stalled;
                }
            }
        }
    }
}

impl Watched {
    fn look(
        &mut self,
        now: Duration,
        goes_on: bool,
        in_flight: &InFlight,
        timeout: Option<Duration>,
    ) -> Option<PipelineError> {
        let oldest = match goes_on {
            true => None,
            false => in_flight.oldest_held_by(self.holder),
        };
        let Some(oldest) = oldest else {
            self.alive = now;
            self.operator.succeeded();
            return None;
        };
        let silent = now.saturating_sub(self.alive);
        if silent >= REPORT_AFTER {
            let (silent, age) = (silent.as_secs(), oldest.age.as_secs());
            let position = &oldest.position;
            self.operator.failed(format!(
                "nothing has been written for {silent} s; the oldest record is {position}, read {age} s ago"
            ));
        }
        timeout
            .filter(|timeout| silent >= *timeout)
            .map(|timeout| PipelineError::Stalled {
                operator: Arc::clone(&self.operator.name),
                timeout,
                in_flight: in_flight.records(),
                position: oldest.position,
                age: oldest.age,
            })
    }
}

/// Returns the text of [`PipelineError::Stalled`].
pub(super) fn stalled_text(timeout: Duration, in_flight: usize, age: Duration) -> String {
    format!(
        "nothing was written for {}, with {in_flight} records in flight; the oldest, read {} s ago, is",
        format_duration(timeout),
        age.as_secs()
    )
}
