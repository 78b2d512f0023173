//! A sink that writes one value to several places, by splitting its delivery.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::pipeline::{
    Delivery, EndpointError, Pipeline, PipelineError, PipelineSettings, Sink,
};
use dynamodb_connector::test_util::CollectSink;
use tokio::time::sleep;

use super::parts::{Log, Script};

/// The fate of the two deliveries of a value.
#[derive(Clone, Copy)]
enum Half {
    Done,
    Rejected,
    Dropped,
    Kept,
}

/// Splits each delivery, and settles the halves one after the other.
struct Splitting {
    halves: [Half; 2],
    kept: Arc<Mutex<Vec<Delivery>>>,
}

impl Splitting {
    fn new(one: Half, other: Half) -> Self {
        Self {
            halves: [one, other],
            kept: Arc::default(),
        }
    }
}

impl<T: Send + 'static> Sink<T> for Splitting {
    async fn write(&mut self, _: T, delivery: Delivery) -> Result<(), EndpointError> {
        let deliveries = [delivery.split(), delivery];
        for (half, delivery) in self.halves.into_iter().zip(deliveries) {
            match half {
                Half::Done => delivery.done(),
                Half::Rejected => delivery.reject("no"),
                Half::Dropped => drop(delivery),
                Half::Kept => self.kept.lock().push(delivery),
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        Ok(())
    }

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_acknowledged_once_both_halves_are_done() {
    let log = Log::default();
    let sink = Splitting::new(Half::Kept, Half::Done);
    let kept = sink.kept.clone();
    let job = Pipeline::from(Script::new([vec![1, 2]], &log).endless()).to(sink);
    let running = tokio::spawn(job.run());
    sleep(Duration::from_secs(1)).await;
    assert_eq!((log.of("done").len(), kept.lock().len()), (0, 2));
    let first = kept.lock().remove(0);
    first.done();
    assert_eq!(log.of("done"), ["done 0"]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn halves_that_are_refused_are_one_letter_and_one_that_is_dropped_ends_the_run() {
    for (one, other, values) in [
        (Half::Rejected, Half::Done, 1),
        (Half::Done, Half::Rejected, 1),
        (Half::Rejected, Half::Rejected, 2),
    ] {
        let (log, dead) = (Log::default(), CollectSink::new());
        let report = Pipeline::from(Script::new([vec![1]], &log))
            .dead_letter(dead.clone())
            .to(Splitting::new(one, other))
            .run()
            .await
            .unwrap();
        let letters = dead.take();
        assert_eq!((letters.len(), letters[0].refused_values()), (1, values));
        assert_eq!((report.dead_letters, log.of("done").len()), (1, 1));
    }
    for (one, other) in [(Half::Dropped, Half::Done), (Half::Done, Half::Dropped)] {
        let log = Log::default();
        let job = Pipeline::from(Script::new([vec![1]], &log)).to(Splitting::new(one, other));
        let error = job.run().await.unwrap_err();
        assert!(
            matches!(error, PipelineError::Lost { records: 1, .. }),
            "{error}"
        );
        assert_eq!((log.of("done").len(), log.of("dropped").len()), (0, 1));
    }
}

/// The half that the sink keeps is watched as a whole value is.
#[tokio::test(start_paused = true)]
async fn a_half_that_is_never_settled_is_a_stall() {
    let log = Log::default();
    let settings = PipelineSettings::default().stall_timeout(Duration::from_secs(90));
    let job = Pipeline::from(Script::new([vec![1]], &log).endless())
        .settings(settings)
        .to_named("both", Splitting::new(Half::Kept, Half::Done));
    let ended = tokio::time::timeout(Duration::from_secs(600), job.run()).await;
    let error = ended.expect("it does not wait for ever").unwrap_err();
    assert!(
        matches!(error, PipelineError::Stalled { in_flight: 1, .. }),
        "{error}"
    );
    assert_eq!(error.operator(), Some("both"));
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_written_twice_counts_once_and_is_watched() {
    let log = Log::default();
    let report = Pipeline::from(Script::new([vec![1]], &log))
        .validate(|_| Err("never"))
        .dead_letter(Splitting::new(Half::Done, Half::Done))
        .to(CollectSink::new())
        .run()
        .await
        .unwrap();
    assert_eq!((report.dead_letters, report.acknowledged), (1, 1));

    let settings = PipelineSettings::default().stall_timeout(Duration::from_secs(90));
    let job = Pipeline::from(Script::new([vec![1]], &log).endless())
        .settings(settings)
        .validate(|_| Err("never"))
        .dead_letter(Splitting::new(Half::Kept, Half::Done))
        .to(CollectSink::new());
    let ended = tokio::time::timeout(Duration::from_secs(600), job.run()).await;
    let error = ended.expect("it does not wait for ever").unwrap_err();
    assert_eq!(error.operator(), Some("dead-letter"), "{error}");
}
