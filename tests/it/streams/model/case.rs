//! What a case is made of.

use std::time::Duration;

use dynamodb_connector::GapPolicy;
use dynamodb_connector::retry::RetryPolicy;
use dynamodb_connector::streams::StreamsSettings;
use dynamodb_connector::test_util::{FaultPlan, FaultyDynamoDb, Operation};

use super::super::rig::TABLE;
use super::pages::BUFFER;

pub(super) const KEYS: u8 = 5;

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) shards: usize,
    pub(super) settings: Settings,
    pub(super) manners: Manners,
    pub(super) faults: Faults,
    pub(super) listing: Listing,
    /// Each with how long it is waited before, in milliseconds.
    pub(super) steps: Vec<(u64, Step)>,
    /// Bytes in each item beside what it needs.
    pub(super) padding: usize,
    pub(super) seed: u64,
    /// It begins at LATEST, after some changes that are not wanted, with the service's clock so many seconds ahead. From then on the clock
    /// goes on as it should: since when changes are wanted is a time of it.
    pub(super) latest: Option<i32>,
    /// Workers take records as a stream, and work on those that are current.
    pub(super) as_stream: bool,
    /// They ask before each step of their work whether a record still is. Those that don't show that the model would see it.
    pub(super) asks: bool,
    /// The stream answers as that of DynamoDB Local.
    pub(super) like_local: bool,
}

/// Indexes are taken modulo what there is.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// So many changes of a key.
    Put(u8, u8),
    Delete(u8),
    Split(u8),
    Roll(u8),
    /// A worker comes, up to three.
    Start,
    /// A worker's future is dropped.
    Crash(u8),
    /// A worker is asked to stop.
    Stop(u8),
    /// A worker's requests and answers stay on their way for so many milliseconds.
    Hold(u8, u64),
    /// A worker's connections are reset for so many milliseconds.
    Cut(u8, u64),
    /// The service's clock goes wrong by so many seconds.
    Skew(i32),
    /// All but so many records of a shard are trimmed.
    Trim(u8, usize),
    ExpireIterators,
    /// A shard stays out of listings for so many milliseconds.
    ListLate(u8, u64),
    /// Listings show nothing for so many milliseconds.
    ListNothing(u64),
    /// So many listings name another shard as a shard's parent.
    Misname(u8, u8, u32),
    /// Reading a shard takes so many milliseconds.
    Slow(u8, u64),
    /// The row of an open shard is deleted behind the workers' backs.
    DeleteRow(u8),
    /// A closed shard is gone with all its records.
    Vanish(u8),
    /// The stream is switched off and on again: it is another one then.
    Replace,
}

/// Times in milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) failover: u64,
    pub(super) request_timeout: u64,
    pub(super) poll: u64,
    pub(super) page_records: usize,
    pub(super) batch_records: usize,
    pub(super) batch_window: u64,
    pub(super) parallelism: usize,
    pub(super) checkpoint: u64,
    pub(super) drain: u64,
    pub(super) bisect: bool,
}

/// What handlers do, in percent of their calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Manners {
    pub(super) fail: u32,
    pub(super) partly: u32,
    pub(super) refuse: u32,
    pub(super) panic: u32,
    /// Never to end, until everything heals.
    pub(super) hang: u32,
    /// And up to so many milliseconds.
    pub(super) slow: (u32, u64),
    /// The work on a record of a stream has up to so many further steps, with up to so many milliseconds before each.
    pub(super) steps: (usize, u64),
}

/// What becomes of requests, in percent of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) throttle: u32,
    pub(super) error: u32,
    pub(super) error_after: u32,
    pub(super) close_before: u32,
    pub(super) close_after: u32,
    pub(super) never: u32,
    pub(super) never_after: u32,
    pub(super) garbage: u32,
    pub(super) delay: (u32, u64),
    pub(super) late: (u32, u64),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    /// How long children stay out of listings, in milliseconds.
    pub(super) late: u64,
    pub(super) inconsistent: Option<u64>,
    pub(super) describes: Option<usize>,
    pub(super) limit_readers: bool,
    /// How long records stay invisible, in milliseconds.
    pub(super) lag: u64,
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Case {
    /// Where nothing goes wrong but what the steps do.
    pub(super) fn plain(shards: usize, inconsistent: Option<u64>, steps: Vec<(u64, Step)>) -> Self {
        Self {
            shards,
            settings: Settings {
                failover: 2_000,
                request_timeout: 1_400,
                poll: 50,
                page_records: 1,
                batch_records: 1,
                batch_window: 0,
                parallelism: 1,
                checkpoint: 10,
                drain: 0,
                bisect: false,
            },
            manners: Manners::default(),
            faults: Faults::default(),
            listing: Listing {
                inconsistent,
                ..Listing::default()
            },
            steps,
            padding: 0,
            seed: 0,
            latest: None,
            as_stream: false,
            asks: true,
            like_local: false,
        }
    }
}

impl Settings {
    pub(super) fn of_source(&self) -> StreamsSettings {
        StreamsSettings::default()
            .failover(ms(self.failover))
            .request_timeout(ms(self.request_timeout))
            .poll(ms(self.poll))
            .idle_poll(ms(2_000))
            .idle_after(ms(1_000))
            .page_records(self.page_records)
            .batch_records(self.batch_records)
            .batch_window(ms(self.batch_window))
            .parallelism(self.parallelism)
            .checkpoint_interval(ms(self.checkpoint))
            .drain_timeout(ms(self.drain))
            .bisect(self.bisect)
            .discovery_interval(ms(10_000))
            .buffer_bytes(BUFFER)
            .retry(RetryPolicy::default().max_backoff(ms(2_000)))
            .on_gap(GapPolicy::Report)
    }
}

impl Faults {
    /// Strikes workers alone: the writes that make the changes are batches.
    pub(super) fn plan(&self, seed: u64) -> FaultPlan {
        let share = |percent: u32| f64::from(percent) / 100.0;
        FaultPlan::seeded(seed)
            .operations([
                Operation::DescribeStream,
                Operation::GetItem,
                Operation::GetRecords,
                Operation::GetShardIterator,
                Operation::PutItem,
                Operation::Scan,
                Operation::UpdateItem,
                Operation::DeleteItem,
            ])
            .throttle(share(self.throttle))
            .internal_error(share(self.error))
            .internal_error_after(share(self.error_after))
            .close_before(share(self.close_before))
            .close_after(share(self.close_after))
            .never(share(self.never))
            .never_after(share(self.never_after))
            .garbage(share(self.garbage))
            .delay(share(self.delay.0), ms(0)..=ms(self.delay.1))
            .apply_late(share(self.late.0), ms(0)..=ms(self.late.1))
    }
}

impl Listing {
    pub(super) fn set(&self, fake: &FaultyDynamoDb) {
        fake.list_children_late(TABLE, ms(self.late));
        fake.inconsistent_pages(TABLE, self.inconsistent);
        fake.limit_describe_stream(self.describes);
        fake.limit_readers(self.limit_readers);
        fake.stream_lag(TABLE, ms(self.lag));
    }
}
