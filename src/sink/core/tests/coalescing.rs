//! Newer writes that take the place of older ones.

use super::*;

fn coalescing() -> Rules {
    Rules {
        coalesce: true,
        ..rules()
    }
}

/// Returns the writes that were rejected for their deadline, by their reasons, and the others.
fn expired(core: &mut TestCore) -> (Vec<(u64, u32)>, Vec<Settled<u64>>) {
    let mut late = Vec::new();
    let mut others = Vec::new();
    for settled in settled(core) {
        if let Outcome::Rejected {
            reason:
                RejectReason::DeadlineExceeded {
                    attempts,
                    may_have_applied: false,
                    ..
                },
            ..
        } = settled.outcome
        {
            late.push((settled.completion, attempts));
        } else {
            others.push(settled);
        }
    }
    (late, others)
}

#[test]
fn coalescing_keeps_the_latest_and_the_place_in_line() {
    let mut core = core(coalescing(), 1);
    core.submit(ms(0), put(9, 0));
    let first = core.next_request(ms(0)).expect("takes the one slot");
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(2, 2));
    core.submit(ms(0), delete(1, 3));
    core.submit(ms(0), put(1, 4));
    assert!(settled(&mut core).is_empty(), "they wait for the newest");
    all_written(&mut core, ms(1), &first);
    assert_eq!(written(&mut core), [0]);
    let batch = core.next_request(ms(1)).expect("the rest");
    assert_eq!(
        contents(&batch),
        [("k1".to_owned(), Some(4)), ("k2".to_owned(), Some(2))]
    );
    all_written(&mut core, ms(2), &batch);
    let outcomes: Vec<(u64, bool)> = settled(&mut core)
        .into_iter()
        .map(|settled| (settled.completion, settled.outcome.is_written()))
        .collect();
    assert_eq!(outcomes, [(1, false), (3, false), (4, true), (2, true)]);
}

#[test]
fn a_write_that_was_replaced_is_written_if_the_newer_one_fails() {
    // The newest expires, the one before is refused, and the oldest is written.
    let mut core = core(coalescing(), 1);
    core.submit(ms(0), put(9, 0));
    let first = core.next_request(ms(0)).expect("takes the one slot");
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(1, 2));
    let newest = Submission {
        deadline: Some(ms(10)),
        ..put(1, 3)
    };
    core.submit(ms(0), newest);
    core.flush(5);
    assert_eq!(core.snapshot().len(), 4, "all of them are in a snapshot");
    all_written(&mut core, ms(20), &first);
    let batch = core.next_request(ms(20)).expect("the one before");
    assert_eq!(contents(&batch), [("k1".to_owned(), Some(2))]);
    let outcomes = settled(&mut core);
    assert_eq!(
        outcomes.iter().map(|s| s.completion).collect::<Vec<_>>(),
        [0, 3]
    );
    core.on_batch(
        ms(21),
        batch.id,
        Err(error(
            ErrorClass::Permanent,
            "ItemCollectionSizeLimitExceededException",
        )),
    );
    let batch = core.next_request(ms(22)).expect("the oldest");
    assert_eq!(contents(&batch), [("k1".to_owned(), Some(1))]);
    assert_eq!(settled(&mut core)[0].completion, 2);
    assert!(core.take_flushed().is_empty());
    all_written(&mut core, ms(23), &batch);
    assert_eq!(written(&mut core), [1]);
    assert_eq!(core.take_flushed(), [5]);
    assert!(core.is_idle());

    // One that may have been applied is not followed by an older one.
    let mut core = self::core(
        Rules {
            max_attempts: Some(1),
            ..coalescing()
        },
        1,
    );
    core.submit(ms(0), put(9, 0));
    let first = core.next_request(ms(0)).expect("takes the one slot");
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(1, 2));
    all_written(&mut core, ms(1), &first);
    let batch = core.next_request(ms(1)).expect("the newer");
    core.on_batch(
        ms(2),
        batch.id,
        Err(error(ErrorClass::Ambiguous, "AttemptTimeout")),
    );
    assert!(core.is_idle());
    let outcomes = settled(&mut core);
    assert!(matches!(
        outcomes[1].outcome,
        Outcome::Unwritten {
            may_have_applied: false,
            ..
        }
    ));
    assert!(matches!(outcomes[2].outcome, Outcome::Rejected { .. }));
}

#[test]
fn nothing_supersedes_what_is_in_flight_or_not_plain() {
    let mut core = core(coalescing(), 4);
    core.submit(ms(0), put(1, 1));
    let first = core.next_request(ms(0)).expect("a batch");
    core.submit(ms(0), single(WriteKind::Update, 1, 2, true));
    core.submit(ms(0), put(1, 3));
    assert!(settled(&mut core).is_empty());
    all_written(&mut core, ms(1), &first);
    for _ in 0..2 {
        let request = core.next_request(ms(1)).expect("next in line");
        all_written(&mut core, ms(1), &request);
    }
    assert_eq!(written(&mut core), [1, 2, 3]);
}

#[test]
fn an_abort_hands_back_in_the_order_of_submission() {
    let mut core = core(coalescing(), 1);
    core.submit(ms(0), put(9, 0));
    core.next_request(ms(0)).expect("takes the one slot");
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(2, 2));
    core.submit(ms(0), put(1, 3));
    core.submit(ms(0), put(2, 4));
    core.abort(ms(1));
    let order: Vec<u64> = settled(&mut core).iter().map(|s| s.completion).collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[test]
fn a_write_that_was_replaced_keeps_its_own_deadline() {
    let mut core = core(coalescing(), 1);
    core.submit(ms(0), put(9, 0));
    let first = core.next_request(ms(0)).expect("takes the one slot");
    core.submit(ms(0), until(1_000, put(1, 1)));
    core.submit(ms(0), until(50, put(1, 2)));
    core.submit(ms(0), until(50, put(1, 3)));
    core.submit(ms(0), put(1, 4));
    core.flush(5);
    assert_eq!(core.wake_at(), Some(ms(50)));
    assert!(core.next_request(ms(50)).is_none());
    assert_eq!(expired(&mut core).0, [(2, 0), (3, 0)]);
    all_written(&mut core, ms(60), &first);
    let batch = core.next_request(ms(60)).expect("the newest");
    assert_eq!(contents(&batch), [("k1".to_owned(), Some(4))]);
    // While it is in flight its answer decides about both.
    assert!(core.next_request(ms(1_000)).is_none());
    assert!(expired(&mut core).0.is_empty());
    let failed = Err(error(ErrorClass::Transient, "ConnectFailed"));
    core.on_batch(ms(1_100), batch.id, failed);
    assert_eq!(expired(&mut core).0, [(1, 0)], "it waits again: too late");
    let again = core.next_request(ms(2_000)).expect("the newest");
    all_written(&mut core, ms(2_001), &again);
    assert_eq!(written(&mut core), [4]);
    assert_eq!(core.take_flushed(), [5]);
    assert!(core.is_idle());
    assert_eq!(core.wake_at(), None);

    // Written in time, both are confirmed by the answer.
    core.submit(ms(3_000), put(9, 10));
    let first = core.next_request(ms(3_000)).expect("takes the one slot");
    core.submit(ms(3_000), until(50, put(1, 11)));
    core.submit(ms(3_000), put(1, 12));
    all_written(&mut core, ms(3_001), &first);
    let batch = core.next_request(ms(3_001)).expect("the newer");
    assert!(core.next_request(ms(3_050)).is_none());
    all_written(&mut core, ms(3_060), &batch);
    let outcomes = settled(&mut core);
    assert!(matches!(outcomes[1].outcome, Outcome::Superseded));
    assert_eq!(core.wake_at(), None, "no deadline is left");
}

#[test]
fn the_attempts_of_a_write_that_was_replaced_are_its_own() {
    let mut core = core(coalescing(), 1);
    core.submit(ms(0), until(500, put(1, 1)));
    let first = core.next_request(ms(0)).expect("a batch");
    let failed = Err(error(ErrorClass::Transient, "ConnectFailed"));
    core.on_batch(ms(1), first.id, failed);
    core.submit(ms(2), put(1, 2));
    let newer = core.next_request(ms(400)).expect("the newer");
    core.on_batch(ms(499), newer.id, Err(error(ErrorClass::Throttled, "T")));
    assert!(core.next_request(ms(500)).is_none());
    assert_eq!(expired(&mut core).0, [(1, 1)]);
}

#[test]
fn a_dead_letter_that_was_replaced_holds_its_key() {
    for retried in [false, true] {
        let mut core = core(
            Rules {
                dead_letters: true,
                ..coalescing()
            },
            2,
        );
        core.submit(ms(0), until(50, put(1, 1)));
        let first = core.next_request(ms(0)).expect("a batch");
        let failed = Err(error(ErrorClass::Transient, "ConnectFailed"));
        core.on_batch(ms(1), first.id, failed);
        core.submit(ms(2), put(1, 2));
        core.flush(5);
        let mut now = ms(50);
        if !retried {
            // Its newer one is sent in time, and fails.
            let newer = core.next_request(ms(49)).expect("the newer");
            let failed = Err(error(ErrorClass::Transient, "ConnectFailed"));
            core.on_batch(ms(52), newer.id, failed);
            now = ms(53);
        }
        assert!(core.next_request(now).is_none());
        let letters = core.take_dead_letters();
        assert_eq!(letters.len(), 1);
        let saved = core.snapshot().into_iter().map(|saved| {
            let Payload::Plain { data, .. } = saved.payload else {
                panic!("a put");
            };
            data
        });
        let both = [data(1, Some(1)), data(1, Some(2))];
        assert_eq!(saved.collect::<Vec<_>>(), both, "in order");
        // The newer one waits for the handler, which may repair the older one in the table.
        assert!(core.next_request(ms(60_000)).is_none());
        assert!(settled(&mut core).is_empty() && core.take_flushed().is_empty());
        core.dead_lettered(ms(60_000), letters[0].ticket, true);
        assert_eq!(expired(&mut core).0.len(), 1);
        let newer = core.next_request(ms(60_000)).expect("the newer");
        assert_eq!(contents(&newer), [("k1".to_owned(), Some(2))]);
        all_written(&mut core, ms(60_001), &newer);
        assert_eq!(written(&mut core), [2]);
        assert_eq!(core.take_flushed(), [5]);
        assert!(core.is_idle());
    }
}

#[test]
fn a_restored_write_that_takes_a_place_may_have_been_applied() {
    let mut core = core(coalescing(), 1);
    core.submit(ms(0), put(1, 1));
    let restored = Submission {
        may_have_applied: true,
        ..put(1, 2)
    };
    core.submit(ms(0), restored);
    core.abort(ms(1));
    let applied = settled(&mut core).into_iter().map(|settled| {
        let Outcome::Unwritten {
            may_have_applied, ..
        } = settled.outcome
        else {
            panic!("it is handed back");
        };
        (settled.completion, may_have_applied)
    });
    assert_eq!(applied.collect::<Vec<_>>(), [(1, false), (2, true)]);
}

#[test]
fn no_write_takes_its_place_back_after_the_table_failed() {
    let rules = Rules {
        max_attempts: Some(1),
        ..coalescing()
    };
    let mut core = core(rules, 1);
    core.submit(ms(0), put(9, 0));
    let first = core.next_request(ms(0)).expect("takes the one slot");
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(1, 2));
    all_written(&mut core, ms(1), &first);
    let newer = core.next_request(ms(1)).expect("the newer");
    core.fail(ms(2), error(ErrorClass::Fatal, "ResourceNotFoundException"));
    let failed = error(ErrorClass::Transient, "ConnectFailed");
    core.on_batch(ms(3), newer.id, Err(failed));
    assert!(core.is_idle());
    let outcomes = settled(&mut core);
    assert!(matches!(outcomes[1].outcome, Outcome::Unwritten { .. }));
    assert!(matches!(outcomes[2].outcome, Outcome::Rejected { .. }));
}

#[test]
fn a_newer_write_that_is_ready_or_isolated_waits_for_a_dead_letter_of_its_key() {
    for refused in [false, true] {
        let rules = Rules {
            dead_letters: true,
            ..coalescing()
        };
        let mut core = core(rules, 1);
        core.submit(ms(0), put(9, 0));
        let first = core.next_request(ms(0)).expect("takes the one slot");
        core.submit(ms(0), until(50, put(1, 1)));
        core.submit(ms(0), put(1, 2));
        core.submit(ms(0), put(2, 3));
        if refused {
            all_written(&mut core, ms(1), &first);
            let both = core.next_request(ms(1)).expect("a batch");
            assert_eq!(both.items, 2);
            let refused = error(ErrorClass::Invalid, "ValidationException");
            core.on_batch(ms(49), both.id, Err(refused));
        } else {
            assert!(core.next_request(ms(50)).is_none());
            all_written(&mut core, ms(50), &first);
        }
        let other = core.next_request(ms(50)).expect("the other key's");
        assert_eq!(contents(&other), [("k2".to_owned(), Some(3))]);
        assert_eq!(core.take_dead_letters().len(), 1);
        all_written(&mut core, ms(51), &other);
        assert!(core.isolation.is_empty());
        assert!(core.next_request(ms(60_000)).is_none());
    }
}
