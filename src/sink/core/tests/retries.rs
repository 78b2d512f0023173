//! The retry budget, and the use of its retries.

use super::access::{denied, run, unchanged};
use super::*;

fn connect_failed() -> ServiceError {
    error(ErrorClass::Transient, "ConnectFailed")
}

/// Returns a core whose retry budget saves up a few retries, and earns almost none.
fn core_with_few(rules: Rules, concurrency: usize, retries: u32) -> TestCore {
    let budget = RetryBudgetSettings::default();
    let budget = budget.ratio(0.0).min_per_second(1).burst(retries);
    core_with_retries(rules, concurrency, &budget)
}

/// Takes all retries that are saved up, and returns their number.
fn saved_up(core: &mut TestCore, now: Duration) -> u32 {
    let mut saved = 0;
    while core.retries.budget.withdraw(now) {
        saved += 1;
    }
    saved
}

fn fail_one(core: &mut TestCore, now: Duration, submission: Submission<u64>) {
    core.submit(now, submission);
    let request = core.next_request(now).expect("a batch");
    core.on_batch(now, request.id, Err(connect_failed()));
}

#[test]
fn each_retry_that_a_request_was_paid_with_is_given_back() {
    let mut core = core_with_few(rules(), 4, 3);
    for n in 0..3 {
        fail_one(&mut core, ms(u64::from(n)), put(n, u64::from(n)));
    }
    let again = core.next_request(ms(200)).expect("all three");
    assert_eq!(again.items, 3);
    all_written(&mut core, ms(200), &again);
    assert_eq!(saved_up(&mut core, ms(200)), 3);
}

#[test]
fn the_retry_of_a_write_that_was_replaced_is_given_back() {
    let rules = Rules {
        coalesce: true,
        ..rules()
    };
    let mut core = core_with_few(rules, 4, 1);
    fail_one(&mut core, ms(0), put(1, 1));
    core.submit(ms(1), put(1, 2));
    let newer = core.next_request(ms(200)).expect("the newer");
    all_written(&mut core, ms(200), &newer);
    assert_eq!(saved_up(&mut core, ms(200)), 1);
}

#[test]
fn a_retry_is_given_back_once() {
    let mut core = core_with_few(rules(), 4, 3);
    fail_one(&mut core, ms(0), put(1, 1));
    for (time, number) in [(200, 2), (600, 3), (1_000, 4)] {
        let now = ms(time);
        core.submit(now, put(u8::try_from(number).expect("small"), number));
        let again = core.next_request(now).expect("a batch");
        assert_eq!(again.items, 2);
        // The retry was paid. The next refusals are of capacity.
        if number == 2 {
            saved_up(&mut core, now);
        }
        let unprocessed = vec![key(1)];
        let outcome = BatchOutcome {
            unprocessed,
            consumed: None,
        };
        core.on_batch(now, again.id, Ok(outcome));
    }
    assert_eq!(saved_up(&mut core, ms(1_000)), 1);
}

#[test]
fn a_retry_that_was_not_used_is_given_back() {
    let rules = Rules {
        linger: ms(1_000),
        ..rules()
    };
    let mut core = core_with_few(rules, 2, 2);
    let late = Submission {
        deadline: Some(ms(300)),
        ..put(1, 1)
    };
    fail_one(&mut core, ms(0), late);
    core.submit(ms(1), put(2, 2));
    core.next_request(ms(1)).expect("a batch, under way");
    assert!(core.next_request(ms(200)).is_none(), "its batch may fill");
    assert!(core.next_request(ms(300)).is_none());
    assert!(matches!(
        settled(&mut core)[..],
        [Settled {
            outcome: Outcome::Rejected { .. },
            ..
        }]
    ));
    assert_eq!(saved_up(&mut core, ms(300)), 2);
}

#[test]
fn nothing_is_due_while_no_request_may_be_sent() {
    let mut core = core(rules(), 1);
    let unclear = || Err(error(ErrorClass::Refused, "BrandNew"));
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(2, 2));
    let pair = core.next_request(ms(0)).expect("a batch");
    core.on_batch(ms(1), pair.id, unclear());
    core.submit(ms(1), put(9, 9));
    let other = core.next_request(ms(1)).expect("a batch");
    all_written(&mut core, ms(2), &other);
    let due = core.wake_at().expect("a delay");
    fail_one(&mut core, due - ms(1), put(5, 5));
    let pair = core.next_request(due).expect("the two again");
    assert_eq!(pair.items, 2);
    core.on_batch(due, pair.id, unclear());
    let half = core.next_request(due).expect("one of the two");
    assert_eq!(half.items, 1);
    assert!(core.next_request(due + ms(500)).is_none());
    assert_eq!(core.wake_at(), None, "the answer is waited for");
    all_written(&mut core, due + ms(500), &half);
    for _ in 0..2 {
        let request = core.next_request(due + ms(500)).expect("the others");
        all_written(&mut core, due + ms(500), &request);
    }
    assert!(core.is_idle());
}

/// Runs a core whose service denies the keys below `denied_keys`, with a put of another key each
/// 100 ms, whose first attempt fails. Returns the longest time that one of those took, and those of
/// the others.
fn run_beside_denied(
    core: &mut TestCore,
    denied_keys: u8,
    rounds: u64,
) -> (Duration, Vec<Duration>) {
    let mut failed = HashSet::new();
    let mut longest = ms(0);
    let mut rejected = Vec::new();
    for n in 0..rounds {
        let now = ms(100 * n);
        let k = denied_keys + u8::try_from(n % 50).expect("small");
        core.submit(now, put(k, 10_000 + n));
        let answer = |_, request: &Request| {
            let writes = contents(request);
            let denied_key = |(key, _): &(String, _)| {
                let key: u8 = key[1..].parse().expect("a number");
                key < denied_keys
            };
            let fresh = |(_, number): &(String, Option<u64>)| {
                let number = number.expect("a put");
                number >= 10_000 && number % 2 == 0 && failed.insert(number)
            };
            if writes.iter().any(denied_key) {
                Some(denied())
            } else {
                writes.iter().any(fresh).then(connect_failed)
            }
        };
        run(core, now, now + ms(100), answer, unchanged);
        for settled in settled(core) {
            let took = now + ms(100) - settled.accepted_at;
            match settled.outcome {
                Outcome::Rejected { .. } => rejected.push(took),
                outcome => {
                    assert!(outcome.is_written(), "{outcome:?}");
                    // The grace is over by then.
                    if settled.accepted_at > ms(40_000) {
                        longest = longest.max(took);
                    }
                }
            }
        }
    }
    (longest, rejected)
}

#[test]
fn what_is_under_test_does_not_starve_the_retries_of_others() {
    let mut core = core(rules(), 4);
    for k in 0..100 {
        core.submit(ms(0), put(k, u64::from(k)));
    }
    let (longest, rejected) = run_beside_denied(&mut core, 100, 4_000);
    assert!(longest < ms(5_000), "{longest:?}");
    assert_eq!(rejected.len(), 100);
}

#[test]
fn all_writes_of_a_denied_key_are_found_by_the_evidence_against_the_first() {
    let mut core = core(rules(), 4);
    for n in 0..20 {
        core.submit(ms(0), put(0, n));
    }
    let (_, rejected) = run_beside_denied(&mut core, 1, 1_500);
    assert_eq!(rejected.len(), 20);
    let last = rejected.last().copied().expect("twenty");
    assert!(last < ms(120_000), "{last:?}");
}
