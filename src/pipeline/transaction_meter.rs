//! The numbers of a pipeline's transactions for the `metrics` facade.

use std::sync::Arc;

use metrics::{
    Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use super::meter::Growth;
use super::transaction_stats::{TransactionCounts, TransactionReport};

pub(super) struct TransactionMeter {
    counts: Arc<TransactionCounts>,
    committed: Growth,
    fenced: Growth,
    failed: Growth,
    refused: Growth,
    undelivered: Growth,
    renewed: Growth,
    rewound: Growth,
    commit_seconds: Histogram,
    age: Gauge,
}

impl TransactionMeter {
    pub(super) fn new(labels: &[Label], counts: Arc<TransactionCounts>) -> Self {
        describe();
        let labels = || labels.to_vec();
        let aborted = |cause: &'static str| {
            let mut labels = labels();
            labels.push(Label::new("cause", cause));
            Growth::new(counter!("pipeline_transactions_aborted_total", labels))
        };
        Self {
            counts,
            committed: Growth::new(counter!("pipeline_transactions_committed_total", labels())),
            fenced: aborted("fenced"),
            failed: aborted("failed"),
            refused: aborted("refused"),
            undelivered: aborted("undelivered"),
            renewed: Growth::new(counter!("pipeline_producers_renewed_total", labels())),
            rewound: Growth::new(counter!("pipeline_rewinds_total", labels())),
            commit_seconds: histogram!("pipeline_commit_seconds", labels()),
            age: gauge!("pipeline_transaction_age_seconds", labels()),
        }
    }

    pub(super) fn publish(&mut self, report: &TransactionReport) {
        self.committed.publish(report.committed);
        self.fenced.publish(report.fenced);
        self.failed.publish(report.failed);
        self.refused.publish(report.refused);
        self.undelivered.publish(report.undelivered);
        self.renewed.publish(report.renewed);
        self.rewound.publish(report.rewound);
        for took in self.counts.take_commits() {
            self.commit_seconds.record(took.as_secs_f64());
        }
        self.age
            .set(report.open.map_or(0.0, |age| age.as_secs_f64()));
    }

    /// Notes the end of the run.
    pub(super) fn end(&self) {
        self.age.set(0.0);
    }
}

fn describe() {
    for (name, text) in [
        (
            "pipeline_transactions_committed_total",
            "Transactions that were committed",
        ),
        (
            "pipeline_transactions_aborted_total",
            "Transactions that were not committed, by cause",
        ),
        (
            "pipeline_producers_renewed_total",
            "Transactional producers that took another one's place",
        ),
        (
            "pipeline_rewinds_total",
            "Times that the source went back to what is committed",
        ),
    ] {
        describe_counter!(name, Unit::Count, text);
    }
    describe_histogram!(
        "pipeline_commit_seconds",
        Unit::Seconds,
        "Time from the cut of a transaction to the answer to its commit"
    );
    describe_gauge!(
        "pipeline_transaction_age_seconds",
        Unit::Seconds,
        "Time since the open transaction began"
    );
}
