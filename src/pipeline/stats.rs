//! Counts of a pipeline, live and at its end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::in_flight::InFlight;
use super::lag::{LastLag, SourceLag};
use super::operator::Operator;
#[cfg(feature = "kafka")]
use super::transaction_stats::TransactionCounts;
use super::transaction_stats::TransactionReport;
use crate::health::Health;

/// A handle to a pipeline's counts, while it runs and after. Cheap to clone.
///
/// The same numbers go to the [`metrics`] facade once a second and at the end, with the label
/// `pipeline`, the [`name`](super::PipelineSettings::name) of the settings:
///
/// | metric | kind | unit | meaning |
/// |---|---|---|---|
/// | `pipeline_records_in_total` | counter | values | taken by an operator; of the source, records handed out; label `operator` |
/// | `pipeline_records_out_total` | counter | values | passed on by an operator; of the sink, accepted; label `operator` |
/// | `pipeline_skipped_total` | counter | values | of which nothing came, with nothing wrong; label `operator` |
/// | `pipeline_withdrawn_total` | counter | values | whose records were not the source's any more; label `operator` |
/// | `pipeline_dead_lettered_total` | counter | values | refused for the dead letters; label `operator` |
/// | `pipeline_errors_total` | counter | values | that ended the pipeline; label `operator` |
/// | `pipeline_dead_letters_total` | counter | letters | durable dead letters, one a record |
/// | `pipeline_acknowledged_total` | counter | records | all of whose effects are durable |
/// | `pipeline_in_flight` | gauge | records | between the source and durability |
/// | `pipeline_in_flight_bytes` | gauge | bytes | of those, where the source gives sizes |
/// | `pipeline_oldest_in_flight_seconds` | gauge | seconds | since the source handed out the oldest of those |
/// | `pipeline_lag_records` | gauge | records | behind the end of the source, where it counts them: a Kafka topic |
/// | `pipeline_lag_seconds` | gauge | seconds | since the source was read up to its end, where it knows: a table's changes |
///
/// Where it ends in transactions, these as well:
///
/// | metric | kind | unit | meaning |
/// |---|---|---|---|
/// | `pipeline_transactions_committed_total` | counter | transactions | committed |
/// | `pipeline_transactions_aborted_total` | counter | transactions | not committed; label `cause`: `fenced`, `failed`, `refused`, `undelivered`, as in [`TransactionReport`] |
/// | `pipeline_producers_renewed_total` | counter | producers | that took another one's place |
/// | `pipeline_rewinds_total` | counter | times | that the source went back to what is committed |
/// | `pipeline_commit_seconds` | histogram | seconds | from the cut of a transaction to the answer to its commit |
/// | `pipeline_transaction_age_seconds` | gauge | seconds | since the open transaction began; 0 where none is open |
///
/// Install the recorder before running the pipeline: the handles are taken then.
///
/// Of [`groups`](super::Pipeline::groups) each metric has the label `group` as well, the group's number: sum them up by
/// `pipeline`. The counters of a group that is made again go on; its gauges, those of the lag included, are 0 until then, since
/// other groups have its partitions.
///
/// The lag is measured every 10 s, for the first time 10 s after the start, and stays as it was last
/// measured while it is not known, and after the end. By partition it is the source's own number:
/// `kafka_source_lag`, `StreamsStats::lag`. A source of changes counts only those dead letters that it makes itself
/// (`dynamodb_streams_dead_lettered_total`), not the pipeline's.
#[derive(Clone)]
pub struct PipelineStats {
    operators: Arc<[Arc<Operator>]>,
    dead_letters: Arc<Operator>,
    in_flight: Arc<InFlight>,
    lag: LastLag,
    #[cfg(feature = "kafka")]
    transactions: Option<Arc<TransactionCounts>>,
}

impl PipelineStats {
    pub(super) fn new(
        operators: Arc<[Arc<Operator>]>,
        dead_letters: Arc<Operator>,
        in_flight: Arc<InFlight>,
        lag: LastLag,
    ) -> Self {
        Self {
            operators,
            dead_letters,
            in_flight,
            lag,
            #[cfg(feature = "kafka")]
            transactions: None,
        }
    }

    /// Adds the counts of the transactions that the pipeline ends in, if it does.
    #[cfg(feature = "kafka")]
    pub(super) fn with_transactions(mut self, counts: Option<Arc<TransactionCounts>>) -> Self {
        self.transactions = counts;
        self
    }

    /// Returns the counts of the transactions that the pipeline ends in, if it does.
    #[cfg(feature = "kafka")]
    pub(super) fn transactions(&self) -> Option<&Arc<TransactionCounts>> {
        self.transactions.as_ref()
    }

    fn transaction_report(&self) -> Option<TransactionReport> {
        #[cfg(feature = "kafka")]
        let report = {
            let now = self.in_flight.clock().now();
            self.transactions.as_ref().map(|counts| counts.report(now))
        };
        #[cfg(not(feature = "kafka"))]
        let report = None;
        report
    }

    /// Returns the counts of this moment. They are read one after the other: records move on
    /// meanwhile.
    #[must_use]
    pub fn report(&self) -> PipelineReport {
        let operators = self.operators.iter();
        let acknowledged =
            |operator: &Arc<Operator>| operator.counts.acknowledged.load(Ordering::Relaxed);
        PipelineReport {
            acknowledged: self.operators.first().map_or(0, acknowledged),
            dead_letters: acknowledged(&self.dead_letters),
            in_flight: self.in_flight.records(),
            in_flight_bytes: self.in_flight.bytes(),
            oldest: self.in_flight.oldest().map(|oldest| oldest.age),
            lag: self.lag.get(),
            transactions: self.transaction_report(),
            operators: operators
                .map(|operator| OperatorReport::of(operator))
                .collect(),
        }
    }

    /// Returns the health of the operators, the sink and the dead-letter output: whether lookups
    /// succeed, and whether anything is written, or transactions are committed, at present. The source, and the sink's own
    /// connections, have a health of their own.
    ///
    /// Transactions that fail again and again for more than a second are the sink's failure, with the cause of the last, until one is
    /// committed.
    #[must_use]
    pub fn health(&self) -> Health {
        let all = self.operators.iter().chain([&self.dead_letters]);
        all.map(|operator| operator.health())
            .find(|health| !health.is_healthy())
            .unwrap_or_default()
    }
}

impl fmt::Debug for PipelineStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report().fmt(f)
    }
}

/// The counts of records, by operator. Displayed as a line for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipelineReport {
    /// Records of the source all of whose effects are durable.
    pub acknowledged: u64,
    /// Dead letters that are durable. A record is one letter, whatever the number of its values
    /// that were refused.
    pub dead_letters: u64,
    /// Records between the source and durability.
    pub in_flight: usize,
    /// The bytes of those, where the source gives sizes.
    pub in_flight_bytes: usize,
    /// The time since the source handed out the oldest of those; `None` where there are none.
    pub oldest: Option<Duration>,
    /// The distance of the source from its end, as it was last measured; `None` where it was not, as
    /// in the first 10 s, and for sources that do not know it.
    pub lag: Option<SourceLag>,
    /// The counts of the transactions that the pipeline ends in; `None` where it ends in none.
    pub transactions: Option<TransactionReport>,
    /// The source first, the sink last.
    pub operators: Vec<OperatorReport>,
}

/// The counts of one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperatorReport {
    /// Its name.
    pub name: Arc<str>,
    /// Its kind: `source`, `map`, `sink`.
    pub kind: &'static str,
    /// Values that came in; for the source, records it handed out.
    pub taken: u64,
    /// Values that went on; for the sink, values that it accepted.
    pub passed: u64,
    /// Values of which nothing came, with nothing wrong.
    pub skipped: u64,
    /// Values whose records were not the source's any more: another reader has their partition, or
    /// the source gives them again.
    pub withdrawn: u64,
    /// Values that were refused, and whose records are, or become, dead letters.
    pub dead_lettered: u64,
    /// Values that stopped the pipeline.
    pub errors: u64,
}

impl OperatorReport {
    fn add(&mut self, other: &Self) {
        self.taken += other.taken;
        self.passed += other.passed;
        self.skipped += other.skipped;
        self.withdrawn += other.withdrawn;
        self.dead_lettered += other.dead_lettered;
        self.errors += other.errors;
    }

    fn of(operator: &Operator) -> Self {
        let counts = &operator.counts;
        Self {
            name: Arc::clone(&operator.name),
            kind: operator.kind,
            taken: counts.taken.get(),
            passed: counts.passed.get(),
            skipped: counts.skipped.get(),
            withdrawn: counts.withdrawn.get(),
            dead_lettered: counts.dead_lettered.load(Ordering::Relaxed),
            errors: counts.errors.load(Ordering::Relaxed),
        }
    }
}

impl PipelineReport {
    /// Returns the sums of this one and that of another run of the same pipeline, or of another group of it.
    ///
    /// Operators are the same by name; several of one name by their order.
    pub(super) fn plus(mut self, other: &Self) -> Self {
        self.acknowledged += other.acknowledged;
        self.dead_letters += other.dead_letters;
        self.in_flight += other.in_flight;
        self.in_flight_bytes += other.in_flight_bytes;
        self.oldest = self.oldest.max(other.oldest);
        let lags = [self.lag, other.lag].into_iter().flatten();
        self.lag = lags.reduce(SourceLag::and);
        let transactions = [self.transactions, other.transactions];
        let transactions = transactions.into_iter().flatten();
        self.transactions = transactions.reduce(TransactionReport::plus);
        for (at, operator) in other.operators.iter().enumerate() {
            let before = other.operators.iter().take(at);
            let before = before.filter(|before| before.name == operator.name);
            let known = self.operators.iter_mut();
            let mut known = known.filter(|known| known.name == operator.name);
            match known.nth(before.count()) {
                Some(known) => known.add(operator),
                None => self.operators.push(operator.clone()),
            }
        }
        self
    }

    /// Returns the counts of a run that is over: what it had in flight, and its lag, are another's now.
    pub(super) fn of_the_past(self) -> Self {
        Self {
            in_flight: 0,
            in_flight_bytes: 0,
            oldest: None,
            lag: None,
            transactions: self.transactions.map(|transactions| TransactionReport {
                open: None,
                ..transactions
            }),
            ..self
        }
    }

    /// Returns the counts of the operator of this name; of the first, where several have it.
    #[must_use]
    pub fn operator(&self, name: &str) -> Option<&OperatorReport> {
        self.operators
            .iter()
            .find(|operator| &*operator.name == name)
    }

    /// Returns the number of values that were refused for the dead letters, at any operator.
    ///
    /// Several values of one record are one letter: [`dead_letters`](Self::dead_letters) counts
    /// those.
    #[must_use]
    pub fn dead_lettered(&self) -> u64 {
        self.operators
            .iter()
            .map(|operator| operator.dead_lettered)
            .sum()
    }
}

impl fmt::Display for PipelineReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for operator in &self.operators {
            writeln!(f, "{operator}")?;
        }
        write!(f, "{} acknowledged", self.acknowledged)?;
        match &self.transactions {
            Some(transactions) => write!(f, ", {transactions}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for OperatorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} in, {} out", self.name, self.taken, self.passed)?;
        for (count, what) in [
            (self.skipped, "skipped"),
            (self.withdrawn, "withdrawn"),
            (self.dead_lettered, "dead-lettered"),
            (self.errors, "errors"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(acknowledged: u64, names: &[(&'static str, u64)]) -> PipelineReport {
        let operators = names.iter().map(|(name, taken)| {
            let mut report = OperatorReport::of(&Operator::new("map", *name));
            report.taken = *taken;
            report
        });
        PipelineReport {
            acknowledged,
            in_flight: 2,
            lag: Some(SourceLag::of_records(10)),
            oldest: Some(Duration::from_secs(acknowledged)),
            transactions: Some(TransactionReport {
                committed: acknowledged,
                fenced: 1,
                failed: 2,
                refused: 3,
                undelivered: 4,
                renewed: 5,
                rewound: 6,
                open: Some(Duration::from_secs(1)),
            }),
            operators: operators.collect(),
            ..PipelineReport::default()
        }
    }

    fn taken(report: &PipelineReport) -> Vec<(&str, u64)> {
        let operators = report.operators.iter();
        operators.map(|one| (&*one.name, one.taken)).collect()
    }

    #[test]
    fn sums_are_by_operator_also_where_several_have_one_name() {
        let one = report(3, &[("source", 5), ("map", 4), ("map", 3), ("sink", 2)]);
        let other = report(7, &[("source", 50), ("map", 40), ("map", 30), ("sink", 20)]);
        let sum = PipelineReport::default().plus(&one).plus(&other);
        let expected = [("source", 55), ("map", 44), ("map", 33), ("sink", 22)];
        assert_eq!(taken(&sum), expected);
        assert_eq!((sum.acknowledged, sum.in_flight), (10, 4));
        assert_eq!(sum.lag, Some(SourceLag::of_records(20)));
        assert_eq!(sum.oldest, Some(Duration::from_secs(7)));
        let transactions = sum.transactions.expect("there are some");
        assert_eq!((transactions.aborted(), transactions.renewed), (20, 10));
        assert_eq!(transactions.rewound, 12);
        let shown = sum.to_string();
        assert!(
            shown.ends_with("\n10 acknowledged, 10 transactions, 20 aborted"),
            "{shown}"
        );
    }

    #[test]
    fn a_run_that_is_over_has_counts_and_no_levels() {
        let over = report(3, &[("source", 5)]).of_the_past();
        assert_eq!((over.acknowledged, taken(&over)), (3, vec![("source", 5)]));
        assert_eq!((over.in_flight, over.oldest, over.lag), (0, None, None));
        let transactions = over.transactions.expect("there are some");
        assert_eq!((transactions.committed, transactions.open), (3, None));
    }
}
