//! A stream: the changes that its shards take, and the faults of its answers.

use std::time::Duration;

use dynamodb_table_spec::KeySchema;
use dynamodb_table_spec::StreamView;

use super::listing_faults::ListingFaults;
use super::record::{Author, Moment, SequenceNumber, worded};
use super::shard::RETENTION;
use super::shards::Shards;
use crate::store::table::Change;

/// The first number of a stream: 21 digits, as the service's have at least.
const FIRST_NUMBER: SequenceNumber = 100_000_000_000_000_000_000;
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
    /// The time for which records stay invisible.
    pub(crate) lag: Duration,
    pub(crate) listing: ListingFaults,
    /// The number of pages without a record that come first where a shard is read from its oldest.
    pub(crate) empty_pages: usize,
    /// It answers for what is trimmed and for shards that have expired as DynamoDB Local does.
    pub(crate) like_local: bool,
    pub(crate) shards: Shards,
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
            lag: Duration::ZERO,
            listing: ListingFaults::default(),
            empty_pages: 0,
            like_local: false,
            // A table's later stream has higher numbers than its earlier ones.
            shards: Shards::new(
                FIRST_NUMBER + u128::from(moment.unix_millis.unsigned_abs()) * 1_000_000,
            ),
        };
        stream.shards.open_first(shards, &stream.arn, moment);
        stream
    }

    /// Returns whether it is not to be found any more.
    pub(crate) fn is_gone(&self, now: Duration) -> bool {
        self.disabled.is_some_and(|since| since + RETENTION <= now)
    }

    /// Notes a change, if it is one.
    pub(crate) fn append(&mut self, change: &Change, author: Author, moment: Moment) {
        if self.disabled.is_some() || change.before == change.after {
            return;
        }
        // Spread over all 64 bits, of which the first say which shard it is.
        let mixed = u64::from(change.key.partition_hash()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (keys, view) = (&self.keys, self.view);
        self.shards.append(mixed, |sequence| {
            worded(keys, change, author, view, sequence, moment)
        });
    }

    /// Closes every shard: the stream takes nothing more.
    pub(crate) fn disable(&mut self, now: Duration) {
        if self.disabled.is_none() {
            self.disabled = Some(now);
            self.shards.close_all(now);
        }
    }

    /// Closes an open shard and opens children that divide its hashes into so many parts.
    pub(crate) fn divide(&mut self, id: &str, parts: u128, moment: Moment) -> Option<Vec<String>> {
        let late = self.listing.children_late;
        self.shards.divide(id, parts, (&self.arn, late), moment)
    }
}
