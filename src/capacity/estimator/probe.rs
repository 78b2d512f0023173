//! Slots in which less is sent, the same for all sinks.

use super::background::Tally;

/// The share of a rate that is surely below the capacity: it is left after a cut to a sink that is
/// nearly alone, and is the most that a probe sends.
///
/// Simulation: lower than the usual overshoot.
pub(super) const BELOW_CAPACITY_FACTOR: f64 = 0.85;

/// The length of a slot, in seconds. It doubles until a slot has [`MIN_SAMPLE_WRITES`].
///
/// Chosen: at 1,000 units a second and a background share of 30 %, a probe shows the share with a
/// standard error of three points. Short beside the time from one cut to the next.
pub(super) const SLOT_SECONDS: f64 = 0.25;

/// One slot in so many is a probe. Simulation: rare enough to cost little, and a cut is judged
/// within seconds.
const SLOTS_PER_PROBE: u64 = 4;

/// The slots after a refusal in which probes are sent. Chosen: five probes without a refusal.
const PROBED_SLOTS: f64 = 20.0;

/// The least number of writes whose refused share says something.
///
/// Chosen: of ten independent writes all are refused at a share of 50 % in one request of a
/// thousand.
pub(super) const MIN_SAMPLE_WRITES: f64 = 10.0;

/// The most that is sent of what was taken of late, as a share, to be surely below the capacity.
///
/// Simulation.
pub(super) const OF_TAKEN: f64 = 0.9;

/// The least share of the rate that a probe sends. Chosen: a few requests tell something at any
/// rate.
pub(super) const MIN_FACTOR: f64 = 0.02;

/// A slot in which less is sent. Times are in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    from: f64,
    to: f64,
    /// The share of the usual speed.
    factor: f64,
    pub(super) seen: Tally,
}

impl Probe {
    /// Returns the units that it leaves unsent of this rate.
    pub(super) fn saved(self, rate: f64) -> f64 {
        rate * (1.0 - self.factor) * (self.to - self.from)
    }
}

/// Returns the length of a slot at this rate, in seconds.
pub(super) fn slot_seconds(rate: f64) -> f64 {
    let mut length = SLOT_SECONDS;
    while rate * length < MIN_SAMPLE_WRITES {
        length *= 2.0;
    }
    length
}

/// The part that an answer has in a probe.
pub(super) enum Part {
    /// None.
    Outside,
    /// It was counted in the probe.
    Inside,
    /// It is the first after the probe, which is over.
    After(Probe),
}

/// The slots of the day, and the probe that goes on.
#[derive(Debug)]
pub(super) struct Probes {
    /// The time of day at which the sink's time is zero, in seconds.
    opened: f64,
    /// The number of the present slot.
    slot: u64,
    current: Option<Probe>,
    refused_at: Option<f64>,
}

impl Probes {
    pub(super) fn new(opened: f64) -> Self {
        Self {
            opened,
            slot: 0,
            current: None,
            refused_at: None,
        }
    }

    /// Returns the time of day at which the sink's time is zero, in seconds.
    pub(super) fn opened(&self) -> f64 {
        self.opened
    }

    /// Returns whether a probe goes on.
    pub(super) fn is_probing(&self) -> bool {
        self.current.is_some()
    }

    /// Returns the share of the usual speed that may be sent now.
    pub(super) fn factor(&self, now: f64) -> f64 {
        let current = self.current.filter(|probe| now < probe.to);
        current.map_or(1.0, |probe| probe.factor)
    }

    /// Notes a refusal: for a while, probes are worthwhile.
    pub(super) fn refused(&mut self, now: f64) {
        self.refused_at = Some(now);
    }

    /// Ends the probe that goes on, without a result. Returns whether there was one.
    pub(super) fn cancel(&mut self) -> bool {
        self.current.take().is_some()
    }

    /// Returns the end of the present slot if a probe is due: the slot has just begun, is one for a
    /// probe, and refusals of late make a probe worthwhile.
    ///
    /// One in four is, drawn by a hash of the time of day, so that it falls into step with nothing
    /// and is the same for all sinks.
    pub(super) fn due(&mut self, now: f64, rate: f64) -> Option<f64> {
        let length = slot_seconds(rate);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; the time of day is not negative"
        )]
        let slot = ((self.opened + now) / length) as u64;
        if slot == std::mem::replace(&mut self.slot, slot) || self.is_probing() {
            return None;
        }
        let drawn = spread(slot / SLOTS_PER_PROBE) % SLOTS_PER_PROBE;
        #[expect(clippy::cast_precision_loss, reason = "a number of slots since 1970")]
        let end = (slot + 1) as f64 * length - self.opened;
        let worthwhile = self
            .refused_at
            .is_some_and(|at| now - at < PROBED_SLOTS * length);
        (worthwhile && drawn == slot % SLOTS_PER_PROBE).then_some(end)
    }

    /// Begins a probe of a rate of which this share is taken, for lack of capacity or by the
    /// background.
    pub(super) fn begin(&mut self, from: f64, to: f64, taken: f64) {
        self.current = Some(Probe {
            from,
            to,
            factor: (OF_TAKEN * taken).clamp(MIN_FACTOR, BELOW_CAPACITY_FACTOR),
            seen: Tally::default(),
        });
    }

    /// Takes in the answer to a request sent at `sent_at`.
    pub(super) fn answered(&mut self, sent_at: f64, of: Tally) -> Part {
        match &mut self.current {
            Some(probe) if sent_at >= probe.to => {
                let probe = *probe;
                self.current = None;
                Part::After(probe)
            }
            Some(probe) if sent_at >= probe.from => {
                probe.seen.add(of);
                Part::Inside
            }
            _ => Part::Outside,
        }
    }
}

/// Spreads a number over all others (the finalizer of `SplitMix64`).
fn spread(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
