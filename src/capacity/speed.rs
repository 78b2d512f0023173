//! The speed at which units of one budget, of a table or an index, may leave.
//!
//! ```text
//!   known units ─▶ estimated rate ─── × 1, 2, 4, … while there is burst credit ──▶ speed ─▶ bucket
//!                        ▲                                       ▲
//!                        └────────────── answers ────────────────┴── ceiling, where partitions are the limit
//! ```
//!
//! The **rate** is what can be kept up: the known units, or less where others use them too. The
//! **speed** is above it while unused capacity is spent.

use std::time::Duration;

use super::allowance::{Allowance, KnownUnits, MAX_FILL_TIME, UTILIZED_RATIO};
use super::burst_credit::BurstCredit;
use super::ceiling::{CUT_SHARE, Ceiling, MIN_CUT_INTERVAL};
use super::delivered::Delivered;
use super::estimator::{Estimator, Reaction, Tally};

/// The share refused from which on a burst is far too fast: there is nothing to wait for. Chosen.
const FAR_REFUSED_SHARE: f64 = 0.2;

/// The least time between two cuts of the ceiling of such a burst. Chosen: a few round trips.
const MIN_FAR_CUT_INTERVAL: Duration = Duration::from_millis(60);

/// The units held back after a burst ends or is capped, in seconds of its speed. Simulation.
const BURST_REST_SECONDS: f64 = 0.15;

/// The multiple of the rate from which on a burst is worth going on with. Chosen.
const MIN_BURST_MULTIPLE: f64 = 1.2;

/// The time for which writes count as waiting after they were held back, in units of the rate. It
/// is at least the time in which two requests fill. Chosen.
const WAITING_UNITS: f64 = 2.0;

/// The reason of a refusal, as far as one budget goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The capacity of this budget, by a reported reason.
    Capacity,
    /// The maximum set on demand.
    Maximum,
    /// The limit of partitions, met by many keys.
    Partitions,
    /// Not reported.
    NotReported,
}

/// Writes of one request, sent at one time: taken and refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) sent_at: Duration,
    pub(super) taken: usize,
    pub(super) refused: usize,
}

impl Answer {
    fn tally(self) -> Tally {
        let writes = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        Tally {
            sent: writes(self.taken) + writes(self.refused),
            refused: writes(self.refused),
        }
    }
}

/// Units since the ceiling was last lowered.
#[derive(Clone, Copy, Debug, Default)]
struct Capped {
    refused: f64,
    taken: f64,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Speed {
    known: KnownUnits,
    estimator: Estimator,
    credit: BurstCredit,
    ceiling: Option<Ceiling>,
    capped: Capped,
    delivered: Delivered,
    waited_at: Option<Duration>,
}

/// The settings of a budget's speed.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpeedConfig {
    /// Set if burst credit may be spent, and if that of others may.
    pub(super) burst: bool,
    pub(super) may_seek: bool,
    /// Set if requests refused whole may be a gap. An index sees only the writes that enter it: of
    /// those, all or none are refused.
    pub(super) gaps: bool,
    /// The time of day at which the sink's time is zero.
    pub(super) opened: Duration,
}

impl SpeedConfig {
    /// Returns the settings of a budget that spends no burst credit and shares its probes with no
    /// other.
    pub(super) fn plain() -> Self {
        Self {
            burst: false,
            may_seek: false,
            gaps: false,
            opened: Duration::ZERO,
        }
    }
}

impl Speed {
    pub(super) fn new(now: Duration, allowance: Allowance, config: SpeedConfig) -> Self {
        let known = KnownUnits::new(allowance);
        let estimator = Estimator::new(now, config.opened + now, known.per_second(), config.gaps);
        Self {
            known,
            estimator,
            credit: BurstCredit::new(now, config.burst, config.may_seek),
            ceiling: None,
            capped: Capped::default(),
            delivered: Delivered::new(now),
            waited_at: None,
        }
    }

    /// Returns the units a second that are known to be there.
    pub(super) fn known(&self) -> Option<f64> {
        self.known.per_second()
    }

    /// Returns the units a second that can be kept up; `None` where nothing limits them.
    pub(super) fn rate(&self) -> Option<f64> {
        if self.known.allowance().is_fixed() {
            self.known()
        } else {
            self.estimator.rate()
        }
    }

    /// Returns the units a second that may leave now; `None` where nothing limits them.
    pub(super) fn at(&self, now: Duration) -> Option<f64> {
        let rate = self.rate();
        if self.known.allowance().is_fixed() {
            return rate;
        }
        let ceiling = self.ceiling.as_ref().map(|ceiling| ceiling.at(now));
        let Some(rate) = rate else {
            return ceiling;
        };
        let multiple = self.credit.multiple();
        // Partitions limit bursts only. Where a few are the limit of the rate too, the others must
        // not wait for those.
        let burst = ceiling.map_or(rate * multiple, |ceiling| {
            (rate * multiple).min(ceiling.max(rate))
        });
        let probe = if multiple > 1.0 {
            1.0
        } else {
            self.estimator.probe_factor(now)
        };
        Some(burst * probe)
    }

    pub(super) fn is_bursting(&self) -> bool {
        self.credit.is_bursting()
    }

    /// Returns whether about all of what can be kept up is used.
    pub(super) fn is_used(&mut self, now: Duration) -> bool {
        let used = self.delivered.rate(now);
        self.rate().is_none_or(|rate| used >= rate * UTILIZED_RATIO)
    }

    /// Returns whether writes wait for units, or did a moment ago.
    pub(super) fn binds(&self, now: Duration) -> bool {
        let waiting = (2.0 * MAX_FILL_TIME.as_secs_f64())
            .max(WAITING_UNITS / self.rate().unwrap_or(f64::INFINITY));
        self.waited_at
            .is_some_and(|at| now.saturating_sub(at).as_secs_f64() < waiting)
    }

    /// Caps the speed at what was delivered in the last second, less a share of it.
    pub(super) fn cap_at_delivered(&mut self, now: Duration) {
        let delivered = self.delivered.rate(now).max(1.0);
        self.ceiling = Some(Ceiling::new(now, delivered, CUT_SHARE));
    }

    /// Takes a share off the ceiling, if there is one.
    pub(super) fn lower_ceiling(&mut self, now: Duration) {
        if let Some(ceiling) = &self.ceiling {
            self.ceiling = Some(Ceiling::new(now, ceiling.at(now), CUT_SHARE));
        }
    }

    /// Notes that units left.
    pub(super) fn used(&mut self, now: Duration, units: u32) {
        self.advance(now);
        self.credit.used(f64::from(units));
    }

    /// Notes that writes wait for this budget.
    pub(super) fn waited(&mut self, now: Duration) {
        self.advance(now);
        self.waited_at = Some(now);
        self.credit.waited();
    }

    /// Notes that the service took units.
    pub(super) fn delivered(&mut self, now: Duration, units: f64) {
        self.capped.taken += units;
        self.delivered.add(now, units);
    }

    /// Advances the time.
    pub(super) fn advance(&mut self, now: Duration) {
        if self.known.allowance().is_fixed() {
            return;
        }
        let binds = self.binds(now) && !self.is_bursting();
        self.estimator.advance(now, binds);
        let rate = self.rate();
        let Some(of) = self.credit.tick(now, rate) else {
            return;
        };
        let Some(rate) = rate.filter(|_| !of.refused) else {
            return;
        };
        self.known.grow(of.demand, of.passed);
        self.estimator.set_known(self.known());
        if let Allowance::Provisioned(_) = self.known.allowance() {
            let speed = self.at(now).unwrap_or(rate);
            self.credit.choose(now, rate, speed, of);
        }
    }

    /// Takes in the answer to a request. `why` is the reason of its refusals, if there were any.
    /// `refused` counts their units.
    pub(super) fn answered(
        &mut self,
        now: Duration,
        answer: Answer,
        refused: u32,
        why: Refusal,
    ) -> Reaction {
        self.advance(now);
        if answer.refused > 0 {
            let reported = match why {
                Refusal::Partitions => true,
                Refusal::NotReported => false,
                Refusal::Capacity => return self.short(now, answer),
                Refusal::Maximum => {
                    self.known.met_maximum();
                    return self.short(now, answer);
                }
            };
            if self.is_bursting() {
                return self.cap(now, answer, refused, reported);
            }
            if reported {
                let taken = Answer {
                    refused: 0,
                    ..answer
                };
                return self.estimate(now, taken);
            }
            return self.short(now, answer);
        }
        if self.is_bursting() {
            return Reaction::default();
        }
        self.estimate(now, answer)
    }

    fn estimate(&mut self, now: Duration, answer: Answer) -> Reaction {
        let delivered = self.delivered.rate(now);
        let tally = answer.tally();
        let reaction = self
            .estimator
            .answered(now, answer.sent_at, tally, delivered);
        if self.known.allowance().is_fixed() {
            // The user's number stays, but an outage is one all the same.
            return Reaction {
                outage: reaction.outage,
                ..Reaction::default()
            };
        }
        reaction
    }

    /// Takes in refusals where there is no burst credit, and the rate may be too much.
    fn short(&mut self, now: Duration, answer: Answer) -> Reaction {
        if self.is_bursting() {
            self.credit.end(now);
            // Requests in flight left at the speed of the burst.
            self.estimator.ignore_sent(now);
            return self.rest(now);
        }
        let reaction = self.estimate(now, answer);
        // A background of refusals says nothing of what is left.
        if reaction.hold_back > 0.0 || !self.estimator.has_background() {
            self.credit.end(now);
        }
        reaction
    }

    /// Caps a burst that is too fast, since partitions are the limit, or, where that is not
    /// reported, since there is no credit left. A lower speed shows which.
    fn cap(&mut self, now: Duration, answer: Answer, refused: u32, reported: bool) -> Reaction {
        self.credit.refused();
        let cut_at = self.ceiling.as_ref().map(Ceiling::cut_at);
        if cut_at.is_some_and(|cut_at| answer.sent_at < cut_at) {
            // It was sent at the speed of before.
            return Reaction::default();
        }
        self.capped.refused += f64::from(refused);
        let Capped { refused, taken } = self.capped;
        let ratio = refused / (refused + taken);
        let interval = if ratio > FAR_REFUSED_SHARE {
            MIN_FAR_CUT_INTERVAL
        } else {
            MIN_CUT_INTERVAL
        };
        if cut_at.is_some_and(|cut_at| now < cut_at + interval) {
            return self.rest_unless(now, reported);
        }
        self.capped = Capped::default();
        let rate = self.rate().unwrap_or(1.0);
        let speed = self.at(now).unwrap_or(rate);
        let (to, below) = if self.credit.take_doubled() {
            // The speed before that went well.
            (speed / 2.0, CUT_SHARE)
        } else if ratio > FAR_REFUSED_SHARE {
            (speed * (1.0 - ratio.min(0.5)), CUT_SHARE)
        } else {
            (speed, CUT_SHARE / 2.0)
        };
        if !reported && to * (1.0 - below) <= rate * MIN_BURST_MULTIPLE {
            return self.short(now, answer);
        }
        self.ceiling = Some(Ceiling::new(now, to, below));
        self.rest_unless(now, reported)
    }

    /// Returns the rest after a burst ended or was capped.
    fn rest(&self, now: Duration) -> Reaction {
        Reaction {
            hold_back: BURST_REST_SECONDS * self.at(now).unwrap_or_default(),
            ..Reaction::default()
        }
    }

    /// Returns the rest after a burst was capped. Partitions with units left need none. Where it is
    /// not reported that they are the limit, the table may be.
    fn rest_unless(&self, now: Duration, reported: bool) -> Reaction {
        if reported {
            Reaction::default()
        } else {
            self.rest(now)
        }
    }

    /// Takes another allowance.
    pub(super) fn set(&mut self, now: Duration, allowance: Allowance) {
        self.advance(now);
        let was_fixed = self.known.allowance().is_fixed();
        if !self.known.set(allowance) {
            return;
        }
        self.credit.reset();
        if was_fixed == allowance.is_fixed() {
            self.estimator.set_known(self.known());
        } else {
            self.estimator.restart(now, self.known());
        }
    }

    /// Slows down, since a limit was met that this budget shares with others.
    pub(super) fn yield_to_others(&mut self, now: Duration) {
        if !self.known.allowance().is_fixed() {
            self.credit.end(now);
            let delivered = self.delivered.rate(now);
            // A budget of which next to nothing is used takes nothing from others.
            if delivered >= 1.0 {
                self.estimator.cut(now, delivered);
            }
        }
    }
}
