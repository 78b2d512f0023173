//! Slots in which less is sent, the same for all sinks.

use super::background::Tally;

/// The length of a slot, in seconds. It doubles until a slot has [`MIN_SAMPLE_WRITES`], up to a
/// limit.
pub(super) const SLOT_SECONDS: f64 = 0.25;
const MAX_SLOT_SECONDS: f64 = 8.0;

/// One slot in so many is a probe.
const SLOTS_PER_PROBE: u64 = 4;

/// The least number of writes that a share says anything of.
pub(super) const MIN_SAMPLE_WRITES: f64 = 10.0;

/// The most that a probe sends: of the rate, and of what was taken of late.
///
/// Simulation: lower than the usual overshoot, so that a probe is below the capacity.
const MAX_FACTOR: f64 = 0.85;
pub(super) const OF_TAKEN: f64 = 0.9;

/// The least that it sends of the rate. Chosen: a few requests tell something at any rate.
pub(super) const MIN_FACTOR: f64 = 0.02;

/// A slot in which less is sent. Times are in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) from: f64,
    pub(super) to: f64,
    /// The share of the usual speed.
    pub(super) factor: f64,
    pub(super) seen: Tally,
}

impl Probe {
    /// Creates a probe for a rate of which this share is taken, for lack of capacity or by the
    /// background.
    pub(super) fn new(from: f64, to: f64, taken: f64) -> Self {
        Self {
            from,
            to,
            factor: (OF_TAKEN * taken).clamp(MIN_FACTOR, MAX_FACTOR),
            seen: Tally::default(),
        }
    }

    /// Returns the units that it leaves unsent of this rate.
    pub(super) fn saved(self, rate: f64) -> f64 {
        rate * (1.0 - self.factor) * (self.to - self.from)
    }
}

/// Returns the length of a slot at this rate, in seconds.
pub(super) fn slot_seconds(rate: f64) -> f64 {
    let mut length = SLOT_SECONDS;
    while rate * length < MIN_SAMPLE_WRITES && length < MAX_SLOT_SECONDS {
        length *= 2.0;
    }
    length
}

/// The slots of the day.
#[derive(Debug)]
pub(super) struct Slots {
    /// The time of day at which the sink's time is zero, in seconds.
    opened: f64,
    /// The number of the present slot.
    slot: u64,
}

impl Slots {
    pub(super) fn new(opened: f64) -> Self {
        Self { opened, slot: 0 }
    }

    /// Returns the time of day, in seconds.
    pub(super) fn time_of_day(&self, now: f64) -> f64 {
        self.opened + now
    }

    /// Returns the end of the present slot if it has just begun and is one for a probe.
    ///
    /// One in four is, drawn by a hash of the time of day, so that it falls into step with nothing and
    /// is the same for all sinks.
    pub(super) fn begin(&mut self, now: f64, length: f64) -> Option<f64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; the time of day is not negative"
        )]
        let slot = (self.time_of_day(now) / length) as u64;
        if slot == std::mem::replace(&mut self.slot, slot) {
            return None;
        }
        let drawn = spread(slot / SLOTS_PER_PROBE) % SLOTS_PER_PROBE;
        #[expect(clippy::cast_precision_loss, reason = "a number of slots since 1970")]
        let end = (slot + 1) as f64 * length - self.opened;
        (drawn == slot % SLOTS_PER_PROBE).then_some(end)
    }
}

/// Spreads a number over all others (the finalizer of `SplitMix64`).
fn spread(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
