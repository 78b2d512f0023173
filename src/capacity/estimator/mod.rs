//! The rate that a budget can keep up, estimated from what is taken of what is sent.
//!
//! A table takes `min(C, (1 − p) × sent)` units a second: its capacity `C` is unknown or shared
//! with others, and a **background share** `p` of the writes may be refused whatever is sent.
//! Refusals come as fast as successes, so the time that answers take shows nothing. A fixed cut for
//! each refusal has the floor as its only fixed point: where a constant share is refused the rate
//! never stops falling.
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
//! | more than the background explains | cut by 15 to 45 %, or down to what is taken |
//! | as many after a cut as before it | they are the background. The cut is undone |
//! | all of a request, alone | none. Others of that kind are made up for |
//! | all for a while, and as long again at a lower rate | the cut is undone (see `gaps`) |
//! | they end, and begin again at a far lower rate | the rate of before is tried (see `recurrence`) |
//!
//! The rate counts units to be **taken**. Units of refused writes come back and are sent once more,
//! as many as the background share explains. So what is taken is never more than the rate, even
//! where that share was measured too high, and what is sent never more than `rate / (1 − p)`.
//!
//! **Probes come at one time.** Where several sinks share a table, a lower rate of one of them
//! changes the total by little, and none could tell the background share from the overload of the
//! others. So the slots for probes follow from the time of day: all sinks that were refused of late
//! go slower in the same slot, without a message. Clocks that differ by seconds cost some units
//! refused, no units used.
//!
//! **Shares even out**, since a cut takes a share of the rate, and growth adds the same to each
//! (known units) or the square root (unknown).
//!
//! | file | owns |
//! |---|---|
//! | `control` | the rate: when it is cut, and when a cut is upheld, deepened or undone |
//! | `level` | how far the rate grows and is cut; the known units |
//! | `background` | the background share, and the score beyond it |
//! | `cut` | the last cut, pending until a probe has judged it |
//! | `probe` | slots in which less is sent |
//! | `gaps` | requests refused whole, one after the other |
//! | `recurrence` | refusals that end, and come again at a far lower rate |
//!
//! Rejected: a tolerance that grows with the scatter of refusals (an overload scatters, and is then
//! tolerated); a check after each sink's own cut (the background share climbs with each overload);
//! shallow cuts (the deeper and rarer they are, the more of the time is spent below the capacity,
//! and what is left unused then, the table keeps).

mod background;
mod control;
mod cut;
mod gaps;
mod level;
mod probe;
mod recurrence;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::allowance::CAPACITY_PERIOD_SECONDS;
use background::Refunds;
pub(super) use background::Tally;
use control::Control;
use gaps::{Counted, Gaps};
use level::REST_SECONDS;
use probe::{MIN_SAMPLE_WRITES, Part, Probes, SLOT_SECONDS, slot_seconds};
use recurrence::{Finding, Recurrence};

/// The share of the known units below which gaps count in any case: others use the table too, and
/// their part in a gap is unknown.
const GAP_SHARE: f64 = 0.35;

/// The seconds for which a finding about refusals is believed. Then it is tested again, which costs
/// one cut. Chosen.
const FINDING_SECONDS: f64 = 30.0;

/// The work of the bucket after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reaction {
    /// Units to be held back at once.
    pub(super) hold_back: f64,
    /// Units saved by a probe, to be given back.
    pub(super) give_back: f64,
    /// The share of the refused units to be given back: they are the background's.
    pub(super) refund: f64,
    /// Nothing is taken at any rate: pause.
    pub(super) outage: bool,
}

/// Estimates the rate of one budget. See the module's documentation.
///
/// Times are in seconds since the sink was opened.
#[derive(Debug)]
pub(super) struct Estimator {
    created: f64,
    /// The time up to which growth is counted.
    at: f64,
    control: Control,
    refunds: Refunds,
    probes: Probes,
    /// None where requests refused whole are no gap.
    gaps: Option<Gaps>,
    recurrence: Recurrence,
    /// The time since which nothing was taken.
    nothing_since: Option<f64>,
}

impl Estimator {
    /// Creates an estimator. `time_of_day` is that of the moment `now`; all sinks of a table should
    /// have the same. `gaps` is set if requests refused whole may be a gap.
    pub(super) fn new(
        now: Duration,
        time_of_day: Duration,
        known: Option<f64>,
        gaps: bool,
    ) -> Self {
        let now = now.as_secs_f64();
        Self {
            created: now,
            at: now,
            control: Control::new(now, known, !gaps),
            refunds: Refunds::default(),
            probes: Probes::new(time_of_day.as_secs_f64() - now),
            gaps: gaps.then(Gaps::new),
            recurrence: Recurrence::new(now),
            nothing_since: None,
        }
    }

    /// Begins anew with these known units.
    pub(super) fn restart(&mut self, now: Duration, known: Option<f64>) {
        let time_of_day = self.probes.opened() + now.as_secs_f64();
        let time_of_day = Duration::try_from_secs_f64(time_of_day).unwrap_or(Duration::ZERO);
        *self = Self::new(now, time_of_day, known, self.gaps.is_some());
    }

    /// Returns the units a second to be taken; `None` where nothing limits them.
    pub(super) fn rate(&self) -> Option<f64> {
        Some(self.control.level.rate()).filter(|rate| rate.is_finite())
    }

    /// Returns whether a share of the writes is refused whatever is sent.
    pub(super) fn has_background(&self) -> bool {
        !self.control.background.is_none()
    }

    /// Returns the share of the usual speed that may be sent now: less in a probe.
    pub(super) fn probe_factor(&self, now: Duration) -> f64 {
        self.probes.factor(now.as_secs_f64())
    }

    /// Sets the units that are known to be there.
    pub(super) fn set_known(&mut self, known: Option<f64>) {
        let factor = self.control.level.set_known(known);
        self.control.cuts.scale(factor);
    }

    /// Advances the time. `binds` is set if writes wait for the rate: it grows only then.
    pub(super) fn advance(&mut self, now: Duration, binds: bool) {
        let now = now.as_secs_f64();
        let seconds = now - self.at;
        if seconds <= 0.0 {
            return;
        }
        self.at = now;
        let is_judging = self.probes.is_probing() || self.control.cuts.is_pending();
        if binds && (!is_judging || self.control.may_share_evenly()) {
            self.control
                .level
                .grow(seconds, self.control.cuts.upheld_for(now));
        }
        self.start_probe(now);
    }

    /// Begins a probe if one is due, and the last cut shows in the answers.
    fn start_probe(&mut self, now: f64) {
        let rate = self.control.level.rate();
        let Some(to) = self.probes.due(now, rate) else {
            return;
        };
        // Capacity may be granted by the second.
        let is_settled = !self.control.cuts.is_pending()
            || self.control.cuts.since(now) > CAPACITY_PERIOD_SECONDS;
        if rate.is_infinite() || self.recurrence.tries() || !is_settled {
            return;
        }
        let around = self.control.cuts.around();
        let refused = if around.sent >= MIN_SAMPLE_WRITES {
            around.share()
        } else {
            0.0
        };
        // Below what was taken before a cut, had that been an overload.
        let before = self
            .control
            .cuts
            .rate_before()
            .map_or(1.0, |before| before / rate);
        let taken = (1.0 - refused.max(self.control.background.share())) * before;
        self.probes.begin(now, to, taken);
    }

    /// Ignores what was sent until now: it left at another speed than the rate.
    pub(super) fn ignore_sent(&mut self, now: Duration) {
        self.probes.cancel();
        self.control.cuts.forget_sent(now.as_secs_f64());
    }

    /// Cuts the rate for a reason from outside, once in a capacity period: the answers then show
    /// what is taken after the cut.
    pub(super) fn cut(&mut self, now: Duration, delivered: f64) {
        let now = now.as_secs_f64();
        let lately = |since: f64| since < CAPACITY_PERIOD_SECONDS;
        if self.control.cuts.upheld_for(now).is_some_and(lately) {
            return;
        }
        if self.control.level.rate().is_infinite() {
            self.control.level.set(delivered);
        }
        self.control.cut_for_sure(now);
    }

    /// Takes in the answer to a request sent at `sent_at`. `delivered` is what was taken of late,
    /// in units a second.
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
        let lone = self.gaps.as_ref().map_or(0.0, Gaps::lone_share);
        reaction.refund = self.refunds.take(of, self.control.background.share(), lone);
        if of.refused > 0.0 {
            self.probes.refused(now);
        }
        if self.is_outage(now, of) {
            reaction.outage = true;
            return reaction;
        }
        match self.recurrence.answered(now, of, self.control.background) {
            Some(Finding::Try(rate)) => self.restore(now, rate),
            Some(Finding::Failed(rate)) => {
                self.control.level.set(rate.min(self.control.level.rate()));
                self.control.cut_for_sure(now);
                reaction.hold_back = REST_SECONDS * self.control.level.rate();
                return reaction;
            }
            None => {}
        }
        let Some(of) = self.without_gaps(now, of) else {
            return reaction;
        };
        match self.probes.answered(sent_at, of) {
            Part::Outside => {}
            Part::Inside => return reaction,
            Part::After(probe) => {
                self.control.judge(now, probe);
                if self.control.level.is_known() {
                    reaction.give_back = probe.saved(self.control.level.rate());
                }
            }
        }
        if self.control.cuts.add(sent_at, of)
            && !self.recurrence.tries()
            && self.react(now, delivered)
        {
            reaction.hold_back = REST_SECONDS * self.control.level.rate();
        }
        reaction
    }

    /// Cuts the rate if the answers call for it. Returns whether it did.
    fn react(&mut self, now: f64, delivered: f64) -> bool {
        let rate = self.control.level.rate();
        let cuts = self.control.react(now, delivered);
        // Refusals of an index, by their reason, come with the rate. Where units are known, burst
        // credit is spent beyond them, and its end would be taken for such refusals. Sinks that
        // start together find a rate in the first two periods.
        if cuts
            && self.gaps.is_some()
            && !self.control.level.is_known()
            && now - self.created >= 2.0 * CAPACITY_PERIOD_SECONDS
        {
            self.recurrence.cut(now, rate);
        }
        cuts
    }

    /// Returns whether nothing is taken for so long that it says nothing of the rate. A cut that
    /// this led to is undone.
    fn is_outage(&mut self, now: f64, of: Tally) -> bool {
        if !of.is_whole() {
            self.nothing_since = None;
            return false;
        }
        let since = *self.nothing_since.get_or_insert(now);
        if now - since <= CAPACITY_PERIOD_SECONDS {
            return false;
        }
        if let Some(rate) = self.control.cuts.undo(now) {
            self.control.level.restore(rate);
        }
        self.probes.cancel();
        if let Some(gaps) = &mut self.gaps {
            gaps.reset();
        }
        true
    }

    /// Returns the writes of an answer that count for the score.
    fn without_gaps(&mut self, now: f64, of: Tally) -> Option<Tally> {
        let level = self.control.level;
        let Some(gaps) = &mut self.gaps else {
            return Some(of);
        };
        if !level.has_share(GAP_SHARE) || slot_seconds(level.rate()) > SLOT_SECONDS {
            gaps.reset();
            return Some(of);
        }
        match gaps.answered(now, level.rate(), of) {
            Counted::Yes(of) => Some(of),
            Counted::InGap { of, solitary } => {
                // A slot is too short to tell a gap's share of the time.
                if self.probes.cancel() && !solitary {
                    self.control.deepen();
                    self.control.cuts.uphold(now);
                }
                // The rest of the gap that led to a cut says nothing of the rate after it.
                (!self.control.cuts.is_pending() || !solitary).then_some(of)
            }
            Counted::No => None,
            Counted::AndRestore(of, rate) => {
                self.restore(now, rate);
                Some(of)
            }
        }
    }

    /// Goes back to a rate of before.
    fn restore(&mut self, now: f64, rate: f64) {
        self.control.restore(now, rate);
        self.probes.cancel();
    }
}
