//! A recorder of metrics, for tests of what is published.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Label, Metadata, Recorder, SharedString,
    Unit,
};
use parking_lot::Mutex;

/// The metrics by name and the values of the labels, as `name{a,b}`.
#[derive(Default)]
pub(crate) struct Recorded {
    described: Mutex<Vec<String>>,
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    histograms: Mutex<BTreeMap<String, Arc<Values>>>,
}

/// The values of a histogram, in milliseconds.
#[derive(Default)]
struct Values(Mutex<Vec<u64>>);

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0.lock().push(whole(value * 1_000.0));
    }
}

/// Returns a value that is whole in tests.
fn whole(value: f64) -> u64 {
    format!("{value:.0}").parse().expect("no fraction")
}

impl Recorded {
    /// Runs a test in paused time with a recorder of its own.
    pub(crate) fn of<T>(test: impl AsyncFnOnce(&Self) -> T) -> (Self, T) {
        let recorded = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let result = metrics::with_local_recorder(&recorded, || runtime.block_on(test(&recorded)));
        (recorded, result)
    }

    pub(crate) fn count(&self, key: &str) -> Option<u64> {
        let counters = self.counters.lock();
        counters.get(key).map(|count| count.load(SeqCst))
    }

    /// Returns a gauge, rounded.
    pub(crate) fn gauge(&self, key: &str) -> Option<u64> {
        let gauges = self.gauges.lock();
        let gauge = gauges.get(key)?;
        Some(whole(f64::from_bits(gauge.load(SeqCst))))
    }

    /// Returns the values of a histogram, in milliseconds.
    pub(crate) fn values(&self, key: &str) -> Vec<u64> {
        let histograms = self.histograms.lock();
        histograms
            .get(key)
            .map_or(Vec::new(), |values| values.0.lock().clone())
    }

    /// Returns the names that were described.
    pub(crate) fn described(&self) -> Vec<String> {
        self.described.lock().clone()
    }
}

fn shown(key: &Key) -> String {
    let labels: Vec<&str> = key.labels().map(Label::value).collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

impl Recorder for Recorded {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().push(key.as_str().to_owned());
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().push(key.as_str().to_owned());
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().push(key.as_str().to_owned());
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.counters.lock();
        Counter::from_arc(counters.entry(shown(key)).or_default().clone())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut gauges = self.gauges.lock();
        Gauge::from_arc(gauges.entry(shown(key)).or_default().clone())
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let mut histograms = self.histograms.lock();
        Histogram::from_arc(histograms.entry(shown(key)).or_default().clone())
    }
}
