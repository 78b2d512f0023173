use super::*;
use crate::retry::RetryPolicy;
use proptest::prelude::*;

fn rules(batch: usize, max_attempts: Option<u32>, bisect: bool) -> Rules {
    Rules {
        batch_records: batch,
        batch_window: Duration::ZERO,
        max_attempts,
        bisect,
        backoff: Backoff::new(&RetryPolicy::default()),
    }
}

fn rng() -> fastrand::Rng {
    fastrand::Rng::with_seed(7)
}

const LATE: Duration = Duration::from_secs(1_000_000);

#[test]
fn a_batch_waits_for_its_window_unless_it_is_full_or_nothing_more_comes() {
    let mut rules = rules(3, None, true);
    rules.batch_window = Duration::from_secs(5);
    let mut scheduler = Scheduler::new(1, rules);
    scheduler.push('a', 0, Duration::from_secs(1));
    assert_eq!(scheduler.due(), Some(Duration::from_secs(6)));
    assert!(scheduler.next_batch(Duration::from_secs(5)).is_none());
    scheduler.push('b', 0, Duration::from_secs(2));
    scheduler.push('c', 0, Duration::from_secs(2));
    scheduler.push('d', 0, Duration::from_secs(2));
    let (_, batch) = scheduler
        .next_batch(Duration::from_secs(2))
        .expect("it is full");
    assert_eq!(batch.records, ['a', 'b', 'c']);
    assert!(
        scheduler.next_batch(LATE).is_none(),
        "one batch of a group at a time"
    );
    scheduler.ended(0, batch, &Ending::Done, LATE, &mut rng());
    assert!(scheduler.next_batch(Duration::from_secs(3)).is_none());
    scheduler.flush(true);
    assert!(scheduler.next_batch(Duration::from_secs(3)).is_some());
}

#[test]
fn bisecting_finds_the_record_that_fails_and_counts_attempts_of_it_alone() {
    let mut scheduler = Scheduler::new(1, rules(8, Some(3), true));
    (0..8).for_each(|n| scheduler.push(n, 0, Duration::ZERO));
    let (mut handled, mut given_up, mut rounds) = (Vec::new(), Vec::new(), 0);
    while let Some((at, batch)) = scheduler.next_batch(LATE) {
        rounds += 1;
        let ending = if batch.records.contains(&5) {
            Ending::Retry { from: 0 }
        } else {
            Ending::Done
        };
        let after = scheduler.ended(at, batch, &ending, Duration::ZERO, &mut rng());
        handled.extend(after.done);
        if !after.given_up.is_empty() {
            assert_eq!(after.failures, 3);
            given_up.extend(after.given_up);
            scheduler.free(at);
        }
    }
    assert_eq!(handled, [0, 1, 2, 3, 4, 6, 7]);
    assert_eq!(given_up, [5]);
    assert_eq!(
        rounds,
        3 + 3 + 3,
        "splits, the failures of 5, the other batches"
    );
}

#[test]
fn without_bisecting_a_batch_is_given_up_whole() {
    let mut scheduler = Scheduler::new(1, rules(8, Some(2), false));
    (0..3).for_each(|n| scheduler.push(n, 0, Duration::ZERO));
    let (at, batch) = scheduler.next_batch(LATE).expect("a batch");
    let after = scheduler.ended(
        at,
        batch,
        &Ending::Retry { from: 0 },
        Duration::ZERO,
        &mut rng(),
    );
    assert_eq!(after.given_up, [0; 0]);
    assert!(
        scheduler.due().expect("again") > Duration::ZERO,
        "after a pause"
    );
    let (at, batch) = scheduler.next_batch(LATE).expect("again");
    let after = scheduler.ended(at, batch, &Ending::Retry { from: 0 }, LATE, &mut rng());
    assert_eq!(after.given_up, [0, 1, 2]);
    assert!(scheduler.is_busy(), "until the dead letters are taken");
    scheduler.free(at);
    assert!(!scheduler.is_busy());
}

#[test]
fn of_a_part_that_failed_only_the_rest_is_given_again() {
    let mut scheduler = Scheduler::new(1, rules(8, None, false));
    (0..5).for_each(|n| scheduler.push(n, 0, Duration::ZERO));
    let (at, batch) = scheduler.next_batch(LATE).expect("a batch");
    let after = scheduler.ended(at, batch, &Ending::Retry { from: 2 }, LATE, &mut rng());
    assert_eq!(after.done, [0, 1]);
    let (at, batch) = scheduler.next_batch(LATE * 2).expect("again");
    assert_eq!(batch.records, [2, 3, 4]);
    let after = scheduler.ended(at, batch, &Ending::Refused { at: 1 }, LATE, &mut rng());
    assert_eq!((after.done, after.given_up), (vec![2], vec![3]));
    scheduler.free(at);
    let (_, batch) = scheduler.next_batch(LATE * 3).expect("those not looked at");
    assert_eq!(batch.records, [4]);
}

proptest! {
    #[test]
    fn every_record_ends_once_and_each_keys_records_in_order(
        keys in proptest::collection::vec(0_u64..12, 1..200),
        groups in 1_usize..6, batch in 1_usize..9, bisect: bool, capped: bool, seed: u64,
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut state = Scheduler::new(groups, rules(batch, capped.then_some(2), bisect));
        for (n, key) in keys.iter().enumerate() {
            state.push((*key, n), *key, Duration::ZERO);
        }
        let mut out: Vec<(usize, ScheduledBatch<(u64, usize)>)> = Vec::new();
        let mut ended: Vec<(u64, usize)> = Vec::new();
        let mut now = Duration::ZERO;
        loop {
            now += Duration::from_secs(60);
            while let Some(next) = state.next_batch(now) {
                prop_assert!(next.1.records.len() <= batch);
                for (_, batch) in &out {
                    let same = batch.records.iter().any(|(k, _)| next.1.records.iter().any(|(n, _)| n == k));
                    prop_assert!(!same, "two batches lease one key");
                }
                out.push(next);
            }
            if out.is_empty() {
                break;
            }
            let (at, batch) = out.swap_remove(random.usize(..out.len()));
            let from = random.usize(..=batch.records.len());
            let ending = match random.u8(..4) {
                0 => Ending::Retry { from },
                1 => Ending::Refused { at: from },
                _ => Ending::Done,
            };
            let after = state.ended(at, batch, &ending, now, &mut random);
            ended.extend(after.done);
            if !after.given_up.is_empty() {
                ended.extend(after.given_up);
                state.free(at);
            }
        }
        prop_assert_eq!(ended.len(), keys.len());
        for key in 0..12 {
            let of_key: Vec<usize> = ended.iter().filter(|(k, _)| *k == key).map(|(_, n)| *n).collect();
            prop_assert!(of_key.is_sorted(), "{:?}", of_key);
        }
    }
}
