//! The lag of a source, in a pipeline's report and its metrics.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::pipeline::{
    EndpointError, LagProbe, NextEvent, Pipeline, PipelineSettings, Source, SourceLag,
};
use dynamodb_connector::streams::StreamsSettings;
use dynamodb_connector::test_util::CollectSink;
use tokio::sync::oneshot;

use super::numbers::recorded;
use super::parts::{Log, Script};
use crate::streams::rig::{builder, failing, put, table};

const SECOND: Duration = Duration::from_secs(1);

/// The measurements of the probe; `None` while it is not known.
type Measured = Arc<Mutex<Option<SourceLag>>>;

/// A source that gives nothing, and knows its lag where it has one.
struct Behind {
    source: Script,
    measured: Option<Measured>,
}

impl Behind {
    fn new(measured: Option<&Measured>) -> Self {
        Self {
            source: Script::new([vec![1]], &Log::default()).endless(),
            measured: measured.cloned(),
        }
    }
}

impl Source for Behind {
    type Item = u32;

    async fn next_event(&mut self) -> NextEvent<u32> {
        self.source.next_event().await
    }

    fn lag(&self) -> Option<LagProbe> {
        let measured = self.measured.clone()?;
        Some(LagProbe::new(move || {
            let lag = *measured.lock();
            async move { lag }
        }))
    }

    fn stop(&mut self) {
        self.source.stop();
    }

    async fn close(self) -> Result<(), EndpointError> {
        self.source.close().await
    }
}

fn of_both(records: u64, age: Duration) -> SourceLag {
    let mut lag = SourceLag::of_records(records);
    lag.age = Some(age);
    lag
}

#[test]
fn a_sources_lag_is_reported_and_published_as_it_was_last_measured() {
    recorded(async |recorded| {
        let measured = Measured::default();
        let job = Pipeline::from(Behind::new(Some(&measured)))
            .settings(PipelineSettings::default().name("decisions"))
            .to(CollectSink::new());
        let stats = job.stats();
        let published = || {
            let gauge = |name: &str| recorded.gauge(&format!("{name}{{decisions}}"));
            (gauge("pipeline_lag_records"), gauge("pipeline_lag_seconds"))
        };
        let running = tokio::spawn(job.run());
        tokio::time::sleep(15 * SECOND).await;
        assert_eq!((stats.report().lag, published()), (None, (None, None)));

        *measured.lock() = Some(of_both(4_000, 7 * SECOND));
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!(stats.report().lag, Some(of_both(4_000, 7 * SECOND)));
        assert_eq!(published(), (Some(4_000.0), Some(7.0)));

        *measured.lock() = Some(of_both(0, Duration::ZERO));
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!(published(), (Some(0.0), Some(0.0)));

        // It is not known: what was last is the best that there is.
        *measured.lock() = Some(of_both(20, SECOND));
        tokio::time::sleep(10 * SECOND).await;
        *measured.lock() = None;
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!(published(), (Some(20.0), Some(1.0)));
        running.abort();
        let _ = running.await;
        assert_eq!(
            published(),
            (Some(20.0), Some(1.0)),
            "it is none the less behind"
        );
    });
}

#[test]
fn a_source_that_does_not_know_its_lag_has_no_gauge_of_it() {
    recorded(async |recorded| {
        let job = Pipeline::from(Behind::new(None)).to(CollectSink::new());
        let stats = job.stats();
        let running = tokio::spawn(job.run());
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(stats.report().lag, None);
        assert!(!recorded.has_gauge("pipeline_lag_records"));
        assert!(!recorded.has_gauge("pipeline_lag_seconds"));
        running.abort();
    });
}

#[test]
fn a_measurement_without_an_answer_holds_nothing_back() {
    recorded(async |_| {
        struct Hanging(Script);
        impl Source for Hanging {
            type Item = u32;

            async fn next_event(&mut self) -> NextEvent<u32> {
                tokio::time::sleep(5 * SECOND).await;
                self.0.next_event().await
            }

            fn lag(&self) -> Option<LagProbe> {
                Some(LagProbe::new(std::future::pending))
            }

            fn stop(&mut self) {
                self.0.stop();
            }

            async fn close(self) -> Result<(), EndpointError> {
                self.0.close().await
            }
        }
        let batches = (0..10).map(|n| vec![n]);
        let job = Pipeline::from(Hanging(Script::new(batches, &Log::default())));
        let report = job.to(CollectSink::new()).run().await.unwrap();
        assert_eq!(report.acknowledged, 10);
    });
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_a_tables_changes_is_the_age_of_the_shard_furthest_behind() {
    let fake = table(2);
    put(&fake, "a", 1).await;
    let settings = StreamsSettings::default();
    let source = builder(&fake).settings(settings).open().await.unwrap();
    let job = Pipeline::from(source.into_stream()).to(CollectSink::new());
    let stats = job.stats();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(job.run_until(async move {
        let _ = stopped.await;
    }));
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(
        stats.report().lag,
        Some(SourceLag::of_age(Duration::ZERO)),
        "it is read up"
    );
    fake.fault_plan(failing(&[
        dynamodb_connector::test_util::Operation::GetRecords,
    ]));
    tokio::time::sleep(300 * SECOND).await;
    let age = stats.report().lag.unwrap().age.unwrap();
    assert!((285..=305).contains(&age.as_secs()), "{age:?}");
    stop.send(()).unwrap();
    let _ = running.await;
}

#[tokio::test]
async fn the_lag_of_a_topic_is_the_number_of_records_that_are_not_done() {
    use crate::kafka::{soon, source};

    let kafka = source::filled(2, 8).await;
    let mut topic = source::open(&kafka, &source::own()).await;
    for _ in 0..3 {
        source::next(&mut topic).await.ack.done();
    }
    // Also of the partition of which nothing is out.
    let opened = async {
        while topic.stats().partitions < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(opened).await;
    let mut probe = Source::lag(&topic).expect("it counts its records");
    assert_eq!(soon(probe.measure()).await, Some(SourceLag::of_records(13)));
    soon(topic.close()).await.expect("committed");
    assert_eq!(soon(probe.measure()).await, None, "it is closed");
}
