//! A pipeline's numbers for the `metrics` facade.
//!
//! They are published once a second, as what the operators' own counts have grown by: a record
//! costs no more for it.

use std::sync::Arc;

use metrics::{Counter, Gauge, Label, Unit, counter, describe_counter, describe_gauge, gauge};

use super::in_flight::InFlight;
use super::lag::SourceLag;
use super::stats::{OperatorReport, PipelineStats};
#[cfg(feature = "kafka")]
use super::transaction_meter::TransactionMeter;

pub(super) struct Meter {
    stats: PipelineStats,
    in_flight: Arc<InFlight>,
    operators: Vec<OperatorMeter>,
    acknowledged: Growth,
    dead_letters: Growth,
    records: Gauge,
    bytes: Gauge,
    oldest: Gauge,
    lag: LagGauges,
    #[cfg(feature = "kafka")]
    transactions: Option<TransactionMeter>,
    /// It is one of several groups.
    is_group: bool,
}

/// A counter, and how much of the count it has.
pub(super) struct Growth {
    counter: Counter,
    published: u64,
}

impl Growth {
    pub(super) fn new(counter: Counter) -> Self {
        Self {
            counter,
            published: 0,
        }
    }

    pub(super) fn publish(&mut self, count: u64) {
        self.counter.increment(count.saturating_sub(self.published));
        self.published = count;
    }
}

struct OperatorMeter {
    taken: Growth,
    passed: Growth,
    skipped: Growth,
    withdrawn: Growth,
    dead_lettered: Growth,
    errors: Growth,
}

impl OperatorMeter {
    fn new(pipeline: &[Label], operator: &Arc<str>) -> Self {
        let mut labels = pipeline.to_vec();
        labels.push(Label::new("operator", Arc::clone(operator)));
        let labels = || labels.clone();
        Self {
            taken: Growth::new(counter!("pipeline_records_in_total", labels())),
            passed: Growth::new(counter!("pipeline_records_out_total", labels())),
            skipped: Growth::new(counter!("pipeline_skipped_total", labels())),
            withdrawn: Growth::new(counter!("pipeline_withdrawn_total", labels())),
            dead_lettered: Growth::new(counter!("pipeline_dead_lettered_total", labels())),
            errors: Growth::new(counter!("pipeline_errors_total", labels())),
        }
    }

    fn publish(&mut self, operator: &OperatorReport) {
        self.taken.publish(operator.taken);
        self.passed.publish(operator.passed);
        self.skipped.publish(operator.skipped);
        self.withdrawn.publish(operator.withdrawn);
        self.dead_lettered.publish(operator.dead_lettered);
        self.errors.publish(operator.errors);
    }
}

/// The gauges of the lag. Each is there from the first value on: 0 would say that a source whose lag
/// is not known is read up.
struct LagGauges {
    labels: Vec<Label>,
    records: Option<Gauge>,
    seconds: Option<Gauge>,
}

impl LagGauges {
    fn publish(&mut self, lag: SourceLag) {
        let labels = || self.labels.clone();
        if let Some(records) = lag.records {
            let gauge = || gauge!("pipeline_lag_records", labels());
            #[expect(clippy::cast_precision_loss, reason = "no lag reaches 2^53")]
            let records = records as f64;
            self.records.get_or_insert_with(gauge).set(records);
        }
        if let Some(age) = lag.age {
            let gauge = || gauge!("pipeline_lag_seconds", labels());
            self.seconds
                .get_or_insert_with(gauge)
                .set(age.as_secs_f64());
        }
    }
}

impl Meter {
    pub(super) fn new(
        name: &str,
        group: Option<u32>,
        stats: PipelineStats,
        in_flight: &Arc<InFlight>,
    ) -> Self {
        describe();
        let mut labels = vec![Label::new("pipeline", name.to_owned())];
        labels.extend(group.map(|group| Label::new("group", group.to_string())));
        let label = || labels.clone();
        let operators = stats.report().operators;
        let operators = operators.iter();
        #[cfg(feature = "kafka")]
        let transactions = {
            let counts = stats.transactions();
            counts.map(|counts| TransactionMeter::new(&labels, Arc::clone(counts)))
        };
        Self {
            #[cfg(feature = "kafka")]
            transactions,
            operators: operators
                .map(|operator| OperatorMeter::new(&labels, &operator.name))
                .collect(),
            stats,
            in_flight: Arc::clone(in_flight),
            acknowledged: Growth::new(counter!("pipeline_acknowledged_total", label())),
            dead_letters: Growth::new(counter!("pipeline_dead_letters_total", label())),
            records: gauge!("pipeline_in_flight", label()),
            bytes: gauge!("pipeline_in_flight_bytes", label()),
            oldest: gauge!("pipeline_oldest_in_flight_seconds", label()),
            lag: LagGauges {
                labels: labels.clone(),
                records: None,
                seconds: None,
            },
            is_group: group.is_some(),
        }
    }

    pub(super) fn publish(&mut self) {
        let report = self.stats.report();
        for (meter, operator) in self.operators.iter_mut().zip(&report.operators) {
            meter.publish(operator);
        }
        self.acknowledged.publish(report.acknowledged);
        self.dead_letters.publish(report.dead_letters);
        self.records.set(as_f64(self.in_flight.records()));
        self.bytes.set(as_f64(self.in_flight.bytes()));
        self.oldest
            .set(report.oldest.map_or(0.0, |age| age.as_secs_f64()));
        if let Some(lag) = report.lag {
            self.lag.publish(lag);
        }
        #[cfg(feature = "kafka")]
        if let Some((meter, report)) = self.transactions.as_mut().zip(report.transactions) {
            meter.publish(&report);
        }
    }
}

/// However the run ends, also by being dropped: the totals are whole, and nothing is in flight. The partitions of a group
/// are other groups' now: summed up, its lag would count twice.
impl Drop for Meter {
    fn drop(&mut self) {
        self.publish();
        let of_lag = [&self.lag.records, &self.lag.seconds];
        let of_lag = of_lag.into_iter().flatten().filter(|_| self.is_group);
        let gauges = [&self.records, &self.bytes, &self.oldest];
        for gauge in gauges.into_iter().chain(of_lag) {
            gauge.set(0.0);
        }
        #[cfg(feature = "kafka")]
        self.transactions.iter().for_each(TransactionMeter::end);
    }
}

fn describe() {
    for (name, text) in [
        (
            "pipeline_records_in_total",
            "Values that an operator took; of the source, records that it handed out",
        ),
        (
            "pipeline_records_out_total",
            "Values that an operator passed on; of the sink, values that it accepted",
        ),
        (
            "pipeline_skipped_total",
            "Values of which nothing came, with nothing wrong",
        ),
        (
            "pipeline_withdrawn_total",
            "Values whose records were not the source's any more",
        ),
        (
            "pipeline_dead_lettered_total",
            "Values that an operator, or the sink, refused for the dead letters",
        ),
        (
            "pipeline_errors_total",
            "Values that ended the pipeline at an operator or the sink",
        ),
        (
            "pipeline_acknowledged_total",
            "Records of the source all of whose effects are durable",
        ),
        (
            "pipeline_dead_letters_total",
            "Dead letters that are durable, one a record",
        ),
    ] {
        describe_counter!(name, Unit::Count, text);
    }
    describe_gauge!(
        "pipeline_in_flight",
        Unit::Count,
        "Records between the source and durability"
    );
    describe_gauge!(
        "pipeline_in_flight_bytes",
        Unit::Bytes,
        "Bytes of those records"
    );
    describe_gauge!(
        "pipeline_oldest_in_flight_seconds",
        Unit::Seconds,
        "Time since the source handed out the oldest of those records"
    );
    describe_gauge!(
        "pipeline_lag_records",
        Unit::Count,
        "Records between the first one that is not acknowledged and the end of the source"
    );
    describe_gauge!(
        "pipeline_lag_seconds",
        Unit::Seconds,
        "Time since the source was read up to its end, of the partition that is furthest behind"
    );
}

#[expect(clippy::cast_precision_loss, reason = "no count here reaches 2^53")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Limits;
    use crate::clock::Clock;
    use crate::pipeline::lag::{LagProbe, LastLag};
    use crate::pipeline::operator::Operator;
    use crate::recorded::Recorded;

    /// Returns the gauge of a lag of 7 before and after the end.
    async fn lags(group: Option<u32>, recorded: &Recorded, gauge: &str) -> [Option<u64>; 2] {
        let limits = Limits {
            records: 1,
            bytes: 1,
        };
        let (in_flight, lag) = (Arc::new(InFlight::new(limits)), LastLag::default());
        let source = Arc::new(Operator::new("source", "source"));
        let stats = PipelineStats::new(
            [Arc::clone(&source)].into(),
            source,
            Arc::clone(&in_flight),
            lag.clone(),
        );
        let mut meter = Meter::new("p", group, stats, &in_flight);
        let probe = LagProbe::new(|| async { Some(SourceLag::of_records(7)) });
        let measured = lag.follow(Some(probe), Clock::start());
        // It is measured again and again.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(11), measured).await;
        meter.publish();
        let before = recorded.gauge(gauge);
        drop(meter);
        [before, recorded.gauge(gauge)]
    }

    #[test]
    fn a_groups_lag_is_no_more_once_it_has_ended_and_a_pipelines_stays_as_it_was_measured() {
        for (group, gauge, expected) in [
            (None, "pipeline_lag_records{p}", [Some(7), Some(7)]),
            (Some(0), "pipeline_lag_records{p,0}", [Some(7), Some(0)]),
        ] {
            let (_, lags) = Recorded::of(async |recorded| lags(group, recorded, gauge).await);
            assert_eq!(lags, expected);
        }
    }
}
