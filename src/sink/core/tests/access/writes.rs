//! Writes and keys that are refused beside others.

use super::*;

#[test]
fn one_tenants_key_that_is_denied_is_one_records_fault() {
    let mut core = core(rules(), 4);
    let mut now = ms(0);
    let mut next = 0_u64;
    let mut rejected = Vec::new();
    let mut written = 0;
    let mut requests = 0;
    for _ in 0..2_000 {
        for _ in 0..10 {
            core.submit(now, put(u8::try_from(next % 250).expect("small"), next));
            next += 1;
        }
        let until = now + ms(100);
        // One in a thousand is another tenant's, all of one key. One request in fifty is throttled.
        let answer = |_, request: &Request| {
            requests += 1;
            let foreign = contents(request)
                .iter()
                .any(|(_, n)| n.is_some_and(|n| n % 1_000 == 77));
            if requests % 50 == 0 {
                return Some(error(ErrorClass::Throttled, "ThrottlingException"));
            }
            foreign.then(denied)
        };
        run(&mut core, now, until, answer, unchanged);
        now = until;
        for settled in settled(&mut core) {
            match settled.outcome {
                Outcome::Rejected { .. } => rejected.push(settled.completion),
                outcome => {
                    assert!(outcome.is_written(), "{outcome:?}");
                    written += 1;
                }
            }
        }
    }
    assert!(core.failure().is_none());
    assert!(
        rejected.len() >= 4 && rejected.iter().all(|n| n % 1_000 == 77),
        "{rejected:?}"
    );
    assert!(written >= 19_700, "{written}");
}

#[test]
fn a_denied_key_is_found_beside_conditions_that_do_not_hold() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), single(WriteKind::Put, 0, 0, true));
    let mut rejected = Vec::new();
    for n in 1..1_200_u64 {
        let now = ms(100 * n);
        let k = u8::try_from(1 + n % 200).expect("small");
        core.submit(now, single(WriteKind::Put, k, n, true));
        let answer = |_, request: &Request| {
            let condition = || {
                let code = "ConditionalCheckFailedException";
                error(ErrorClass::Permanent, code)
            };
            Some(if holds(request, 0) {
                denied()
            } else {
                condition()
            })
        };
        run(&mut core, now, now + ms(100), answer, unchanged);
        for settled in settled(&mut core) {
            match settled.outcome {
                Outcome::Rejected { .. } => rejected.push(settled.completion),
                outcome => assert!(matches!(outcome, Outcome::ConditionFailed { .. })),
            }
        }
    }
    assert_eq!(rejected, [0]);
}

/// Runs a core with a put of another key each 100 ms. Returns the numbers of the writes that
/// failed.
fn run_beside_others(
    core: &mut TestCore,
    until: Duration,
    answer: impl Fn(Duration, &Request) -> Option<ServiceError> + Copy,
) -> Vec<u64> {
    let mut failed = Vec::new();
    let mut now = ms(0);
    let mut next = 0_u64;
    while now < until {
        let k = u8::try_from(1 + next % 200).expect("small");
        core.submit(now, put(k, 10_000 + next));
        run(core, now, now + ms(100), answer, unchanged);
        next += 1;
        now += ms(100);
        let others = settled(core).into_iter();
        let others = others.filter(|settled| !settled.outcome.is_written());
        failed.extend(others.map(|settled| settled.completion));
    }
    failed
}

#[test]
fn a_write_of_a_key_that_passed_meanwhile_has_its_own_grace() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(0, 0));
    core.submit(ms(0), put(0, 1));
    let answer = |now, request: &Request| {
        let first = holds(request, 0) && now < ms(58_000);
        let second = holds(request, 1) && now < ms(80_000);
        (first || second).then(denied)
    };
    let failed = run_beside_others(&mut core, ms(110_000), answer);
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_write_is_not_rejected_for_what_was_unclear_about_the_one_before() {
    let mut core = core(rules(), 4);
    let first = Submission {
        deadline: Some(ms(28_000)),
        ..put(0, 0)
    };
    core.submit(ms(0), first);
    core.submit(ms(0), put(0, 1));
    let answer = |now, request: &Request| {
        let bad = holds(request, 0) || (holds(request, 1) && now < ms(50_000));
        bad.then(|| error(ErrorClass::Refused, "BrandNew"))
    };
    let failed = run_beside_others(&mut core, ms(80_000), answer);
    assert_eq!(failed, [0], "for its deadline");
}
