//! Verdicts on writes and tables, with a description or without.

use super::*;

#[test]
fn a_poisoned_record_waits_for_a_description_and_the_table_goes_on() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let poison = |_, request: &Request| {
        holds(request, 1).then(|| error(ErrorClass::Invalid, "ValidationException"))
    };
    let now = run(&mut core, ms(0), ms(600_000), poison, described_failed);
    assert!(
        core.failure().is_none(),
        "a description that fails says nothing"
    );
    assert!(settled(&mut core).is_empty(), "it waits");
    // A neighbor's success decides without any description.
    core.submit(now, put(2, 2));
    run(&mut core, now, now + ms(10_000), poison, described_failed);
    let outcomes = settled(&mut core);
    assert_eq!(outcomes.len(), 2);
    for settled in &outcomes {
        let is_bad = settled.completion == 1;
        assert_eq!(settled.outcome.is_written(), !is_bad, "{outcomes:?}");
    }
    assert!(core.is_idle());
    // The answer to one requested before is of no use, whatever its content.
    core.submit(now, put(3, 3));
    core.on_described(now, Described::KeysChanged(missing()));
    assert!(core.failure().is_none());
}

#[test]
fn what_was_refused_while_all_was_refused_is_sent_again_before_it_is_judged() {
    let end = ms(300_000);
    // The table is described again at the end, or a neighbor is written first.
    for neighbor in [false, true] {
        let mut core = core(rules(), 4);
        for n in 0..100 {
            core.submit(ms(0), put(n, u64::from(n)));
        }
        let answer = |now, request: &Request| {
            let bad = holds(request, 13);
            (now < end || bad).then(invalid)
        };
        let described = |now| {
            if now < end {
                Described::Failed(invalid())
            } else {
                Described::Unchanged
            }
        };
        run(&mut core, ms(0), end, answer, described);
        assert!(settled(&mut core).is_empty(), "nothing is judged meanwhile");
        assert_eq!(core.limited_by(end), Limit::Description);
        if neighbor {
            core.submit(end, put(200, 200));
            let request = core.next_request(end).expect("the neighbor");
            all_written(&mut core, end, &request);
        }
        run(&mut core, end, ms(900_000), answer, described);
        let settled = settled(&mut core);
        assert_eq!(settled.len(), 100 + usize::from(neighbor));
        let rejected = settled.iter().filter(|write| !write.outcome.is_written());
        let rejected: Vec<u64> = rejected.map(|write| write.completion).collect();
        assert_eq!(rejected, [13], "{neighbor}");
    }
}

#[test]
fn a_server_that_describes_no_table_does_not_keep_a_bad_write_for_ever() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let poison = |_, request: &Request| holds(request, 1).then(invalid);
    let mut neighbors = 0;
    while neighbors < 10 {
        let now = ms(60_000 * neighbors);
        run(&mut core, now, now + ms(60_000), poison, described_invalid);
        core.submit(now + ms(60_000), put(2, 100 + neighbors));
        neighbors += 1;
        if settled(&mut core).iter().any(|write| write.completion == 1) {
            break;
        }
    }
    assert!(
        neighbors <= 5,
        "{neighbors} neighbors are written meanwhile"
    );
}

/// Sends a bad record and good ones, by themselves or in batches, beside a moment in which all is
/// refused.
#[test]
fn no_length_of_a_blip_has_good_records_rejected() {
    for blip in (1..200).chain((200..2_000).step_by(40)) {
        let mut core = core(rules(), 4);
        for n in 0..60 {
            core.submit(ms(0), put(n, u64::from(n)));
        }
        core.submit(ms(0), single(WriteKind::Update, 200, 200, true));
        let end = ms(blip);
        let answer = |now, request: &Request| (now < end || holds(request, 13)).then(invalid);
        let described = |now| {
            if now < end {
                Described::Failed(invalid())
            } else {
                Described::Unchanged
            }
        };
        run(&mut core, ms(0), ms(300_000), answer, described);
        let settled = settled(&mut core);
        assert_eq!(settled.len(), 61);
        let rejected = settled.iter().filter(|write| !write.outcome.is_written());
        let rejected: Vec<u64> = rejected.map(|write| write.completion).collect();
        assert_eq!(rejected, [13], "{blip} ms");
    }
}

#[test]
fn a_proof_that_comes_while_a_refusal_is_under_way_condemns_nothing() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let first = core.next_request(ms(0)).expect("a batch");
    core.on_batch(ms(1), first.id, Err(invalid()));
    assert!(core.take_describe(ms(1)));
    core.on_described(ms(1), described_failed(ms(1)));
    let wake = core.wake_at().expect("it is tried again");
    let second = core.next_request(wake).expect("the same");
    core.submit(wake, put(2, 2));
    let other = core.next_request(wake).expect("another");
    all_written(&mut core, wake + ms(1), &other);
    // It was refused before the other passed.
    core.on_batch(wake + ms(2), second.id, Err(invalid()));
    assert_eq!(written(&mut core), [2]);
    run(
        &mut core,
        wake + ms(2),
        ms(60_000),
        |_, _: &Request| None,
        unchanged,
    );
    assert_eq!(written(&mut core), [1]);
}

#[test]
fn a_record_in_doubt_is_tried_again_though_no_description_is_to_be_had() {
    for described in [described_failed, described_invalid] {
        let mut core = core(rules(), 4);
        core.submit(ms(0), put(1, 1));
        core.submit(ms(0), put(1, 2));
        let answer = |now, _: &Request| (now < ms(1_000)).then(invalid);
        let now = run(&mut core, ms(0), ms(600_000), answer, described);
        assert_eq!(written(&mut core), [1, 2]);
        assert!(now < ms(30_000), "{now:?}");
    }
}

#[test]
fn a_table_that_takes_writes_is_not_gone_whatever_describes_it() {
    let mut core = core(rules(), 4);
    let mut requests = 0_u64;
    for n in 0..600 {
        let now = ms(1_000 * n);
        core.submit(now, put(u8::try_from(n % 200).expect("small"), n));
        let answer = |_, _: &Request| {
            requests += 1;
            (!requests.is_multiple_of(10)).then(missing)
        };
        run(&mut core, now, now + ms(1_000), answer, |_| {
            Described::Missing(missing())
        });
        assert!(core.failure().is_none(), "{n}");
    }
    // Nor one that refuses a bad record for its contents.
    let mut core = self::core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let poison = |_, _: &Request| Some(invalid());
    run(&mut core, ms(0), ms(300_000), poison, |_| {
        Described::Missing(missing())
    });
    assert!(core.failure().is_none());
}

#[test]
fn a_description_alone_convicts_no_table() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let unauthorized = || error(ErrorClass::Fatal, "HttpStatus");
    let down = || error(ErrorClass::Ambiguous, "ServiceUnavailable");
    let mut requests = 0;
    let answer = |now, _: &Request| {
        requests += 1;
        (now < ms(300_000)).then(|| {
            if requests == 1 {
                unauthorized()
            } else {
                down()
            }
        })
    };
    run(&mut core, ms(0), ms(400_000), answer, |_| {
        Described::Missing(missing())
    });
    assert_eq!(written(&mut core), [1]);
}

#[test]
fn a_description_decides_once_it_is_to_be_had() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let poison = |_, _: &Request| Some(error(ErrorClass::Invalid, "ValidationException"));
    let described = |now| {
        if now < ms(45_000) {
            Described::Failed(error(ErrorClass::Throttled, "ThrottlingException"))
        } else {
            Described::Unchanged
        }
    };
    run(&mut core, ms(0), ms(600_000), poison, described);
    assert!(matches!(
        settled(&mut core)[..],
        [Settled {
            outcome: Outcome::Rejected { .. },
            ..
        }]
    ));
}

#[test]
fn a_table_that_its_description_calls_missing_too_is_gone() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let answer = |_, _: &Request| Some(missing());
    let now = run(&mut core, ms(0), ms(300_000), answer, |_| {
        Described::Missing(missing())
    });
    assert!((ms(30_000)..ms(60_000)).contains(&now), "{now:?}");
    assert_eq!(
        core.failure().map(ServiceError::code),
        Some("ResourceNotFoundException")
    );

    // A table that is described continues, and so does one whose description fails.
    for described in [unchanged, described_failed] {
        let mut core = self::core(rules(), 4);
        core.submit(ms(0), put(1, 1));
        let answer = |now, _: &Request| (now < ms(200_000)).then(missing);
        run(&mut core, ms(0), ms(300_000), answer, described);
        assert_eq!(written(&mut core), [1]);
    }

    // Where nothing may be described, the refusals alone decide.
    let mut core = self::core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let now = run(&mut core, ms(0), ms(300_000), answer, described_denied);
    assert!((ms(30_000)..ms(60_000)).contains(&now), "{now:?}");
    assert!(core.failure().is_some());
}

#[test]
fn a_batch_that_waits_for_a_description_does_not_keep_an_action_open() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), single(WriteKind::Update, 2, 2, true));
    let answer = |_, request: &Request| {
        let update = request.operation == Operation::UpdateItem;
        Some(if update {
            denied()
        } else {
            error(ErrorClass::Invalid, "ValidationException")
        })
    };
    run(&mut core, ms(0), ms(60_000), answer, described_failed);
    assert!(core.isolation.awaits_description());
    assert_eq!(core.take_closed().len(), 1);
}
