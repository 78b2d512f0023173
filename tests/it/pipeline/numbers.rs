//! A pipeline's metrics: what is published is what its report counts.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dynamodb_connector::pipeline::{Pipeline, PipelineSettings};
use dynamodb_connector::test_util::CollectSink;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::parts::{Holding, Log, Script};

#[derive(Default)]
pub(super) struct Recorded {
    described: Mutex<BTreeMap<String, Unit>>,
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
}

impl Recorded {
    fn count(&self, key: &str) -> Option<u64> {
        let counters = self.counters.lock();
        counters.get(key).map(|count| count.load(Ordering::SeqCst))
    }

    pub(super) fn gauge(&self, key: &str) -> Option<f64> {
        let gauges = self.gauges.lock();
        let bits = gauges.get(key).map(|gauge| gauge.load(Ordering::SeqCst));
        bits.map(f64::from_bits)
    }

    pub(super) fn has_gauge(&self, name: &str) -> bool {
        let gauges = self.gauges.lock();
        gauges.keys().any(|key| key.starts_with(name))
    }

    fn describe(&self, key: &KeyName, unit: Option<Unit>) {
        let mut described = self.described.lock();
        described.insert(key.as_str().to_owned(), unit.unwrap());
    }
}

/// The name and the values of the labels, as `name{a,b}`.
fn shown(key: &Key) -> String {
    let labels: Vec<&str> = key.labels().map(metrics::Label::value).collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

impl Recorder for Recorded {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.counters.lock();
        Counter::from_arc(counters.entry(shown(key)).or_default().clone())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut gauges = self.gauges.lock();
        Gauge::from_arc(gauges.entry(shown(key)).or_default().clone())
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

async fn run_a_pipeline(recorded: &Recorded) {
    let log = Log::default();
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let dead = CollectSink::new();
    let job = Pipeline::from(Script::new([vec![1, 2, 3, 4, 5]], &log).endless())
        .settings(PipelineSettings::default().name("decisions"))
        .filter(|n| *n != 1)
        .named("not-one")
        .flat_map(|n| [n, n + 10])
        .validate(|n| if n % 10 == 2 { Err("two") } else { Ok(()) })
        .named("no-twos")
        .dead_letter(dead.clone())
        .to_named("topic", sink);
    let running = tokio::spawn(job.run());
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(
        recorded.count("pipeline_records_in_total{decisions,source}"),
        Some(5)
    );
    assert_eq!(
        recorded.count("pipeline_records_out_total{decisions,not-one}"),
        Some(4)
    );
    assert_eq!(
        recorded.count("pipeline_skipped_total{decisions,not-one}"),
        Some(1)
    );
    assert_eq!(
        recorded.count("pipeline_records_in_total{decisions,no-twos}"),
        Some(8)
    );
    assert_eq!(
        recorded.count("pipeline_dead_lettered_total{decisions,no-twos}"),
        Some(2),
        "values"
    );
    assert_eq!(
        recorded.count("pipeline_dead_letters_total{decisions}"),
        Some(1),
        "a letter"
    );
    assert_eq!(
        recorded.count("pipeline_acknowledged_total{decisions}"),
        Some(2)
    );
    assert_eq!(recorded.gauge("pipeline_in_flight{decisions}"), Some(3.0));
    assert_eq!(
        recorded.gauge("pipeline_in_flight_bytes{decisions}"),
        Some(300.0)
    );
    let oldest = recorded
        .gauge("pipeline_oldest_in_flight_seconds{decisions}")
        .unwrap();
    assert!((1.9..2.1).contains(&oldest), "{oldest}");
    for (_, delivery) in std::mem::take(&mut *held.lock()) {
        delivery.done();
    }
    // Between two publications: the end publishes what is left.
    running.abort();
    let _ = running.await;
    assert_eq!(
        recorded.count("pipeline_acknowledged_total{decisions}"),
        Some(5)
    );
    assert_eq!(recorded.gauge("pipeline_in_flight{decisions}"), Some(0.0));
}

/// Runs a paused test with a recorder of its own.
pub(super) fn recorded(test: impl AsyncFnOnce(&Recorded)) -> Recorded {
    let recorded = Recorded::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorded, || runtime.block_on(test(&recorded)));
    recorded
}

#[test]
fn what_a_pipeline_does_is_published_by_operator_and_described() {
    let recorded = recorded(run_a_pipeline);
    let described = recorded.described.lock();
    let counters = recorded.counters.lock();
    let gauges = recorded.gauges.lock();
    for key in counters.keys().chain(gauges.keys()) {
        let name = key.split('{').next().unwrap();
        assert!(described.contains_key(name), "{name}");
    }
    assert_eq!(described.len(), 13);
}
