//! Counters and histograms.

use super::*;

#[derive(Debug, Default)]
struct Values(Mutex<Vec<f64>>);

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0.lock().push(value);
    }
}

#[derive(Debug, Default)]
struct Count(AtomicU64);

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

/// Keeps counters and histograms by name.
#[derive(Debug, Default)]
struct Recorded {
    counters: Mutex<BTreeMap<String, Arc<Count>>>,
    histograms: Mutex<BTreeMap<String, Arc<Values>>>,
}

impl Recorded {
    fn count(&self, name: &str) -> u64 {
        self.counters.lock()[name].0.load(Ordering::Relaxed)
    }

    fn values(&self, name: &str) -> Vec<f64> {
        let histogram = Arc::clone(&self.histograms.lock()[name]);
        histogram.0.lock().clone()
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        assert!(
            key.labels()
                .any(|label| label.key() == "table" && label.value() == TABLE)
        );
        let mut counters = self.counters.lock();
        Counter::from_arc(Arc::clone(
            counters.entry(key.name().to_owned()).or_default(),
        ))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let mut histograms = self.histograms.lock();
        Histogram::from_arc(Arc::clone(
            histograms.entry(key.name().to_owned()).or_default(),
        ))
    }
}

#[test]
fn metrics_tell_records_bytes_times_errors_and_partial_failures() {
    let recorded = Recorded::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let bodies = metrics::with_local_recorder(&recorded, || {
        runtime.block_on(async {
            let fake = service();
            let table = open(&fake, settings().consumed_capacity(true)).await;
            let batch = |fault: Fault| fake.inject(fault.on(Operation::BatchWriteItem));
            batch(Fault::delay_after(ms(70)));
            all_written((0..10).map(|n| put(&table, &format!("k{n}"), n)).collect()).await;
            batch(Fault::internal_error());
            all_written(vec![put(&table, "a", 1), put(&table, "b", 1)]).await;
            fake.inject(Fault::unprocessed_count(3));
            all_written((0..5).map(|n| put(&table, &format!("k{n}"), n)).collect()).await;
            table.close().await.expect("closed");
            let stats = table.stats();
            assert_eq!(
                (stats.written, stats.requests, stats.failed_requests),
                (17, 5, 1)
            );
            let bytes = batches(&fake)
                .into_iter()
                .map(|batch| batch.body_bytes().to_string());
            bytes.collect::<Vec<_>>()
        })
    });
    let metric = |name: &str| format!("dynamodb_sink_{name}");
    assert_eq!(
        recorded.values(&metric("batch_items")),
        [10.0, 2.0, 2.0, 5.0, 3.0]
    );
    let bytes = recorded.values(&metric("request_bytes"));
    assert_eq!(
        bytes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        bodies
    );
    let times = recorded.values(&metric("request_seconds"));
    assert_eq!(times.len(), 5);
    assert!((0.07..0.08).contains(&times[0]), "{times:?}");
    assert!(times[1..].iter().all(|time| *time < 0.01), "{times:?}");
    assert_eq!(recorded.values(&metric("acknowledge_seconds")).len(), 17);
    for (name, count) in [
        ("written_total", 17),
        ("requests_total", 5),
        ("failed_requests_total", 1),
        ("retried_total", 5),
        ("throttled_total", 3),
        ("consumed_units_total", 17),
        ("rejected_total", 0),
    ] {
        assert_eq!(recorded.count(&metric(name)), count, "{name}");
    }
}
