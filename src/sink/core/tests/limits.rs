//! The reason why writes wait, and the effect of settings that change.

use super::budgets::{entering, indexed};
use super::*;
use crate::capacity::{Consumption, Limit, Rate, TableCapacity, Units};

fn failed(class: ErrorClass, code: &'static str) -> Result<BatchOutcome, ServiceError> {
    Err(error(class, code))
}

fn done() -> Result<BatchOutcome, ServiceError> {
    Ok(BatchOutcome {
        unprocessed: Vec::new(),
        consumed: None,
    })
}

/// Sends and answers what may be sent in this time, and returns the number of writes.
fn sent(core: &mut TestCore, from: u64, until: u64) -> usize {
    let mut items = 0;
    for now in (from..until).map(ms) {
        while let Some(request) = core.next_request(now) {
            items += request.items;
            core.on_batch(now, request.id, done());
        }
    }
    settled(core);
    items
}

#[test]
fn the_reason_why_writes_wait_is_the_first_that_holds() {
    let mut core = core(rules(), 1);
    assert_eq!(core.limited_by(ms(0)), Limit::Nothing);
    core.submit(ms(0), put(1, 1));
    assert_eq!(core.limited_by(ms(0)), Limit::Linger);
    let request = core.next_request(ms(5)).expect("a batch");
    assert_eq!(core.limited_by(ms(5)), Limit::Answers);
    core.submit(ms(5), put(2, 2));
    assert_eq!(core.limited_by(ms(5)), Limit::Concurrency(1));
    core.on_batch(ms(6), request.id, done());
    assert_eq!(core.limited_by(ms(6)), Limit::Linger);
    let request = core.next_request(ms(10)).expect("a batch");
    core.on_batch(
        ms(10),
        request.id,
        failed(ErrorClass::Transient, "ConnectFailed"),
    );
    assert_eq!(core.limited_by(ms(10)), Limit::Retries);
    let later = ms(10_000);
    let request = core.next_request(later).expect("again");
    core.on_batch(later, request.id, done());
    assert_eq!(core.limited_by(later), Limit::Nothing);
}

#[test]
fn an_unpaid_retry_a_part_under_bisection_and_a_question_about_the_table_are_reasons() {
    let budget = RetryBudgetSettings::default();
    let budget = budget.ratio(0.0).min_per_second(1).burst(1);
    let mut core = core_with_retries(rules(), 4, &budget);
    core.retries.budget.withdraw(ms(0));
    core.submit(ms(0), put(1, 1));
    let request = core.next_request(ms(5)).expect("a batch");
    core.on_batch(
        ms(5),
        request.id,
        failed(ErrorClass::Transient, "ConnectFailed"),
    );
    assert!(core.next_request(ms(500)).is_none(), "it is not paid for");
    assert_eq!(core.limited_by(ms(500)), Limit::Retries);

    let mut core = self::core(rules(), 4);
    let refused = || failed(ErrorClass::Invalid, "ValidationException");
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(2, 2));
    let request = core.next_request(ms(5)).expect("a batch");
    core.on_batch(ms(5), request.id, refused());
    assert_eq!(core.limited_by(ms(5)), Limit::Retries);
    for _ in 0..2 {
        let half = core.next_request(ms(5)).expect("a half");
        assert_ne!(core.limited_by(ms(5)), Limit::Description);
        core.on_batch(ms(5), half.id, refused());
    }
    assert_eq!(core.limited_by(ms(5)), Limit::Description);
}

#[test]
fn a_table_that_fails_drops_the_parts_under_bisection() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(2, 2));
    let request = core.next_request(ms(5)).expect("a batch");
    let refused = failed(ErrorClass::Invalid, "ValidationException");
    core.on_batch(ms(5), request.id, refused);
    assert!(core.isolation.has_parts());
    core.fail(ms(5), error(ErrorClass::Fatal, "AccessDeniedException"));
    assert!(!core.isolation.has_parts() && core.isolation.is_empty());
    assert!(core.wake_at().is_none());
}

#[test]
fn writes_with_the_dead_letter_handler_are_a_reason_with_their_number() {
    let dead_letters = Rules {
        dead_letters: true,
        ..rules()
    };
    let mut core = core(dead_letters, 4);
    for n in 1..=2 {
        core.submit(ms(0), until(1, put(n, u64::from(n))));
    }
    assert!(core.next_request(ms(1)).is_none(), "both are late");
    assert_eq!(core.take_dead_letters().len(), 2);
    assert_eq!(core.limited_by(ms(1)), Limit::DeadLetters(2));
    core.submit(ms(1), put(3, 3));
    core.next_request(ms(5)).expect("a batch");
    assert_eq!(core.limited_by(ms(5)), Limit::Answers);
}

#[test]
fn a_rate_and_an_index_are_reasons_with_their_units() {
    let mut core = indexed(10, &[]);
    for key in 0..100 {
        core.submit(ms(0), entering(key, 1, 100, &[]));
    }
    sent(&mut core, 0, 1_000);
    let limit = core.limited_by(ms(1_000));
    assert!(
        matches!(limit, Limit::Rate { units, .. } if (9.0..=11.0).contains(&units)),
        "{limit:?}"
    );

    let mut core = indexed(40_000, &[50, 10]);
    for key in 0..100 {
        core.submit(ms(0), entering(key, 1, 100, &[1]));
    }
    sent(&mut core, 0, 1_000);
    let limit = core.limited_by(ms(1_000));
    assert!(
        matches!(limit, Limit::Index { index: 1, units } if (9.0..=11.0).contains(&units)),
        "{limit:?}"
    );
}

#[test]
fn a_capacity_a_rate_and_a_concurrency_that_change_are_followed() {
    let mut core = indexed(10, &[]);
    let capacity = TableCapacity::new(Units::Provisioned(1_000), Vec::new());
    core.set_capacity(ms(0), capacity);
    assert_eq!(core.rate(ms(0)), Some(1_000.0));
    core.set_rate(ms(1), Rate::Fixed(50));
    assert_eq!(core.rate(ms(2)), Some(50.0));
    assert_eq!(core.concurrency(), 8);
    core.set_concurrency(2.into());
    assert_eq!(core.concurrency(), 2);
}

#[test]
fn a_denied_description_is_news_once() {
    let mut core = indexed(10, &[]);
    assert!(core.deny_describing(true));
    assert!(!core.deny_describing(true));
    core.deny_describing(false);
    assert!(core.deny_describing(true));
}

#[test]
fn the_units_that_a_call_consumed_count() {
    let mut core = indexed(1_000, &[]);
    let (mut key, mut calls) = (0_u8, 0);
    for now in (1..4_000).map(ms) {
        while core.snapshot().len() < 50 {
            key = key.wrapping_add(1);
            let call = Submission {
                cost: entering(key, 1, 100, &[]).cost,
                ..single(WriteKind::Put, key, u64::from(key), true)
            };
            core.submit(now, call);
        }
        while let Some(request) = core.next_request(now) {
            calls += u32::from(now > ms(2_000));
            let consumed = Consumption {
                table: 5.0,
                indexes: Vec::new(),
            };
            core.on_call(now, request.id, Ok(Some(consumed)));
        }
    }
    assert!((300..=700).contains(&calls), "{calls} in 2 s of 400");
}

#[test]
fn the_units_consumed_are_asked_for_where_an_adaptive_rate_needs_them() {
    let mut core = indexed(10, &[]);
    assert!(core.bodies.asks_consumed());
    core.set_rate(ms(0), Rate::Fixed(10));
    assert!(!core.bodies.asks_consumed());
    core.set_rate(ms(0), Rate::Adaptive);
    assert!(core.bodies.asks_consumed());
    assert!(core.stop_asking_consumed());
    assert!(!core.stop_asking_consumed(), "once");
    core.set_rate(ms(0), Rate::Fixed(10));
    core.set_rate(ms(0), Rate::Adaptive);
    assert!(!core.bodies.asks_consumed(), "such requests are refused");
}

#[test]
fn a_table_yields_to_the_others_of_its_account() {
    let mut core = indexed(1_000, &[]);
    core.yield_to_account(ms(2_000));
    assert_eq!(core.rate(ms(2_000)), Some(1_000.0), "it takes nothing");
    for key in 0..200 {
        core.submit(ms(2_000), entering(key, 1, 100, &[]));
    }
    assert_eq!(sent(&mut core, 2_000, 2_400), 200);
    core.yield_to_account(ms(2_500));
    let rate = core.rate(ms(2_500)).expect("limited");
    assert!(rate < 1_000.0, "{rate}");
}

#[test]
fn a_failed_condition_is_an_outcome_whatever_else_its_request_asked_for() {
    let mut core = indexed(10, &[]);
    core.submit(ms(5_000), single(WriteKind::Put, 1, 1, true));
    let request = core.next_request(ms(5_000)).expect("a call");
    assert!(core.stop_asking_consumed());
    let failed = error(ErrorClass::Permanent, "ConditionalCheckFailedException");
    core.on_call(ms(5_001), request.id, Err(failed));
    let outcomes = settled(&mut core);
    assert!(
        matches!(
            outcomes[..],
            [Settled {
                outcome: Outcome::ConditionFailed { .. },
                ..
            }]
        ),
        "{outcomes:?}"
    );
}

/// Returns the outcome of a delete whose first answer was lost, and whose condition failed then
/// with this item.
fn deleted_again(found: Option<&[u8]>) -> Outcome {
    let mut core = core(rules(), 4);
    core.submit(ms(0), single(WriteKind::Delete, 1, 1, true));
    let request = core.next_request(ms(0)).expect("a call");
    let lost = error(ErrorClass::Ambiguous, "AttemptTimeout");
    core.on_call(ms(1), request.id, Err(lost));
    let request = core.next_request(ms(1_000)).expect("again");
    let mut failure = Failure::new(ErrorClass::Permanent, "ConditionalCheckFailedException");
    failure.item = found.map(Box::from);
    core.on_call(ms(1_001), request.id, Err(failure.into()));
    settled(&mut core)
        .pop()
        .expect("it has its outcome")
        .outcome
}

#[test]
fn a_delete_whose_answer_was_lost_is_written_where_no_item_is_found() {
    let found = data(1, Some(5));
    let outcome = deleted_again(Some(&found));
    let unknown = matches!(
        outcome,
        Outcome::Unknown {
            existing: Some(_),
            ..
        }
    );
    assert!(unknown, "{outcome:?}");
    let outcome = deleted_again(None);
    assert!(outcome.is_written(), "{outcome:?}");
}
