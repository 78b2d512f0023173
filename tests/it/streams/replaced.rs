//! A stream that was switched off and on again, while the table's description is out of reach.

use std::time::Duration;

use dynamodb_connector::streams::StreamsError;
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};
use dynamodb_connector::{Health, StreamView};

use super::gaps::{Gaps, report};
use super::rig::{
    LEASES, Log, TABLE, Worker, checkpoint, eventually, nth, open_shards, put, table,
};

const SECOND: Duration = Duration::from_secs(1);

/// A worker whose stream was replaced and has been read to its end. No description of the table is answered.
async fn replaced(log: &Log) -> (FaultyDynamoDb, Worker) {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    let gaps = Gaps::default();
    let source = nth(&fake, 1).settings(report()).on_gap(gaps.handler());
    let worker = Worker::start(source, log).await;
    put(&fake, "a", 0).await;
    log.until(1).await;
    fake.clear_journal();
    fake.inject(Fault::never_answer().on(Operation::DescribeTable).always());
    fake.enable_stream(TABLE, StreamView::NewAndOldImages);
    let is_finished = || checkpoint(&fake, &shard).as_deref() == Some("SHARD_END");
    eventually("the old stream is read", 30 * SECOND, is_finished).await;
    eventually("the next one is asked for", 30 * SECOND, || {
        let mut requests = fake.requests().into_iter();
        requests.any(|request| request.operation() == Some(Operation::DescribeTable))
    })
    .await;
    (fake, worker)
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waits_for_the_tables_next_stream_answers_a_stop() {
    let (_fake, worker) = replaced(&Log::default()).await;
    let since = tokio::time::Instant::now();
    worker.stop().await;
    assert!(since.elapsed() < SECOND, "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waits_for_the_tables_next_stream_keeps_looking_at_the_leases() {
    let log = Log::default();
    let (fake, worker) = replaced(&log).await;
    fake.clear_journal();
    tokio::time::sleep(20 * SECOND).await;
    let requests = fake.requests().into_iter();
    let looks = requests
        .filter(|request| request.operation() == Some(Operation::Scan))
        .filter(|request| request.tables() == [LEASES])
        .count();
    assert!(looks >= 18, "{looks} looks in 20 s");
    let Health::Failing { operation, .. } = worker.control.health() else {
        panic!("{}", worker.control.health());
    };
    assert_eq!(operation, "DescribeTable");
    fake.heal();
    put(&fake, "a", 1).await;
    log.until(2).await;
    assert_eq!(worker.control.stats().gaps, 1);
    assert_eq!(worker.control.health(), Health::Healthy);
    worker.stop().await;
}

/// The answer is that of a table that is gone.
#[tokio::test(start_paused = true)]
async fn a_table_that_is_deleted_after_its_stream_was_read_is_called_that() {
    let (fake, worker) = replaced(&Log::default()).await;
    fake.heal();
    let gone = Fault::resource_not_found().on(Operation::DescribeTable);
    fake.inject(gone.always());
    let error = worker.error().await;
    assert!(
        matches!(&error, StreamsError::TableDeleted { table, .. } if table == TABLE),
        "{error}"
    );
}
