//! The rate that a budget can keep up, estimated from what is taken of what is sent.
//!
//! A table takes `min(C, (1 − p) × sent)` units a second: its capacity `C` is unknown or shared with
//! others, and a **background share** `p` of the writes may be refused whatever is sent. Refusals
//! come as fast as successes, so the time that answers take shows nothing. A fixed cut for each
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
//! | more than the background explains | cut by 15 to 40 %, or down to what is taken |
//! | as many after a cut as before it | they are the background. The cut is undone |
//! | all of a request, alone | none. Others of that kind are made up for |
//! | all for a while, and as long again at a lower rate | the cut is undone (see `gaps`) |
//! | they end, and begin again at a far lower rate | the rate of before is tried (see `recurrence`) |
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
//! | file | owns |
//! |---|---|
//! | `level` | the rate: growth, cuts, known units |
//! | `background` | the background share, and the score beyond it |
//! | `cut` | a cut that no probe has judged yet |
//! | `probe` | slots in which less is sent |
//! | `gaps` | requests refused whole, one after the other |
//! | `recurrence` | refusals that end, and come again at a far lower rate |
//!
//! Rejected: a tolerance that grows with the scatter of refusals (an overload scatters, and is then
//! tolerated); a check after each sink's own cut (the background share climbs with each overload);
//! shallow cuts (the deeper and rarer they are, the more of the time is spent below the capacity,
//! and what is left unused then, the table keeps).

mod background;
mod cut;
mod gaps;
mod level;
mod probe;
mod recurrence;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(super) use background::Tally;
use background::{Background, MAX_SHARE, Refunds};
use cut::{LARGE_SAMPLE_WRITES, PendingCut};
use gaps::{Counted, Gaps};
use level::Level;
pub(super) use level::rest_of_burst;
use probe::{MIN_SAMPLE_WRITES, OF_TAKEN, Probe, SLOT_SECONDS, Slots, slot_seconds};
use recurrence::{Finding, Recurrence};

/// The rate after the first refusals within a second of the start, in units a second.
///
/// The documented limit of one partition. What was taken until then would be noise.
const START_UNITS_PER_SECOND: f64 = 1000.0;

/// The time of observation from which on a rate is taken from what was delivered, in seconds.
const START_SECONDS: f64 = 1.0;

/// The seconds after which refusals that come again are compared. Sinks that start together have found
/// a rate by then.
const SHARED_START_SECONDS: f64 = 2.0;

/// The share of the known units below which gaps count in any case: others use the table too, and
/// their part in a gap is unknown.
const GAP_SHARE: f64 = 0.35;

/// The share of the known units from which on gaps are compared. Simulation: of several sinks, one
/// could otherwise take the gaps that all cause for unrelated.
const COMPARED_SHARE: f64 = 0.6;

/// The seconds between a cut and the probe that judges it. Capacity may be granted by the second.
const SETTLE_SECONDS: f64 = 1.0;

/// The time after a refusal in which probes are sent: in seconds, and in slots.
const PROBE_AFTER_SECONDS: f64 = 5.0;
const PROBE_AFTER_SLOTS: f64 = 8.0;

/// The excess, after a cut, from which on the cut is deepened by it.
const DEEPEN_FROM_EXCESS: f64 = 0.25;

/// The seconds without a write taken that make an outage. Nothing is taken, at any rate.
const OUTAGE_SECONDS: f64 = 1.0;

/// The seconds between two cuts for a reason from outside. Chosen: a second has shown what is taken
/// after the first.
const YIELD_SECONDS: f64 = 1.0;

/// The answers to requests sent since a time.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: f64,
    seen: Tally,
}

impl Window {
    fn new(from: f64) -> Self {
        Self {
            from,
            seen: Tally::default(),
        }
    }
}

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
    level: Level,
    background: Background,
    refunds: Refunds,
    /// None where requests refused whole are no gap.
    gaps: Option<Gaps>,
    recurrence: Recurrence,
    slots: Slots,
    probe: Option<Probe>,
    /// Since the score was zero, or since the last cut.
    window: Window,
    pending: Option<PendingCut>,
    /// The time when the last cut was judged right; none while the first is still to come.
    cut_at: Option<f64>,
    /// The time of the last cut for a reason from outside.
    yielded_at: Option<f64>,
    refused_at: Option<f64>,
    /// The time since which nothing was taken.
    nothing_since: Option<f64>,
    /// The time up to which growth is counted.
    at: f64,
}

impl Estimator {
    /// Creates an estimator. `time_of_day` is that of the moment `now`; all sinks of a table should
    /// have the same. `gaps` says whether requests refused whole may be a gap.
    pub(super) fn new(
        now: Duration,
        time_of_day: Duration,
        known: Option<f64>,
        gaps: bool,
    ) -> Self {
        let now = now.as_secs_f64();
        Self {
            created: now,
            level: Level::new(known),
            background: Background::new(),
            refunds: Refunds::default(),
            gaps: gaps.then(Gaps::new),
            recurrence: Recurrence::new(now),
            slots: Slots::new(time_of_day.as_secs_f64() - now),
            probe: None,
            window: Window::new(now),
            pending: None,
            cut_at: known.map(|_| now),
            yielded_at: None,
            refused_at: None,
            nothing_since: None,
            at: now,
        }
    }

    /// Begins anew with these known units.
    pub(super) fn restart(&mut self, now: Duration, known: Option<f64>) {
        let time_of_day = self.slots.time_of_day(now.as_secs_f64());
        let time_of_day = Duration::try_from_secs_f64(time_of_day).unwrap_or(Duration::ZERO);
        *self = Self::new(now, time_of_day, known, self.gaps.is_some());
    }

    /// Returns the units a second to be taken; `None` where nothing limits them.
    pub(super) fn rate(&self) -> Option<f64> {
        Some(self.level.rate()).filter(|rate| rate.is_finite())
    }

    /// Returns whether a share of the writes is refused whatever is sent.
    pub(super) fn has_background(&self) -> bool {
        self.background.share() > 0.0
    }

    /// Returns the share of the usual speed that may be sent now: less in a probe.
    pub(super) fn probe_factor(&self, now: Duration) -> f64 {
        match self.probe {
            Some(probe) if now.as_secs_f64() < probe.to => probe.factor,
            _ => 1.0,
        }
    }

    /// Sets the units that are known to be there.
    pub(super) fn set_known(&mut self, known: Option<f64>) {
        let factor = self.level.set_known(known);
        self.pending = self
            .pending
            .zip(factor)
            .map(|(cut, factor)| cut.scaled(factor));
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
        if binds && (!judging || self.shares_quietly()) {
            self.level
                .grow(seconds, self.cut_at.map(|cut_at| now - cut_at));
        }
        self.start_probe(now);
    }

    /// Begins a probe if a slot for one begins, and refusals of late make it worthwhile.
    fn start_probe(&mut self, now: f64) {
        let rate = self.level.rate();
        let length = slot_seconds(rate);
        let Some(to) = self.slots.begin(now, length) else {
            return;
        };
        let settled = self.pending.is_none() || now - self.window.from > SETTLE_SECONDS;
        let lately = PROBE_AFTER_SECONDS.max(PROBE_AFTER_SLOTS * length);
        let refused = self.refused_at.is_some_and(|at| now - at < lately);
        if rate.is_infinite()
            || self.probe.is_some()
            || self.recurrence.tries()
            || !settled
            || !refused
        {
            return;
        }
        let around = self.around_cut();
        let refused = if around.sent >= MIN_SAMPLE_WRITES {
            around.share()
        } else {
            0.0
        };
        // Below what was taken before a cut, had that been an overload.
        let before = self.pending.map_or(1.0, |cut| cut.rate() / rate);
        let taken = (1.0 - refused.max(self.background.share())) * before;
        self.probe = Some(Probe::new(now, to, taken));
    }

    /// Returns the answers that led to the pending cut and those after it.
    fn around_cut(&self) -> Tally {
        let after = self.window.seen;
        self.pending.map_or(after, |cut| cut.around(after))
    }

    /// Ignores what was sent until now: it left at another speed than the rate.
    pub(super) fn ignore_sent(&mut self, now: Duration) {
        self.probe = None;
        self.window = Window::new(now.as_secs_f64());
    }

    /// Cuts the rate for a reason from outside, once within [`YIELD_SECONDS`].
    pub(super) fn cut(&mut self, now: Duration, delivered: f64) {
        let now = now.as_secs_f64();
        if self.yielded_at.is_some_and(|at| now - at < YIELD_SECONDS) {
            return;
        }
        self.yielded_at = Some(now);
        if self.level.rate().is_infinite() {
            self.level.set(delivered);
        }
        self.cut_for_sure(now);
    }

    /// Cuts the rate by as much as a cut ever does, which no probe judges.
    fn cut_for_sure(&mut self, now: f64) {
        self.level.cut(1.0);
        self.cut_at = Some(now);
        self.pending = None;
        self.window = Window::new(now);
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
        let lone = self.gaps.as_ref().map_or(0.0, Gaps::lone_share);
        reaction.refund = self.refunds.take(of, self.background.share(), lone);
        if of.refused > 0.0 {
            self.refused_at = Some(now);
        }
        if self.is_outage(now, of) {
            reaction.outage = true;
            return reaction;
        }
        match self.recurrence.answered(now, of, self.background) {
            Some(Finding::Try(rate)) => self.restore(now, rate),
            Some(Finding::Failed(rate)) => {
                let rate = rate.min(self.level.rate());
                self.level.set(rate);
                self.cut_for_sure(now);
                reaction.hold_back = self.level.rest();
                return reaction;
            }
            None => {}
        }
        let Some(of) = self.without_gaps(now, of) else {
            return reaction;
        };
        if let Some(probe) = &mut self.probe {
            if sent_at >= probe.to {
                let probe = *probe;
                self.judge(now, probe);
                if self.level.is_known() {
                    reaction.give_back = probe.saved(self.level.rate());
                }
            } else if sent_at >= probe.from {
                probe.seen.add(of);
                return reaction;
            }
        }
        if sent_at < self.window.from {
            return reaction;
        }
        self.window.seen.add(of);
        if self.recurrence.tries() {
            return reaction;
        }
        let rate = self.level.rate();
        let cuts = if self.pending.is_some() {
            self.watch_cut(now, delivered)
        } else {
            self.score(now, delivered)
        };
        if cuts {
            reaction.hold_back = self.level.rest();
            // Refusals of an index, by their reason, come with the rate. Where units are known, burst
            // credit is spent beyond them, and its end would be taken for such refusals.
            if self.gaps.is_some()
                && !self.level.is_known()
                && now - self.created >= SHARED_START_SECONDS
            {
                self.recurrence.cut(now, rate);
            }
        }
        reaction
    }

    /// Returns whether nothing is taken for so long that it says nothing of the rate. A cut that this led
    /// to is undone.
    fn is_outage(&mut self, now: f64, of: Tally) -> bool {
        if !of.is_whole() {
            self.nothing_since = None;
            return false;
        }
        let since = *self.nothing_since.get_or_insert(now);
        if now - since <= OUTAGE_SECONDS {
            return false;
        }
        if let Some(cut) = self.pending.take() {
            self.level.restore(cut.rate());
        }
        self.probe = None;
        if let Some(gaps) = &mut self.gaps {
            gaps.reset();
        }
        self.window = Window::new(now);
        true
    }

    /// Returns the writes of an answer that count for the score.
    fn without_gaps(&mut self, now: f64, of: Tally) -> Option<Tally> {
        let level = self.level;
        let Some(gaps) = &mut self.gaps else {
            return Some(of);
        };
        if !level.has_share(GAP_SHARE) || slot_seconds(level.rate()) > SLOT_SECONDS {
            gaps.reset();
            return Some(of);
        }
        let least_rate = level.share_of_known(COMPARED_SHARE);
        match gaps.answered(now, level.rate(), least_rate, of) {
            Counted::Yes(of) => Some(of),
            Counted::InGap { of, solitary } => {
                // A slot is too short to tell a gap's share of the time.
                if self.probe.take().is_some() && !solitary {
                    self.deepen();
                    self.uphold(now);
                }
                // The rest of the gap that led to a cut says nothing of the rate after it.
                (self.pending.is_none() || !solitary).then_some(of)
            }
            Counted::No => None,
            Counted::AndRestore(of, rate) => {
                self.restore(now, rate);
                Some(of)
            }
        }
    }

    /// Goes back to a rate of before. What was seen since says nothing of it.
    fn restore(&mut self, now: f64, rate: f64) {
        self.level.restore(rate.max(self.level.rate()));
        self.pending = None;
        self.probe = None;
        self.window = Window::new(now);
    }

    /// Scores what was seen. Returns whether that led to a cut.
    fn score(&mut self, now: f64, delivered: f64) -> bool {
        let cause = self.window.seen;
        let score = self.background.score(cause);
        if score <= 0.0 {
            self.window.seen = Tally::default();
            return false;
        }
        if score < self.threshold() {
            return false;
        }
        self.window = Window::new(now);
        let rate = self.level.rate();
        if rate.is_infinite() {
            // A rate to begin with, and no cut yet.
            self.level.set(if now - self.created < START_SECONDS {
                START_UNITS_PER_SECOND
            } else {
                delivered
            });
            return true;
        }
        self.pending = Some(PendingCut::new(rate, cause));
        let background = self.background.share();
        self.level
            .cut((cause.share() - background) / (1.0 - background));
        true
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

    /// Returns whether the sink knows the table, has no more than an equal would have, and has met no
    /// background of refusals.
    ///
    /// Then each refusal is one sink too many at the same time, and all that see it should cut, which
    /// evens their shares out.
    fn shares_quietly(&self) -> bool {
        !self.has_background() && self.level.may_be_even(self.level.rate())
    }

    /// Watches the pending cut before a probe judges it. Returns whether the rate fell further.
    fn watch_cut(&mut self, now: f64, delivered: f64) -> bool {
        let Window { from, seen } = self.window;
        let Some(cut) = &mut self.pending else {
            return false;
        };
        // Sinks that know the table may then cut again, the larger ones more often, which evens
        // their shares out.
        if self.level.may_be_even(cut.rate()) && cut.has_helped(self.background, now - from, seen) {
            self.uphold(now);
            return false;
        }
        let is_known = self.level.is_known();
        if !cut.take_far_too_fast(self.background, is_known, now - from, seen) {
            return false;
        }
        let rate = self.level.rate();
        let taken = delivered.max((1.0 - seen.share()) * rate);
        self.level.set(rate.min(OF_TAKEN * taken));
        if seen.share() > MAX_SHARE {
            self.uphold(now);
        }
        true
    }

    /// Ends a probe. It shows the background share, and with it whether the pending cut was right.
    fn judge(&mut self, now: f64, probe: Probe) {
        self.probe = None;
        if probe.seen.is_whole() {
            return;
        }
        let mut clean = probe.seen;
        if self.pending.is_some()
            && clean.sent >= LARGE_SAMPLE_WRITES
            && self.background.agree(clean, self.window.seen)
        {
            // The answers after the cut say the same, more exactly.
            clean.add(self.window.seen);
        }
        let around = self.pending.map(|_| self.around_cut());
        self.background.learn(clean, probe.seen.sent, around);
        if let Some(cut) = self.pending
            && !self.shares_quietly()
            && cut.is_explained_by(self.background)
        {
            self.restore(now, cut.rate());
        } else {
            self.deepen();
            self.uphold(now);
        }
    }

    /// Deepens the pending cut, if there is one, where as much is refused after it.
    fn deepen(&mut self) {
        let excess = self.background.certain_excess(self.window.seen);
        if self.pending.is_some() && excess > DEEPEN_FROM_EXCESS {
            self.level
                .set(self.level.rate() * (1.0 - excess) * OF_TAKEN);
        }
    }

    /// Keeps the pending cut, if there is one.
    fn uphold(&mut self, now: f64) {
        if self.pending.take().is_some() {
            self.cut_at = Some(now);
            self.window = Window::new(now);
        }
    }
}
