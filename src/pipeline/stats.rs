//! Counts of a pipeline, live and at its end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::in_flight::InFlight;
use super::lag::{LastLag, SourceLag};
use super::operator::Operator;
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
/// Install the recorder before running the pipeline: the handles are taken then.
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
        }
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
            operators: operators
                .map(|operator| OperatorReport::of(operator))
                .collect(),
        }
    }

    /// Returns the health of the operators, the sink and the dead-letter output: whether lookups
    /// succeed, and whether anything is written, at present. The source, and the sink's own
    /// connections, have a health of their own.
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
    pub(super) fn plus(mut self, other: &Self) -> Self {
        self.acknowledged += other.acknowledged;
        self.dead_letters += other.dead_letters;
        self.in_flight += other.in_flight;
        self.in_flight_bytes += other.in_flight_bytes;
        self.oldest = self.oldest.max(other.oldest);
        self.lag = match (self.lag, &other.lag) {
            (Some(lag), Some(other)) => Some(lag.plus(other)),
            (lag, other) => lag.or(*other),
        };
        for operator in &other.operators {
            let known = self.operators.iter_mut();
            match known.into_iter().find(|known| known.name == operator.name) {
                Some(known) => known.add(operator),
                None => self.operators.push(operator.clone()),
            }
        }
        self
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
        write!(f, "{} acknowledged", self.acknowledged)
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
