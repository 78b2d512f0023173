//! A stream: its shards, which of them takes a change, and how they split.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

use dynamodb_table_spec::KeySchema;
use dynamodb_table_spec::StreamView;

use super::pages::ListingFaults;
use super::record::{Author, Moment, SequenceNumber, Stored, worded};
use super::shard::{HASHES, RETENTION, Shard};
use crate::store::table::Change;

/// The first number of a stream: 21 digits, as the service's have at least.
const FIRST_NUMBER: SequenceNumber = 100_000_000_000_000_000_000;
/// From one number to the next. The service's are not consecutive either.
const STEP: SequenceNumber = 107;

/// The stream of a table, or one that the table had.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) arn: String,
    pub(crate) label: String,
    pub(crate) table: String,
    pub(crate) keys: KeySchema,
    pub(crate) view: StreamView,
    /// Milliseconds since 1970.
    pub(crate) created: i64,
    /// The time since which it takes nothing more.
    pub(crate) disabled: Option<Duration>,
    /// The time for which children stay out of listings.
    pub(crate) children_late: Duration,
    /// The time for which records stay invisible.
    pub(crate) lag: Duration,
    pub(crate) ignores_filter: bool,
    pub(crate) listing_faults: Option<ListingFaults>,
    /// Listings show no shard before this time.
    pub(crate) listed_from: Duration,
    pub(crate) misnamed: Option<Misnamed>,
    /// The number of pages without a record that come first where a shard is read from its oldest.
    pub(crate) empty_pages: usize,
    /// It answers for what is trimmed and for shards that have expired as DynamoDB Local does.
    pub(crate) like_local: bool,
    /// In the order in which they were made.
    pub(crate) shards: Vec<Shard>,
    by_id: HashMap<String, usize>,
    /// The open shards by their first hash.
    open: BTreeMap<u128, usize>,
    next: SequenceNumber,
}

/// A shard for which listings name parents that it has not.
#[derive(Clone, Debug)]
pub(crate) struct Misnamed {
    pub(crate) shard: String,
    /// One a listing, in turn.
    pub(crate) parents: Vec<String>,
    /// The number of listings that still do.
    pub(crate) listings: u32,
}

impl Misnamed {
    pub(crate) fn parent(&self) -> Option<&String> {
        let turn = usize::try_from(self.listings).unwrap_or(0);
        self.parents.get(turn.checked_rem(self.parents.len())?)
    }
}

impl Stream {
    pub(crate) fn new(
        (arn, label): (String, String),
        table: &str,
        keys: KeySchema,
        view: StreamView,
        shards: usize,
        moment: Moment,
    ) -> Self {
        let mut stream = Self {
            arn,
            label,
            table: table.to_owned(),
            keys,
            view,
            created: moment.unix_millis,
            disabled: None,
            children_late: Duration::ZERO,
            lag: Duration::ZERO,
            ignores_filter: false,
            listing_faults: None,
            listed_from: Duration::ZERO,
            misnamed: None,
            empty_pages: 0,
            like_local: false,
            shards: Vec::new(),
            by_id: HashMap::new(),
            open: BTreeMap::new(),
            // A table's later stream has higher numbers than its earlier ones.
            next: FIRST_NUMBER + u128::from(moment.unix_millis.unsigned_abs()) * 1_000_000,
        };
        let count = u128::try_from(shards.max(1)).unwrap_or(1);
        for at in 0..count {
            let hashes = HASHES * at / count..HASHES * (at + 1) / count;
            stream.open_shard(None, hashes, moment, Duration::ZERO);
        }
        stream
    }

    /// Returns whether it is not to be found any more.
    pub(crate) fn is_gone(&self, now: Duration) -> bool {
        self.disabled.is_some_and(|since| since + RETENTION <= now)
    }

    fn number(&mut self) -> SequenceNumber {
        self.next += STEP;
        self.next
    }

    fn open_shard(
        &mut self,
        parent: Option<String>,
        hashes: Range<u128>,
        moment: Moment,
        late: Duration,
    ) -> String {
        let starting = self.number();
        // Any eight digits that differ; the rest is the time, as in the service's names.
        let tail = crc32fast::hash(format!("{}{starting}", self.arn).as_bytes());
        let id = format!("shardId-{:020}-{tail:08x}", moment.unix_millis.max(0));
        let at = self.shards.len();
        // After 64 splits of one line a child has no hashes left: it takes nothing.
        if !hashes.is_empty() {
            self.open.insert(hashes.start, at);
        }
        self.by_id.insert(id.clone(), at);
        let listed_from = moment.now + late;
        self.shards.push(Shard::new(
            id.clone(),
            parent,
            hashes,
            starting,
            listed_from,
        ));
        id
    }

    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn shard(&mut self, id: &str) -> Option<&mut Shard> {
        let at = self.position(id)?;
        self.shards.get_mut(at)
    }

    /// Notes a change, if it is one.
    pub(crate) fn append(&mut self, change: &Change, author: Author, moment: Moment) {
        if self.disabled.is_some() || change.before == change.after {
            return;
        }
        // Spread over all 64 bits, of which the first say which shard it is.
        let mixed = u64::from(change.key.partition_hash()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let Some((_, &at)) = self.open.range(..=u128::from(mixed)).next_back() else {
            return;
        };
        let sequence = self.number();
        let record = worded(&self.keys, change, author, self.view, sequence, moment);
        self.shards[at].append(record);
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
        self.shards[at].append(Stored {
            sequence,
            at: now,
            size: json.len(),
            json: json.into(),
        });
        Some(sequence)
    }

    fn close(&mut self, at: usize, now: Duration) {
        let ending = self.number();
        let shard = &mut self.shards[at];
        shard.close(ending, now);
        if !shard.hashes.is_empty() {
            self.open.remove(&shard.hashes.start);
        }
    }

    /// Closes an open shard and opens children that divide its hashes into so many parts.
    pub(crate) fn divide(&mut self, id: &str, parts: u128, moment: Moment) -> Option<Vec<String>> {
        let at = self.position(id)?;
        let shard = &self.shards[at];
        if shard.closed.is_some() {
            return None;
        }
        let Range { start, end } = shard.hashes.clone();
        let (parent, late) = (shard.id.clone(), self.children_late);
        self.close(at, moment.now);
        let children = (0..parts).map(|part| {
            let hashes =
                start + (end - start) * part / parts..start + (end - start) * (part + 1) / parts;
            self.open_shard(Some(parent.clone()), hashes, moment, late)
        });
        Some(children.collect())
    }

    /// The names of the open shards, in the order in which they were made.
    pub(crate) fn open_ids(&self) -> Vec<String> {
        let open = self.shards.iter().filter(|shard| shard.closed.is_none());
        open.map(|shard| shard.id.clone()).collect()
    }

    /// Closes every shard: the stream takes nothing more.
    pub(crate) fn disable(&mut self, now: Duration) {
        if self.disabled.is_none() {
            self.disabled = Some(now);
            for at in 0..self.shards.len() {
                if self.shards[at].closed.is_none() {
                    self.close(at, now);
                }
            }
        }
    }

    /// Trims what is too old in every shard.
    pub(crate) fn age(&mut self, now: Duration) {
        for shard in &mut self.shards {
            shard.age(now);
        }
    }
}
