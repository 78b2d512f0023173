//! The process that is killed: one worker of three that share a stream.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use dynamodb_connector::streams::{Batch, StreamsSettings, StreamsSource};
use dynamodb_connector::test_util::FaultyDynamoDb;
use serde::{Deserialize, Serialize};

pub(super) const TABLE: &str = "decisions";
pub(super) const LEASES: &str = "workers";
const FAILOVER: Duration = Duration::from_secs(4);
/// How a worker is told what to do.
pub(super) const TASK: &str = "FAILOVER_TEST_WORKER";
/// What begins each line that tells of a record. The test harness may have begun the line.
pub(super) const SEEN: &str = "SEEN ";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) endpoint: String,
    pub(super) worker: usize,
}

#[derive(Debug, Deserialize)]
struct Item {
    id: String,
    version: u64,
}

/// The task of this process, if it is a worker.
pub(super) fn task() -> Option<Task> {
    let task = std::env::var(TASK).ok()?;
    Some(serde_json::from_str(&task).expect("a task"))
}

/// What a worker is called in the lease table, before the suffix that it adds.
pub(super) fn name(worker: usize) -> String {
    format!("w{worker}")
}

/// Handles changes until its standard input ends.
pub(super) async fn run(task: &Task) {
    let service = FaultyDynamoDb::new();
    let http = aws_smithy_http_client::Builder::new().build_http();
    let tables = service.config_builder().endpoint_url(&task.endpoint);
    let tables = Client::from_conf(tables.http_client(http.clone()).build());
    let streams = service.streams_config_builder();
    let streams = streams.endpoint_url(&task.endpoint).http_client(http);
    let streams = aws_sdk_dynamodbstreams::Client::from_conf(streams.build());
    let settings = StreamsSettings::default()
        .failover(FAILOVER)
        .poll(Duration::from_millis(50))
        .checkpoint_interval(Duration::from_millis(300))
        .discovery_interval(Duration::from_secs(1));
    let source = StreamsSource::builder(&tables, &streams, TABLE)
        .lease_table(LEASES)
        .worker(name(task.worker))
        .settings(settings);
    let source = source.open().await.expect("opened");
    let (control, numbers) = (source.control(), source.control());
    std::thread::spawn(move || {
        let mut nothing = Vec::new();
        let ended = std::io::stdin().read_to_end(&mut nothing);
        ended.expect("an end");
        control.stop();
    });
    let worker = task.worker;
    let handled = source.run(move |batch: Batch<Item>| {
        let lost = numbers.stats().leases_lost;
        std::future::ready(tell(worker, lost, &batch))
    });
    handled.await.expect("it ends well");
}

/// What is in the pipe is there whatever becomes of this process. A line fits into one write, and so never mixes with
/// another's, and the lines of all workers come in the order in which they were written.
fn tell(worker: usize, lost: u64, batch: &Batch<Item>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for change in &batch.changes {
        let item = change.new.as_ref().expect("nothing is removed");
        let sequence = change.record.sequence_number();
        let sequence = sequence.expect("it is of the stream");
        let shard = &batch.shard;
        let line = format!(
            "{SEEN}{worker} {lost} {shard} {sequence} {} {}\n",
            item.id, item.version
        );
        out.write_all(line.as_bytes())?;
    }
    out.flush()
}
