//! A shard: a range of the keys' hashes, and the records of their changes.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::record::{SequenceNumber, Stored};

/// The time for which records stay, and closed shards without any (AWS: "DynamoDB Streams", 24 hours).
pub(crate) const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// `GetRecords` a shard takes in a second where readers are limited.
const READS_PER_SECOND: usize = 5;
/// Readers a shard takes at a time where readers are limited (AWS: quotas, "Simultaneous readers of
/// a shard").
const READERS: usize = 2;

/// One past the last hash.
pub(crate) const HASHES: u128 = 1 << 64;

/// A shard of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    /// The hashes it takes: a split divides them.
    pub(crate) hashes: Range<u128>,
    /// No record has a lower number.
    pub(crate) starting: SequenceNumber,
    /// No record has a higher number, from when it is closed.
    pub(crate) ending: Option<SequenceNumber>,
    pub(crate) closed: Option<Duration>,
    /// Listings leave it out before this time.
    pub(crate) listed_from: Duration,
    /// It is not to be found any more.
    pub(crate) forgotten: bool,
    /// `GetRecords` takes this long.
    pub(crate) slow: Duration,
    pub(crate) use_: Use,
    records: VecDeque<Stored>,
    /// The highest number that was trimmed.
    trimmed: Option<SequenceNumber>,
}

/// The readers of a shard, and the number of their reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Use {
    pub(crate) calls: u64,
    pub(crate) readers: usize,
    pub(crate) max_readers: usize,
    /// The number of pages without a record that come before others.
    pub(crate) empty_pages: usize,
    /// The latest calls that were let through, at most as many as a second takes.
    recent: VecDeque<Duration>,
}

/// A page of records, and where the next one begins; nowhere at the end of a closed shard.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) records: Vec<&'a Stored>,
    pub(crate) next: Option<SequenceNumber>,
}

impl Shard {
    pub(crate) fn new(
        id: String,
        parent: Option<String>,
        hashes: Range<u128>,
        starting: SequenceNumber,
        listed_from: Duration,
    ) -> Self {
        Self {
            id,
            parent,
            hashes,
            starting,
            ending: None,
            closed: None,
            listed_from,
            forgotten: false,
            slow: Duration::ZERO,
            use_: Use::default(),
            records: VecDeque::new(),
            trimmed: None,
        }
    }

    pub(crate) fn append(&mut self, record: Stored) {
        self.records.push_back(record);
    }

    pub(crate) fn close(&mut self, ending: SequenceNumber, now: Duration) {
        self.ending = Some(ending);
        self.closed = Some(now);
    }

    pub(crate) fn records(&self) -> &VecDeque<Stored> {
        &self.records
    }

    /// Trims what is too old.
    pub(crate) fn age(&mut self, now: Duration) {
        while let Some(record) = self.records.front()
            && record.at + RETENTION <= now
        {
            self.trimmed = Some(record.sequence);
            self.records.pop_front();
        }
    }

    /// Trims all but the last records.
    pub(crate) fn keep_last(&mut self, keep: usize) {
        while self.records.len() > keep {
            self.trimmed = self.records.pop_front().map(|record| record.sequence);
        }
    }

    /// Trims the records up to this number.
    pub(crate) fn trim_to(&mut self, last: SequenceNumber) {
        while let Some(record) = self.records.front()
            && record.sequence <= last
        {
            self.trimmed = Some(record.sequence);
            self.records.pop_front();
        }
    }

    /// Returns whether it is not to be found any more: forgotten, or closed for so long that all its
    /// records are trimmed.
    pub(crate) fn is_gone(&self, now: Duration) -> bool {
        self.forgotten || self.closed.is_some_and(|closed| closed + RETENTION <= now)
    }

    /// Returns whether what begins at this number was trimmed in part.
    pub(crate) fn is_trimmed(&self, from: SequenceNumber) -> bool {
        self.trimmed.is_some_and(|trimmed| from <= trimmed)
    }

    /// Returns whether DynamoDB Local takes this number for one that was trimmed: where the shard has had records, any before the oldest that is left.
    pub(crate) fn is_trimmed_locally(&self, from: SequenceNumber) -> bool {
        match self.records.front() {
            Some(oldest) => from < oldest.sequence,
            None => self.trimmed.is_some(),
        }
    }

    /// Returns the number of the oldest record, or of the first one to come.
    pub(crate) fn oldest(&self) -> SequenceNumber {
        let after = self.trimmed.map(|trimmed| trimmed + 1);
        after.map_or(self.starting, |after| after.max(self.starting))
    }

    /// Returns the number behind the newest record that is visible.
    pub(crate) fn latest(&self, now: Duration, lag: Duration) -> SequenceNumber {
        let visible = self
            .records
            .partition_point(|record| record.at + lag <= now);
        let last = visible.checked_sub(1).and_then(|at| self.records.get(at));
        last.map_or(self.oldest(), |record| record.sequence + 1)
    }

    /// The records from a number on: as many as are visible, asked for and fit.
    pub(crate) fn page(
        &self,
        from: SequenceNumber,
        limit: usize,
        bytes: usize,
        now: Duration,
        lag: Duration,
    ) -> Page<'_> {
        let first = self
            .records
            .partition_point(|record| record.sequence < from);
        let mut records = Vec::new();
        let mut held = 0;
        for record in self.records.range(first..).take(limit) {
            held += record.size;
            if record.at + lag > now || held > bytes && !records.is_empty() {
                break;
            }
            records.push(record);
        }
        let ended =
            self.ending.is_some() && first + records.len() == self.records.len() && limit > 0;
        let next = records.last().map_or(from, |record| record.sequence + 1);
        Page {
            records,
            next: (!ended).then_some(next),
        }
    }
}

impl Use {
    /// Returns whether one more call now is one too many.
    pub(crate) fn exceeds(&mut self, now: Duration) -> bool {
        while let Some(at) = self.recent.front()
            && *at + Duration::from_secs(1) <= now
        {
            self.recent.pop_front();
        }
        if self.readers > READERS || self.recent.len() >= READS_PER_SECOND {
            return true;
        }
        self.recent.push_back(now);
        false
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn shard(count: u128) -> Shard {
        let mut shard = Shard::new("shard".to_owned(), None, 0..HASHES, 10, Duration::ZERO);
        for sequence in 0..count {
            shard.append(Stored {
                sequence: 10 + 10 * sequence,
                at: NOW,
                size: 100,
                json: Bytes::new(),
            });
        }
        shard
    }

    fn numbers(page: &Page<'_>) -> Vec<u128> {
        page.records.iter().map(|record| record.sequence).collect()
    }

    #[test]
    fn a_page_ends_at_its_limit_or_its_size() {
        let shard = shard(5);
        let page = shard.page(20, 2, 1000, NOW, Duration::ZERO);
        assert_eq!((numbers(&page), page.next), (vec![20, 30], Some(31)));
        let page = shard.page(20, 9, 350, NOW, Duration::ZERO);
        assert_eq!((numbers(&page), page.next), (vec![20, 30, 40], Some(41)));
        // A record larger than a page is given alone.
        let page = shard.page(20, 9, 50, NOW, Duration::ZERO);
        assert_eq!(numbers(&page), [20]);
    }

    #[test]
    fn the_last_page_of_a_closed_shard_names_no_next_one() {
        let mut shard = shard(3);
        let open = shard.page(10, 9, 1000, NOW, Duration::ZERO);
        assert_eq!((open.records.len(), open.next), (3, Some(31)));
        shard.close(35, NOW);
        let last = shard.page(30, 9, 1000, NOW, Duration::ZERO);
        assert_eq!((numbers(&last), last.next), (vec![30], None));
        assert!(shard.page(10, 2, 1000, NOW, Duration::ZERO).next.is_some());
        assert!(shard.page(36, 2, 1000, NOW, Duration::ZERO).next.is_none());
    }

    #[test]
    fn a_closed_shard_has_not_ended_before_its_last_record_is_visible() {
        let mut shard = shard(1);
        shard.close(35, NOW);
        let lag = Duration::from_secs(1);
        let early = shard.page(10, 9, 1000, NOW, lag);
        assert_eq!((early.records.len(), early.next), (0, Some(10)));
        let late = shard.page(10, 9, 1000, NOW + lag, lag);
        assert_eq!((late.records.len(), late.next), (1, None));
    }

    #[test]
    fn what_is_trimmed_is_known_by_its_number() {
        let mut shard = shard(3);
        assert_eq!(shard.oldest(), 10);
        shard.keep_last(1);
        assert!(shard.is_trimmed(11) && shard.is_trimmed(20));
        assert!(!shard.is_trimmed(21));
        assert_eq!(shard.oldest(), 21);
        shard.age(NOW + RETENTION);
        assert!(shard.is_trimmed(30) && shard.records().is_empty());
    }

    #[test]
    fn latest_is_behind_what_is_visible() {
        let shard = shard(2);
        assert_eq!(shard.latest(NOW, Duration::ZERO), 21);
        assert_eq!(shard.latest(NOW, Duration::from_secs(1)), 10);
    }

    #[test]
    fn five_reads_a_second_and_two_readers_are_let_through() {
        let mut use_ = Use::default();
        let at = |millis| NOW + Duration::from_millis(millis);
        assert!((0..5).all(|call| !use_.exceeds(at(call))));
        assert!(use_.exceeds(at(999)));
        assert!(!use_.exceeds(at(1000)));
        use_.readers = 3;
        assert!(use_.exceeds(at(9000)));
    }
}
