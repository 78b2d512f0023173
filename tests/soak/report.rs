//! What a soak says of itself: a line every ten seconds, a table at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use dynamodb_connector::sink::DynamoDbSink;
use dynamodb_connector::test_util::{Operation, RequestOutcome, RequestRecord};

use crate::ledger::Ledger;
use crate::memory;
use crate::say;

/// Counted from the faulty service's journal, and by the tasks.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) applied: u64,
    pub(crate) requests: u64,
    pub(crate) given_up: u64,
    pub(crate) transactions: u64,
    pub(crate) faults: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn request(&mut self, request: &RequestRecord) {
        self.requests += 1;
        if request.operation() == Some(Operation::TransactWriteItems) {
            self.transactions += 1;
        }
        if request.outcome() == RequestOutcome::GivenUp {
            self.given_up += 1;
        }
        if let Some(fault) = request.fault() {
            *self.faults.entry(fault).or_default() += 1;
        }
        if request.unprocessed() > 0 {
            *self.faults.entry("unprocessed by ratio").or_default() += 1;
        }
    }
}

pub(crate) fn line(at: Duration, ledger: &Ledger, sink: &DynamoDbSink, rounds: u64) {
    let accepted: u64 = ledger.books().accepted.values().sum();
    let (mut retried, mut throttled, mut requests) = (0, 0, 0);
    for table in sink.tables() {
        let stats = table.stats();
        retried += stats.retried;
        throttled += stats.throttled;
        requests += stats.requests;
    }
    say(&format!(
        "soak: {:>4} s: {accepted} accepted, {requests} requests, {retried} sent again, {throttled} throttled, {} \
         under way, {rounds} rounds, {} MiB",
        at.as_secs(),
        ledger.under_way(),
        memory::resident().unwrap_or(0) >> 20,
    ));
}

pub(crate) struct Summary<'a> {
    pub(crate) length: Duration,
    pub(crate) tally: &'a Tally,
    pub(crate) rest: Vec<(&'static str, String)>,
}

pub(crate) fn table(ledger: &Ledger, summary: &Summary<'_>) {
    let books = ledger.books();
    let accepted: u64 = books.accepted.values().sum();
    let mut rows = vec![
        ("seconds".to_owned(), summary.length.as_secs().to_string()),
        ("accepted".to_owned(), accepted.to_string()),
    ];
    for (ended, count) in &books.totals {
        rows.push((format!("… {ended:?}"), count.to_string()));
    }
    rows.push(("keys".to_owned(), books.lines.len().to_string()));
    if summary.tally.requests > 0 {
        rows.push(("requests".to_owned(), summary.tally.requests.to_string()));
        rows.push((
            "writes applied".to_owned(),
            summary.tally.applied.to_string(),
        ));
        rows.push(("given up".to_owned(), summary.tally.given_up.to_string()));
    }
    for (fault, count) in &summary.tally.faults {
        rows.push((format!("fault: {fault}"), count.to_string()));
    }
    for (name, value) in &summary.rest {
        rows.push(((*name).to_owned(), value.clone()));
    }
    for (name, value) in rows {
        say(&format!("soak: {name:<45} {value:>12}"));
    }
}
