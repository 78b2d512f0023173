//! Actions that are closed.

use super::*;

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
