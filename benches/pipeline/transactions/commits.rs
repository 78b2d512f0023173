//! The times of a pipeline's commits, as its metric gives them.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use crate::rig::Failure;
use crate::rig::times::Times;

/// The metric: from the cut of a transaction until its commit is answered, in seconds.
const COMMIT: &str = "pipeline_commit_seconds";

static TAKEN: LazyLock<Mutex<Times>> = LazyLock::new(Mutex::default);

/// Has the commits of this process counted.
pub(crate) fn record() -> Result<(), Failure> {
    Ok(metrics::set_global_recorder(Commits)?)
}

/// Forgets those until now.
pub(super) fn forget() {
    drop(taken());
}

/// Returns the times since they were last taken.
pub(super) fn taken() -> Times {
    std::mem::take(&mut *TAKEN.lock().expect("no holder panics"))
}

struct Commits;

struct Commit;

impl HistogramFn for Commit {
    fn record(&self, seconds: f64) {
        let mut taken = TAKEN.lock().expect("no holder panics");
        taken.add(Duration::from_secs_f64(seconds));
    }
}

impl Recorder for Commits {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match key.name() {
            COMMIT => Histogram::from_arc(Arc::new(Commit)),
            _ => Histogram::noop(),
        }
    }
}
