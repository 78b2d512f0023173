//! Tests of the effect of the budgets of table, indexes and hot keys on the queue.

use super::*;
use crate::capacity::{CapacityConfig, Consumption, IndexKind, Rate, TableCapacity, Units};
use crate::item::IndexSet;
use crate::sink::cost::Cost;

/// Returns the core of a table with these write units, and indexes with these, without a search for
/// burst credit.
pub(super) fn indexed(table: u64, indexes: &[u64]) -> TestCore {
    with_budgets(rules(), 8, table, indexes)
}

/// Returns the same core with these rules and this concurrency.
pub(super) fn with_budgets(
    rules: Rules,
    concurrency: usize,
    table: u64,
    indexes: &[u64],
) -> TestCore {
    let retry = RetryPolicy::default();
    let config = CapacityConfig {
        rate: Rate::Adaptive,
        burst: false,
        share: 1.0,
        refresh: Duration::from_secs(30),
        opened: Duration::ZERO,
    };
    let units = indexes.iter().map(|units| Units::Provisioned(*units));
    let capacity = TableCapacity::new(Units::Provisioned(table), units.collect());
    let kind = |number| IndexKind {
        name: format!("index-{number}"),
        keys_only: false,
    };
    let kinds = (0..indexes.len()).map(kind).collect();
    Core::new(
        &Arc::from(TABLE),
        rules,
        ConcurrencyLimit::new(concurrency.into()),
        Budgets::new(ms(0), config, Some(capacity), kinds),
        Backoff::new(&retry),
        RetryBudget::new(retry.get_budget()),
        fastrand::Rng::with_seed(7),
    )
}

/// Returns a put of this size that enters these indexes.
pub(super) fn entering(key: u8, write: u64, size: usize, indexes: &[usize]) -> Submission<u64> {
    let mut set = IndexSet::default();
    for index in indexes {
        set.insert(*index);
    }
    Submission {
        cost: Cost::of_size(size, set),
        ..put(key, write)
    }
}

fn all_written(
    core: &mut TestCore,
    now: Duration,
    request: &Request,
    consumed: Option<Consumption>,
) {
    let outcome = BatchOutcome {
        unprocessed: Vec::new(),
        consumed,
    };
    core.on_batch(now, request.id, Ok(outcome));
    written(core);
}

#[test]
fn a_write_that_waits_for_an_index_alone_is_woken() {
    let mut core = indexed(1_000, &[250]);
    core.submit(ms(0), entering(1, 1, 100, &[0]));
    let mut now = ms(0);
    for _ in 0..10 {
        if core.next_request(now).is_some() {
            assert!(now < ms(60), "{now:?}");
            return;
        }
        let wake = core.wake_at().expect("something to wait for");
        now = wake.max(now + ms(1));
    }
    panic!("not sent");
}

#[test]
fn a_large_parked_write_is_not_starved_by_small_ones_that_are_not_parked() {
    let mut core = indexed(1_000, &[100]);
    core.submit(ms(1), entering(1, 1, 60 * 1024, &[0]));
    let (mut write, mut key) = (100, 2);
    for now in (1..5_000).map(ms) {
        while core.snapshot().len() < 150 {
            (write, key) = (write + 1, if key >= 250 { 2 } else { key + 1 });
            core.submit(now, entering(key, write, 100, &[]));
        }
        while let Some(request) = core.next_request(now) {
            let done = BatchOutcome {
                unprocessed: Vec::new(),
                consumed: None,
            };
            core.on_batch(now, request.id, Ok(done));
            if written(&mut core).contains(&1) {
                return;
            }
        }
    }
    panic!("not sent in five seconds");
}

#[test]
fn parts_of_a_unit_add_up() {
    // Each write costs its index 1.4 units.
    let mut core = indexed(100_000, &[1_000]);
    let (mut write, mut key, mut late) = (0, 0_u8, 0);
    for now in (1..10_000).map(ms) {
        while core.snapshot().len() < 200 {
            (write, key) = (write + 1, key.wrapping_add(1));
            core.submit(now, entering(key, write, 100, &[0]));
        }
        while let Some(request) = core.next_request(now) {
            let items = f64::from(u32::try_from(request.items).expect("few"));
            late += if now > ms(5_000) { request.items } else { 0 };
            let consumed = Consumption {
                table: items,
                indexes: vec![(0, items * 1.4)],
            };
            all_written(&mut core, now, &request, Some(consumed));
        }
    }
    assert!(
        (675..=755).contains(&(late / 5)),
        "{} a second of 714",
        late / 5
    );
}

#[test]
fn a_rate_that_is_cut_leaves_no_burst_of_the_old_one() {
    let mut core = indexed(40_000, &[]);
    core.submit(ms(5_000), put(1, 1));
    let request = core.next_request(ms(5_000)).expect("it is full");
    all_written(&mut core, ms(5_000), &request, None);
    core.set_rate(ms(6_000), Rate::Fixed(10));
    let mut units = 0;
    for round in 0..100 {
        let now = ms(6_000 + round);
        for key in 0..100 {
            core.submit(now, entering(key, round * 100 + u64::from(key), 1_000, &[]));
        }
        while let Some(request) = core.next_request(now) {
            units += request.items;
            all_written(&mut core, now, &request, None);
        }
    }
    assert!(units <= 30, "{units} in 100 ms at ten a second");
}
