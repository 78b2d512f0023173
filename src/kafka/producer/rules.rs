//! The records that go alone before any batch was refused for them.
//!
//! A refused batch costs a new client, for which all partitions of the thread wait. So what a topic is known to refuse goes
//! by itself from the beginning, and so does, for a while, all that goes to a topic whose batches are refused again and again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::super::record::ProducerRecord;

/// The bytes of a batch around its records, in the protocol's format 2 (`RecordBatch`).
const BATCH_OVERHEAD: usize = 61;
/// A refusal within this time of when batches were tried again counts as the same trouble. A new client takes some 50 ms
/// (measured), so refusals that come less often cost the other partitions little.
const QUIET: Duration = Duration::from_secs(2);
/// The time for which records go alone at a second refusal; it doubles from there.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);

/// The batches that a topic takes, as its settings say and as its refusals show.
#[derive(Debug, Default)]
pub(in super::super) struct TopicRules {
    limits: TopicLimits,
    spell: Mutex<Spell>,
    /// Until when all records go alone, in milliseconds of the sink's clock; 0 at first.
    alone_until: AtomicU64,
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

/// A time for which the records of a topic go alone.
#[derive(Debug, Default)]
struct Spell {
    until: Option<Duration>,
    length: Duration,
}

impl TopicRules {
    pub(in super::super) fn new(limits: TopicLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Returns whether the topic will refuse the record, unless its settings have changed.
    pub(super) fn refuses(&self, record: &ProducerRecord) -> bool {
        let limits = self.limits;
        let too_large = limits.is_exact
            && limits
                .batch_bytes
                .is_some_and(|limit| record.size_bytes() + BATCH_OVERHEAD > limit);
        too_large || (limits.is_compacted && record.key.is_none())
    }

    /// Returns whether all records go alone at present.
    pub(super) fn all_alone(&self, now: impl FnOnce() -> Duration) -> bool {
        let until = self.alone_until.load(Ordering::Relaxed);
        until > 0 && millis(now()) < until
    }

    /// Notes that a batch was refused.
    pub(super) fn refused(&self, now: Duration) {
        let mut spell = self.spell.lock().unwrap_or_else(PoisonError::into_inner);
        let until = spell.refused(now);
        self.alone_until.store(millis(until), Ordering::Relaxed);
    }
}

impl Spell {
    /// Returns until when the records go alone.
    fn refused(&mut self, now: Duration) -> Duration {
        let Some(until) = self.until else {
            return *self.until.insert(now);
        };
        // Of the same refusal, on another partition.
        if now <= until {
            return until;
        }
        self.length = if now - until < QUIET {
            (self.length * 2).clamp(SHORTEST, LONGEST)
        } else {
            Some(self.length / 2)
                .filter(|length| *length >= SHORTEST)
                .unwrap_or_default()
        };
        *self.until.insert(now + self.length)
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
        assert!(!rules(Some(161), true, false).refuses(&record));
        assert!(rules(Some(160), true, false).refuses(&record));
        assert!(
            !rules(Some(160), false, false).refuses(&record),
            "it may be compressed below it"
        );
        assert!(rules(None, true, true).refuses(&record));
        assert!(!rules(None, true, true).refuses(&record.key("k")));
    }

    #[test]
    fn one_refusal_changes_nothing_and_refusals_in_turn_make_records_go_alone_for_longer_and_longer()
     {
        let at = Duration::from_millis;
        let mut spell = Spell::default();
        assert_eq!(spell.refused(at(1_000)), at(1_000));
        assert_eq!(spell.refused(at(1_000)), at(1_000), "of another partition");
        assert_eq!(spell.refused(at(2_999)), at(3_099));
        assert_eq!(spell.refused(at(3_050)), at(3_099), "of before");
        assert_eq!(spell.refused(at(3_200)), at(3_400));
        assert_eq!(spell.refused(at(5_400)), at(5_500), "2 s without one");
        assert_eq!(spell.refused(at(9_000)), at(9_000));
        let mut until = at(9_000);
        for _ in 0..20 {
            until = spell.refused(until + at(1));
        }
        assert_eq!(spell.length, LONGEST);
    }

    #[test]
    fn all_go_alone_until_the_spell_is_over() {
        let rules = TopicRules::default();
        let at = Duration::from_millis;
        assert!(!rules.all_alone(|| unreachable!("no batch was refused yet")));
        rules.refused(at(10));
        assert!(!rules.all_alone(|| at(11)));
        rules.refused(at(20));
        assert!(rules.all_alone(|| at(119)) && !rules.all_alone(|| at(120)));
    }
}
