//! Writes that are sent again, and writes that are not.

use super::*;

#[test]
fn a_retryable_error_sends_every_write_again() {
    let mut core = core(rules(), 4);
    for n in 1..=3 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let request = core.next_request(ms(0)).expect("a batch");
    core.on_batch(
        ms(1),
        request.id,
        Err(error(ErrorClass::Transient, "ConnectFailed")),
    );
    let at = core.wake_at().expect("a delay");
    let again = core.next_request(at).expect("again");
    assert_eq!(contents(&again), contents(&request));
    assert_eq!(again.attempt, 2);
}

#[test]
fn an_answer_that_names_strangers_is_not_trusted() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let request = core.next_request(ms(0)).expect("a batch");
    core.on_batch(
        ms(1),
        request.id,
        Ok(BatchOutcome {
            unprocessed: vec![key(9)],
            consumed: None,
        }),
    );
    assert!(settled(&mut core).is_empty());
    let at = core.wake_at().expect("a delay");
    assert_eq!(
        contents(&core.next_request(at).expect("again")),
        contents(&request)
    );
}

#[test]
fn a_late_answer_after_an_abort_is_ignored() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(1, 2));
    let request = core.next_request(ms(0)).expect("a batch");
    core.abort(ms(1));
    let outcomes: Vec<(u64, bool)> = settled(&mut core)
        .into_iter()
        .map(|settled| match settled.outcome {
            Outcome::Unwritten {
                may_have_applied,
                record: Some(_),
                ..
            } => (settled.completion, may_have_applied),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(outcomes, [(1, true), (2, false)]);
    all_written(&mut core, ms(2), &request);
    assert!(settled(&mut core).is_empty());
    assert!(core.is_idle());
}

#[test]
fn an_update_that_is_not_idempotent_is_never_sent_twice() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), single(WriteKind::Update, 1, 1, false));
    core.submit(ms(0), put(1, 2));
    let request = core.next_request(ms(0)).expect("the update");
    core.on_call(
        ms(1),
        request.id,
        Err(error(ErrorClass::Ambiguous, "AttemptTimeout")),
    );
    let outcomes = settled(&mut core);
    assert!(matches!(
        outcomes[..],
        [Settled {
            outcome: Outcome::Unknown { .. },
            ..
        }]
    ));
    let next = core.next_request(ms(1)).expect("its successor goes on");
    assert_eq!(contents(&next), [("k1".to_owned(), Some(2))]);
}

#[test]
fn one_that_was_certainly_not_applied_is() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), single(WriteKind::Update, 1, 1, false));
    let request = core.next_request(ms(0)).expect("the update");
    core.on_call(
        ms(1),
        request.id,
        Err(error(ErrorClass::Transient, "ConnectFailed")),
    );
    let at = core.wake_at().expect("a delay");
    assert!(core.next_request(at).is_some());
}

#[test]
fn a_transaction_is_sent_again_with_its_token_until_the_token_lapses() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), transaction(&[1, 2], 1));
    let mut now = ms(0);
    let mut sendings = 0;
    loop {
        let Some(request) = core.next_request(now) else {
            match core.wake_at() {
                Some(at) => now = at,
                None => break,
            }
            continue;
        };
        sendings += 1;
        let body = String::from_utf8_lossy(&request.body).into_owned();
        assert!(body.contains("\"ClientRequestToken\":\"t1\""), "{body}");
        now += ms(1_000);
        core.on_call(
            now,
            request.id,
            Err(error(ErrorClass::Ambiguous, "AttemptTimeout")),
        );
    }
    assert!(sendings > 10);
    assert!(now >= crate::sink::payload::TOKEN_LIFETIME);
    assert!(matches!(
        settled(&mut core)[..],
        [Settled {
            outcome: Outcome::Unknown { .. },
            ..
        }]
    ));
}

#[test]
fn after_an_ambiguous_attempt_an_item_equal_to_ours_is_ours() {
    let ours = data(1, Some(1));
    let theirs = data(1, Some(99));
    for (ambiguous, found, expected_written) in [
        (true, &ours, true),
        (true, &theirs, false),
        (false, &ours, false),
    ] {
        let mut core = core(rules(), 4);
        core.submit(ms(0), single(WriteKind::Put, 1, 1, true));
        let mut now = ms(1);
        let mut request = core.next_request(now).expect("the put");
        if ambiguous {
            core.on_call(
                now,
                request.id,
                Err(error(ErrorClass::Ambiguous, "ConnectionClosed")),
            );
            now = core.wake_at().expect("a delay");
            request = core.next_request(now).expect("again");
        }
        core.on_call(now, request.id, Err(condition_failed_with(Some(found))));
        let outcome = settled(&mut core).pop().expect("an outcome").outcome;
        assert_eq!(
            outcome.is_written(),
            expected_written,
            "{ambiguous} {outcome:?}"
        );
        if !expected_written {
            match outcome {
                Outcome::Unknown {
                    existing: Some(_), ..
                } => assert!(ambiguous),
                Outcome::ConditionFailed { existing: Some(_) } => assert!(!ambiguous),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_conditional_update_whose_answer_was_lost_is_not_guessed_at() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), single(WriteKind::Update, 1, 1, true));
    let request = core.next_request(ms(0)).expect("the update");
    core.on_call(
        ms(0),
        request.id,
        Err(error(ErrorClass::Ambiguous, "ConnectionClosed")),
    );
    let now = core.wake_at().expect("a delay");
    let again = core.next_request(now).expect("again");
    core.on_call(
        now,
        again.id,
        Err(condition_failed_with(Some(&data(1, Some(5))))),
    );
    let outcome = settled(&mut core).pop().expect("an outcome").outcome;
    assert!(
        matches!(
            outcome,
            Outcome::Unknown {
                existing: Some(_),
                ..
            }
        ),
        "{outcome:?}"
    );
}
