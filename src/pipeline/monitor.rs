//! The watch over a running pipeline: its metrics, and whether its sinks go on.
//!
//! A sink that never answers would keep its partitions for ever: the source goes on polling, so
//! that no broker and no lease takes them away. So the pipeline ends once the sink, or the
//! dead-letter output, has something and has settled nothing for
//! [`stall_timeout`](super::PipelineSettings::stall_timeout). What is in an operator does not
//! count: each attempt there has a time-out of its own, and a lookup that fails is tried again by
//! policy, and reported as such. Nor does the time of a lookup's outage count: a sink that writes
//! in batches may wait for the values that are held back.
//!
//! One value that a sink keeps while it settles others is reported, and ends nothing: its record
//! may have values without end, or wait in the sink for a reason.

use std::sync::Arc;
use std::time::Duration;

use super::delivery::Holder;
use super::error::PipelineError;
use super::in_flight::{InFlight, Oldest};
use super::meter::Meter;
use super::operator::Operator;
use super::position::Position;
use super::settings::DEFAULT_STALL_TIMEOUT;

/// The time between two looks.
const TICK: Duration = Duration::from_secs(1);

/// The most time that counts between two looks. A process that was stopped, by SIGSTOP or a frozen
/// cgroup, would else end at its first look after, before its sink could go on.
const MAX_COUNTED: Duration = Duration::from_secs(3);

/// The time without a settled value after which a line is logged.
const REPORT_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Monitor<'a> {
    in_flight: Arc<InFlight>,
    meter: &'a mut Meter,
    /// The operators whose lookups may be in an outage.
    operators: Vec<Arc<Operator>>,
    /// None where the pipeline ends in transactions, whose driver reports for itself.
    watched: Vec<Watched>,
}

/// A sink that is watched.
struct Watched {
    holder: Holder,
    operator: Arc<Operator>,
    stall_timeout: Option<Duration>,
    /// The time for which it has had something and settled nothing.
    silent: Duration,
    /// The oldest record that it has something of, and the time for which it has been that one.
    kept: Option<(Position, Duration)>,
}

impl<'a> Monitor<'a> {
    pub(super) fn new(
        in_flight: Arc<InFlight>,
        meter: &'a mut Meter,
        stall_timeout: Option<Duration>,
        operators: &[Arc<Operator>],
        sink: &Arc<Operator>,
        dead_letters: &Arc<Operator>,
        is_transactional: bool,
    ) -> Self {
        let sinks = match is_transactional {
            true => Vec::new(),
            false => vec![(Holder::Sink, sink), (Holder::DeadLetters, dead_letters)],
        };
        let watched = sinks.into_iter().map(|(holder, operator)| {
            operator.report("write", TICK);
            Watched {
                holder,
                operator: Arc::clone(operator),
                stall_timeout,
                silent: Duration::ZERO,
                kept: None,
            }
        });
        let operators = operators.iter();
        Self {
            in_flight,
            meter,
            operators: operators
                .filter(|operator| !Arc::ptr_eq(operator, sink))
                .map(Arc::clone)
                .collect(),
            watched: watched.collect(),
        }
    }

    /// Watches until a sink has stalled. Returns the error.
    pub(super) async fn run(mut self) -> PipelineError {
        let clock = self.in_flight.clock();
        let mut last = clock.now();
        loop {
            clock.until(clock.now() + TICK).await;
            self.meter.publish();
            let now = clock.now();
            let passed = now.saturating_sub(last).min(MAX_COUNTED);
            last = now;
            let counted = match self.has_outage() {
                true => Duration::ZERO,
                false => passed,
            };
            let goes_on = self.in_flight.next_tick();
            for (watched, goes_on) in self.watched.iter_mut().zip(goes_on) {
                if let Some(stalled) = watched.look(counted, goes_on, &self.in_flight) {
                    return stalled;
                }
            }
        }
    }

    /// Returns whether an operator's lookups fail at present.
    fn has_outage(&self) -> bool {
        let mut operators = self.operators.iter();
        operators.any(|operator| !operator.health().is_healthy())
    }
}

impl Watched {
    /// Looks once, after the time that counts since the last look.
    fn look(
        &mut self,
        counted: Duration,
        goes_on: bool,
        in_flight: &InFlight,
    ) -> Option<PipelineError> {
        let Some(oldest) = in_flight.oldest_with(self.holder) else {
            (self.silent, self.kept) = (Duration::ZERO, None);
            self.operator.succeeded();
            return None;
        };
        self.silent = match goes_on {
            true => Duration::ZERO,
            false => self.silent + counted,
        };
        let kept = match &mut self.kept {
            Some((position, kept)) if *position == oldest.position => {
                *kept += counted;
                *kept
            }
            other => {
                *other = Some((oldest.position.clone(), Duration::ZERO));
                Duration::ZERO
            }
        };
        self.report(goes_on, kept, &oldest);
        self.stall_timeout
            .filter(|timeout| self.silent >= *timeout)
            .map(|timeout| PipelineError::Stalled {
                operator: Arc::clone(&self.operator.name),
                timeout,
                in_flight: in_flight.records(),
                position: oldest.position,
                age: oldest.age,
            })
    }

    fn report(&self, goes_on: bool, kept: Duration, oldest: &Oldest) {
        let (position, age) = (&oldest.position, oldest.age.as_secs());
        if self.silent >= REPORT_AFTER {
            let silent = self.silent.as_secs();
            self.operator.failed(format!(
                "nothing has been written for {silent} s; the oldest record is {position}, read {age} s ago"
            ));
        } else if kept >= self.stall_timeout.unwrap_or(DEFAULT_STALL_TIMEOUT) {
            let kept = kept.as_secs();
            self.operator.failed(format!(
                "others are written, but the record {position}, read {age} s ago, has been the oldest for {kept} s"
            ));
        } else if goes_on {
            self.operator.succeeded();
        }
    }
}
