//! Deadlines, attempts, and fatal errors.

use super::*;

#[test]
fn a_deadline_rejects_what_waits_and_lets_an_attempt_under_way_decide() {
    let mut core = core(rules(), 1);
    core.submit(ms(0), until(100, put(1, 1)));
    core.submit(ms(0), until(100, put(1, 2)));
    core.submit(ms(0), until(100, put(2, 3)));
    let request = core.next_request(ms(0)).expect("the first batch");
    assert_eq!(request.items, 2);
    assert_eq!(core.wake_at(), Some(ms(100)));
    assert!(core.next_request(ms(100)).is_none());
    let late = settled(&mut core);
    assert!(matches!(
        late[..],
        [Settled {
            completion: 2,
            outcome: Outcome::Rejected {
                reason: RejectReason::DeadlineExceeded {
                    attempts: 0,
                    may_have_applied: false,
                    ..
                },
                ..
            },
            ..
        }]
    ));
    core.on_batch(
        ms(150),
        request.id,
        Ok(BatchOutcome {
            unprocessed: vec![key(2)],
            consumed: None,
        }),
    );
    let outcomes = settled(&mut core);
    assert_eq!(outcomes.len(), 2);
    for settled in outcomes {
        match settled.completion {
            1 => assert!(settled.outcome.is_written(), "the answer decides"),
            _ => assert!(matches!(
                settled.outcome,
                Outcome::Rejected {
                    reason: RejectReason::DeadlineExceeded { attempts: 1, .. },
                    ..
                }
            )),
        }
    }
    assert!(core.is_idle());
    assert_eq!(core.wake_at(), None);
}

#[test]
fn attempts_are_capped_where_the_policy_says_so_and_throttling_does_not_count() {
    let mut core = core(
        Rules {
            max_attempts: Some(3),
            ..rules()
        },
        1,
    );
    core.submit(ms(0), put(1, 1));
    let mut now = ms(0);
    let mut failures = 0;
    let mut throttle = true;
    loop {
        let Some(request) = core.next_request(now) else {
            match core.wake_at() {
                Some(at) => now = at,
                None => break,
            }
            continue;
        };
        let answer = if throttle {
            error(ErrorClass::Throttled, "ThrottlingException")
        } else {
            failures += 1;
            error(ErrorClass::Ambiguous, "InternalServerError")
        };
        throttle = !throttle;
        core.on_batch(now, request.id, Err(answer));
    }
    assert_eq!(failures, 3);
    let outcome = settled(&mut core).pop().expect("an outcome").outcome;
    assert!(matches!(
        outcome,
        Outcome::Rejected {
            reason: RejectReason::AttemptsExhausted {
                may_have_applied: true,
                ..
            },
            ..
        }
    ));
}

#[test]
fn refused_credentials_are_not_tried_for_ever() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let mut now = ms(0);
    while core.failure().is_none() {
        let Some(request) = core.next_request(now) else {
            now = core.wake_at().expect("still trying");
            continue;
        };
        let mut expired = Failure::new(ErrorClass::Transient, "ExpiredTokenException");
        expired.credentials = true;
        core.on_batch(now, request.id, Err(expired.into()));
    }
    assert!((REFUSAL_GRACE..REFUSAL_GRACE * 2).contains(&now), "{now:?}");
    let outcome = settled(&mut core).pop().expect("an outcome").outcome;
    assert!(matches!(
        outcome,
        Outcome::Unwritten {
            may_have_applied: false,
            record: Some(_),
            cause: Some(_),
        }
    ));
    core.submit(now, put(2, 2));
    assert!(matches!(
        settled(&mut core)[..],
        [Settled {
            outcome: Outcome::Unwritten { .. },
            ..
        }]
    ));
}

#[test]
fn a_fatal_error_hands_back_what_waits_and_keeps_the_answers_under_way() {
    let mut core = core(rules(), 4);
    for n in 0..50 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    core.submit(ms(0), put(0, 50));
    let first = core.next_request(ms(0)).expect("a batch");
    let second = core.next_request(ms(0)).expect("a batch");
    core.on_batch(
        ms(1),
        first.id,
        Err(error(ErrorClass::Fatal, "ClientMisconfigured")),
    );
    assert_eq!(
        settled(&mut core).len(),
        26,
        "the first batch, and the one that waited"
    );
    all_written(&mut core, ms(2), &second);
    assert_eq!(written(&mut core).len(), 25);
    assert!(core.is_idle());
}

#[test]
fn a_dead_letter_holds_its_key_until_the_handler_has_it() {
    let mut core = core(
        Rules {
            dead_letters: true,
            max_attempts: Some(1),
            ..rules()
        },
        4,
    );
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(1, 2));
    core.flush(7);
    let request = core.next_request(ms(0)).expect("the first");
    core.on_batch(
        ms(1),
        request.id,
        Err(error(ErrorClass::Transient, "ConnectFailed")),
    );
    let letter = core.take_dead_letters().pop().expect("a dead letter");
    assert!(core.next_request(ms(1)).is_none(), "its successor waits");
    assert!(settled(&mut core).is_empty());
    assert_eq!(core.snapshot().len(), 2, "a snapshot still holds it");
    core.dead_lettered(ms(2), letter.ticket, true);
    assert!(matches!(
        settled(&mut core)[..],
        [Settled { completion: 1, .. }]
    ));
    let next = core.next_request(ms(2)).expect("its successor");
    assert!(core.take_flushed().is_empty());
    all_written(&mut core, ms(3), &next);
    assert_eq!(core.take_flushed(), [7]);
}

#[test]
fn an_answer_at_the_deadline_decides_and_says_what_may_have_been_applied() {
    let mut core = core(rules(), 1);
    core.submit(ms(0), until(100, put(1, 1)));
    let request = core.next_request(ms(0)).expect("a batch");
    assert!(core.next_request(ms(100)).is_none());
    let lost = error(ErrorClass::Ambiguous, "AttemptTimeout");
    core.on_batch(ms(100), request.id, Err(lost));
    assert!(matches!(
        settled(&mut core)[..],
        [Settled {
            outcome: Outcome::Rejected {
                reason: RejectReason::DeadlineExceeded {
                    attempts: 1,
                    may_have_applied: true,
                    ..
                },
                ..
            },
            ..
        }]
    ));
}

#[test]
fn what_has_its_outcome_has_no_deadline() {
    let mut core = core(
        Rules {
            dead_letters: true,
            max_attempts: Some(1),
            ..rules()
        },
        1,
    );
    core.submit(ms(0), until(100, put(1, 1)));
    let request = core.next_request(ms(0)).expect("a batch");
    all_written(&mut core, ms(1), &request);
    assert_eq!(core.wake_at(), None);
    // Nor is one a dead letter twice.
    core.submit(ms(1), until(100, put(2, 2)));
    let request = core.next_request(ms(1)).expect("a batch");
    let failed = error(ErrorClass::Transient, "ConnectFailed");
    core.on_batch(ms(2), request.id, Err(failed));
    assert_eq!(core.take_dead_letters().len(), 1);
    assert!(core.next_request(ms(200)).is_none());
    assert!(core.take_dead_letters().is_empty());
}
