//! Control of streams by tests, and their state.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_table_spec::StreamView;
use serde_json::Value as Json;

use crate::FaultyDynamoDb;
use crate::item::value::{Item, Value};
use crate::store::streams::info::ShardInfo;
use crate::store::streams::listing_faults::{Misnamed, SpoiledPages};
use crate::store::streams::record::Author;
use crate::store::streams::shard::Shard;
use crate::store::streams::stream::Stream;

/// # Streams
impl FaultyDynamoDb {
    /// The ARN of a table's latest stream, on or off; none where it never had one.
    pub fn stream_arn(&self, table: &str) -> Option<String> {
        let state = self.service.state();
        let table = state.store.tables.get(table)?;
        Some(table.stream.as_ref()?.arn.clone())
    }

    /// The shards of a table's latest stream, in the order in which they were made; forgotten ones
    /// and those that listings do not show yet as well. None where there is no stream.
    pub fn shards(&self, table: &str) -> Vec<ShardInfo> {
        let now = self.service.clock.elapsed();
        self.with_stream(table, |stream| {
            stream.shards.age(now);
            stream.shards.iter().map(ShardInfo::of).collect()
        })
        .unwrap_or_default()
    }

    /// Splits an open shard: it is closed, and two children divide its keys. Gives their names.
    ///
    /// # Panics
    ///
    /// Where the table has no such open shard.
    pub fn split_shard(&self, table: &str, shard: &str) -> [String; 2] {
        let children = self.divide(table, shard, 2);
        children.try_into().expect("a split makes two children")
    }

    /// Splits every open shard of a table's stream. Gives the names of the children.
    pub fn split_all_shards(&self, table: &str) -> Vec<String> {
        let moment = self.service.clock.moment();
        self.with_stream(table, |stream| {
            let open = stream.shards.open_ids();
            open.iter()
                .filter_map(|id| stream.divide(id, 2, moment))
                .flatten()
                .collect()
        })
        .unwrap_or_default()
    }

    /// Rolls an open shard over, as the service does every few hours: it is closed, and one child
    /// takes its keys. Gives the child's name.
    ///
    /// # Panics
    ///
    /// Where the table has no such open shard.
    pub fn roll_shard(&self, table: &str, shard: &str) -> String {
        let mut children = self.divide(table, shard, 1);
        children.pop().expect("a rollover makes one child")
    }

    fn divide(&self, table: &str, shard: &str, parts: u128) -> Vec<String> {
        let moment = self.service.clock.moment();
        self.with_stream(table, |stream| stream.divide(shard, parts, moment))
            .flatten()
            .expect("the table has this open shard")
    }

    /// Keeps children made from now on out of `DescribeStream` for this long. They take changes
    /// and can be read all the while.
    pub fn list_children_late(&self, table: &str, late: Duration) {
        self.with_stream(table, |stream| stream.listing.children_late = late);
    }

    /// Keeps a shard out of `DescribeStream` for this long from now on, whatever it is to others. It can be read all the while.
    pub fn list_shard_late(&self, table: &str, shard: &str, late: Duration) {
        let from = self.service.clock.elapsed() + late;
        self.with_shard(table, shard, |shard| shard.listed_from = from);
    }

    /// Keeps every shard out of `DescribeStream` for this long from now on, as while a stream is being
    /// switched on.
    pub fn list_nothing(&self, table: &str, late: Duration) {
        let from = self.service.clock.elapsed() + late;
        self.with_stream(table, |stream| stream.listing.listed_from = from);
    }

    /// Has so many listings name another parent for a shard: one of these each, in turn.
    pub fn misname_parent(&self, table: &str, shard: &str, parents: &[&str], listings: u32) {
        let misnamed = Misnamed {
            shard: shard.to_owned(),
            parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
            listings,
        };
        self.with_stream(table, |stream| {
            stream.listing.misnamed = (listings > 0).then_some(misnamed);
        });
    }

    /// Gives so many pages without a record first wherever a shard is read from its oldest record, as
    /// the API reference of `GetRecords` allows. Default: 0.
    pub fn empty_pages(&self, table: &str, pages: usize) {
        self.with_stream(table, |stream| stream.empty_pages = pages);
    }

    /// Has the table's stream answer as that of DynamoDB Local 3.1, from now on. Its ARN is another.
    ///
    /// Any position before the oldest record that a shard has left is refused with
    /// `TrimmedDataAccessException`, that of the shard's first number too, and every one where none is
    /// left. A shard that was closed for 24 hours stays listed and gives iterators, and reading it is
    /// `ResourceNotFoundException`.
    pub fn imitate_dynamodb_local(&self, table: &str) {
        let store = &mut self.service.state().store;
        let latest = store.tables.get_mut(table);
        let Some(latest) = latest.and_then(|table| table.stream.as_mut()) else {
            return;
        };
        if let Some(mut stream) = store.streams.all.remove(&latest.arn) {
            stream.like_local = true;
            stream.arn = stream.arn.replace(":us-east-1:", ":ddblocal:");
            latest.arn.clone_from(&stream.arn);
            store.streams.all.insert(stream.arn.clone(), stream);
        }
    }

    /// Trims all but the last records of each shard.
    pub fn trim_stream(&self, table: &str, keep_last_n_per_shard: usize) {
        self.with_stream(table, |stream| {
            for shard in stream.shards.iter_mut() {
                shard.keep_last(keep_last_n_per_shard);
            }
        });
    }

    /// Trims the records of a shard up to this number, that one included. Without effect where
    /// there is no such shard, or this is no number.
    pub fn trim_shard(&self, table: &str, shard: &str, up_to_sequence_number: &str) {
        if let Ok(last) = up_to_sequence_number.parse() {
            self.with_shard(table, shard, |shard| shard.trim_to(last));
        }
    }

    /// Makes a shard vanish: listings leave it out, and a request that names or reads it gets
    /// `ResourceNotFoundException`. Its children stay.
    pub fn forget_shard(&self, table: &str, shard: &str) {
        self.with_shard(table, shard, |shard| shard.forgotten = true);
    }

    /// Makes every iterator given so far an expired one, of all streams.
    pub fn expire_iterators(&self) {
        self.service.state().store.streams.generation += 1;
    }

    /// Switches a table's stream off: its shards are closed and can be read for 24 hours more.
    /// Without effect where it is off.
    pub fn disable_stream(&self, table: &str) {
        let now = self.service.clock.elapsed();
        let state = &mut *self.service.state();
        if let Some(table) = state.store.tables.get_mut(table) {
            state.store.streams.disable(table, now);
        }
    }

    /// Switches a table's stream on and gives its ARN. One that is on already is switched off
    /// first: the ARN is always a new one.
    ///
    /// # Panics
    ///
    /// Where there is no such table.
    pub fn enable_stream(&self, table: &str, view: StreamView) -> String {
        let moment = self.service.clock.moment();
        let state = &mut *self.service.state();
        let table = state.store.tables.get_mut(table);
        let table = table.expect("the table was created");
        state.store.streams.enable(table, view, moment)
    }

    /// Makes `GetRecords` of a shard take this long. Half of it passes before the records are
    /// looked for.
    pub fn slow_shard(&self, table: &str, shard: &str, delay: Duration) {
        self.with_shard(table, shard, |shard| shard.slow = delay);
    }

    /// Spoils pages of `DescribeStream` by seed, from now on: they miss parents or other shards,
    /// repeat some, or are out of order. Of three listings that begin one after the other, the
    /// last is right. `None` ends it.
    pub fn inconsistent_pages(&self, table: &str, seed: impl Into<Option<u64>>) {
        let spoiled = seed.into().map(SpoiledPages::seeded);
        self.with_stream(table, |stream| stream.listing.spoiled = spoiled);
    }

    /// Has `DescribeStream` ignore its `ShardFilter`, as DynamoDB Local does. Default: false.
    pub fn ignore_shard_filter(&self, table: &str, ignore: bool) {
        self.with_stream(table, |stream| stream.listing.ignores_filter = ignore);
    }

    /// Makes records visible only this long after their change. A closed shard ends no sooner.
    pub fn stream_lag(&self, table: &str, lag: Duration) {
        self.with_stream(table, |stream| stream.lag = lag);
    }

    /// Takes at most so many `DescribeStream` a second, of all streams together; more are refused
    /// with `ThrottlingException`. The service takes 10. Default: `None`, all of them.
    pub fn limit_describe_stream(&self, per_second: impl Into<Option<usize>>) {
        self.service.state().store.streams.limits.describes = per_second.into();
    }

    /// Takes at most 2 `GetRecords` of a shard at a time and 5 a second; more are refused with
    /// `LimitExceededException`. Default: false.
    pub fn limit_readers(&self, limit: bool) {
        self.service.state().store.streams.limits.readers = limit;
    }

    /// Deletes an item as the service does when its time to live is over: the record says that it
    /// was the service. The journal, which is of requests, does not. False where there is no such
    /// item.
    pub fn expire_item<N: Into<String>>(
        &self,
        table: &str,
        key: impl IntoIterator<Item = (N, AttributeValue)>,
    ) -> bool {
        let key = key
            .into_iter()
            .map(|(name, value)| Some((name.into(), Value::from_sdk(&value)?)))
            .collect::<Option<Item>>();
        let moment = self.service.clock.moment();
        let state = &mut *self.service.state();
        let Some((table, key)) = state.store.tables.get_mut(table).zip(key) else {
            return false;
        };
        let Ok(change) = table.delete(&key) else {
            return false;
        };
        table.apply(&change);
        let streams = &mut state.store.streams;
        streams.append(table, &change, Author::TimeToLive, moment);
        change.before.is_some()
    }

    /// Puts a record of your own into a shard, closed or open: one of an unknown kind, or one that
    /// cannot be decoded. `record` is JSON; where it has a member `dynamodb` without a
    /// `SequenceNumber`, it is given one. Gives the record's number; none where there is no such
    /// shard, or `record` is no JSON.
    ///
    /// ```
    /// use faulty_dynamodb::{FaultyDynamoDb, StreamView, TableSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let fake = FaultyDynamoDb::new();
    /// fake.create_table(TableSpec::new("decisions").stream(StreamView::NewImage));
    /// let shard = fake.shards("decisions")[0].id().to_owned();
    /// let record = r#"{"eventName": "TRUNCATE", "dynamodb": {"Keys": {"pk": {"S": "a"}}}}"#;
    /// assert!(fake.inject_stream_record("decisions", &shard, record).is_some());
    /// assert_eq!(fake.shards("decisions")[0].record_count(), 1);
    /// # }
    /// ```
    pub fn inject_stream_record(&self, table: &str, shard: &str, record: &str) -> Option<String> {
        let mut record: Json = serde_json::from_str(record).ok()?;
        let now = self.service.clock.elapsed();
        let sequence = self.with_stream(table, |stream| {
            stream.shards.inject(shard, now, |sequence| {
                if let Some(Json::Object(change)) = record.get_mut("dynamodb") {
                    let number = change.entry("SequenceNumber");
                    number.or_insert_with(|| Json::from(sequence.to_string()));
                }
                record.to_string().into_bytes()
            })
        });
        Some(sequence.flatten()?.to_string())
    }

    /// Returns how often a shard was asked for records so far, refused requests included.
    pub fn get_records_calls(&self, shard: &str) -> u64 {
        self.find_shard(shard, |shard| shard.use_.calls)
            .unwrap_or(0)
    }

    /// The most `GetRecords` of a shard that were under way at one time.
    pub fn max_readers(&self, shard: &str) -> usize {
        self.find_shard(shard, |shard| shard.use_.max_readers)
            .unwrap_or(0)
    }

    fn with_stream<T>(&self, table: &str, work: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        let store = &mut self.service.state().store;
        let arn = &store.tables.get(table)?.stream.as_ref()?.arn;
        Some(work(store.streams.all.get_mut(arn)?))
    }

    fn with_shard<T>(
        &self,
        table: &str,
        shard: &str,
        work: impl FnOnce(&mut Shard) -> T,
    ) -> Option<T> {
        self.with_stream(table, |stream| stream.shards.get_mut(shard).map(work))?
    }

    fn find_shard<T>(&self, shard: &str, work: impl FnOnce(&mut Shard) -> T) -> Option<T> {
        let streams = &mut self.service.state().store.streams;
        let found = streams.all.values_mut();
        found
            .filter_map(|stream| stream.shards.get_mut(shard))
            .next()
            .map(work)
    }
}
