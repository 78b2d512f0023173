//! The state machine against a model of the service that it can't see into.
//!
//! The model reads the request bodies, applies them (or not), and answers as it likes. It keeps the
//! applied writes, so that "nothing lost, duplicated or reordered" is checked against the contents
//! of the table.

mod access;
mod batching;
mod bisection;
mod bounds;
mod budgets;
mod coalescing;
mod delays;
mod descriptions;
mod evidence;
mod faults;
mod feedback;
mod limits;
mod model;
mod parked;
mod retries;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::item::{self, Key, KeyKind, KeySchema};
use crate::retry::{ErrorClass, Failure, RetryBudgetSettings, RetryPolicy};
use crate::sink::cost::Cost;
use crate::sink::outcome::WriteKind;
use crate::sink::payload::{Part, Payload};
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
        consumed_capacity: false,
        max_attempts: None,
        token_lifetime: crate::sink::payload::TOKEN_LIFETIME,
        dead_letters: false,
    }
}

/// A core whose completions are the numbers of its writes.
type TestCore = Core<u64, u64>;

fn core(rules: Rules, concurrency: usize) -> TestCore {
    core_with_retries(rules, concurrency, RetryPolicy::default().get_budget())
}

fn core_with_retries(rules: Rules, concurrency: usize, budget: &RetryBudgetSettings) -> TestCore {
    let retry = RetryPolicy::default();
    Core::new(
        &Arc::from(TABLE),
        rules,
        ConcurrencyLimit::new(concurrency.into()),
        Budgets::blind(),
        Backoff::new(&retry),
        RetryBudget::new(budget),
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
        cost: Cost::default(),
        partition: 0,
    }
}

fn put(k: u8, number: u64) -> Submission<u64> {
    let payload = Payload::Plain {
        delete: false,
        data: data(k, Some(number)),
    };
    submission(payload, SubmissionKeys::One(key(k)), number)
}

/// Returns the write with a deadline, in milliseconds.
fn until(deadline: u64, submission: Submission<u64>) -> Submission<u64> {
    Submission {
        deadline: Some(ms(deadline)),
        ..submission
    }
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
    // The values hold the number too, so that the model can distinguish updates and deletes.
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

/// The time until which the first of the delayed writes waits.
fn next_delayed(core: &TestCore) -> Duration {
    let states = core.queue.iter().map(|(_, entry)| &entry.state);
    let delays = states.filter_map(|state| match state {
        State::Delayed { until, .. } => Some(*until),
        _ => None,
    });
    delays.min().expect("it waits")
}

fn all_written(core: &mut TestCore, now: Duration, request: &Request) {
    if request.operation == Operation::BatchWriteItem {
        core.on_batch(
            now,
            request.id,
            Ok(BatchOutcome {
                unprocessed: Vec::new(),
                consumed: None,
            }),
        );
    } else {
        core.on_call(now, request.id, Ok(None));
    }
}

/// Returns the writes in a request: the key, and the number if it has one.
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
