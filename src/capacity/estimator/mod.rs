//! The rate that a budget can keep up, estimated from what is taken of what is sent.
//!
//! A table takes `min(C, (1 − p) × sent)` units a second: its capacity `C` is unknown or shared with
//! others, and a **background share** `p` of the writes may be refused whatever is sent. Refusals
//! come as fast as successes, so the time that answers take tells nothing. A fixed cut for each
//! refusal has the floor as its only fixed point: where a constant share is refused the rate never
//! stops falling.
//!
//! So a cut is made at once and judged later:
//!
//! ```text
//!   answers ─▶ score of refusals beyond the background ─▶ over the threshold: cut, rate of before kept
//!                        ▲                                                        │
//!                        └── background share ◀── probe: a slot at a lower rate ◀─┤
//!                                                        ▼                        ▼
//!                              refusals explained by the background?  yes: the rate of before is back
//!                                                                      no: the cut stays, or is deepened
//! ```
//!
//! | refusals | reaction |
//! |---|---|
//! | more than the background explains | cut by 30 % (15 % where nearly all known units were used) |
//! | as many after a cut as before it | they are the background. The cut is undone |
//! | all of a request, alone | none. Others of that kind are made up for |
//! | all for a while, and as long again at a lower rate | the cut is undone (see `gaps`) |
//!
//! The rate counts units to be **taken**. Units of refused writes come back and are sent once more, as
//! many as the background share explains. So what is taken is never more than the rate, even where
//! that share was measured too high, and what is sent never more than `rate / (1 − p)`.
//!
//! **Probes come at one time.** Where several sinks share a table, a lower rate of one of them changes
//! the total by little, and none could tell the background share from the overload of the others.
//! So the slots for probes follow from the time of day: all sinks that were refused of late go slower in the
//! same slot, without a message. Clocks that differ by seconds cost some units refused, no units
//! used.
//!
//! **Shares even out**, since a cut takes a share of the rate, and growth adds the same to each
//! (known units) or the square root (unknown).
//!
//! Rejected: a tolerance that grows with the scatter of refusals (an overload scatters, and is then
//! tolerated); a check after each sink's own cut (the background share climbs with each overload);
//! shallow cuts (the deeper and rarer they are, the more of the time is spent below the capacity,
//! and what is left unused then, the table keeps).

mod background;
mod gaps;
#[cfg(test)]
mod tests;

use std::time::Duration;

use background::Background;
pub(super) use background::Tally;
use gaps::{Counted, Gaps};

/// The rate after the first refusals within a second of the start, in units a second.
///
/// The documented limit of one partition. What was taken until then would be noise.
const START_UNITS_PER_SECOND: f64 = 1000.0;

/// The time of observation from which on a rate is taken from what was delivered, in seconds.
const START_SECONDS: f64 = 1.0;

/// The exponential growth until the first cut of a rate that was not known, in 1 / s.
///
/// Chosen: it doubles in 250 ms, and finds a sixty-fold capacity in 1.5 s.
const RAMP_PER_SECOND: f64 = 2.77;

/// The growth of an unknown rate, in units / s² and per square root of the rate.
///
/// Simulation: at 1,000 units a second, a cut each four to six seconds.
const ROOT_GROWTH: f64 = 3.0;

/// The rate below which an unknown one grows more slowly still, in units a second.
///
/// Simulation: a probe then has enough writes before the rate is far too high.
const SLOW_UNITS_PER_SECOND: f64 = 100.0;

/// The share of the known units that is gained each second.
///
/// Simulation: it decides how often sinks that share a table are refused, and how fast their shares
/// even out.
const KNOWN_GROWTH_SHARE: f64 = 0.025;

/// The time after a cut from which on growth doubles each second, in seconds.
///
/// Simulation: longer than from one cut to the next. By then others have left, or capacity has come.
const PATIENCE_SECONDS: f64 = 8.0;

/// The fastest growth in a second, in shares of the rate: unknown and known.
///
/// Simulation: three times the capacity is found in ten seconds, and saved-up units are not overrun
/// by far when they end.
const MAX_GROWTH_SHARE: f64 = 0.2;
const MAX_KNOWN_GROWTH_SHARE: f64 = 0.1;

/// The share of a known rate that a cut leaves to a sink that has next to nothing of the known units,
/// how much less it leaves to one that has all of them, and the least.
///
/// Simulation: shares even out faster where larger ones are cut more deeply. A quarter is cut by 35 %.
const SMALL_CUT_FACTOR: f64 = 0.9;
const CUT_PER_SHARE: f64 = 1.0;
const DEEPEST_CUT_FACTOR: f64 = 0.6;

/// The share of the known units above which a sink has no equal beside it.
const EVEN_SHARE: f64 = 0.5;

/// The least share that a cut leaves of an unknown rate.
///
/// Simulation: deep and rare cuts waste less than shallow ones.
const CUT_FACTOR: f64 = 0.7;

/// Where nothing is known, a cut takes off so many times the share refused in excess, at least 3 %.
///
/// Simulation: a few refused in excess, as partitions leave them that are not loaded alike, end at a
/// small cut.
const CUT_PER_EXCESS: f64 = 2.0;
const SHALLOWEST_CUT_FACTOR: f64 = 0.97;

/// The share left to a sink that had more than so much of the known units: it is nearly alone, and
/// fairness needs no deep cut.
const LONE_CUT_FACTOR: f64 = 0.85;
const LONE_SHARE: f64 = 0.8;

/// The share of the known units below which gaps count in any case: others use the table too, and
/// their part in a gap can't be told.
const GAP_SHARE: f64 = 0.35;

/// The share of the known units from which on gaps are compared. Simulation: of several sinks, one
/// could otherwise take the gaps that all cause for unrelated.
const COMPARED_SHARE: f64 = 0.6;

/// What a cut holds back at once, in seconds of the rate: of an unknown one, and of a known one.
///
/// Simulation: the other sinks see the same shortage for less long. Partitions that keep little are
/// better used after a short rest.
const CUT_REST_SECONDS: f64 = 0.1;
const KNOWN_CUT_REST_SECONDS: f64 = 0.2;

/// The length of a slot, in seconds. It doubles until a slot has [`MIN_SAMPLE_WRITES`], up to a
/// limit.
const SLOT_SECONDS: f64 = 0.25;
const MAX_SLOT_SECONDS: f64 = 8.0;

/// One slot in so many is a probe.
const SLOTS_PER_PROBE: u64 = 4;

/// The least number of writes that a share says anything of.
const MIN_SAMPLE_WRITES: f64 = 10.0;

/// The number of writes in a probe from which on those after a cut may add to it.
const LARGE_SAMPLE_WRITES: f64 = 100.0;

/// The most that a probe sends: of the rate, and of what was taken of late.
///
/// Simulation: lower than the usual overshoot, so that a probe is below the capacity.
const PROBE_FACTOR: f64 = 0.85;
const PROBE_OF_TAKEN: f64 = 0.9;
const MIN_PROBE_FACTOR: f64 = 0.02;

/// The seconds between a cut and the probe that judges it. Capacity may be granted by the second.
const SETTLE_SECONDS: f64 = 1.0;

/// The time after a refusal in which probes are sent: in seconds, and in slots.
const PROBE_AFTER_SECONDS: f64 = 5.0;
const PROBE_AFTER_SLOTS: f64 = 8.0;

/// The most of what is refused that is sent once more, as a share of what was sent, and the most that
/// is remembered for it, in writes.
///
/// The share is that of C4 and a margin. The number is chosen: four batches, so that what one batch
/// has too many the next may have too few.
const MAX_REFUND_SHARE: f64 = 0.6;
const MAX_REFUNDABLE_WRITES: f64 = 100.0;

/// A cut has helped where, for so many seconds, so much less was refused, as a ratio to before, and the
/// background share is no more than this. Simulation.
const QUIET_SECONDS: f64 = 0.2;
const QUIET_RATIO: f64 = 0.25;
const MAX_QUIET_SHARE: f64 = 0.02;

/// The share refused after a cut of a known rate at which it falls to what is taken at once. Where nothing
/// is known, it is the largest share that a background may have.
///
/// Simulation: sinks that begin together at all known units then find their shares in seconds.
const FAR_KNOWN_SHARE: f64 = 0.3;

/// The excess, after a cut, from which on the cut is deepened by it.
const DEEPEN_FROM_EXCESS: f64 = 0.25;

/// The seconds without a write taken that make an outage. Nothing is taken, at any rate.
const OUTAGE_SECONDS: f64 = 1.0;

/// The least rate, in units a second, where less is not known.
const MIN_UNITS_PER_SECOND: f64 = 1.0;

/// The largest rate that is told from none, in units a second.
const MAX_UNITS_PER_SECOND: f64 = 1e9;

/// A cut that is not judged yet.
#[derive(Clone, Copy, Debug)]
struct PendingCut {
    /// The rate before it.
    rate: f64,
    /// The answers that led to it.
    cause: Tally,
    /// Set if it was deepened before it was judged.
    deepened: bool,
}

/// A slot in which less is sent. Times are in seconds.
#[derive(Clone, Copy, Debug)]
struct Probe {
    from: f64,
    to: f64,
    /// The share of the usual speed.
    factor: f64,
    seen: Tally,
}

/// What the bucket has to do after an answer, in units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reaction {
    /// To be held back at once.
    pub(super) hold_back: f64,
    /// Saved by a probe, to be given back.
    pub(super) give_back: f64,
    /// The share of the refused units to be given back: they are the background's.
    pub(super) refund: f64,
    /// Nothing is taken at any rate: pause.
    pub(super) outage: bool,
}

impl Reaction {
    /// Returns the rest of a burst that ends or is capped at this speed.
    pub(super) fn rest(speed: f64) -> Self {
        Self {
            hold_back: CUT_REST_SECONDS * speed,
            ..Self::default()
        }
    }
}

/// Estimates the rate of one budget. See the module's documentation.
///
/// Times are in seconds since the sink was opened.
#[derive(Debug)]
pub(super) struct Estimator {
    /// The time of day at which the sink was opened, in seconds.
    opened: f64,
    created: f64,
    /// Units a second that are known to be there, if any are.
    known: Option<f64>,
    /// Units a second to be taken. Infinite until the first refusals where nothing is known.
    rate: f64,
    background: Background,
    /// None where requests refused whole are no gap.
    gaps: Option<Gaps>,
    /// Answers since the score was zero, or since the last cut, and since when.
    seen: Tally,
    seen_from: f64,
    pending: Option<PendingCut>,
    probe: Option<Probe>,
    /// When the last cut was judged right; none while the first is still to come.
    cut_at: Option<f64>,
    refused_at: Option<f64>,
    /// Refused writes that the background share explains and that were not given back yet.
    refundable: f64,
    /// Since when nothing was taken.
    nothing_since: Option<f64>,
    /// The number of the slot, and the time up to which growth is counted.
    slot: u64,
    at: f64,
}

impl Estimator {
    /// Creates an estimator. `time_of_day` is that of the moment `now`; all sinks of a table should
    /// have the same.
    pub(super) fn new(
        now: Duration,
        time_of_day: Duration,
        known: Option<f64>,
        gaps: bool,
    ) -> Self {
        let now = now.as_secs_f64();
        Self {
            opened: time_of_day.as_secs_f64() - now,
            created: now,
            known,
            rate: known.unwrap_or(f64::INFINITY),
            background: Background::new(),
            gaps: gaps.then(Gaps::new),
            seen: Tally::default(),
            seen_from: now,
            pending: None,
            probe: None,
            cut_at: known.map(|_| now),
            refused_at: None,
            refundable: 0.0,
            nothing_since: None,
            slot: 0,
            at: now,
        }
    }

    /// Returns the units a second to be taken; `None` where nothing limits them.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate.is_finite().then_some(self.rate)
    }

    /// Returns the share of the refused writes of an answer that the background explains.
    fn refund(&mut self, of: Tally) -> f64 {
        let lone = self.gaps.as_ref().map_or(0.0, Gaps::lone_share);
        let passed = (1.0 - self.background.share()) * (1.0 - lone);
        let share = (1.0 - passed).min(MAX_REFUND_SHARE);
        self.refundable = (self.refundable + share * of.sent).min(MAX_REFUNDABLE_WRITES);
        let refund = of.refused.min(self.refundable);
        self.refundable -= refund;
        refund / of.refused.max(1.0)
    }

    /// Returns the share of the usual speed that may be sent now: less in a probe.
    pub(super) fn probe_factor(&self, now: Duration) -> f64 {
        match self.probe {
            Some(probe) if now.as_secs_f64() < probe.to => probe.factor,
            _ => 1.0,
        }
    }

    /// Sets the units that are known to be there.
    ///
    /// Where they have become more, a rate below the old number stays as far below. Where they have
    /// become fewer, it stays: by the time a description tells, refusals have lowered it. A sink that
    /// has half of them then takes all, since it is alone or will be refused at once.
    pub(super) fn set_known(&mut self, known: Option<f64>) {
        match (self.known, known) {
            (Some(old), Some(new)) => {
                let factor = (new / old).max(1.0);
                self.rate *= factor;
                if new < old && self.rate >= EVEN_SHARE * new {
                    self.rate = new;
                    self.pending = None;
                }
                if let Some(cut) = &mut self.pending {
                    cut.rate *= factor;
                }
            }
            // A rate found without knowledge says less than what is known.
            (None, Some(new)) => {
                self.rate = new;
                self.pending = None;
            }
            (Some(old), None) if self.rate >= old => self.rate = f64::INFINITY,
            (_, None) => {}
        }
        self.known = known;
        self.limit();
    }

    /// Begins anew with these known units.
    pub(super) fn restart(&mut self, now: Duration, known: Option<f64>) {
        let time_of_day = Duration::from_secs_f64((self.opened + now.as_secs_f64()).max(0.0));
        *self = Self::new(now, time_of_day, known, self.gaps.is_some());
    }

    fn limit(&mut self) {
        if self.rate.is_finite() {
            let most = self.known.unwrap_or(MAX_UNITS_PER_SECOND);
            // Where less than the least is known, that is the least.
            self.rate = self.rate.max(MIN_UNITS_PER_SECOND).min(most);
        }
    }

    /// Advances the time. `binds` says whether writes wait for the rate: it grows only then.
    pub(super) fn advance(&mut self, now: Duration, binds: bool) {
        let now = now.as_secs_f64();
        let seconds = now - self.at;
        if seconds <= 0.0 {
            return;
        }
        self.at = now;
        let judging = self.probe.is_some() || self.pending.is_some();
        if binds && self.rate.is_finite() && (!judging || self.shares_quietly()) {
            self.rate += self.growth(now) * seconds;
            self.limit();
        }
        self.start_probe(now);
    }

    /// Returns the units a second that the rate gains in a second.
    fn growth(&self, now: f64) -> f64 {
        let Some(cut_at) = self.cut_at else {
            return self.rate * RAMP_PER_SECOND;
        };
        let (usual, most) = match self.known {
            Some(known) => (KNOWN_GROWTH_SHARE * known, MAX_KNOWN_GROWTH_SHARE),
            None => {
                let slow = (self.rate / SLOW_UNITS_PER_SECOND).min(1.0);
                (ROOT_GROWTH * self.rate.sqrt() * slow, MAX_GROWTH_SHARE)
            }
        };
        let impatient = (now - cut_at - PATIENCE_SECONDS).clamp(0.0, 20.0);
        (usual * impatient.exp2()).min((most * self.rate).max(usual))
    }

    fn slot_seconds(&self) -> f64 {
        let mut length = SLOT_SECONDS;
        while self.rate * length < MIN_SAMPLE_WRITES && length < MAX_SLOT_SECONDS {
            length *= 2.0;
        }
        length
    }

    /// Begins a probe if this slot is one: one in four, drawn by a hash of the time of day, so that it
    /// falls into step with nothing and is the same for all sinks.
    fn start_probe(&mut self, now: f64) {
        let length = self.slot_seconds();
        let time_of_day = self.opened + now;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; the time of day is not negative"
        )]
        let slot = (time_of_day / length) as u64;
        if slot == std::mem::replace(&mut self.slot, slot) {
            return;
        }
        let settled = self.pending.is_none() || now - self.seen_from > SETTLE_SECONDS;
        let while_refused = PROBE_AFTER_SECONDS.max(PROBE_AFTER_SLOTS * length);
        let refused = self
            .refused_at
            .is_some_and(|refused_at| now - refused_at < while_refused);
        let drawn = spread(slot / SLOTS_PER_PROBE) % SLOTS_PER_PROBE == slot % SLOTS_PER_PROBE;
        if self.rate.is_infinite() || self.probe.is_some() || !settled || !refused || !drawn {
            return;
        }
        let around = self.around_cut();
        let refused = if around.sent >= MIN_SAMPLE_WRITES {
            around.share()
        } else {
            0.0
        };
        // Below what was taken before a cut, had that been an overload.
        let before = self.pending.map_or(1.0, |cut| cut.rate / self.rate);
        let taken = (1.0 - refused.max(self.background.share())) * before;
        #[expect(clippy::cast_precision_loss, reason = "a number of slots since 1970")]
        let to = (slot + 1) as f64 * length - self.opened;
        self.probe = Some(Probe {
            from: now,
            to,
            factor: (PROBE_OF_TAKEN * taken).clamp(MIN_PROBE_FACTOR, PROBE_FACTOR),
            seen: Tally::default(),
        });
    }

    /// Returns the answers that led to the pending cut and those after it.
    fn around_cut(&self) -> Tally {
        let mut around = self.seen;
        if let Some(cut) = self.pending {
            around.add(cut.cause);
        }
        around
    }

    /// Begins to score anew.
    fn forget(&mut self, now: f64) {
        self.seen = Tally::default();
        self.seen_from = now;
    }

    /// Ignores what was sent until now: it left at another speed than the rate.
    pub(super) fn ignore_sent(&mut self, now: Duration) {
        self.probe = None;
        self.forget(now.as_secs_f64());
    }

    /// Cuts the rate for a reason from outside.
    pub(super) fn cut(&mut self, now: Duration, delivered: f64) {
        let now = now.as_secs_f64();
        if self.rate.is_infinite() {
            self.rate = delivered;
        }
        self.rate *= self.cut_factor(1.0);
        self.cut_at = Some(now);
        self.pending = None;
        self.limit();
        self.forget(now);
    }

    /// Takes in the answer to a request sent at `sent_at`. `delivered` is what was taken of late, in
    /// units a second.
    pub(super) fn answered(
        &mut self,
        now: Duration,
        sent_at: Duration,
        of: Tally,
        delivered: f64,
    ) -> Reaction {
        let (now, sent_at) = (now.as_secs_f64(), sent_at.as_secs_f64());
        let mut reaction = Reaction::default();
        if of.sent <= 0.0 {
            return reaction;
        }
        reaction.refund = self.refund(of);
        if of.refused > 0.0 {
            self.refused_at = Some(now);
        }
        if !of.is_whole() {
            self.nothing_since = None;
        } else if now - *self.nothing_since.get_or_insert(now) > OUTAGE_SECONDS {
            // That says nothing of the rate.
            if let Some(cut) = self.pending.take() {
                self.rate = cut.rate;
            }
            self.probe = None;
            if let Some(gaps) = &mut self.gaps {
                gaps.reset();
            }
            self.forget(now);
            reaction.outage = true;
            return reaction;
        }
        let Some(of) = self.without_gaps(now, of) else {
            return reaction;
        };
        if let Some(probe) = &mut self.probe {
            if sent_at >= probe.to {
                let probe = *probe;
                self.judge(now, probe);
                if self.known.is_some() {
                    let seconds = probe.to - probe.from;
                    reaction.give_back = self.rate * (1.0 - probe.factor) * seconds;
                }
            } else if sent_at >= probe.from {
                probe.seen.add(of);
                return reaction;
            }
        }
        if sent_at < self.seen_from {
            return reaction;
        }
        self.seen.add(of);
        if self.pending.is_some() {
            if self.has_helped(now) {
                self.uphold(now);
            } else if self.is_far_too_fast(now) {
                let share = self.seen.share();
                let taken = delivered.max((1.0 - share) * self.rate);
                self.rate = self.rate.min(PROBE_OF_TAKEN * taken);
                self.limit();
                if share > background::MAX_SHARE {
                    self.uphold(now);
                }
                reaction.hold_back = self.rest();
            }
            return reaction;
        }
        let score = self.background.score(self.seen);
        if score <= 0.0 {
            self.seen = Tally::default();
        } else if score >= self.threshold() {
            self.cut_for_now(now, delivered);
            reaction.hold_back = self.rest();
        }
        reaction
    }

    /// Returns whether the pending cut has surely ended refusals, without a probe. Sinks that know the
    /// table may then cut again, the larger ones more often, which evens their shares out.
    fn has_helped(&self, now: f64) -> bool {
        let (Some(known), Some(cut)) = (self.known, self.pending) else {
            return false;
        };
        cut.rate <= EVEN_SHARE * known
            && self.background.share() <= MAX_QUIET_SHARE
            && now - self.seen_from > QUIET_SECONDS
            && self.seen.share() <= QUIET_RATIO * cut.cause.share()
    }

    /// Returns whether so much is refused since the pending cut that there is no time to wait for a
    /// probe. That is so once for each cut.
    fn is_far_too_fast(&mut self, now: f64) -> bool {
        let far = match self.known {
            Some(_) if self.background.share() <= MAX_QUIET_SHARE => FAR_KNOWN_SHARE,
            _ => background::MAX_SHARE,
        };
        let Some(cut) = &mut self.pending else {
            return false;
        };
        let is = !cut.deepened
            && now - self.seen_from >= SLOT_SECONDS
            && self.seen.sent >= LARGE_SAMPLE_WRITES
            && !self.seen.is_whole()
            && self.seen.share() > far;
        cut.deepened |= is;
        is
    }

    /// Returns the writes of an answer that count for the score.
    fn without_gaps(&mut self, now: f64, of: Tally) -> Option<Tally> {
        let shared = self
            .known
            .is_some_and(|known| self.rate < GAP_SHARE * known);
        let slow = self.slot_seconds() > SLOT_SECONDS;
        let Some(gaps) = &mut self.gaps else {
            return Some(of);
        };
        if shared || slow {
            gaps.reset();
            return Some(of);
        }
        let least_rate = self.known.map_or(0.0, |known| COMPARED_SHARE * known);
        match gaps.answered(now, self.rate, least_rate, of) {
            Counted::Yes(of) => Some(of),
            Counted::InGap { of, solitary } => {
                // A slot is too short to tell a gap's share of the time.
                if self.probe.take().is_some() && !solitary {
                    self.deepen();
                    self.uphold(now);
                }
                // What is left of the gap that led to a cut says nothing of the rate after it.
                (self.pending.is_none() || !solitary).then_some(of)
            }
            Counted::No => None,
            Counted::AndRestore(of, rate) => {
                self.rate = rate;
                self.pending = None;
                self.probe = None;
                self.limit();
                self.forget(now);
                Some(of)
            }
        }
    }

    fn cut_for_now(&mut self, now: f64, delivered: f64) {
        let cause = self.seen;
        self.forget(now);
        if self.rate.is_infinite() {
            // A rate to begin with, and no cut yet.
            self.rate = if now - self.created < START_SECONDS {
                START_UNITS_PER_SECOND
            } else {
                delivered
            };
            self.limit();
            return;
        }
        self.pending = Some(PendingCut {
            rate: self.rate,
            cause,
            deepened: false,
        });
        let background = self.background.share();
        let excess = (cause.share() - background) / (1.0 - background);
        self.rate *= self.cut_factor(excess);
        self.limit();
    }

    /// Returns whether the sink knows the table, has no more than an equal would have, and has met no
    /// background of refusals.
    ///
    /// Then each refusal is one sink too many at the same time, and all that see it should cut, which
    /// evens their shares out.
    fn shares_quietly(&self) -> bool {
        self.background.share() <= 0.0
            && self
                .known
                .is_some_and(|known| self.rate <= EVEN_SHARE * known)
    }

    /// Returns the score from which on the rate is cut.
    fn threshold(&self) -> f64 {
        // Refusals are an index's by their reason, or by what they have in common: no chance.
        if self.gaps.is_none() || self.shares_quietly() {
            0.0
        } else {
            self.background.threshold()
        }
    }

    /// Returns the units that are held back after a cut.
    fn rest(&self) -> f64 {
        let seconds = match self.known {
            Some(_) => KNOWN_CUT_REST_SECONDS,
            None => CUT_REST_SECONDS,
        };
        seconds * self.rate
    }

    fn cut_factor(&self, excess: f64) -> f64 {
        match self.known {
            Some(known) if self.rate > LONE_SHARE * known => LONE_CUT_FACTOR,
            Some(known) => {
                (SMALL_CUT_FACTOR - CUT_PER_SHARE * self.rate / known).max(DEEPEST_CUT_FACTOR)
            }
            None => (1.0 - CUT_PER_EXCESS * excess).clamp(CUT_FACTOR, SHALLOWEST_CUT_FACTOR),
        }
    }

    /// Ends a probe. It tells the background share, and with it whether the pending cut was right.
    fn judge(&mut self, now: f64, probe: Probe) {
        self.probe = None;
        if probe.seen.is_whole() {
            return;
        }
        let mut clean = probe.seen;
        if self.pending.is_some()
            && clean.sent >= LARGE_SAMPLE_WRITES
            && self.background.agree(clean, self.seen)
        {
            // What came after the cut says the same, and more exactly.
            clean.add(self.seen);
        }
        let around = self.pending.map(|_| self.around_cut());
        self.background.learn(clean, probe.seen.sent, around);
        if let Some(cut) = self.pending
            && !self.shares_quietly()
            && self.background.score(cut.cause) <= self.background.threshold() / 2.0
        {
            self.pending = None;
            self.rate = cut.rate;
            self.limit();
            self.forget(now);
        } else {
            self.deepen();
            self.uphold(now);
        }
    }

    /// Deepens the pending cut, if there is one, where as much is refused after it.
    fn deepen(&mut self) {
        let excess = self.background.certain_excess(self.seen);
        if self.pending.is_some() && excess > DEEPEN_FROM_EXCESS {
            self.rate *= (1.0 - excess) * PROBE_OF_TAKEN;
        }
    }

    /// Keeps the pending cut, if there is one.
    fn uphold(&mut self, now: f64) {
        if self.pending.take().is_some() {
            self.cut_at = Some(now);
            self.limit();
            self.forget(now);
        }
    }
}

/// Spreads a number over all others (the finalizer of SplitMix64).
fn spread(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
