//! The state machine against a model of the service that it can't see into.
//!
//! The model reads the request bodies, applies them (or not), and answers as it likes. It keeps
//! what was applied, so that "nothing lost, duplicated or reordered" is judged by what would stand
//! in the table.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::item::{self, KeyKind, KeySchema};
use crate::retry::{ErrorClass, Failure, RetryPolicy};
use crate::sink::outcome::WriteKind;
use crate::sink::payload::Part;
use crate::transport::Operation;

const TABLE: &str = "decisions";

fn schema() -> KeySchema {
    KeySchema::new("pk", KeyKind::String)
}

fn error(class: ErrorClass, code: &'static str) -> ServiceError {
    Failure::new(class, code).into()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn rules() -> Rules {
    Rules {
        max_batch_items: 25,
        max_batch_bytes: 16 << 20,
        linger: ms(1),
        coalesce: false,
        max_attempts: None,
        token_life: crate::sink::payload::TOKEN_LIFE,
        dead_letters: false,
    }
}

/// A core whose completions are the numbers of its writes.
type TestCore = Core<u64, u64>;

fn core(rules: Rules, concurrency: usize) -> TestCore {
    let retry = RetryPolicy::default();
    Core::new(
        &Arc::from(TABLE),
        rules,
        ConcurrencyLimit::new(concurrency.into()),
        Backoff::new(&retry),
        RetryBudget::new(retry.get_budget()),
        fastrand::Rng::with_seed(7),
    )
}

fn data(key: u8, number: Option<u64>) -> Bytes {
    match number {
        Some(number) => format!("{{\"pk\":{{\"S\":\"k{key}\"}},\"v\":{{\"N\":\"{number}\"}}}}"),
        None => format!("{{\"pk\":{{\"S\":\"k{key}\"}}}}"),
    }
    .into()
}

fn key(key: u8) -> Key {
    item::key_of_json(&data(key, None), &schema()).expect("a key")
}

fn submission(payload: Payload, keys: SubmissionKeys, number: u64) -> Submission<u64> {
    Submission {
        payload,
        keys,
        deadline: None,
        completion: number,
        may_have_applied: false,
    }
}

fn put(k: u8, number: u64) -> Submission<u64> {
    let payload = Payload::Plain {
        delete: false,
        data: data(k, Some(number)),
    };
    submission(payload, SubmissionKeys::One(key(k)), number)
}

fn delete(k: u8, number: u64) -> Submission<u64> {
    let payload = Payload::Plain {
        delete: true,
        data: data(k, None),
    };
    submission(payload, SubmissionKeys::One(key(k)), number)
}

fn part(kind: WriteKind, k: u8, number: u64) -> Part {
    let data = data(k, (kind == WriteKind::Put).then_some(number));
    // The number goes along in the values, so that the model can tell updates and deletes apart.
    let expressions = format!("\"ExpressionAttributeValues\":{{\":n\":{{\"N\":\"{number}\"}}}}");
    Part {
        kind,
        data,
        expressions: expressions.into(),
        conditional: kind == WriteKind::Put,
    }
}

fn single(kind: WriteKind, k: u8, number: u64, idempotent: bool) -> Submission<u64> {
    let part = Box::new(part(kind, k, number));
    submission(
        Payload::Single { part, idempotent },
        SubmissionKeys::One(key(k)),
        number,
    )
}

fn transaction(ks: &[u8], number: u64) -> Submission<u64> {
    let parts = ks
        .iter()
        .map(|&k| part(WriteKind::Put, k, number))
        .collect();
    let keys = ks.iter().map(|&k| key(k)).collect();
    let token = format!("t{number}").into();
    submission(
        Payload::Transaction { parts, token },
        SubmissionKeys::Many(keys),
        number,
    )
}

fn settled(core: &mut TestCore) -> Vec<Settled<u64>> {
    let mut all = Vec::new();
    core.take_settled(&mut all);
    all
}

fn written(core: &mut TestCore) -> Vec<u64> {
    settled(core)
        .into_iter()
        .map(|settled| {
            assert!(settled.outcome.is_written(), "{:?}", settled.outcome);
            settled.completion
        })
        .collect()
}

fn all_written(core: &mut TestCore, now: Duration, request: &Request) {
    if request.operation == Operation::BatchWriteItem {
        core.on_batch(
            now,
            request.id,
            Ok(BatchOutcome {
                unprocessed: Vec::new(),
            }),
        );
    } else {
        core.on_call(now, request.id, Ok(()));
    }
}

/// The writes in a request: key, and the number if it has one.
fn contents(request: &Request) -> Vec<(String, Option<u64>)> {
    let body: Value = serde_json::from_slice(&request.body).expect("a request is JSON");
    let number = |write: &Value| {
        let put = &write["Item"]["v"]["N"];
        let other = &write["ExpressionAttributeValues"][":n"]["N"];
        put.as_str()
            .or(other.as_str())
            .map(|number| number.parse().expect("a number"))
    };
    let name = |write: &Value| {
        let key = write["Item"]["pk"]["S"]
            .as_str()
            .or(write["Key"]["pk"]["S"].as_str());
        key.expect("a key").to_owned()
    };
    let entry = |write: &Value| (name(write), number(write));
    match request.operation {
        Operation::BatchWriteItem => {
            let requests = body["RequestItems"][TABLE].as_array().expect("requests");
            let inner = |write: &Value| match write.get("PutRequest") {
                Some(put) => entry(put),
                None => entry(&write["DeleteRequest"]),
            };
            requests.iter().map(inner).collect()
        }
        Operation::TransactWriteItems => {
            let items = body["TransactItems"].as_array().expect("items");
            items.iter().map(|item| entry(&item["Put"])).collect()
        }
        _ => vec![entry(&body)],
    }
}

#[test]
fn a_lone_write_is_sent_at_once() {
    let mut core = core(rules(), 4);
    core.submit(ms(0), put(1, 1));
    let request = core.next_request(ms(0)).expect("low load doesn't linger");
    all_written(&mut core, ms(5), &request);
    assert_eq!(written(&mut core), [1]);
    assert!(core.is_idle());
    assert_eq!(core.keys.len(), 0);
}

#[test]
fn an_exact_multiple_of_the_batch_size_flushes_whole_batches() {
    let mut core = core(rules(), 4);
    for n in 0..50 {
        core.submit(ms(0), put(u8::try_from(n).expect("small"), n));
    }
    let sizes: Vec<usize> =
        std::iter::from_fn(|| core.next_request(ms(0)).map(|request| request.items)).collect();
    assert_eq!(sizes, [25, 25]);
}

#[test]
fn under_load_a_batch_fills_but_no_longer_than_the_linger() {
    let mut core = core(rules(), 2);
    core.submit(ms(0), put(1, 1));
    assert!(core.next_request(ms(0)).is_some());
    core.submit(ms(0), put(2, 2));
    assert!(
        core.next_request(ms(0)).is_none(),
        "half of the slots are taken: let it fill"
    );
    core.submit(ms(0), put(3, 3));
    assert_eq!(
        core.wake_at(ms(0)),
        Some(ms(1)),
        "one timer, at the oldest write's linger"
    );
    let request = core.next_request(ms(1)).expect("lingered");
    assert_eq!(
        request.items, 2,
        "the timer flush takes all that is buffered"
    );
}

#[test]
fn the_byte_limit_is_inclusive() {
    let one = put(1, 1).payload.batch_len();
    let overhead = Bodies::new(TABLE).batch_overhead();
    // Two writes and the comma between them.
    let exact = overhead + 2 * one - 1;
    for (limit, expected) in [(exact, vec![2]), (exact - 1, vec![1, 1])] {
        let mut core = core(
            Rules {
                max_batch_bytes: limit,
                ..rules()
            },
            4,
        );
        core.submit(ms(0), put(1, 1));
        core.submit(ms(0), put(2, 2));
        let mut sizes = Vec::new();
        while let Some(request) = core.next_request(ms(0)) {
            assert!(request.body.len() <= limit);
            sizes.push(request.items);
        }
        assert_eq!(sizes, expected, "limit {limit}");
    }
}

#[test]
fn the_body_is_as_long_as_reckoned() {
    let mut core = core(rules(), 4);
    let mut reckoned = Bodies::new(TABLE).batch_overhead() - 1;
    for n in 0..3 {
        let put = put(n, u64::from(n));
        reckoned += put.payload.batch_len();
        core.submit(ms(0), put);
    }
    assert_eq!(
        core.next_request(ms(0)).expect("a batch").body.len(),
        reckoned
    );
}

#[test]
fn a_key_is_never_twice_in_flight_and_its_lanes_keep_one_order() {
    let mut core = core(rules(), 8);
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), single(WriteKind::Update, 1, 2, true));
    core.submit(ms(0), delete(1, 3));
    core.submit(ms(0), transaction(&[1, 2], 4));
    core.submit(ms(0), put(2, 5));
    let mut order = Vec::new();
    while let Some(request) = core.next_request(ms(0)) {
        assert!(core.next_request(ms(0)).is_none(), "all wait for the key");
        order.push(request.operation.name());
        all_written(&mut core, ms(0), &request);
    }
    let expected = [
        "BatchWriteItem",
        "UpdateItem",
        "BatchWriteItem",
        "TransactWriteItems",
        "BatchWriteItem",
    ];
    assert_eq!(order, expected);
    assert_eq!(written(&mut core), [1, 2, 3, 4, 5]);
}

#[test]
fn unprocessed_writes_alone_are_sent_again_and_before_newer_ones_of_their_key() {
    let mut core = core(rules(), 4);
    for n in 1..=3 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let request = core.next_request(ms(0)).expect("a batch");
    core.submit(ms(0), put(2, 4));
    core.on_batch(
        ms(1),
        request.id,
        Ok(BatchOutcome {
            unprocessed: vec![key(2)],
        }),
    );
    assert_eq!(written(&mut core), [1, 3]);
    assert!(
        core.next_request(ms(1)).is_none(),
        "it waits its delay, and its successor with it"
    );
    let at = core.wake_at(ms(1)).expect("a delay");
    assert!(at > ms(1));
    let again = core.next_request(at).expect("again");
    assert_eq!(contents(&again), [("k2".to_owned(), Some(2))]);
    all_written(&mut core, at, &again);
    let last = core.next_request(at).expect("its successor");
    assert_eq!(contents(&last), [("k2".to_owned(), Some(4))]);
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
    let at = core.wake_at(ms(1)).expect("a delay");
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
        }),
    );
    assert!(settled(&mut core).is_empty());
    let at = core.wake_at(ms(1)).expect("a delay");
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
fn coalescing_keeps_the_latest_and_the_place_in_line() {
    let mut core = core(
        Rules {
            coalesce: true,
            ..rules()
        },
        1,
    );
    core.submit(ms(0), put(9, 0));
    let first = core.next_request(ms(0)).expect("takes the one slot");
    core.submit(ms(0), put(1, 1));
    core.submit(ms(0), put(2, 2));
    core.submit(ms(0), delete(1, 3));
    core.submit(ms(0), put(1, 4));
    let superseded: Vec<u64> = settled(&mut core)
        .into_iter()
        .map(|settled| {
            assert!(matches!(settled.outcome, Outcome::Superseded));
            settled.completion
        })
        .collect();
    assert_eq!(superseded, [1, 3]);
    all_written(&mut core, ms(1), &first);
    let batch = core.next_request(ms(1)).expect("the rest");
    assert_eq!(
        contents(&batch),
        [("k1".to_owned(), Some(4)), ("k2".to_owned(), Some(2))]
    );
}

#[test]
fn nothing_supersedes_what_is_in_flight_or_not_plain() {
    let mut core = core(
        Rules {
            coalesce: true,
            ..rules()
        },
        4,
    );
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

/// Drives a core whose service refuses any request that holds a poisoned number.
fn run_with_poison(core: &mut TestCore, poison: &[u64]) -> usize {
    let mut requests = 0;
    let mut now = ms(1);
    while !core.is_idle() {
        let Some(request) = core.next_request(now) else {
            if core.take_describe() {
                core.on_described(now, Described::Unchanged);
                continue;
            }
            now = core.wake_at(now).expect("something to wait for");
            continue;
        };
        requests += 1;
        now += ms(1);
        let bad = contents(&request)
            .iter()
            .any(|(_, number)| number.is_some_and(|number| poison.contains(&number)));
        if bad {
            let refused = error(ErrorClass::Permanent, "ValidationException");
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
    assert!(requests <= 11, "{requests} requests for one culprit in 25");
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
    assert!(core.groups.is_empty());
}

use crate::item::Item;

#[test]
fn where_all_fail_alike_the_table_is_described_before_any_is_rejected() {
    let poison: Vec<u64> = (0..4).collect();
    let mut core = core(rules(), 4);
    for n in 0..4 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let mut now = ms(1);
    while !core.take_describe() {
        let request = core.next_request(now).expect("bisection goes on");
        assert!(settled(&mut core).is_empty());
        now += ms(1);
        let refused = error(ErrorClass::Permanent, "ValidationException");
        core.on_batch(now, request.id, Err(refused));
    }
    let changed = error(ErrorClass::Fatal, "TableKeysChanged");
    core.on_described(now, Described::Changed(changed));
    let outcomes = settled(&mut core);
    assert_eq!(outcomes.len(), poison.len());
    for settled in outcomes {
        let unwritten = Outcome::Unwritten {
            may_have_applied: false,
            record: None,
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
    let at = core.wake_at(ms(1)).expect("a delay");
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
            match core.wake_at(now) {
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
    assert!(now >= crate::sink::payload::TOKEN_LIFE);
    assert!(matches!(
        settled(&mut core)[..],
        [Settled {
            outcome: Outcome::Unknown { .. },
            ..
        }]
    ));
}

fn condition_failed_with(item: Option<&[u8]>) -> ServiceError {
    let mut failure = Failure::new(ErrorClass::Permanent, "ConditionalCheckFailedException");
    failure.item = item.map(Box::from);
    failure.into()
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
            now = core.wake_at(now).expect("a delay");
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
    let now = core.wake_at(ms(0)).expect("a delay");
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
    let with_deadline = |submission: Submission<u64>| Submission {
        deadline: Some(ms(100)),
        ..submission
    };
    core.submit(ms(0), with_deadline(put(1, 1)));
    core.submit(ms(0), with_deadline(put(1, 2)));
    core.submit(ms(0), with_deadline(put(2, 3)));
    let request = core.next_request(ms(0)).expect("the first batch");
    assert_eq!(request.items, 2);
    assert_eq!(core.wake_at(ms(0)), Some(ms(100)));
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
    assert_eq!(core.wake_at(ms(150)), None);
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
            match core.wake_at(now) {
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
            now = core.wake_at(now).expect("still trying");
            continue;
        };
        let mut expired = Failure::new(ErrorClass::Transient, "ExpiredTokenException");
        expired.credentials = true;
        core.on_batch(now, request.id, Err(expired.into()));
    }
    assert!(
        (CREDENTIALS_GRACE..CREDENTIALS_GRACE * 2).contains(&now),
        "{now:?}"
    );
    let outcome = settled(&mut core).pop().expect("an outcome").outcome;
    assert!(matches!(
        outcome,
        Outcome::Unwritten {
            may_have_applied: false,
            record: Some(_)
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
        Err(error(ErrorClass::Fatal, "ResourceNotFoundException")),
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
fn throttled_at_the_least_concurrency_it_rests() {
    let mut core = core(rules(), 1);
    for n in 0..50 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let request = core.next_request(ms(0)).expect("a batch");
    core.on_batch(
        ms(1),
        request.id,
        Err(error(ErrorClass::Throttled, "ThrottlingException")),
    );
    assert!(
        core.next_request(ms(1)).is_none(),
        "fresh writes would be throttled alike"
    );
    let at = core.wake_at(ms(1)).expect("a rest");
    assert!(at > ms(1) && core.next_request(at).is_some());
}

#[test]
fn a_snapshot_holds_all_that_has_no_outcome_in_order() {
    let mut core = core(rules(), 1);
    for n in 0..30 {
        core.submit(ms(0), put(n, u64::from(n)));
    }
    let request = core.next_request(ms(0)).expect("a batch");
    let saved = core.snapshot();
    assert_eq!(saved.len(), 30);
    for (n, saved) in (0..30).zip(&saved) {
        let Payload::Plain { data: held, .. } = &saved.payload else {
            panic!("a put")
        };
        assert_eq!(*held, data(n, Some(u64::from(n))));
        assert_eq!(saved.may_have_applied, n < 25);
    }
    all_written(&mut core, ms(1), &request);
    assert_eq!(core.snapshot().len(), 5);
}

/// What the model of the service does with a request.
#[derive(Clone, Debug)]
enum Answer {
    Done,
    Unprocessed(u32),
    Throttled,
    Transient,
    /// Applied or not, the answer is lost.
    Lost(bool),
    Refused,
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        key: u8,
        deadline: Option<u16>,
        poison: bool,
    },
    Delete {
        key: u8,
    },
    Update {
        key: u8,
        idempotent: bool,
    },
    Conditional {
        key: u8,
    },
    Transaction {
        first: u8,
        second: u8,
    },
    Send,
    Answer {
        pick: u8,
        answer: Answer,
    },
    Pass {
        millis: u16,
    },
    Flush,
    DeadLetter,
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::Done),
        3 => any::<u32>().prop_map(Answer::Unprocessed),
        1 => Just(Answer::Throttled),
        1 => Just(Answer::Transient),
        2 => any::<bool>().prop_map(Answer::Lost),
        1 => Just(Answer::Refused),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..6_u8;
    let step = prop_oneof![
        8 => (key(), proptest::option::weighted(0.1, 1..500_u16), prop::bool::weighted(0.05))
            .prop_map(|(key, deadline, poison)| Step::Put { key, deadline, poison }),
        2 => key().prop_map(|key| Step::Delete { key }),
        2 => (key(), any::<bool>())
            .prop_map(|(key, idempotent)| Step::Update { key, idempotent }),
        1 => key().prop_map(|key| Step::Conditional { key }),
        1 => (0..3_u8, 3..6_u8).prop_map(|(first, second)| Step::Transaction { first, second }),
        6 => Just(Step::Send),
        6 => (any::<u8>(), answers()).prop_map(|(pick, answer)| Step::Answer { pick, answer }),
        3 => (1..400_u16).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Flush),
        1 => Just(Step::DeadLetter),
    ];
    prop::collection::vec(step, 1..150)
}

/// The service: what was applied to each key, in order, by write number.
struct Model {
    core: TestCore,
    now: Duration,
    rules: Rules,
    next: u64,
    /// Key, and whether sending it twice is forbidden, by write number.
    submitted: BTreeMap<u64, (Vec<String>, bool)>,
    /// Deletes bear no number in a batch; told by the key's line instead.
    numbers: HashMap<String, Vec<u64>>,
    poisoned: HashSet<u64>,
    in_flight: Vec<Request>,
    applied: HashMap<String, Vec<u64>>,
    tokens: HashSet<String>,
    outcomes: BTreeMap<u64, Outcome>,
    flushes: BTreeMap<u64, u64>,
    letters: Vec<DeadLettered>,
}

impl Model {
    fn new(rules: Rules, concurrency: usize) -> Self {
        Self {
            core: core(rules.clone(), concurrency),
            now: ms(0),
            rules,
            next: 0,
            submitted: BTreeMap::new(),
            numbers: HashMap::new(),
            poisoned: HashSet::new(),
            in_flight: Vec::new(),
            applied: HashMap::new(),
            tokens: HashSet::new(),
            outcomes: BTreeMap::new(),
            flushes: BTreeMap::new(),
            letters: Vec::new(),
        }
    }

    fn submit(&mut self, keys: &[u8], once: bool, make: impl FnOnce(u64) -> Submission<u64>) {
        let number = self.next;
        self.next += 1;
        let names: Vec<String> = keys.iter().map(|key| format!("k{key}")).collect();
        for name in &names {
            self.numbers.entry(name.clone()).or_default().push(number);
        }
        self.submitted.insert(number, (names, once));
        self.core.submit(self.now, make(number));
    }

    /// The writes of a request by key and number; a batched delete's number is that of the oldest
    /// write of its key without outcome.
    fn writes(&self, request: &Request) -> Vec<(String, u64)> {
        let number = |key: &String| {
            let open = |number: &&u64| !self.outcomes.contains_key(number);
            *self.numbers[key]
                .iter()
                .find(open)
                .expect("an open write of the key")
        };
        contents(request)
            .into_iter()
            .map(|(key, found)| {
                let number = found.unwrap_or_else(|| number(&key));
                (key, number)
            })
            .collect()
    }

    fn send(&mut self) {
        if let Some(request) = self.core.next_request(self.now) {
            assert!(request.items <= self.rules.max_batch_items);
            assert!(request.body.len() <= self.rules.max_batch_bytes);
            let mut keys: Vec<String> = self
                .in_flight
                .iter()
                .chain([&request])
                .flat_map(contents)
                .map(|(key, _)| key)
                .collect();
            let all = keys.len();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), all, "a key is twice in flight");
            self.in_flight.push(request);
        }
        self.collect();
    }

    fn apply(&mut self, request: &Request) {
        if request.operation == Operation::TransactWriteItems {
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            let token = body["ClientRequestToken"]
                .as_str()
                .expect("a token")
                .to_owned();
            if !self.tokens.insert(token) {
                return;
            }
        }
        for (key, number) in self.writes(request) {
            self.applied.entry(key).or_default().push(number);
        }
    }

    fn answer(&mut self, pick: u8, answer: &Answer) {
        if self.in_flight.is_empty() {
            return;
        }
        let request = self
            .in_flight
            .swap_remove(usize::from(pick) % self.in_flight.len());
        let batch = request.operation == Operation::BatchWriteItem;
        let writes = self.writes(&request);
        let poisoned = writes
            .iter()
            .any(|(_, number)| self.poisoned.contains(number));
        let failure = match answer {
            _ if poisoned => Some(error(ErrorClass::Permanent, "ValidationException")),
            Answer::Done => None,
            Answer::Unprocessed(_) if batch => None,
            Answer::Unprocessed(_) | Answer::Throttled => {
                Some(error(ErrorClass::Throttled, "ThrottlingException"))
            }
            Answer::Transient => Some(error(ErrorClass::Transient, "ConnectFailed")),
            Answer::Lost(_) => Some(error(ErrorClass::Ambiguous, "ConnectionClosed")),
            Answer::Refused if batch && request.items > 1 => {
                // Spurious: alone they pass.
                Some(error(ErrorClass::Permanent, "ValidationException"))
            }
            Answer::Refused => Some(error(ErrorClass::Transient, "ConnectFailed")),
        };
        let mut unprocessed = Vec::new();
        match (&failure, answer) {
            (None, Answer::Unprocessed(mask)) => {
                for (place, (key, number)) in writes.into_iter().enumerate() {
                    if mask >> (place % 32) & 1 == 1 {
                        let json = format!("{{\"pk\":{{\"S\":\"{key}\"}}}}");
                        let key = item::key_of_json(json.as_bytes(), &schema());
                        unprocessed.push(key.expect("a key"));
                    } else {
                        self.applied.entry(key).or_default().push(number);
                    }
                }
            }
            (None, _) => self.apply(&request),
            (Some(_), Answer::Lost(true)) if !poisoned => self.apply(&request),
            (Some(_), _) => {}
        }
        if batch {
            let answer = failure.map_or(Ok(BatchOutcome { unprocessed }), Err);
            self.core.on_batch(self.now, request.id, answer);
        } else {
            let answer = failure.map_or(Ok(()), Err);
            self.core.on_call(self.now, request.id, answer);
        }
        self.collect();
    }

    fn collect(&mut self) {
        if self.core.take_describe() {
            self.core.on_described(self.now, Described::Unchanged);
        }
        self.letters.extend(self.core.take_dead_letters());
        for settled in settled(&mut self.core) {
            let before = self.outcomes.insert(settled.completion, settled.outcome);
            assert!(
                before.is_none(),
                "write {} has two outcomes",
                settled.completion
            );
        }
        for flush in self.core.take_flushed() {
            let upto = self.flushes.remove(&flush).expect("a flush is done once");
            let open = (0..upto).find(|number| !self.outcomes.contains_key(number));
            assert_eq!(open, None, "the flush did not wait for this write");
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Put {
                key,
                deadline,
                poison,
            } => {
                if *poison {
                    self.poisoned.insert(self.next);
                }
                let deadline = deadline.map(|millis| ms(u64::from(millis)));
                self.submit(&[*key], false, |n| Submission {
                    deadline,
                    ..put(*key, n)
                });
            }
            Step::Delete { key } => self.submit(&[*key], false, |n| delete(*key, n)),
            Step::Update { key, idempotent } => self.submit(&[*key], !idempotent, |n| {
                single(WriteKind::Update, *key, n, *idempotent)
            }),
            Step::Conditional { key } => {
                self.submit(&[*key], false, |n| single(WriteKind::Put, *key, n, true));
            }
            Step::Transaction { first, second } => {
                self.submit(&[*first, *second], true, |n| {
                    transaction(&[*first, *second], n)
                });
            }
            Step::Send => self.send(),
            Step::Answer { pick, answer } => self.answer(*pick, answer),
            Step::Pass { millis } => self.now += ms(u64::from(*millis)),
            Step::Flush => {
                let flush = self.flushes.len() as u64 + self.next * 1_000;
                if self.flushes.contains_key(&flush) {
                    return;
                }
                self.flushes.insert(flush, self.next);
                self.core.flush(flush);
                self.collect();
            }
            Step::DeadLetter => {
                if let Some(letter) = self.letters.pop() {
                    self.core.dead_lettered(self.now, letter.ticket, true);
                    self.collect();
                }
            }
        }
    }

    /// From here on the service is well.
    fn drain(&mut self) {
        self.core.drain();
        for _ in 0..100_000 {
            if self.core.is_idle() {
                return;
            }
            let sent = self.in_flight.len();
            self.send();
            if !self.in_flight.is_empty() {
                self.answer(0, &Answer::Done);
            } else if let Some(letter) = self.letters.pop() {
                self.core.dead_lettered(self.now, letter.ticket, true);
                self.collect();
            } else if sent == 0 && !self.core.is_idle() {
                let wake = self
                    .core
                    .wake_at(self.now)
                    .expect("it never blocks for ever");
                self.now = self.now.max(wake);
            }
        }
        panic!("it does not come to an end");
    }

    fn judge(&self) {
        assert!(self.flushes.is_empty(), "every flush is done");
        assert_eq!(self.core.keys.len(), 0);
        assert!(self.core.groups.is_empty());
        assert_eq!(self.core.batched.count() + self.core.single.count(), 0);
        assert_eq!(self.core.batched.bytes(), 0);
        for (number, (keys, once)) in &self.submitted {
            let outcome = self
                .outcomes
                .get(number)
                .expect("every write has an outcome");
            for key in keys {
                let applied = self.applied.get(key).map_or(0, |applied| {
                    applied.iter().filter(|found| *found == number).count()
                });
                if outcome.is_written() {
                    assert!(applied > 0, "write {number} is said to be written");
                } else if !outcome.may_have_applied() {
                    assert_eq!(applied, 0, "write {number}: {outcome:?}");
                }
                if *once {
                    assert!(applied <= 1, "write {number} was applied {applied} times");
                }
            }
        }
        for (key, applied) in &self.applied {
            assert!(applied.is_sorted(), "{key} was reordered: {applied:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Arbitrary interleavings of submissions, answers, faults, time, flushes and the end.
    #[test]
    fn nothing_is_lost_duplicated_or_reordered(
        steps in steps(),
        concurrency in 1..5_usize,
        max_batch_items in 1..8_usize,
        coalesce: bool,
        dead_letters: bool,
        max_attempts in proptest::option::of(1..6_u32),
    ) {
        let rules = Rules {
            max_batch_items,
            max_batch_bytes: 600,
            coalesce,
            max_attempts,
            dead_letters,
            ..rules()
        };
        let mut model = Model::new(rules, concurrency);
        for step in &steps {
            model.step(step);
        }
        model.drain();
        model.judge();
    }

    /// Aborted at any moment, every write still has one outcome, and a true one.
    #[test]
    fn aborted_at_any_moment_every_write_has_one_outcome(
        steps in steps(),
        concurrency in 1..5_usize,
        dead_letters: bool,
    ) {
        let mut model = Model::new(Rules { dead_letters, ..rules() }, concurrency);
        for step in &steps {
            model.step(step);
        }
        let saved = model.core.snapshot().len();
        let open = model.submitted.len() - model.outcomes.len();
        prop_assert_eq!(saved, open, "a snapshot holds what has no outcome");
        model.core.abort(model.now);
        model.letters.clear();
        model.collect();
        model.judge();
    }
}

/// 1,000 cases in a normal run; `PROPTEST_CASES` for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(1_000)
}
