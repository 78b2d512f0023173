//! DynamoDB Streams: every change of a table's items, in shards that split, close and are trimmed.
//!
//! A change is worded once, in the critical section that makes it, and appended to the open shard
//! that takes its key's hash. Reading a page is finding its first record and copying until the page
//! is full, whatever the stream holds.
//!
//! ```text
//!  write ─▶ table ─▶ Stream ─ hash of the key ─▶ open Shard ─▶ records, worded
//!                      │                            │
//!   split, roll, disable ◀── FaultyDynamoDb         ├── trimmed after 24 h, or by hand
//!                      │                            ▼
//!             DescribeStream ─▶ ids      GetShardIterator ─▶ GetRecords
//! ```
//!
//! Streams outlive their table and their being switched off by 24 hours, as the service's do.

mod describe;
pub(crate) mod info;
mod iterator;
mod limits;
pub(crate) mod listing_faults;
mod read;
mod reading;
pub(crate) mod record;
pub(crate) mod shard;
mod shards;
pub(crate) mod stream;

use std::collections::BTreeMap;
use std::time::Duration;

use dynamodb_table_spec::StreamView;

use super::table::{Change, Table};
use crate::item::arn::table_arn;
use crate::item::error::Refusal;
use limits::Limits;
use stream::Stream;

pub(crate) use describe::{describe, list};
pub use info::ShardInfo;
pub(crate) use iterator::iterator;
pub(crate) use iterator::target_of_token;
pub(crate) use read::records;
pub(crate) use reading::Reading;
pub(crate) use record::{Author, Moment};

/// All streams, by ARN.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    pub(crate) all: BTreeMap<String, Stream>,
    pub(crate) limits: Limits,
    /// Iterators of earlier generations have expired.
    pub(crate) generation: u64,
}

/// The latest stream of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LatestStream {
    pub(crate) arn: String,
    pub(crate) label: String,
    /// None once it is switched off.
    pub(crate) view: Option<StreamView>,
}

impl Streams {
    /// Switches a table's stream on and gives its ARN; one that is on already is replaced.
    pub(crate) fn enable(&mut self, table: &mut Table, view: StreamView, moment: Moment) -> String {
        self.disable(table, moment.now);
        self.all.retain(|_, stream| !stream.is_gone(moment.now));
        let mut millis = moment.unix_millis;
        let (arn, label) = loop {
            let label = label(millis);
            let arn = format!("{}/stream/{label}", table_arn(&table.spec.name));
            if !self.all.contains_key(&arn) {
                break (arn, label);
            }
            // Under paused time two streams may be made at once.
            millis += 1;
        };
        let moment = Moment {
            unix_millis: millis,
            ..moment
        };
        let stream = Stream::new(
            (arn.clone(), label.clone()),
            &table.spec.name,
            table.spec.keys.clone(),
            view,
            table.stream_shards,
            moment,
        );
        self.all.insert(arn.clone(), stream);
        table.spec.stream = Some(view);
        table.stream = Some(LatestStream {
            arn: arn.clone(),
            label,
            view: Some(view),
        });
        arn
    }

    /// Switches a table's stream off. False where it is off.
    pub(crate) fn disable(&mut self, table: &mut Table, now: Duration) -> bool {
        table.spec.stream = None;
        let latest = table.stream.as_mut();
        let Some(latest) = latest.filter(|latest| latest.view.is_some()) else {
            return false;
        };
        latest.view = None;
        if let Some(stream) = self.all.get_mut(&latest.arn) {
            stream.disable(now);
        }
        true
    }

    /// Switches the stream of a new table on, where it is to have one.
    pub(crate) fn begin(&mut self, table: &mut Table, moment: Moment) {
        if let Some(view) = table.spec.stream {
            self.enable(table, view, moment);
        }
    }

    /// Notes an applied change.
    pub(crate) fn append(
        &mut self,
        table: &Table,
        change: &Change,
        author: Author,
        moment: Moment,
    ) {
        if let Some(latest) = &table.stream
            && let Some(stream) = self.all.get_mut(&latest.arn)
        {
            stream.append(change, author, moment);
        }
    }

    fn find(&mut self, arn: &str, now: Duration) -> Result<&mut Stream, Refusal> {
        let stream = self.all.get_mut(arn);
        stream
            .filter(|stream| !stream.is_gone(now))
            .ok_or_else(|| missing(&format!("Stream: {arn} not found")))
    }
}

fn missing(what: &str) -> Refusal {
    let message = format!("Requested resource not found: {what}");
    Refusal::new(400, "ResourceNotFoundException", message)
}

/// Returns the time of a stream's creation, which distinguishes it from the table's other streams.
fn label(unix_millis: i64) -> String {
    use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};

    let seconds = DateTime::from_secs(unix_millis.div_euclid(1000));
    let text = seconds.fmt(DateTimeFormat::DateTime).unwrap_or_default();
    let text = text.trim_end_matches('Z');
    format!("{text}.{:03}", unix_millis.rem_euclid(1000))
}

/// The table named by a stream's ARN.
pub(crate) fn table_of_arn(arn: &str) -> Option<&str> {
    let (_, rest) = arn.split_once(":table/")?;
    Some(rest.split_once("/stream/")?.0)
}
