//! How a case is drawn.

use proptest::prelude::*;

use super::case::{Case, Faults, KEYS, Listing, Manners, Settings, Step};

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
        prop_oneof![1 => Just((0, 0)), 2 => (1..4_usize, 0..4_000_u64)],
    )
        .prop_map(|(fail, partly, refuse, panic, hang, slow, steps)| Manners {
            fail,
            partly,
            refuse,
            panic,
            hang,
            slow,
            steps,
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
        3 => any().prop_map(Step::Vanish),
        3 => any().prop_map(Step::DeleteRow),
        2 => Just(Step::Replace),
    ]
}

/// What a case may lose.
#[derive(Clone, Copy, Debug)]
enum Losses {
    None,
    /// Changes that are trimmed, or vanish with their shard.
    Data,
    /// Rows of leases.
    Rows,
    /// The stream, which another one replaces.
    Stream,
}

impl Losses {
    fn allow(self, step: &Step) -> bool {
        match step {
            Step::Trim(..) | Step::Vanish(_) => matches!(self, Self::Data),
            Step::DeleteRow(_) => matches!(self, Self::Rows),
            Step::Replace => matches!(self, Self::Stream),
            _ => true,
        }
    }
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let pause = prop_oneof![3 => Just(0), 3 => 0..700_u64, 2 => 0..6_000_u64];
    // Where data is lost, less can be said of what is not: most cases lose none.
    let losses = prop_oneof![
        8 => Just(Losses::None),
        4 => Just(Losses::Data),
        2 => Just(Losses::Rows),
        1 => Just(Losses::Stream),
    ];
    let steps =
        (losses, prop::collection::vec((pause, step()), 1..45)).prop_map(|(losses, mut steps)| {
            steps.retain(|(_, step)| losses.allow(step));
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
            prop::bool::weighted(0.15),
        ),
        steps,
    )
        .prop_map(
            |(shards, settings, manners, faults, listing, others, mut steps)| {
                let (padding, seed, latest, as_stream, like_local) = others;
                // DynamoDB Local trims by age, and so does the source judge there: what is trimmed young is not told from what never was.
                steps.retain(|(_, step)| !(like_local && matches!(step, Step::Trim(..))));
                Case {
                    shards,
                    settings,
                    manners,
                    faults,
                    listing,
                    steps,
                    padding,
                    seed,
                    latest,
                    as_stream,
                    asks: true,
                    like_local,
                }
            },
        )
}
