//! What is written: record `n` of an endless input is always the same write.

use dynamodb_connector::sink::{Receipt, SubmitError, TableSink};
use serde::Serialize;

pub(super) const TABLE: &str = "decisions";
/// Where a writer says that it is about to take a snapshot.
pub(super) const MARKS: &str = "marks";

const KINDS: u64 = 5;

/// How many keys there are of each kind of write.
pub(super) const PUT_KEYS: u64 = 100;
pub(super) const GUARDED_KEYS: u64 = 20;
pub(super) const ADD_KEYS: u64 = 16;
pub(super) const COUNTED_KEYS: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A plain put.
    Put,
    /// A put with `newer_by`.
    Guarded,
    /// `ADD` to an attribute of its own: how often it was applied is what that attribute holds.
    Add,
    /// As [`Kind::Add`], with `exactly_once`: under one token over all its retries.
    Once,
    /// A counter made safe to repeat, by a condition on the place in the input that it keeps.
    Counted,
}

#[derive(Serialize)]
struct Row {
    pk: String,
    n: u64,
}

#[derive(Serialize)]
struct Id {
    pk: String,
}

pub(super) fn kind(n: u64) -> Kind {
    match n % KINDS {
        0 => Kind::Put,
        1 => Kind::Guarded,
        2 => Kind::Add,
        3 => Kind::Once,
        _ => Kind::Counted,
    }
}

pub(super) fn key(n: u64) -> String {
    let round = n / KINDS;
    match kind(n) {
        Kind::Put => format!("put-{}", round % PUT_KEYS),
        Kind::Guarded => format!("guarded-{}", round % GUARDED_KEYS),
        Kind::Add => format!("add-{}", round % ADD_KEYS),
        Kind::Once => format!("once-{}", round % ADD_KEYS),
        Kind::Counted => format!("counted-{}", round % COUNTED_KEYS),
    }
}

/// The attribute that a [`Kind::Add`] or [`Kind::Once`] counts in.
pub(super) fn counter(n: u64) -> String {
    format!("u{n}")
}

/// Which record an attribute or a placeholder of one of these belongs to.
pub(super) fn of_counter(name: &str) -> Option<u64> {
    name.strip_prefix('u')?.parse().ok()
}

pub(super) async fn submit(table: &TableSink, n: u64) -> Result<Receipt, SubmitError> {
    let pk = key(n);
    match kind(n) {
        Kind::Put => table.put(&Row { pk, n }).await,
        Kind::Guarded => table.put(&Row { pk, n }).newer_by("n").await,
        Kind::Add | Kind::Once => {
            let add = table.update(&Id { pk }, "ADD #u :one").value(":one", &1);
            let add = add.name("#u", counter(n));
            if kind(n) == Kind::Once {
                return add.exactly_once().await;
            }
            add.await
        }
        Kind::Counted => {
            let add = table.update(&Id { pk }, "SET seen = :n ADD tally :one");
            let add = add.condition("attribute_not_exists(pk) OR seen < :n");
            let add = add.value(":n", &n).value(":one", &1);
            add.idempotent(true).await
        }
    }
}
