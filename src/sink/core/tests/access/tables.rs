//! Refusals, and the end of a table.

use super::*;

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
