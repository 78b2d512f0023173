//! Failed requests, and the outcomes of their writes.

use super::*;

fn condition_failed_with(item: Option<&[u8]>) -> ServiceError {
    let mut failure = Failure::new(ErrorClass::Permanent, "ConditionalCheckFailedException");
    failure.item = item.map(Box::from);
    failure.into()
}

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
