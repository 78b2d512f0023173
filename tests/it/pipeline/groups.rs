//! Task groups: each on a thread of its own, made again when it fails, stopped and reported as one.

use std::cell::RefCell;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use dynamodb_connector::pipeline::{
    BoxJob, Delivery, EndpointError, Pipeline, PipelineError, Sink,
};
use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::parts::{Holding, Log, Script};
use crate::kafka::soon;

/// A sink that is done with each value at once, and says of which group it was.
struct Telling {
    group: u32,
    fails_at: Option<u32>,
    wrote: UnboundedSender<u32>,
}

impl Sink<u32> for Telling {
    async fn write(&mut self, value: u32, delivery: Delivery) -> Result<(), EndpointError> {
        if self.fails_at == Some(value) {
            return Err(EndpointError::new("it is away").retryable(true));
        }
        delivery.done();
        // The test may be over.
        let _ = self.wrote.send(self.group);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        Ok(())
    }

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

fn job(log: &Log, sink: impl Sink<u32>) -> BoxJob {
    Pipeline::from(Script::new([vec![1, 2, 3]], log).endless())
        .to(sink)
        .boxed()
}

/// Resolves once so many values of each group were written.
async fn written(wrote: &mut UnboundedReceiver<u32>, expected: &[u32]) {
    let mut counts = vec![0; expected.len()];
    while counts != expected {
        let group = wrote.recv().await.expect("groups run");
        counts[group as usize] += 1;
    }
}

#[tokio::test]
async fn a_group_that_fails_is_made_again_the_others_go_on_and_the_report_has_the_sums() {
    let (wrote, mut writes) = unbounded_channel();
    let made = Arc::new([const { AtomicU32::new(0) }; 3]);
    let count = Arc::clone(&made);
    let groups = Pipeline::groups(3, move |group| {
        let attempt = count[group as usize].fetch_add(1, SeqCst);
        let sink = Telling {
            group,
            fails_at: (group == 1 && attempt < 2).then_some(3),
            wrote: wrote.clone(),
        };
        let job = job(&Log::default(), sink);
        async move { Ok::<_, EndpointError>(job) }
    });
    // The one that fails writes two in each run but the last.
    let stop = written(&mut writes, &[3, 2 + 2 + 3, 3]);
    let report = soon(groups.run_until(stop)).await.unwrap();
    let made: Vec<u32> = made.iter().map(|made| made.load(SeqCst)).collect();
    assert_eq!(made, [1, 3, 1]);
    assert_eq!(report.acknowledged, 13);
    assert_eq!(report.operator("source").unwrap().taken, 15);
    assert_eq!(report.operator("sink").unwrap().passed, 13);
    assert_eq!((report.operators.len(), report.in_flight), (2, 0));
}

#[tokio::test]
async fn a_stop_ends_all_groups_and_drains_each() {
    let logs: [Log; 3] = Default::default();
    let (wrote, mut writes) = unbounded_channel();
    let of_groups = logs.clone();
    let groups = Pipeline::groups(3, move |group| {
        let (log, wrote) = (&of_groups[group as usize], wrote.clone());
        let sink = Holding::new(log);
        let written = sink.wrote.clone();
        tokio::spawn(async move {
            written.notified().await;
            wrote.send(group)
        });
        let job = job(log, sink);
        async move { Ok::<_, EndpointError>(job) }
    });
    let report = soon(groups.run_until(written(&mut writes, &[1, 1, 1]))).await;
    assert_eq!(report.unwrap().acknowledged, 9);
    for log in logs {
        let mut ends = log.all();
        ends.retain(|line| !line.starts_with("wrote") && !line.starts_with("given"));
        let expected = [
            "source stopped",
            "flush",
            "done 0",
            "done 1",
            "done 2",
            "source closed",
            "sink closed",
        ];
        assert_eq!(ends, expected);
    }
}

/// The ways of a closure to give no job.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Panic,
    LatePanic,
    Error,
}

#[tokio::test]
async fn a_closure_that_panics_or_fails_for_good_ends_all_groups_and_the_others_drain() {
    for fault in [Fault::Panic, Fault::LatePanic, Fault::Error] {
        let log = Log::default();
        let of_other = log.clone();
        let (wrote, writes) = unbounded_channel();
        let (writes, calls) = (Arc::new(tokio::sync::Mutex::new(writes)), AtomicU32::new(0));
        let groups = Pipeline::groups(2, move |group| {
            let sink = Telling {
                group,
                fails_at: None,
                wrote: wrote.clone(),
            };
            let job = (group == 0).then(|| job(&of_other, sink));
            let is_second = group == 1 && calls.fetch_add(1, SeqCst) == 1;
            assert!(!is_second, "the closure panics");
            let writes = Arc::clone(&writes);
            async move {
                if let Some(job) = job {
                    return Ok(job);
                }
                // The other is to be in the middle of its work.
                written(&mut *writes.lock().await, &[3]).await;
                assert!(!matches!(fault, Fault::LatePanic), "its future panics");
                let again = matches!(fault, Fault::Panic);
                Err(EndpointError::new("no rights").retryable(again))
            }
        });
        let error = soon(groups.run()).await.unwrap_err();
        let reason = match fault {
            Fault::Error => "no rights",
            Fault::Panic | Fault::LatePanic => "it panicked",
        };
        assert_eq!(error.to_string(), format!("group 1: {reason}"));
        let ends = ["source stopped", "source closed"];
        assert_eq!(log.of("source"), ends, "{fault:?}");
        assert_eq!(log.of("done").len(), 3);
    }
}

#[tokio::test]
async fn a_group_that_fails_after_the_stop_is_not_made_again() {
    struct Broken(UnboundedSender<u32>);
    impl Sink<u32> for Broken {
        async fn write(&mut self, _: u32, delivery: Delivery) -> Result<(), EndpointError> {
            delivery.done();
            let _ = self.0.send(0);
            Ok(())
        }
        async fn flush(&mut self) -> Result<(), EndpointError> {
            Err(EndpointError::new("it is away").retryable(true))
        }
        async fn close(self) -> Result<(), EndpointError> {
            Ok(())
        }
    }
    let (wrote, mut writes) = unbounded_channel();
    let made = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&made);
    let groups = Pipeline::groups(1, move |_| {
        count.fetch_add(1, SeqCst);
        let job = job(&Log::default(), Broken(wrote.clone()));
        async move { Ok::<_, EndpointError>(job) }
    });
    let error = soon(groups.run_until(written(&mut writes, &[3])))
        .await
        .unwrap_err();
    assert_eq!(
        (error.to_string(), made.load(SeqCst)),
        ("sink: it is away".into(), 1)
    );
}

/// An error that says when the next one has taken its place: its group waits to be made again then.
#[derive(Debug, thiserror::Error)]
#[error("no brokers")]
struct Replaced(UnboundedSender<u32>);

impl Drop for Replaced {
    fn drop(&mut self) {
        let _ = self.0.send(0);
    }
}

#[tokio::test]
async fn a_group_that_waits_to_be_made_again_at_the_stop_ends_by_its_error() {
    let (replaced, mut errors) = unbounded_channel();
    let groups = Pipeline::groups(1, move |_| {
        let error = EndpointError::new(Replaced(replaced.clone())).retryable(true);
        async { Err::<BoxJob, _>(error) }
    });
    let stop = written(&mut errors, &[3]);
    let error = soon(groups.run_until(stop)).await.unwrap_err();
    assert_eq!(error.to_string(), "group 0: no brokers");

    let (making, mut makes) = unbounded_channel();
    let calls = AtomicU32::new(0);
    let groups = Pipeline::groups(1, move |group| {
        let _ = making.send(group);
        let hangs = calls.fetch_add(1, SeqCst) > 0;
        async move {
            if hangs {
                pending::<()>().await;
            }
            Err::<BoxJob, _>(EndpointError::new("no brokers").retryable(true))
        }
    });
    let stop = written(&mut makes, &[2]);
    let error = soon(groups.run_until(stop)).await.unwrap_err();
    assert_eq!(error.to_string(), "group 0: no brokers");

    let unmade = Pipeline::groups(1, |_| pending::<Result<BoxJob, EndpointError>>());
    let report = soon(unmade.run_until(async {})).await.unwrap();
    assert_eq!(report.acknowledged, 0, "it has not failed");
}

#[tokio::test]
async fn groups_that_are_dropped_give_up_and_their_threads_end() {
    thread_local! {
        static ON_THREAD: RefCell<Option<UnboundedSender<u32>>> = const { RefCell::new(None) };
    }
    let logs: [Log; 2] = Default::default();
    let (wrote, mut writes) = unbounded_channel();
    let (thread, mut threads) = unbounded_channel::<u32>();
    let of_groups = logs.clone();
    let kept = Arc::new(());
    let by_closure = Arc::clone(&kept);
    let groups = Pipeline::groups(2, move |group| {
        let _kept = &by_closure;
        // Dropped as the last of the thread.
        ON_THREAD.set(Some(thread.clone()));
        let log = &of_groups[group as usize];
        let sink = Holding::new(log);
        let (written, wrote) = (sink.wrote.clone(), wrote.clone());
        tokio::spawn(async move {
            written.notified().await;
            wrote.send(group)
        });
        let job = job(log, sink);
        async move { Ok::<_, EndpointError>(job) }
    });
    let running = tokio::spawn(groups.run());
    soon(written(&mut writes, &[1, 1])).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(
        soon(threads.recv()).await,
        None,
        "all that could send have ended"
    );
    assert_eq!(Arc::strong_count(&kept), 1);
    for log in logs {
        assert_eq!(log.of("done"), Vec::<String>::new());
        assert_eq!(log.of("dropped").len(), 3);
        assert_eq!(log.of("source closed").len(), 1);
    }
}

#[tokio::test]
async fn no_group_at_all_and_too_many_are_refused() {
    for count in [0, 1_001] {
        let groups = Pipeline::groups(count, |_| pending::<Result<BoxJob, EndpointError>>());
        let error = soon(groups.run()).await.unwrap_err();
        assert!(matches!(error, PipelineError::Config(_)), "{error}");
        let expected = format!("pipeline: groups is {count}, allowed 1 to 1000");
        assert_eq!(error.to_string(), expected);
    }
}

/// Says which gauge was set to what.
struct Gauges(UnboundedSender<(String, f64)>);

struct OneGauge(String, UnboundedSender<(String, f64)>);

impl GaugeFn for OneGauge {
    fn increment(&self, _: f64) {}

    fn decrement(&self, _: f64) {}

    fn set(&self, value: f64) {
        let _ = self.1.send((self.0.clone(), value));
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let labels: Vec<&str> = key.labels().map(metrics::Label::value).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Gauge::from_arc(Arc::new(OneGauge(name, self.0.clone())))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn each_group_has_gauges_of_its_own() {
    let (set, mut gauges) = unbounded_channel();
    let groups = Pipeline::groups(2, move |group| {
        // For the thread, whose end drops it.
        let recorder = Box::leak(Box::new(Gauges(set.clone())));
        std::mem::forget(metrics::set_default_local_recorder(recorder));
        let log = Log::default();
        let values = (0..=group).collect();
        let job = Pipeline::from(Script::new([values], &log).endless())
            .to(Holding::new(&log))
            .boxed();
        async move { Ok::<_, EndpointError>(job) }
    });
    let stop = async {
        let mut expected = vec![
            ("pipeline_in_flight{pipeline,0}".to_owned(), 1.0),
            ("pipeline_in_flight{pipeline,1}".to_owned(), 2.0),
        ];
        while !expected.is_empty() {
            let set = gauges.recv().await.expect("they are published");
            expected.retain(|gauge| *gauge != set);
        }
    };
    let report = soon(groups.run_until(stop)).await;
    assert_eq!(report.unwrap().acknowledged, 3);
}
