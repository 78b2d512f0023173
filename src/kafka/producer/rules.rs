//! The records that go alone before any batch was refused for them.
//!
//! A refused batch costs a new client, for which all partitions of the thread wait. So what a topic is known to refuse goes
//! by itself from the beginning, and so does, for a while, all that goes to a topic whose batches are refused again and again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::super::record::ProducerRecord;
use parking_lot::Mutex;

/// The bytes of a batch around a single record without headers, in the protocol's format 2: 61 of the batch and at least 7
/// of the record (documentation of Kafka's message format).
const BATCH_OVERHEAD: usize = 68;
/// The least bytes around a header.
const HEADER_OVERHEAD: usize = 2;
/// A refusal within this time of when batches were tried again counts as the same trouble. A new client takes some 100 ms,
/// most of it the thread's tick, so refusals that come less often cost the other partitions 5 % at most.
const QUIET_PERIOD: Duration = Duration::from_secs(2);
/// The time without batches after a second refusal; it doubles from there.
const SHORTEST_BAN: Duration = Duration::from_millis(100);
/// The longest: by then a new client costs 2 % of the time.
const LONGEST_BAN: Duration = Duration::from_secs(5);

/// The batches that a topic takes, as its settings say and as its refusals show.
#[derive(Debug, Default)]
pub(in super::super) struct TopicRules {
    limits: TopicLimits,
    /// The topic took a record that it would have refused by these limits: they have changed.
    are_old: AtomicBool,
    ban: Mutex<BatchBan>,
    /// The end of the ban, in milliseconds of the sink's clock; 0 where there is none.
    banned_until: AtomicU64,
}

/// A topic's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct TopicLimits {
    /// The most bytes of a batch.
    pub(in super::super) batch_bytes: Option<usize>,
    /// A batch's bytes are known before it is sent: they are not compressed.
    pub(in super::super) is_exact: bool,
    /// Only records with a key are taken.
    pub(in super::super) is_compacted: bool,
}

/// A time in which the records of a topic go alone.
#[derive(Debug, Default)]
struct BatchBan {
    until: Duration,
    length: Duration,
    /// The generation of clients that the last refusal ended.
    generation: Option<u64>,
}

impl TopicLimits {
    /// Returns whether the record is larger than a batch may be.
    pub(in super::super) fn are_exceeded(&self, record: &ProducerRecord) -> bool {
        let around = BATCH_OVERHEAD + HEADER_OVERHEAD * record.headers.len();
        self.is_exact
            && self
                .batch_bytes
                .is_some_and(|limit| record.size_bytes() + around > limit)
    }

    /// Returns whether the record has no key, and needs one.
    pub(in super::super) fn lack_key(&self, record: &ProducerRecord) -> bool {
        self.is_compacted && record.key.is_none()
    }
}

impl TopicRules {
    pub(in super::super) fn new(limits: TopicLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Returns whether the topic will refuse the record, by what is known of it.
    pub(super) fn refuses(&self, record: &ProducerRecord) -> bool {
        !self.are_old.load(Ordering::Relaxed)
            && (self.limits.are_exceeded(record) || self.limits.lack_key(record))
    }

    /// Notes that the topic took the record, alone in its batch.
    pub(super) fn taken(&self, record: &ProducerRecord) {
        if self.refuses(record) {
            self.are_old.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether all records go alone at present.
    pub(super) fn all_alone(&self, now: impl FnOnce() -> Duration) -> bool {
        let until = self.banned_until.load(Ordering::Relaxed);
        if until == 0 {
            return false;
        }
        let banned = millis(now()) < until;
        if !banned {
            // Another one may have begun meanwhile.
            let (order, ignored) = (Ordering::Relaxed, Ordering::Relaxed);
            let _ = self.banned_until.compare_exchange(until, 0, order, ignored);
        }
        banned
    }

    /// Notes that a batch was refused, which ended this generation of clients.
    pub(super) fn refused(&self, now: Duration, generation: u64) {
        let mut ban = self.ban.lock();
        if ban.refused(now, generation) {
            self.banned_until
                .store(millis(ban.until), Ordering::Relaxed);
        }
    }
}

impl BatchBan {
    /// Returns whether there is a ban from now on.
    fn refused(&mut self, now: Duration, generation: u64) -> bool {
        let is_first = self.generation.is_none();
        if self.generation.replace(generation) == Some(generation) {
            return false;
        }
        let quiet = now.saturating_sub(self.until);
        self.length = if !is_first && quiet < QUIET_PERIOD {
            (self.length * 2).clamp(SHORTEST_BAN, LONGEST_BAN)
        } else {
            halved(self.length, quiet.as_secs() / QUIET_PERIOD.as_secs())
        };
        self.until = now + self.length;
        !self.length.is_zero()
    }
}

/// Halves a ban so many times; one that is shorter than the shortest is none.
fn halved(length: Duration, times: u64) -> Duration {
    let parts = u32::try_from(times)
        .ok()
        .and_then(|times| 1_u32.checked_shl(times));
    let length = length / parts.unwrap_or(u32::MAX);
    if length < SHORTEST_BAN {
        Duration::ZERO
    } else {
        length
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_the_topic_refuses_are_known_before_they_are_sent() {
        let rules = |batch_bytes, is_exact, is_compacted| {
            TopicRules::new(TopicLimits {
                batch_bytes,
                is_exact,
                is_compacted,
            })
        };
        let record = ProducerRecord::new("t", vec![0; 100]);
        assert!(!TopicRules::default().refuses(&record));
        assert!(!rules(Some(168), true, false).refuses(&record));
        assert!(rules(Some(167), true, false).refuses(&record));
        assert!(
            !rules(Some(167), false, false).refuses(&record),
            "it may be compressed below it"
        );
        assert!(rules(None, true, true).refuses(&record));
        let keyed = record.clone().key("k");
        let compacted = rules(None, true, true);
        assert!(!compacted.refuses(&keyed));
        compacted.taken(&keyed);
        assert!(compacted.refuses(&record));
        compacted.taken(&record);
        assert!(!compacted.refuses(&record), "its settings have changed");
    }

    #[test]
    fn refusals_in_turn_ban_batches_for_longer_and_longer_and_one_alone_does_not() {
        let at = Duration::from_millis;
        let mut ban = BatchBan::default();
        let mut generation = 0;
        let mut refused = |millis| {
            generation += 1;
            let banned = ban.refused(at(millis), generation);
            assert!(
                !ban.refused(at(millis + 5), generation),
                "another partition's"
            );
            banned.then_some((ban.until - at(millis)).as_millis())
        };
        assert_eq!(refused(1_000), None);
        assert_eq!(refused(2_999), Some(100));
        assert_eq!(refused(3_200), Some(200));
        assert_eq!(refused(5_400), Some(100), "2 s without one");
        assert_eq!(refused(9_600), None);
        let mut now = 9_601;
        for banned in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            assert_eq!(refused(now), Some(banned));
            now += u64::try_from(banned).expect("small") + 1;
        }
        assert_eq!(refused(now + 20_000), None, "long ago");
    }

    #[test]
    fn all_go_alone_until_the_ban_is_over() {
        let rules = TopicRules::default();
        let at = Duration::from_millis;
        assert!(!rules.all_alone(|| unreachable!("no batch was refused yet")));
        rules.refused(at(10), 1);
        assert!(!rules.all_alone(|| unreachable!("once")));
        rules.refused(at(20), 2);
        assert!(rules.all_alone(|| at(119)) && !rules.all_alone(|| at(120)));
        assert!(!rules.all_alone(|| unreachable!("it is over")));
    }
}
