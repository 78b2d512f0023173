//! Bisection: a bad record never fails its neighbors.

use super::*;
use crate::item::Item;

/// Drives a core whose service refuses any request that holds a poisoned number.
fn run_with_poison(core: &mut TestCore, poison: &[u64]) -> usize {
    let mut requests = 0;
    let mut now = ms(1);
    while !core.is_idle() {
        let Some(request) = core.next_request(now) else {
            if core.take_describe(now) {
                core.on_described(now, Described::Unchanged);
                continue;
            }
            now = core.wake_at().expect("something to wait for");
            continue;
        };
        requests += 1;
        now += ms(1);
        let bad = contents(&request)
            .iter()
            .any(|(_, number)| number.is_some_and(|number| poison.contains(&number)));
        if bad {
            let refused = error(ErrorClass::Invalid, "ValidationException");
            core.on_batch(now, request.id, Err(refused));
        } else {
            all_written(core, now, &request);
        }
    }
    requests
}

#[test]
fn a_bad_record_is_found_alone_and_its_neighbours_are_written() {
    let mut core = core(rules(), 4);
    for n in 0..25 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let requests = run_with_poison(&mut core, &[13]);
    assert!(requests <= 12, "{requests} requests for one culprit in 25");
    for settled in settled(&mut core) {
        match settled.outcome {
            Outcome::Rejected {
                reason: RejectReason::Refused { error, .. },
                record,
            } => {
                assert_eq!(settled.completion, 13);
                assert_eq!(error.code(), "ValidationException");
                assert_eq!(record.item().map(Item::as_json), Some(&*data(13, Some(13))));
            }
            outcome => assert!(outcome.is_written()),
        }
    }
    assert!(core.isolation.is_empty());
}

#[test]
fn where_all_fail_alike_the_table_is_described_before_any_is_rejected() {
    let poison: Vec<u64> = (0..4).collect();
    let mut core = core(rules(), 4);
    for n in 0..4 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let mut now = ms(1);
    while !core.take_describe(now) {
        let request = core.next_request(now).expect("bisection goes on");
        assert!(settled(&mut core).is_empty());
        now += ms(1);
        let refused = error(ErrorClass::Invalid, "ValidationException");
        core.on_batch(now, request.id, Err(refused));
    }
    let changed = error(ErrorClass::Fatal, "TableKeysChanged");
    core.on_described(now, Described::KeysChanged(changed));
    let outcomes = settled(&mut core);
    assert_eq!(outcomes.len(), poison.len());
    for settled in outcomes {
        let unwritten = Outcome::Unwritten {
            may_have_applied: false,
            record: None,
            cause: None,
        };
        assert_eq!(
            std::mem::discriminant(&settled.outcome),
            std::mem::discriminant(&unwritten),
            "changed keys reject nothing"
        );
    }
    assert!(core.failure().is_some());
}

#[test]
fn all_bad_records_of_an_unchanged_table_are_rejected() {
    let mut core = core(rules(), 4);
    for n in 0..4 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    run_with_poison(&mut core, &[0, 1, 2, 3]);
    for settled in settled(&mut core) {
        assert!(
            matches!(settled.outcome, Outcome::Rejected { .. }),
            "{:?}",
            settled.outcome
        );
    }
}

#[test]
fn a_batch_that_is_refused_while_another_is_bisected_is_settled_too() {
    let mut core = core(rules(), 4);
    for n in 0..50 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let first = core.next_request(ms(0)).expect("a batch");
    let second = core.next_request(ms(0)).expect("another");
    for request in [first, second] {
        let refused = error(ErrorClass::Invalid, "ValidationException");
        core.on_batch(ms(1), request.id, Err(refused));
    }
    run_with_poison(&mut core, &[3, 30]);
    let outcomes = settled(&mut core);
    assert_eq!(outcomes.len(), 50);
    for settled in outcomes {
        let is_bad = matches!(settled.completion, 3 | 30);
        assert_eq!(
            settled.outcome.is_written(),
            !is_bad,
            "{:?}",
            settled.outcome
        );
    }
}

#[test]
fn a_deadline_ends_bisection_for_its_own_write_and_only_when_it_is_over() {
    let mut core = core(rules(), 4);
    for n in 0..4 {
        let deadline = if n == 0 { 5 } else { 60_000 };
        core.submit(ms(0), until(deadline, put(n, u64::from(n))));
    }
    let request = core.next_request(ms(0)).expect("a batch");
    let refused = error(ErrorClass::Invalid, "ValidationException");
    core.on_batch(ms(10), request.id, Err(refused));
    let late = settled(&mut core);
    assert!(
        matches!(
            late[..],
            [Settled {
                completion: 0,
                outcome: Outcome::Rejected {
                    reason: RejectReason::DeadlineExceeded { attempts: 1, .. },
                    ..
                },
                ..
            }]
        ),
        "{late:?}"
    );
    run_with_poison(&mut core, &[2]);
    for settled in settled(&mut core) {
        let written = settled.outcome.is_written();
        assert_eq!(written, settled.completion != 2, "{:?}", settled.outcome);
    }
}

#[test]
fn a_dead_letter_is_sent_no_more_though_its_half_still_is() {
    let mut core = core(
        Rules {
            dead_letters: true,
            ..rules()
        },
        4,
    );
    for n in 0..4 {
        core.submit(
            ms(0),
            Submission {
                deadline: (n == 0).then_some(ms(20)),
                ..put(n, u64::from(n))
            },
        );
    }
    let request = core.next_request(ms(0)).expect("a batch");
    let refused = error(ErrorClass::Invalid, "ValidationException");
    core.on_batch(ms(10), request.id, Err(refused));
    let half = core.next_request(ms(30)).expect("a half");
    assert_eq!(contents(&half), [("k1".to_owned(), Some(1))]);
    assert_eq!(core.take_dead_letters().len(), 1);
}

#[test]
fn a_dead_letter_with_its_handler_outlives_the_tables_failure() {
    let mut core = core(
        Rules {
            dead_letters: true,
            max_attempts: Some(1),
            ..rules()
        },
        4,
    );
    core.submit(ms(0), put(1, 1));
    let request = core.next_request(ms(0)).expect("a batch");
    let lost = error(ErrorClass::Transient, "ConnectFailed");
    core.on_batch(ms(1), request.id, Err(lost));
    let letter = core.take_dead_letters().pop().expect("a dead letter");
    core.submit(ms(1), put(2, 2));
    core.fail(ms(2), error(ErrorClass::Fatal, "ResourceNotFoundException"));
    let handed_back: Vec<u64> = settled(&mut core).iter().map(|s| s.completion).collect();
    assert_eq!(handed_back, [2]);
    core.dead_lettered(ms(3), letter.ticket, true);
    let last = settled(&mut core).pop().expect("its outcome");
    assert!(matches!(last.outcome, Outcome::Rejected { .. }) && last.handled);
}

#[test]
fn a_dead_letter_does_not_keep_the_others_of_its_batch_waiting() {
    let mut core = core(
        Rules {
            dead_letters: true,
            ..rules()
        },
        4,
    );
    core.submit(ms(0), put(0, 0));
    core.submit(ms(0), put(1, 1));
    let refusals = [
        error(ErrorClass::Invalid, "ValidationException"),
        error(
            ErrorClass::Permanent,
            "ItemCollectionSizeLimitExceededException",
        ),
        error(ErrorClass::Invalid, "ValidationException"),
    ];
    for refusal in refusals {
        let request = core.next_request(ms(1)).expect("a part");
        core.on_batch(ms(1), request.id, Err(refusal));
    }
    assert_eq!(core.take_dead_letters().len(), 1);
    assert!(core.take_describe(ms(1)), "the other may be the table's");
}

#[test]
fn a_write_that_is_late_is_not_in_doubt_any_more() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), until(1_000, put(1, 1)));
    let request = core.next_request(ms(0)).expect("a batch");
    let refused = error(ErrorClass::Invalid, "ValidationException");
    core.on_batch(ms(1), request.id, Err(refused));
    assert!(core.next_request(ms(1_000)).is_none());
    assert_eq!(settled(&mut core).len(), 1);
    assert!(core.isolation.is_empty());
}
