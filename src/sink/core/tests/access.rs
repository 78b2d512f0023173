//! Refusals that no record causes.

use super::*;
use crate::sink::core::description::Described;

/// Runs a core until `until`, or until it is idle. `answer` gives the error of a request, or none
/// where it is carried out; `described` gives the answer of each description.
pub(super) fn run(
    core: &mut TestCore,
    mut now: Duration,
    until: Duration,
    mut answer: impl FnMut(Duration, &Request) -> Option<ServiceError>,
    mut described: impl FnMut(Duration) -> Described,
) -> Duration {
    while now < until && !core.is_idle() {
        if core.take_describe(now) {
            core.on_described(now, described(now));
            continue;
        }
        let Some(request) = core.next_request(now) else {
            let Some(wake) = core.wake_at() else {
                assert!(core.is_idle(), "it waits for a time");
                break;
            };
            now = wake.max(now + ms(1));
            continue;
        };
        now += ms(1);
        match answer(now, &request) {
            None => all_written(core, now, &request),
            Some(error) if request.operation == Operation::BatchWriteItem => {
                core.on_batch(now, request.id, Err(error));
            }
            Some(error) => core.on_call(now, request.id, Err(error)),
        }
    }
    now
}

pub(super) fn unchanged(_: Duration) -> Described {
    Described::Unchanged
}

pub(super) fn invalid() -> ServiceError {
    error(ErrorClass::Invalid, "ValidationException")
}

pub(super) fn missing() -> ServiceError {
    error(ErrorClass::Fatal, "ResourceNotFoundException")
}

pub(super) fn denied() -> ServiceError {
    error(ErrorClass::Fatal, "AccessDeniedException")
}

pub(super) fn holds(request: &Request, number: u64) -> bool {
    contents(request)
        .iter()
        .any(|(_, found)| *found == Some(number))
}

#[test]
fn a_blip_of_any_refusal_costs_nothing() {
    for code in [
        "UnrecognizedClientException",
        "ResourceNotFoundException",
        "InvalidSignatureException",
        "AccessDeniedException",
        "UnknownOperationException",
        "HttpStatus",
    ] {
        let mut core = core(rules(), 4);
        for n in 0..100 {
            core.submit(ms(0), put(n, u64::from(n)));
        }
        let end = ms(29_000);
        let answer = |now, _: &Request| (now < end).then(|| error(ErrorClass::Fatal, code));
        run(&mut core, ms(0), ms(120_000), answer, |_| {
            Described::Missing(missing())
        });
        assert_eq!(written(&mut core).len(), 100, "{code}");
    }
}

#[test]
fn an_unknown_code_that_hits_all_alike_rejects_nothing() {
    for (code, lasts) in [
        ("ReplicaUnavailableException", 1_000),
        ("BrandNew", 300_000),
    ] {
        let mut core = core(rules(), 4);
        for n in 0..100 {
            core.submit(ms(0), put(n, u64::from(n)));
        }
        core.submit(ms(0), single(WriteKind::Update, 200, 200, true));
        let answer = |now, _: &Request| (now < ms(lasts)).then(|| error(ErrorClass::Refused, code));
        run(&mut core, ms(0), ms(900_000), answer, unchanged);
        assert_eq!(written(&mut core).len(), 101, "{code}");
    }
}

#[test]
fn a_record_that_an_unknown_code_refuses_is_rejected_beside_neighbors_that_pass() {
    let mut core = core(rules(), 4);
    let bad = 13;
    let mut now = ms(0);
    let mut next = 0_u64;
    for _ in 0..1_000 {
        for _ in 0..10 {
            core.submit(now, put(u8::try_from(next % 250).expect("small"), next));
            next += 1;
        }
        let until = now + ms(50);
        let answer = |_, request: &Request| {
            holds(request, bad).then(|| error(ErrorClass::Refused, "BrandNew"))
        };
        run(&mut core, now, until, answer, unchanged);
        now = until;
    }
    let answer = |_, _: &Request| None;
    run(&mut core, now, now + ms(100_000), answer, unchanged);
    let mut rejected = Vec::new();
    for settled in settled(&mut core) {
        if let Outcome::Rejected { .. } = settled.outcome {
            rejected.push(settled.completion);
        } else {
            assert!(settled.outcome.is_written());
        }
    }
    assert_eq!(rejected, [bad]);
}

#[test]
fn a_gateway_that_answers_429_lets_nothing_in() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let mut requests = 0;
    let answer = |_, _: &Request| {
        requests += 1;
        Some(if requests % 5 == 0 {
            error(ErrorClass::Throttled, "HttpStatus")
        } else {
            error(ErrorClass::Fatal, "UnrecognizedClientException")
        })
    };
    let now = run(&mut core, ms(0), ms(600_000), answer, unchanged);
    assert!(core.failure().is_some());
    assert!(now < ms(120_000), "{now:?}");
}

#[test]
fn an_action_that_is_denied_closes_itself_and_not_the_table() {
    let mut core = core(rules(), 4);
    let mut now = ms(0);
    let mut back = Vec::new();
    for n in 0..200_u8 {
        core.submit(now, put(n, u64::from(n)));
        core.submit(
            now,
            single(WriteKind::Update, n, 1_000 + u64::from(n), true),
        );
        let until = now + ms(500);
        let answer =
            |_, request: &Request| (request.operation == Operation::UpdateItem).then(denied);
        run(&mut core, now, until, answer, unchanged);
        now = until;
        for settled in settled(&mut core) {
            match settled.outcome {
                Outcome::Unwritten {
                    cause,
                    may_have_applied,
                    ..
                } => {
                    assert_eq!(cause.expect("a cause").code(), "AccessDeniedException");
                    assert!(!may_have_applied && settled.completion >= 1_000);
                    back.push((now, settled.completion));
                }
                outcome => assert!(outcome.is_written() && settled.completion < 1_000),
            }
        }
    }
    assert!(core.failure().is_none());
    assert!(back.len() >= 150, "{}", back.len());
    assert!(back[0].0 >= ms(30_000), "not before the grace is over");
    // Allowed again, it is found to be after a while.
    for n in 0..100_u8 {
        core.submit(
            now,
            single(WriteKind::Update, n, 2_000 + u64::from(n), true),
        );
        let until = now + ms(500);
        run(&mut core, now, until, |_, _: &Request| None, unchanged);
        now = until;
    }
    let written = settled(&mut core)
        .iter()
        .filter(|s| s.outcome.is_written())
        .count();
    assert!(written >= 35, "{written}");
}

#[test]
fn actions_that_are_closed_together_are_all_reported() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), single(WriteKind::Update, 1, 1, true));
    core.submit(ms(0), single(WriteKind::Put, 2, 2, true));
    let answer = |_, _: &Request| Some(denied());
    run(&mut core, ms(0), ms(60_000), answer, unchanged);
    let closed = core.take_closed();
    let mut closed: Vec<&str> = closed.iter().map(|(action, _)| action.name()).collect();
    closed.sort_unstable();
    assert_eq!(closed, ["PutItem", "UpdateItem"]);
    assert!(core.take_closed().is_empty());
}

#[test]
fn a_closed_action_leaves_one_going_that_is_used_rarely() {
    let mut core = core(rules(), 4);
    let answer =
        |_, request: &Request| (request.operation == Operation::BatchWriteItem).then(denied);
    core.submit(ms(0), put(1, 1));
    for minute in 0..10 {
        let now = ms(60_000 * minute);
        core.submit(now, single(WriteKind::Update, 2, 1_000 + minute, true));
        run(&mut core, now, now + ms(59_000), answer, unchanged);
        // Where it is closed, this one tries it.
        core.submit(now + ms(59_000), put(1, minute));
        run(
            &mut core,
            now + ms(59_000),
            now + ms(60_000),
            answer,
            unchanged,
        );
        assert!(core.failure().is_none(), "{minute}");
    }
}

#[test]
fn refusals_end_the_table_of_a_serial_user_too() {
    let credentials = || {
        let mut expired = Failure::new(ErrorClass::Transient, "ExpiredTokenException");
        expired.credentials = true;
        expired.into()
    };
    let refusals: [&dyn Fn() -> ServiceError; 3] = [
        &credentials,
        &|| error(ErrorClass::Fatal, "UnrecognizedClientException"),
        &missing,
    ];
    for refusal in refusals {
        for (deadline, max_attempts) in [(Some(ms(5_000)), None), (None, Some(1))] {
            let mut core = core(
                Rules {
                    max_attempts,
                    ..rules()
                },
                4,
            );
            let mut now = ms(0);
            for n in 0..60 {
                let submission = Submission {
                    deadline,
                    ..put(1, n)
                };
                core.submit(now, submission);
                let answer = |_, _: &Request| Some(refusal());
                let described = |_| Described::Missing(missing());
                now = run(&mut core, now, now + ms(10_000), answer, described);
                if core.take_describe(now) {
                    core.on_described(now, described(now));
                }
                if core.failure().is_some() {
                    break;
                }
                now += ms(1_000);
            }
            assert!(core.failure().is_some(), "{}", refusal().code());
            assert!((ms(30_000)..ms(60_000)).contains(&now), "{now:?}");
        }
    }
}

#[test]
fn a_table_whose_only_action_is_denied_fails() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let now = run(
        &mut core,
        ms(0),
        ms(300_000),
        |_, _: &Request| Some(denied()),
        unchanged,
    );
    assert!((ms(30_000)..ms(60_000)).contains(&now), "{now:?}");
    assert_eq!(
        core.failure().map(ServiceError::code),
        Some("AccessDeniedException")
    );
}

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

#[test]
fn a_table_whose_batches_are_all_denied_fails() {
    let mut core = core(rules(), 4);
    for n in 0..8 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let answer = |_, _: &Request| Some(denied());
    let now = run(&mut core, ms(0), ms(300_000), answer, unchanged);
    assert!((ms(30_000)..ms(120_000)).contains(&now), "{now:?}");
    assert!(core.failure().is_some());
}

#[test]
fn denied_keys_in_both_halves_of_a_batch_do_not_fail_the_table() {
    let mut core = core(rules(), 4);
    for n in 0..4 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let answer = |_, request: &Request| (holds(request, 0) || holds(request, 2)).then(denied);
    run(&mut core, ms(0), ms(45_000), answer, unchanged);
    assert!(core.failure().is_none());
    let mut passed = written(&mut core);
    passed.sort_unstable();
    assert_eq!(passed, [1, 3]);
}

#[test]
fn an_action_that_stays_closed_is_reported_once() {
    let mut core = core(rules(), 4);
    let answer = |_, _: &Request| Some(denied());
    for minute in 0..5 {
        let now = ms(60_000 * minute);
        core.submit(now, single(WriteKind::Update, 1, minute, true));
        run(&mut core, now, now + ms(60_000), answer, unchanged);
    }
    assert_eq!(settled(&mut core).len(), 5);
    assert_eq!(core.take_closed().len(), 1);
}

#[test]
fn what_waits_of_an_action_is_handed_back_when_it_is_closed() {
    let mut core = core(rules(), 1);
    for n in 0..5 {
        core.submit(ms(0), single(WriteKind::Update, n, u64::from(n), true));
    }
    let mut now = ms(0);
    while core.take_closed().is_empty() {
        let answer = |_, _: &Request| Some(denied());
        now = run(&mut core, now, now + ms(1), answer, unchanged);
        assert!(now < ms(60_000));
    }
    let back: Vec<u64> = settled(&mut core).iter().map(|s| s.completion).collect();
    assert_eq!(back.len(), 5);
    assert!(back[1..].is_sorted(), "{back:?}");
}

#[test]
fn an_answer_under_way_decides_though_its_action_is_closed_meanwhile() {
    let mut core = core(rules(), 4);
    let first = Submission {
        deadline: Some(ms(300_000)),
        ..single(WriteKind::Update, 1, 1, true)
    };
    core.submit(ms(0), first);
    let under_way = core.next_request(ms(0)).expect("a call");
    core.submit(ms(0), single(WriteKind::Update, 2, 2, true));
    let answer = |_, _: &Request| Some(denied());
    run(&mut core, ms(0), ms(60_000), answer, unchanged);
    assert_eq!(core.take_closed().len(), 1);
    let back: Vec<u64> = settled(&mut core).iter().map(|s| s.completion).collect();
    assert_eq!(back, [2]);
    all_written(&mut core, ms(60_000), &under_way);
    assert_eq!(written(&mut core), [1]);
}

#[test]
fn what_is_handed_back_may_have_been_applied_by_an_earlier_attempt() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let mut answers = vec![
        error(ErrorClass::Fatal, "ClientMisconfigured"),
        error(ErrorClass::Ambiguous, "AttemptTimeout"),
    ];
    let answer = |_, _: &Request| answers.pop();
    run(&mut core, ms(0), ms(60_000), answer, unchanged);
    assert!(matches!(
        settled(&mut core)[..],
        [Settled {
            outcome: Outcome::Unwritten {
                may_have_applied: true,
                ..
            },
            ..
        }]
    ));
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
