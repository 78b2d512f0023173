//! Requests refused whole, one after the other.
//!
//! Capacity granted by the second ends before the second does, and then everything is refused until
//! the next one. A fault of the service, or a partition that moves, may look the same. What sets
//! them apart is a lower rate: it shortens or ends a gap of the first kind, not of the second. So a
//! gap counts against the rate until one as long comes again at a lower rate. Then the rate of
//! before is back, and for a while gaps of that length count no more.

use super::FINDING_SECONDS;
use super::background::Tally;
use super::level::SMALL_CUT_FACTOR;
use super::probe::{MIN_SAMPLE_WRITES, SLOT_SECONDS};

/// The seconds without another gap before a long one, which is longer than a slot. A shorter one
/// may recur each second and still be none of the rate's.
///
/// Simulation: capacity by the second leaves gaps of a slot at 1.3 times what there is, and more is
/// hardly sent. Capacity by the second leaves one each second.
const SOLITARY_SECONDS: f64 = 1.5;

/// The share of an earlier gap's length from which on a later one is as long.
///
/// Chosen: the ends of a gap are seen by the requests that fall into it, some 25 ms apart.
const AS_LONG_SHARE: f64 = 0.7;

/// The time in which a gap must recur to be compared with the one before, in its lengths. It is at
/// least twice [`SOLITARY_SECONDS`]. Chosen: a sixth of the time refused.
const RECURRENCE_LENGTHS: f64 = 6.0;

/// The tolerated length beyond that of the longest gap that was found unrelated to the rate, in
/// seconds. Chosen: a request or two more at each end.
const TOLERATED_EXTRA_SECONDS: f64 = 0.06;

/// The number of writes over which the share of lone refused requests is averaged.
///
/// Chosen: four seconds at 1,000 a second.
const LONE_MEMORY_WRITES: f64 = 4_000.0;

/// A gap that goes on. Times are in seconds.
#[derive(Clone, Copy, Debug)]
struct OpenGap {
    from: f64,
    to: f64,
    /// The rate at its beginning.
    rate: f64,
    requests: u32,
    writes: f64,
    /// Set if no other gap was shortly before.
    solitary: bool,
    /// Its refusals that do not count so far.
    held_back: Tally,
}

/// A gap that is over.
#[derive(Clone, Copy, Debug)]
struct PastGap {
    ended: f64,
    length: f64,
    rate: f64,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Gaps {
    open: Option<OpenGap>,
    /// The one that the next is compared with.
    reference: Option<PastGap>,
    ended: f64,
    tolerated_length: f64,
    tolerated_until: f64,
    /// Set if only gaps are tolerated that do not come each second.
    tolerates_solitary_only: bool,
    /// Writes of late, and how many of them were refused in a request that was refused alone.
    lone: Tally,
}

/// The consequence of an answer.
pub(super) enum Counted {
    /// These writes count.
    Yes(Tally),
    /// They count, and are part of a gap. `solitary` says that no other was shortly before.
    InGap {
        /// The writes.
        of: Tally,
        solitary: bool,
    },
    /// They do not, or not yet.
    No,
    /// They do, and the cut that a gap led to was of no use: this was the rate before it.
    AndRestore(Tally, f64),
}

impl Gaps {
    pub(super) fn new() -> Self {
        Self {
            open: None,
            reference: None,
            ended: f64::NEG_INFINITY,
            tolerated_length: 0.0,
            tolerated_until: f64::NEG_INFINITY,
            tolerates_solitary_only: false,
            lone: Tally::default(),
        }
    }

    /// Returns the share of writes refused in requests that were refused alone.
    pub(super) fn lone_share(&self) -> f64 {
        self.lone.share()
    }

    /// Forgets a gap that goes on, and requests that were refused alone.
    pub(super) fn reset(&mut self) {
        self.open = None;
        self.lone = Tally::default();
    }

    /// Takes in an answer, at this rate.
    pub(super) fn answered(&mut self, now: f64, rate: f64, of: Tally) -> Counted {
        let keep = 1.0 - of.sent / (of.sent + LONE_MEMORY_WRITES);
        self.lone.sent = self.lone.sent * keep + of.sent;
        self.lone.refused *= keep;
        if !of.is_whole() {
            return self.close(now, rate, of);
        }
        let ended = self.ended;
        let gap = self.open.get_or_insert(OpenGap {
            from: now,
            to: now,
            rate,
            requests: 0,
            writes: 0.0,
            solitary: now - ended >= SOLITARY_SECONDS,
            held_back: Tally::default(),
        });
        gap.to = now;
        gap.requests += 1;
        gap.writes += of.sent;
        gap.held_back.add(of);
        let tolerated = now < self.tolerated_until
            && now - gap.from <= self.tolerated_length
            && (gap.solitary || !self.tolerates_solitary_only);
        // A large request refused alone is no gap. Whether it is alone, the next answer shows.
        let may_be_alone = gap.requests == 1 && of.sent >= MIN_SAMPLE_WRITES;
        if may_be_alone || tolerated {
            return Counted::No;
        }
        let of = std::mem::take(&mut gap.held_back);
        if gap.writes < MIN_SAMPLE_WRITES {
            return Counted::Yes(of);
        }
        Counted::InGap {
            of,
            solitary: gap.solitary,
        }
    }

    fn close(&mut self, now: f64, rate: f64, of: Tally) -> Counted {
        let Some(gap) = self.open.take() else {
            return Counted::Yes(of);
        };
        if gap.requests == 1 {
            self.lone.refused += gap.held_back.refused;
            return Counted::Yes(of);
        }
        if gap.writes < MIN_SAMPLE_WRITES {
            return Counted::Yes(of);
        }
        self.ended = gap.to;
        let length = gap.to - gap.from;
        if now < self.tolerated_until && length <= self.tolerated_length {
            return Counted::Yes(of);
        }
        if length > SLOT_SECONDS && !gap.solitary {
            self.reference = None;
            return Counted::Yes(of);
        }
        if let Some(past) = self.reference
            && now - past.ended < (2.0 * SOLITARY_SECONDS).max(RECURRENCE_LENGTHS * past.length)
            && length > AS_LONG_SHARE * past.length
            && gap.rate < SMALL_CUT_FACTOR * past.rate
        {
            self.tolerated_length = length.max(past.length) + TOLERATED_EXTRA_SECONDS;
            self.tolerated_until = now + FINDING_SECONDS;
            self.tolerates_solitary_only = length > SLOT_SECONDS;
            self.reference = None;
            return Counted::AndRestore(of, past.rate.max(rate));
        }
        self.reference = Some(PastGap {
            ended: now,
            length,
            rate: gap.rate,
        });
        Counted::Yes(of)
    }
}
