//! The last cut of the rate, and the answers since then.
//!
//! A cut stays **pending** until a probe has judged it. Then it is upheld, or undone.

use super::background::{Background, LARGE_SAMPLE_WRITES, MAX_SHARE, Tally};
use super::probe::SLOT_SECONDS;

/// The largest ratio of the share refused after a cut to the share before it at which the cut has
/// ended the refusals. Simulation, as the one below.
const QUIET_RATIO: f64 = 0.25;

/// The largest background share at which a cut of known units is judged without a probe.
const MAX_QUIET_SHARE: f64 = 0.02;

/// The answers to requests sent since a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: f64,
    pub(super) seen: Tally,
}

impl Window {
    pub(super) fn new(from: f64) -> Self {
        Self {
            from,
            seen: Tally::default(),
        }
    }
}

/// A cut that no probe has judged yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// The rate before the cut.
    rate: f64,
    /// The answers that led to the cut.
    cause: Tally,
    /// Set if the cut was deepened before it was judged.
    deepened: bool,
}

/// See the module's documentation. Times are in seconds.
#[derive(Debug)]
pub(super) struct Cuts {
    /// The answers since the last cut, or since the score was zero.
    window: Window,
    pending: Option<Pending>,
    /// The time when the last cut was upheld; none before the first of an unknown rate.
    upheld_at: Option<f64>,
}

impl Cuts {
    /// Creates the state before the first cut.
    pub(super) fn new(now: f64, is_known: bool) -> Self {
        Self {
            window: Window::new(now),
            pending: None,
            upheld_at: is_known.then_some(now),
        }
    }

    /// Returns whether a cut is pending.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Returns the rate before the pending cut.
    pub(super) fn rate_before(&self) -> Option<f64> {
        self.pending.map(|cut| cut.rate)
    }

    /// Returns the seconds since the last cut was upheld.
    pub(super) fn upheld_for(&self, now: f64) -> Option<f64> {
        self.upheld_at.map(|at| now - at)
    }

    /// Returns the answers since the last cut, or since the score was zero.
    pub(super) fn seen(&self) -> Tally {
        self.window.seen
    }

    /// Returns the seconds since the last cut.
    pub(super) fn since(&self, now: f64) -> f64 {
        now - self.window.from
    }

    /// Returns the answers that led to the pending cut and those after it.
    pub(super) fn around(&self) -> Tally {
        let mut around = self.pending.map(|cut| cut.cause).unwrap_or_default();
        around.add(self.window.seen);
        around
    }

    /// Adds an answer. Returns whether its request was sent after the last cut.
    pub(super) fn add(&mut self, sent_at: f64, of: Tally) -> bool {
        let counts = sent_at >= self.window.from;
        if counts {
            self.window.seen.add(of);
        }
        counts
    }

    /// Forgets the answers so far. Those to requests that are in flight still count.
    pub(super) fn forget_seen(&mut self) {
        self.window.seen = Tally::default();
    }

    /// Forgets the answers to all requests sent until now.
    pub(super) fn forget_sent(&mut self, now: f64) {
        self.window = Window::new(now);
    }

    /// Begins a pending cut of this rate.
    pub(super) fn begin(&mut self, now: f64, rate: f64) {
        self.pending = Some(Pending {
            rate,
            cause: self.window.seen,
            deepened: false,
        });
        self.forget_sent(now);
    }

    /// Upholds the pending cut, if there is one.
    pub(super) fn uphold(&mut self, now: f64) {
        if self.pending.is_some() {
            self.force(now);
        }
    }

    /// Upholds a cut that no probe judges.
    pub(super) fn force(&mut self, now: f64) {
        self.undo(now);
        self.upheld_at = Some(now);
    }

    /// Ends the pending cut without a judgment. Returns the rate before it.
    pub(super) fn undo(&mut self, now: f64) -> Option<f64> {
        self.forget_sent(now);
        self.pending.take().map(|cut| cut.rate)
    }

    /// Multiplies the rate before the pending cut; without a factor the cut is forgotten.
    pub(super) fn scale(&mut self, factor: Option<f64>) {
        self.pending = self.pending.zip(factor).map(|(cut, factor)| Pending {
            rate: cut.rate * factor,
            ..cut
        });
    }

    /// Returns whether the background explains the refusals that led to the pending cut.
    pub(super) fn is_explained_by(&self, background: Background) -> bool {
        self.pending
            .is_some_and(|cut| background.score(cut.cause) <= background.threshold() / 2.0)
    }

    /// Returns whether the pending cut has surely ended the refusals.
    pub(super) fn has_helped(&self, now: f64, background: Background) -> bool {
        self.pending.is_some_and(|cut| {
            background.share() <= MAX_QUIET_SHARE
                && self.since(now) > SLOT_SECONDS
                && self.window.seen.share() <= QUIET_RATIO * cut.cause.share()
        })
    }

    /// Returns whether so much is refused after the pending cut that there is no time to wait for a
    /// probe. That is so once for each cut.
    pub(super) fn take_far_too_fast(
        &mut self,
        now: f64,
        background: Background,
        is_known: bool,
    ) -> bool {
        let far = if is_known && background.share() <= MAX_QUIET_SHARE {
            // Sinks that begin together at all known units then find their shares in seconds.
            MAX_SHARE / 2.0
        } else {
            MAX_SHARE
        };
        let after = self.window.seen;
        let is_far = self.since(now) >= SLOT_SECONDS
            && after.sent >= LARGE_SAMPLE_WRITES
            && !after.is_whole()
            && after.share() > far;
        match &mut self.pending {
            Some(cut) if is_far => !std::mem::replace(&mut cut.deepened, true),
            _ => false,
        }
    }
}
