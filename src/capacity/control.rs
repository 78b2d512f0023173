//! How fast one budget (a table's, or an index's) may be used.
//!
//! ```text
//!   known units ─▶ rate ──── × 1, 2, 4, … while there is burst credit ──▶ speed ─▶ bucket
//!                   ▲  cut when refused, grows back          ▲
//!                   └──────────── answers ───────────────────┴── ceiling, where partitions are the limit
//! ```
//!
//! The **rate** is what can be kept up: the provisioned or warm units, less where others use them
//! too. The **speed** is above it while unused capacity is spent. How much of that there is nobody
//! tells: what this sink left unused itself it knows, what was there before it finds by doubling the
//! speed each half second until the first refusal.

use std::time::Duration;

use super::delivered::Delivered;
use super::doubt::{Doubt, Verdict};
use super::growth::Growth;

/// How often the speed is looked at, and at most doubled.
const TICK: Duration = Duration::from_millis(500);

/// For how long refusals count as one congestion. Capacity may be granted by the second, so a
/// shorter time would count one empty second several times.
const CONGESTION: Duration = Duration::from_secs(1);

/// Seconds of unused capacity that DynamoDB keeps (developer guide, "Burst capacity").
const BANK_SECONDS: f64 = 300.0;

/// Seconds of the rate that must have been left unused before it is spent at more than the rate,
/// and that are left over: the service may count by whole seconds.
const CREDIT_TO_START: f64 = 1.0;
const CREDIT_TO_STOP: f64 = 0.5;

/// For how long after a refusal nothing counts as left unused: longer than the longest pause.
const NO_CREDIT: Duration = Duration::from_secs(2);

/// How long after a refusal an unknown burst credit is looked for again: the time in which a bank
/// may have filled.
const SEEK_AGAIN: Duration = Duration::from_secs(300);

/// The most that the speed may be of the rate.
const FASTEST: f64 = 1024.0;

/// The time in which on-demand throughput may double (developer guide, "On-demand capacity mode").
const DOUBLING: f64 = 1800.0;

/// The share of a rate from which on it counts as used.
const USED: f64 = 0.8;

/// The share that a rate gains in a second in which it should stand still.
const STAND: f64 = 0.01;

/// Units that the service must have taken for a refusal to say something of the rate.
const ENOUGH: f64 = 25.0;

/// The most often the ceiling is lowered: by then writes that were refused have been sent again.
const CAP_EVERY: Duration = Duration::from_millis(250);

/// And where so great a share is refused that there is nothing to wait for.
const CAP_SOON: Duration = Duration::from_millis(60);
const FAR_TOO_MUCH: f64 = 0.2;

/// How far below a speed that went well it goes on where the next one did not.
const BELOW: f64 = 0.1;

/// The least rate that refusals lead to: one unit a second.
const SLOWEST: f64 = 1.0;

/// What is known of a budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Base {
    /// Provisioned units a second, this sink's share of them.
    Provisioned(f64),
    /// Units a second that the service takes on demand, and the maximum where one is set.
    OnDemand { warm: f64, most: f64 },
    /// Nothing: found from the answers.
    Unknown,
    /// Said by the user.
    Fixed(f64),
    /// None, whatever is refused.
    Unlimited,
}

/// Why units were refused, as far as this budget goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The capacity of this budget is used up.
    Capacity,
    /// The maximum set on demand was reached.
    Maximum,
    /// Many keys all over the table met their partitions' limit.
    Partitions,
    /// Not told.
    Untold,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Control {
    base: Base,
    burst: bool,
    /// Whether a burst credit that others left may be spent.
    seeks: bool,
    rate: Option<Growth>,
    ceiling: Option<Growth>,
    /// What became of writes since the ceiling was last lowered.
    capped: Capped,
    multiple: f64,
    /// Whether the last change of the speed was a doubling.
    doubled: bool,
    /// Whether a burst credit from before this sink is looked for.
    seeking: bool,
    credit: f64,
    /// What is left unused until then was not there, or makes up for what was missing.
    no_credit_until: Duration,
    /// By how much on-demand throughput has grown since it was described.
    grown: f64,
    held: bool,
    tick: Tick,
    congestion: Option<Congestion>,
    /// Units that the service took since the rate was last cut.
    taken_since_cut: f64,
    doubt: Doubt,
    delivered: Delivered,
}

#[derive(Clone, Copy, Debug, Default)]
struct Capped {
    refused: f64,
    taken: f64,
}

#[derive(Debug)]
struct Tick {
    at: Duration,
    used: f64,
    waited: bool,
    refused: bool,
}

#[derive(Debug)]
struct Congestion {
    since: Duration,
    /// The rate before it was cut.
    from: Option<f64>,
    /// Units.
    refused: f64,
}

impl Control {
    pub(super) fn new(now: Duration, base: Base, burst: bool) -> Self {
        Self {
            base,
            burst,
            seeks: true,
            rate: None,
            ceiling: None,
            capped: Capped::default(),
            multiple: 1.0,
            doubled: false,
            seeking: burst,
            credit: 0.0,
            no_credit_until: Duration::ZERO,
            grown: 1.0,
            held: false,
            tick: Tick::new(now),
            congestion: None,
            taken_since_cut: ENOUGH,
            doubt: Doubt::default(),
            delivered: Delivered::new(now),
        }
    }

    /// Units a second that are known to be there.
    pub(super) fn known(&self) -> Option<f64> {
        match self.base {
            Base::Provisioned(units) | Base::Fixed(units) => Some(units.max(SLOWEST)),
            Base::OnDemand { warm, most } => Some((warm * self.grown).min(most).max(SLOWEST)),
            Base::Unknown | Base::Unlimited => None,
        }
    }

    /// Leaves the burst credit to others, save what it leaves unused of its own.
    pub(super) fn seek_nothing(&mut self) {
        self.seeks = false;
        self.seeking = false;
    }

    /// Starts at a rate that was observed, where nothing is known.
    pub(super) fn start_at_delivered(&mut self, now: Duration) {
        let rate = self.delivered.rate(now);
        self.rate = Some(Growth::trim(now, rate.max(SLOWEST), 0.0));
    }

    /// Takes a share off the rate, if there is one.
    pub(super) fn trim(&mut self, now: Duration, share: f64) {
        if let Some(rate) = self.rate(now) {
            self.rate = Some(Growth::trim(now, rate, share));
        }
    }

    /// What can be kept up; none where nothing limits it.
    pub(super) fn rate(&self, now: Duration) -> Option<f64> {
        let known = self.known();
        if let Base::Fixed(_) | Base::Unlimited = self.base {
            return known;
        }
        match (&self.rate, known) {
            (None, known) => known,
            (Some(growth), None) => Some(growth.at(now).max(SLOWEST)),
            (Some(growth), Some(known)) => Some(growth.at(now).min(known).max(SLOWEST)),
        }
    }

    /// How fast units may leave now.
    pub(super) fn speed(&self, now: Duration) -> Option<f64> {
        let speed = self.rate(now).map(|rate| rate * self.multiple);
        if let Base::Fixed(_) | Base::Unlimited = self.base {
            return speed;
        }
        let ceiling = self.ceiling.as_ref().map(|ceiling| ceiling.at(now));
        match (speed, ceiling) {
            // What can be kept up is not the partitions' business: where a few of them are the limit, the
            // others must not wait for those.
            (Some(speed), Some(ceiling)) => Some(speed.min(ceiling.max(speed / self.multiple))),
            (speed, _) => speed,
        }
    }

    pub(super) fn is_bursting(&self) -> bool {
        self.multiple > 1.0
    }

    /// Whether about all of what can be kept up is used.
    pub(super) fn is_used(&mut self, now: Duration) -> bool {
        let used = self.delivered.rate(now);
        self.rate(now).is_none_or(|rate| used >= rate * USED)
    }

    /// Units left; `waited` says that more had wanted to.
    pub(super) fn used(&mut self, now: Duration, units: u32) {
        self.advance(now);
        self.tick.used += f64::from(units);
    }

    /// Writes wait for this budget.
    pub(super) fn waited(&mut self, now: Duration) {
        self.advance(now);
        self.tick.waited = true;
    }

    /// The service took units.
    pub(super) fn delivered(&mut self, now: Duration, units: f64) {
        self.advance(now);
        self.taken_since_cut += units;
        self.capped.taken += units;
        self.delivered.add(now, units);
    }

    /// Brings the clockwork up to date.
    pub(super) fn advance(&mut self, now: Duration) {
        if self
            .congestion
            .as_ref()
            .is_some_and(|congestion| now >= congestion.since + CONGESTION)
        {
            self.settle_congestion();
        }
        let passed = now.saturating_sub(self.tick.at);
        if passed < TICK {
            return;
        }
        let rate = self.rate(now);
        if let Some(rate) = rate {
            let mut unused = rate * passed.as_secs_f64() - self.tick.used;
            if self.tick.at < self.no_credit_until {
                unused = unused.min(0.0);
            }
            self.credit = (self.credit + unused).clamp(0.0, rate * BANK_SECONDS);
            self.step(now, rate, passed.as_secs_f64());
        }
        self.tick = Tick::new(now);
    }

    fn step(&mut self, now: Duration, rate: f64, seconds: f64) {
        let speed = self.speed(now).unwrap_or(rate);
        let demand = self.tick.used / seconds;
        let wanted = self.tick.waited || demand >= speed * 0.9;
        if self.tick.refused {
            return;
        }
        if let Some(growth) = &self.rate
            && now.saturating_sub(growth.cut_at()) >= SEEK_AGAIN
        {
            self.seeking = self.burst && self.seeks;
        }
        match self.base {
            Base::Provisioned(_) if self.burst => {
                let enough = if self.multiple > 1.0 {
                    CREDIT_TO_STOP
                } else {
                    CREDIT_TO_START
                };
                if !self.seeking && self.credit < rate * enough {
                    self.multiple = 1.0;
                } else if wanted && speed >= rate * self.multiple {
                    self.multiple = (self.multiple * 2.0).min(FASTEST);
                    self.doubled = true;
                } else if demand < speed / 4.0 {
                    self.multiple = (self.multiple / 2.0).max(1.0);
                }
            }
            Base::OnDemand { .. } if demand >= rate * 0.9 && !self.held => {
                self.grown *= (seconds.min(1.0) / DOUBLING).exp2();
            }
            Base::Provisioned(_)
            | Base::OnDemand { .. }
            | Base::Unknown
            | Base::Fixed(_)
            | Base::Unlimited => {}
        }
    }

    /// So many units were refused.
    pub(super) fn refused(&mut self, now: Duration, sent_at: Duration, refused: u32, why: Refusal) {
        self.advance(now);
        self.tick.refused = true;
        let why = match why {
            Refusal::Untold if self.multiple > 1.0 => Refusal::Untold,
            Refusal::Untold => Refusal::Capacity,
            told => told,
        };
        match why {
            Refusal::Capacity => self.short(now, refused),
            Refusal::Maximum => {
                self.held = true;
                self.short(now, refused);
            }
            Refusal::Partitions => self.cap(now, sent_at, refused, true),
            Refusal::Untold => self.cap(now, sent_at, refused, false),
        }
    }

    /// There is no credit, and the rate may be too much.
    fn short(&mut self, now: Duration, refused: u32) {
        if matches!(self.base, Base::Fixed(_) | Base::Unlimited) {
            return;
        }
        self.seeking = false;
        self.credit = 0.0;
        self.no_credit_until = now + NO_CREDIT;
        self.multiple = 1.0;
        if let Some(congestion) = &mut self.congestion {
            congestion.refused += f64::from(refused);
            return;
        }
        let from = self.rate(now);
        let known = self.known();
        // Where nothing is known it is first seen for how much of what is sent.
        if let Some(from) = from
            && known.is_some()
            && std::mem::take(&mut self.taken_since_cut) >= enough(from)
        {
            self.rate = Some(Growth::cut(now, from, 0.0, known));
        }
        self.congestion = Some(Congestion {
            since: now,
            from,
            refused: f64::from(refused),
        });
    }

    /// A congestion is over: where more was refused than the first cut accounts for, it is deepened.
    fn settle_congestion(&mut self) {
        let Some(congestion) = self.congestion.take() else {
            return;
        };
        let end = congestion.since + CONGESTION;
        let taken = self.delivered.rate(end) * CONGESTION.as_secs_f64();
        // Where the service takes nothing, it says nothing of the rate.
        if taken < congestion.from.map_or(ENOUGH, enough) {
            // But it must not grow without bound meanwhile.
            if let (Some(from), None) = (congestion.from, self.known()) {
                self.rate = Some(Growth::trim(end, from, STAND));
            }
            return;
        }
        let refused = congestion.refused;
        let ratio = refused / (refused + taken);
        let known = self.known();
        let from = congestion.from.unwrap_or(taken);
        if known.is_none() {
            match self.doubt.judge(end, from, ratio) {
                Verdict::Guilty => {}
                Verdict::Innocent => return,
                Verdict::Acquitted => {
                    self.rate = None;
                    return;
                }
            }
        }
        let deeper = match known {
            Some(_) => Growth::cut(end, from, ratio / 2.0, known),
            // What was taken of too much is what there is.
            None => Growth::cut(end, from.min(taken), 0.0, None),
        };
        let cut = self.rate.as_ref().map(|rate| rate.at(congestion.since));
        if cut.is_none_or(|cut| cut > deeper.at(end)) {
            self.rate = Some(deeper);
        }
    }

    /// The speed above the rate is too much, since partitions are the limit, or, where that is not told, since there
    /// is no credit left: lower, it will show which.
    fn cap(&mut self, now: Duration, sent_at: Duration, refused: u32, told: bool) {
        let cut_at = self.ceiling.as_ref().map(Growth::cut_at);
        if cut_at.is_some_and(|cut_at| sent_at < cut_at) {
            // It tells of the speed before.
            return;
        }
        self.capped.refused += f64::from(refused);
        let Capped { refused, taken } = self.capped;
        let ratio = refused / (refused + taken);
        let every = if ratio > FAR_TOO_MUCH {
            CAP_SOON
        } else {
            CAP_EVERY
        };
        if cut_at.is_some_and(|cut_at| now < cut_at + every) {
            return;
        }
        self.capped = Capped::default();
        let rate = self.rate(now).unwrap_or(SLOWEST);
        let speed = self.speed(now).unwrap_or(rate);
        let (to, below) = if std::mem::take(&mut self.doubled) {
            // What went well until then.
            (speed / 2.0, BELOW)
        } else if ratio > FAR_TOO_MUCH {
            (speed * (1.0 - ratio.min(0.5)), BELOW)
        } else {
            (speed, BELOW / 2.0)
        };
        if !told && to * (1.0 - below) <= rate * 1.2 {
            self.short(now, 1);
        } else {
            self.ceiling = Some(Growth::trim(now, to.max(SLOWEST), below));
        }
    }

    /// Other numbers are known now.
    pub(super) fn learn(&mut self, now: Duration, base: Base) {
        if base == self.base {
            return;
        }
        self.advance(now);
        let old = self.known();
        let old_base = self.base;
        self.base = base;
        let most = |base| match base {
            Base::OnDemand { most, .. } => Some(most),
            _ => None,
        };
        self.held &= most(old_base) == most(base);
        self.grown = 1.0;
        match (old, self.known(), &mut self.rate) {
            (Some(old), Some(new), Some(growth)) => growth.rescale(new / old),
            // What was found blindly says less than what is known.
            (None, Some(_), rate) => *rate = None,
            _ => {}
        }
        if let (Base::OnDemand { .. }, Base::OnDemand { warm, .. }, Some(old)) =
            (old_base, base, old)
        {
            // It has taken that much already.
            self.grown = (old / warm.max(SLOWEST)).max(1.0);
        }
        self.multiple = 1.0;
    }

    /// Somebody else's limit was met: this one slows down with it.
    pub(super) fn yield_to_others(&mut self, now: Duration) {
        self.short(now, 1);
    }
}

/// Of a slow rate a few units are enough.
fn enough(rate: f64) -> f64 {
    ENOUGH.min(rate / 2.0)
}

impl Tick {
    fn new(at: Duration) -> Self {
        Self {
            at,
            used: 0.0,
            waited: false,
            refused: false,
        }
    }
}
