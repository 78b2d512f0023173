//! Records that wait for room in the pipeline are given up with their partition: it is not kept until the sink has finished others.

use std::future::pending;
use std::sync::Arc;

use dynamodb_connector::pipeline::{
    EndpointError, NextEvent, Pipeline, PipelineSettings, Position, Source, SourceEvent,
    SourceRecord,
};
use dynamodb_connector::{Ack, PartitionGuard};

use super::parts::{Holding, Log};
use crate::setup::settle;

/// Gives one batch, with a record of partition `a` and two of `b`, then the end of `b`.
struct Ending {
    log: Log,
    is_given: bool,
    end: Option<SourceEvent<u32>>,
}

impl Source for Ending {
    type Item = u32;

    async fn next_event(&mut self) -> NextEvent<u32> {
        if self.is_given {
            return pending().await;
        }
        self.is_given = true;
        let records = [("a", 0), ("b", 1), ("b", 2)].map(|(partition, number)| SourceRecord {
            value: number,
            position: Position::number(partition.into(), number.into()),
            ack: Ack::new(Arc::new(self.log.clone()), number.into()),
            bytes: 0,
        });
        Some(Ok(SourceEvent::Records(records.into())))
    }

    async fn next_closing(&mut self) -> SourceEvent<u32> {
        match self.end.take() {
            Some(end) => end,
            None => pending().await,
        }
    }

    fn stop(&mut self) {}

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

/// Runs a pipeline with room for one record, which its sink keeps, and ends the other partition.
async fn run(log: &Log, end: SourceEvent<u32>) {
    let source = Ending {
        log: log.clone(),
        is_given: false,
        end: Some(end),
    };
    let sink = Holding::new(log);
    let held = sink.held.clone();
    let job = Pipeline::from(source)
        .settings(PipelineSettings::default().max_in_flight(1))
        .to(sink);
    let running = tokio::spawn(job.run());
    settle().await;
    assert!(!running.is_finished(), "nothing was lost");
    assert_eq!(held.lock().len(), 1, "the sink has not finished");
    assert_eq!(log.of("wrote"), ["wrote 0"]);
    assert_eq!(log.of("dropped"), ["dropped 1", "dropped 2"]);
    running.abort();
    let _ = running.await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_closes_is_released_although_its_records_had_no_room() {
    let log = Log::default();
    let released = log.clone();
    let guard = PartitionGuard::new(move || released.add("released"));
    run(&log, SourceEvent::Closing("b".into(), guard)).await;
    let before_the_end = &log.all()[..4];
    assert_eq!(
        before_the_end,
        ["wrote 0", "dropped 1", "dropped 2", "released"]
    );
}

#[tokio::test(start_paused = true)]
async fn records_of_a_lost_partition_that_had_no_room_are_given_up() {
    let log = Log::default();
    run(&log, SourceEvent::Lost("b".into())).await;
}
