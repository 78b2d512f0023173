//! The shards of a stream: which of them takes a change, and how they split.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

use super::record::{Moment, SequenceNumber, Stored};
use super::shard::{HASHES, Shard};

/// From one number to the next. The service's are not consecutive either.
const STEP: SequenceNumber = 107;

/// All shards that a stream has had, and the number of its next record.
#[derive(Clone, Debug)]
pub(crate) struct Shards {
    /// In the order in which they were made.
    all: Vec<Shard>,
    by_id: HashMap<String, usize>,
    /// The open shards by their first hash.
    open: BTreeMap<u128, usize>,
    next: SequenceNumber,
}

impl Shards {
    /// Returns no shards yet, with numbers that begin here.
    pub(crate) fn new(next: SequenceNumber) -> Self {
        Self {
            all: Vec::new(),
            by_id: HashMap::new(),
            open: BTreeMap::new(),
            next,
        }
    }

    /// Opens so many shards that divide all hashes.
    pub(crate) fn open_first(&mut self, count: usize, arn: &str, moment: Moment) {
        let count = u128::try_from(count.max(1)).unwrap_or(1);
        for at in 0..count {
            let hashes = HASHES * at / count..HASHES * (at + 1) / count;
            self.open_shard(arn, None, hashes, moment, Duration::ZERO);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.all.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.all.iter_mut()
    }

    fn number(&mut self) -> SequenceNumber {
        self.next += STEP;
        self.next
    }

    fn open_shard(
        &mut self,
        arn: &str,
        parent: Option<String>,
        hashes: Range<u128>,
        moment: Moment,
        late: Duration,
    ) -> String {
        let starting = self.number();
        // Any eight digits that differ; the rest is the time, as in the service's names.
        let tail = crc32fast::hash(format!("{arn}{starting}").as_bytes());
        let id = format!("shardId-{:020}-{tail:08x}", moment.unix_millis.max(0));
        let at = self.all.len();
        // After 64 splits of one line a child has no hashes left: it takes nothing.
        if !hashes.is_empty() {
            self.open.insert(hashes.start, at);
        }
        self.by_id.insert(id.clone(), at);
        let listed_from = moment.now + late;
        self.all.push(Shard::new(
            id.clone(),
            parent,
            hashes,
            starting,
            listed_from,
        ));
        id
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// Returns the shard of this name.
    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Shard> {
        let at = self.position(id)?;
        self.all.get_mut(at)
    }

    /// Appends a record to the open shard that takes this hash; `word` is given its number.
    pub(crate) fn append(&mut self, hash: u64, word: impl FnOnce(SequenceNumber) -> Stored) {
        let Some((_, &at)) = self.open.range(..=u128::from(hash)).next_back() else {
            return;
        };
        let sequence = self.number();
        self.all[at].append(word(sequence));
    }

    /// Puts a record worded elsewhere into a shard; `word` is given its number.
    pub(crate) fn inject(
        &mut self,
        shard: &str,
        now: Duration,
        word: impl FnOnce(SequenceNumber) -> Vec<u8>,
    ) -> Option<SequenceNumber> {
        let at = self.position(shard)?;
        let sequence = self.number();
        let json = word(sequence);
        self.all[at].append(Stored {
            sequence,
            at: now,
            size: json.len(),
            json: json.into(),
        });
        Some(sequence)
    }

    fn close(&mut self, at: usize, now: Duration) {
        let ending = self.number();
        let shard = &mut self.all[at];
        shard.close(ending, now);
        if !shard.hashes.is_empty() {
            self.open.remove(&shard.hashes.start);
        }
    }

    /// Closes an open shard and opens children that divide its hashes into so many parts. Listings show
    /// these after `late`.
    pub(crate) fn divide(
        &mut self,
        id: &str,
        parts: u128,
        (arn, late): (&str, Duration),
        moment: Moment,
    ) -> Option<Vec<String>> {
        let at = self.position(id)?;
        let shard = &self.all[at];
        if shard.closed.is_some() {
            return None;
        }
        let Range { start, end } = shard.hashes.clone();
        let parent = shard.id.clone();
        self.close(at, moment.now);
        let children = (0..parts).map(|part| {
            let hashes =
                start + (end - start) * part / parts..start + (end - start) * (part + 1) / parts;
            self.open_shard(arn, Some(parent.clone()), hashes, moment, late)
        });
        Some(children.collect())
    }

    /// The names of the open shards, in the order in which they were made.
    pub(crate) fn open_ids(&self) -> Vec<String> {
        let open = self.all.iter().filter(|shard| shard.closed.is_none());
        open.map(|shard| shard.id.clone()).collect()
    }

    /// Closes every open shard.
    pub(crate) fn close_all(&mut self, now: Duration) {
        for at in 0..self.all.len() {
            if self.all[at].closed.is_none() {
                self.close(at, now);
            }
        }
    }

    /// Trims what is too old in every shard.
    pub(crate) fn age(&mut self, now: Duration) {
        for shard in &mut self.all {
            shard.age(now);
        }
    }
}
