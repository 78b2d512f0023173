//! The pipeline that is measured: typed changes in, checked, enriched, keyed, JSON events of 1 KB out.

use std::convert::Infallible;

use bytes::Bytes;
use dynamodb_connector::pipeline::{Chain, Enrichment, Keyed, NoDeadLetters, Pipeline};
use dynamodb_connector::streams::{Change, Record, RecordStream};
use serde::{Deserialize, Serialize};

use crate::changes::decision::{Decision, Merchant};

/// Of so many branches; each is looked up once, then kept.
const BRANCHES: u64 = 500;

/// What consumers see.
#[derive(Debug, Serialize)]
pub(crate) struct Event {
    pub(crate) decision: String,
    number: u64,
    status: String,
    approved: bool,
    amount_cents: i64,
    score: f64,
    decided_at: String,
    reasons: Vec<String>,
    merchant: String,
    country: String,
    /// Looked up.
    branch: String,
    note: String,
}

/// What the consumer of the latency looks at.
#[derive(Debug, Deserialize)]
pub(crate) struct Number {
    pub(crate) number: u64,
}

/// Key and value of a record on the topic.
pub(crate) type KeyAndJson = (Bytes, Bytes);

pub(crate) fn decoded(
    changes: RecordStream,
) -> Pipeline<RecordStream, impl Chain<In = Record, Out = Decision>, NoDeadLetters> {
    Pipeline::from(changes)
        .try_map(Change::<Decision>::read)
        .filter_map(|change| change.new)
}

pub(crate) fn keyed(
    changes: RecordStream,
) -> Pipeline<RecordStream, impl Chain<In = Record, Out = Keyed<String, Event>>, NoDeadLetters> {
    let branches =
        Enrichment::new(|branch| async move { Ok::<_, Infallible>(Some(branch_of(branch))) });
    decoded(changes)
        .validate(|decision| {
            if decision.amount_cents < 0 {
                Err("a negative amount")
            } else {
                Ok(())
            }
        })
        .enrich(branch_number, branches, event)
        .key_by(|event| event.decision.clone())
}

pub(crate) fn serialised(
    changes: RecordStream,
) -> Pipeline<RecordStream, impl Chain<In = Record, Out = KeyAndJson>, NoDeadLetters> {
    keyed(changes).try_map(|keyed| {
        let json = serde_json::to_vec(keyed.value()).map_err(|error| error.to_string())?;
        let (key, _) = keyed.into_parts();
        Ok::<_, String>((Bytes::from(key), Bytes::from(json)))
    })
}

fn branch_number(decision: &Decision) -> u64 {
    decision.number % BRANCHES
}

/// Returns the branch of a number, as it is looked up.
fn branch_of(branch: u64) -> String {
    format!("branch {branch}, Nordring 7, 20095 Hamburg")
}

/// Returns the event of a decision with its branch, without a lookup.
pub(crate) fn of(decision: Decision) -> Event {
    let branch = branch_of(branch_number(&decision));
    event(decision, branch)
}

fn event(decision: Decision, branch: String) -> Event {
    let Merchant { name, country } = decision.merchant;
    Event {
        decision: decision.customer,
        number: decision.number,
        status: decision.status,
        approved: decision.approved,
        amount_cents: decision.amount_cents,
        score: decision.score,
        decided_at: decision.decided_at,
        reasons: decision.reasons,
        merchant: name,
        country,
        branch,
        note: decision.note,
    }
}
