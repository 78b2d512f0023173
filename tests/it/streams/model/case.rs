//! What a case is made of, and how it is drawn.

use std::time::Duration;

use dynamodb_connector::retry::RetryPolicy;
use dynamodb_connector::streams::{GapPolicy, StreamSettings};
use dynamodb_connector::test_util::{FaultPlan, FaultyDynamoDb, Operation};
use proptest::prelude::*;

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
}

/// Times in milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    failover: u64,
    request_timeout: u64,
    poll: u64,
    page_records: usize,
    batch_records: usize,
    batch_window: u64,
    parallelism: usize,
    checkpoint: u64,
    drain: u64,
    bisect: bool,
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
}

/// What becomes of requests, in percent of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    throttle: u32,
    error: u32,
    error_after: u32,
    close_before: u32,
    close_after: u32,
    never: u32,
    never_after: u32,
    garbage: u32,
    delay: (u32, u64),
    late: (u32, u64),
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
        }
    }
}

impl Settings {
    pub(super) fn of_source(&self) -> StreamSettings {
        StreamSettings::default()
            .failover(ms(self.failover))
            .request_timeout(ms(self.request_timeout))
            .poll(ms(self.poll))
            .idle_poll(ms(2_000))
            .idle_after(ms(3_000))
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

fn settings() -> impl Strategy<Value = Settings> {
    (
        (1_000..6_000_u64, 200..1_500_u64, 50..500_u64),
        prop_oneof![1..5_usize, Just(1_000)],
        prop_oneof![1..4_usize, Just(100)],
        prop_oneof![Just(0), 0..500_u64],
        prop_oneof![2 => Just(1), 1 => 2..4_usize],
        prop_oneof![Just(10), 10..3_000_u64],
        prop_oneof![Just(0), 0..5_000_u64],
        any::<bool>(),
    )
        .prop_map(
            |(
                (failover, request_timeout, poll),
                page_records,
                batch_records,
                batch_window,
                parallelism,
                checkpoint,
                drain,
                bisect,
            )| Settings {
                failover,
                request_timeout,
                poll,
                page_records,
                batch_records,
                batch_window,
                parallelism,
                checkpoint,
                drain,
                bisect,
            },
        )
}

/// Nothing more often than not.
fn percent(most: u32) -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(0), 1 => 0..=most]
}

fn manners() -> impl Strategy<Value = Manners> {
    (
        percent(30),
        percent(30),
        percent(20),
        percent(10),
        percent(10),
        (percent(100), 0..4_000_u64),
    )
        .prop_map(|(fail, partly, refuse, panic, hang, slow)| Manners {
            fail,
            partly,
            refuse,
            panic,
            hang,
            slow,
        })
}

fn faults() -> impl Strategy<Value = Faults> {
    let some = (
        (percent(20), percent(10), percent(10), percent(10)),
        (percent(10), percent(10), percent(10), percent(5)),
        (percent(50), 0..1_500_u64),
        (percent(20), 0..12_000_u64),
    )
        .prop_map(
            |(
                (throttle, error, error_after, close_before),
                (close_after, never, never_after, garbage),
                delay,
                late,
            )| Faults {
                throttle,
                error,
                error_after,
                close_before,
                close_after,
                never,
                never_after,
                garbage,
                delay,
                late,
            },
        );
    prop_oneof![1 => Just(Faults::default()), 2 => some]
}

fn listing() -> impl Strategy<Value = Listing> {
    (
        prop_oneof![2 => Just(0), 1 => 0..8_000_u64],
        prop::option::of(any::<u64>()),
        prop::option::weighted(0.3, 3..10_usize),
        any::<bool>(),
        prop_oneof![2 => Just(0), 1 => 0..1_500_u64],
    )
        .prop_map(
            |(late, inconsistent, describes, limit_readers, lag)| Listing {
                late,
                inconsistent,
                describes,
                limit_readers,
                lag,
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    let any = any::<u8>;
    prop_oneof![
        24 => (0..KEYS, 1..6_u8).prop_map(|(key, count)| Step::Put(key, count)),
        5 => (0..KEYS).prop_map(Step::Delete),
        3 => any().prop_map(Step::Split),
        3 => any().prop_map(Step::Roll),
        6 => Just(Step::Start),
        3 => any().prop_map(Step::Crash),
        3 => any().prop_map(Step::Stop),
        5 => (any(), 500..12_000_u64).prop_map(|(worker, time)| Step::Hold(worker, time)),
        2 => (any(), 500..12_000_u64).prop_map(|(worker, time)| Step::Cut(worker, time)),
        2 => (-40_000..40_000_i32).prop_map(Step::Skew),
        3 => (any(), 0..8_000_u64).prop_map(|(shard, late)| Step::ListLate(shard, late)),
        1 => (0..4_000_u64).prop_map(Step::ListNothing),
        2 => (any(), any(), 1..3_u32).prop_map(|(shard, parent, times)| Step::Misname(shard, parent, times)),
        2 => Just(Step::ExpireIterators),
        2 => (any(), 0..2_000_u64).prop_map(|(shard, time)| Step::Slow(shard, time)),
        4 => (any(), 0..3_usize).prop_map(|(shard, keep)| Step::Trim(shard, keep)),
    ]
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let pause = prop_oneof![3 => Just(0), 3 => 0..700_u64, 2 => 0..6_000_u64];
    // Where data is lost, less can be said of what is not: most cases lose none.
    let steps = (
        prop::bool::weighted(0.25),
        prop::collection::vec((pause, step()), 1..45),
    )
        .prop_map(|(trims, mut steps)| {
            steps.retain(|(_, step)| trims || !matches!(step, Step::Trim(..)));
            steps
        });
    (
        1..4_usize,
        settings(),
        manners(),
        faults(),
        listing(),
        (
            // Large ones fill the buffer.
            prop_oneof![9 => Just(0), 1 => 20_000..60_000_usize],
            any::<u64>(),
            prop::option::weighted(0.3, -40_000..40_000_i32),
            prop::bool::weighted(0.3),
        ),
        steps,
    )
        .prop_map(
            |(shards, settings, manners, faults, listing, others, steps)| Case {
                shards,
                settings,
                manners,
                faults,
                listing,
                steps,
                padding: others.0,
                seed: others.1,
                latest: others.2,
                as_stream: others.3,
            },
        )
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
