//! The moments at which a table is described.

use super::*;

#[test]
fn a_server_that_refuses_to_say_what_is_consumed_is_not_asked_again() {
    let rules = Rules {
        consumed_capacity: true,
        ..rules()
    };
    let mut core = core(rules, 4);
    for n in 0..60 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    core.submit(ms(0), single(WriteKind::Put, 100, 100, true));
    let asks = |request: &Request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        body.contains("ReturnConsumedCapacity")
    };
    let answer = |_, request: &Request| {
        asks(request).then(|| error(ErrorClass::Invalid, "ValidationException"))
    };
    let now = run(&mut core, ms(0), ms(60_000), answer, unchanged);
    assert_eq!(written(&mut core).len(), 61);
    core.submit(now, put(1, 200));
    let request = core.next_request(now).expect("a batch");
    assert!(!asks(&request), "it is remembered");
    all_written(&mut core, now, &request);

    // Where it was answered once, a refusal is about the record.
    let mut core = self::core(
        Rules {
            consumed_capacity: true,
            ..self::rules()
        },
        4,
    );
    core.submit(ms(0), put(1, 1));
    run(
        &mut core,
        ms(0),
        ms(1_000),
        |_, _: &Request| None,
        unchanged,
    );
    core.submit(ms(1_000), put(2, 2));
    run(&mut core, ms(1_000), ms(60_000), answer, unchanged);
    let outcomes = settled(&mut core);
    assert!(
        matches!(outcomes[1].outcome, Outcome::Rejected { .. }),
        "{outcomes:?}"
    );
}

#[test]
fn only_descriptions_that_follow_each_other_call_a_table_missing() {
    for (second, between) in [(1, described_failed(ms(0))), (21, Described::Unchanged)] {
        let mut core = core(rules(), 4);
        core.submit(ms(0), put(1, 1));
        let request = core.next_request(ms(0)).expect("a batch");
        core.on_batch(ms(0), request.id, Err(missing()));
        let calls_missing = |core: &mut TestCore, second: u64| {
            core.on_described(ms(1_000 * second), Described::Missing(missing()));
            core.failure().is_some()
        };
        assert!(!calls_missing(&mut core, 0));
        assert!(second == 1 || !calls_missing(&mut core, 20));
        core.on_described(ms(1_000 * second), between);
        for second in [40, 41, 42] {
            assert!(!calls_missing(&mut core, second), "{second}");
        }
        assert!(calls_missing(&mut core, 71));
    }
}

#[test]
fn a_table_that_may_be_described_again_does_not_fail_by_refusals_alone() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let answer = |now, _: &Request| (now < ms(200_000)).then(missing);
    run(&mut core, ms(0), ms(300_000), answer, |now| {
        if now < ms(10_000) {
            Described::Denied
        } else {
            Described::Unchanged
        }
    });
    assert_eq!(written(&mut core), [1]);
}

#[test]
fn a_table_that_failed_is_not_described() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let request = core.next_request(ms(0)).expect("a batch");
    core.on_batch(ms(0), request.id, Err(missing()));
    assert!(core.is_unproven());
    core.fail(ms(1), denied());
    core.fail(ms(1), missing());
    assert!(!core.take_describe(ms(60_000)));
    let first = core.failure().map(ServiceError::code);
    assert_eq!(
        first,
        Some("AccessDeniedException"),
        "the first is the cause"
    );
}

#[test]
fn descriptions_are_half_a_second_apart_and_further_while_they_fail() {
    let mut core = core(rules(), 4);
    let refuse_next = |core: &mut TestCore, now: Duration| {
        let request = core.next_request(now).expect("a call");
        core.on_call(now, request.id, Err(invalid()));
    };
    let refuse = |core: &mut TestCore, now: Duration, k: u8| {
        core.submit(now, single(WriteKind::Update, k, 1, true));
        refuse_next(core, now);
    };
    refuse(&mut core, ms(0), 1);
    assert!(core.take_describe(ms(0)));
    core.on_described(ms(1), Described::Unchanged);
    refuse_next(&mut core, ms(1));
    refuse(&mut core, ms(2), 2);
    assert!(!core.take_describe(ms(500)));
    assert!(core.take_describe(ms(501)));
    refuse(&mut core, ms(502), 3);
    core.on_described(ms(503), Described::Unchanged);
    refuse_next(&mut core, ms(503));
    assert!(!core.take_describe(ms(1_002)));
    assert!(core.take_describe(ms(1_003)));
    core.on_described(ms(1_004), Described::Unchanged);
    refuse_next(&mut core, ms(1_004));
    assert!(core.is_idle());

    core.submit(ms(10_000), put(1, 1));
    let answer = |_, _: &Request| Some(invalid());
    let mut descriptions = 0;
    run(&mut core, ms(10_000), ms(610_000), answer, |now| {
        descriptions += 1;
        described_failed(now)
    });
    assert!((60..200).contains(&descriptions), "{descriptions}");
}

#[test]
fn a_description_that_decides_does_not_delay_later_ones() {
    let mut core = core(rules(), 4);
    let answer = |_, _: &Request| Some(invalid());
    for n in 0..30 {
        let now = ms(1_000 * n);
        core.submit(now, put(1, n));
        run(&mut core, now, now + ms(1_000), answer, unchanged);
        assert_eq!(settled(&mut core).len(), 1, "{n}");
    }
}

#[test]
fn what_was_refused_for_what_is_not_asked_any_more_is_judged_anew() {
    let rules = Rules {
        consumed_capacity: true,
        ..rules()
    };
    let mut core = core(rules, 4);
    for n in 1..=4 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let answer = |_, request: &Request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let asks = body.contains("ReturnConsumedCapacity");
        (asks || holds(request, 1)).then(invalid)
    };
    // Another write is under test when the batch is half decided.
    core.submit(ms(0), single(WriteKind::Update, 9, 9, true));
    let requests = [(); 2].map(|()| core.next_request(ms(0)).expect("a batch and a call"));
    for request in requests {
        if request.operation == Operation::BatchWriteItem {
            core.on_batch(ms(0), request.id, Err(invalid()));
        } else {
            core.on_call(ms(0), request.id, Err(invalid()));
        }
    }
    for _ in 0..3 {
        let part = core.next_request(ms(1)).expect("a part");
        core.on_batch(ms(1), part.id, Err(invalid()));
    }
    assert!(core.take_describe(ms(1)));
    core.on_described(ms(2), Described::Unchanged);
    run(&mut core, ms(2), ms(60_000), answer, unchanged);
    let outcomes = settled(&mut core);
    assert_eq!(outcomes.len(), 5);
    for settled in outcomes {
        assert_eq!(settled.outcome.is_written(), settled.completion != 1);
    }
}
