//! A record is acknowledged once, when all that came of it is durable, and not before.

use dynamodb_connector::pipeline::{Delivery, EndpointError, Pipeline, PipelineError, Sink};
use dynamodb_connector::test_util::{CollectSink, IterSource};

use super::parts::{Holding, Log, Script};
use crate::setup::settle;

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_the_sink_says_so() {
    let log = Log::default();
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let job = Pipeline::from(Script::new([vec![1, 2, 3]], &log).endless())
        .filter(|n| *n != 2)
        .to(sink);
    let running = tokio::spawn(job.run());
    settle().await;
    assert_eq!(log.of("wrote"), ["wrote 1", "wrote 3"]);
    assert_eq!(log.of("done"), ["done 1"], "only the one that was skipped");
    let (_, delivery) = held.lock().pop_back().unwrap();
    delivery.done();
    assert_eq!(log.of("done"), ["done 1", "done 2"]);
    running.abort();
    let _ = running.await;
    assert_eq!(log.of("dropped"), Vec::<String>::new(), "the test holds it");
    held.lock().clear();
    assert_eq!(log.of("dropped"), ["dropped 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_several_values_waits_for_all_of_them() {
    let log = Log::default();
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let job = Pipeline::from(Script::new([vec![3, 0, 1]], &log).endless())
        .flat_map(|n| (0..n).map(move |i| n * 10 + i))
        .to(sink);
    let running = tokio::spawn(job.run());
    settle().await;
    assert_eq!(
        log.of("wrote"),
        ["wrote 30", "wrote 31", "wrote 32", "wrote 10"]
    );
    assert_eq!(
        log.of("done"),
        ["done 1"],
        "of the second record nothing came"
    );
    for left in [true, true, false] {
        let (_, delivery) = held.lock().pop_front().unwrap();
        delivery.done();
        assert_eq!(log.of("done 0").is_empty(), left);
    }
    // One of two values dropped: the record is not done, whatever the other says.
    running.abort();
    let _ = running.await;
    held.lock().clear();
    assert_eq!(log.of("dropped"), ["dropped 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_one_of_whose_values_is_lost_is_never_done() {
    let log = Log::default();
    let sink = Holding::new(&log);
    let held = sink.held.clone();
    let job = Pipeline::from(Script::new([vec![2]], &log).endless())
        .flat_map(|n| 0..n)
        .to_named("outlet", sink);
    let running = tokio::spawn(job.run());
    settle().await;
    let (_, first) = held.lock().pop_front().unwrap();
    let (_, second) = held.lock().pop_front().unwrap();
    drop(first);
    second.done();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "outlet: 1 records were neither written nor rejected"
    );
    assert_eq!(log.of("done"), Vec::<String>::new());
    assert_eq!(log.of("dropped"), ["dropped 0"]);
    assert_eq!(log.of("source"), ["source stopped", "source closed"]);
}

#[tokio::test(start_paused = true)]
async fn values_of_one_record_stay_in_order_and_many_records_are_each_done_once() {
    let source = IterSource::new(0..500_u32).batch(7);
    let acks = source.acks();
    let sink = CollectSink::new();
    let report = Pipeline::from(source)
        .flat_map(|n| (0..n % 4).map(move |i| (n, i)))
        .to(sink.clone())
        .run()
        .await
        .unwrap();
    let wanted: Vec<_> = (0..500)
        .flat_map(|n| (0..n % 4).map(move |i| (n, i)))
        .collect();
    assert_eq!(sink.take(), wanted);
    let mut done: Vec<u64> = acks.done().into_iter().map(|(_, number)| number).collect();
    done.sort_unstable();
    assert_eq!(done, (0..500).collect::<Vec<_>>());
    assert_eq!(report.operator("flat_map-1").unwrap().skipped, 125);
}

/// Drops the delivery of one value without a word, and finishes all others.
struct Dropping(Log, u32);

impl Sink<u32> for Dropping {
    async fn write(&mut self, value: u32, delivery: Delivery) -> Result<(), EndpointError> {
        self.0.add(format!("wrote {value}"));
        if value != self.1 {
            delivery.done();
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
async fn nothing_is_written_behind_a_value_whose_delivery_was_dropped() {
    let log = Log::default();
    let job = Pipeline::from(Script::new([vec![0, 1, 2, 3]], &log).endless())
        .to(Dropping(log.clone(), 1));
    let error = job.run().await.unwrap_err();
    assert!(matches!(error, PipelineError::Lost { .. }), "{error}");
    assert_eq!(log.of("wrote"), ["wrote 0", "wrote 1"]);
    assert_eq!(log.of("done"), ["done 0"]);
}
