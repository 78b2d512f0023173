//! The process that is killed: it restores, goes on from its stored position, and stores its state again and again.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::item::{KeyKind, KeySchema};
use dynamodb_connector::retry::{RetryBudgetSettings, RetryPolicy};
use dynamodb_connector::sink::{
    DynamoDbSink, Outcome, Snapshot, TableSettings, TableSink, WriteRecord,
};
use dynamodb_connector::test_util::FaultyDynamoDb;
use serde::{Deserialize, Serialize};

use super::state::{State, add_of};
use super::workload::{MARKS, TABLE, submit};

/// How a writer is told what to do.
pub(super) const TASK: &str = "KILLS_TEST_WRITER";
/// What it prints where it waits to be killed.
pub(super) const WAITING: &str = "waiting to be killed";
/// Records between one stored state and the next.
pub(super) const INTERVAL: u64 = 40;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) endpoint: String,
    pub(super) state: PathBuf,
    /// Where the input ends; else it never does.
    pub(super) end: Option<u64>,
    /// Wait here, for ever.
    pub(super) wait: Option<Wait>,
}

/// In which storing of the state to wait, and on which side of the rename.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Wait {
    pub(super) storing: u64,
    pub(super) before_rename: bool,
}

type Reported = Arc<Mutex<BTreeSet<u64>>>;

pub(super) async fn run(task: &Task) {
    let stored = State::load(&task.state);
    let reported: Reported = Arc::new(Mutex::new(stored.reported));
    let client = client(&task.endpoint);
    let table = open(&client, &reported).await;
    if !stored.snapshot.is_empty() {
        let snapshot = Snapshot::from_bytes(stored.snapshot.as_bytes()).expect("a snapshot");
        let restored = table.restore(&snapshot).await.expect("restored");
        for outcome in &restored.handed_back {
            let Outcome::Unknown { record, .. } = outcome else {
                panic!("{outcome:?}");
            };
            report(&reported, record);
        }
    }
    let mut storings = 0;
    let end = task.end.unwrap_or(u64::MAX);
    for n in stored.position..end {
        // Receipts are dropped: what fails reaches the handler, which a snapshot waits for.
        drop(submit(&table, n).await.expect("accepted"));
        if (n + 1) % INTERVAL == 0 {
            storings += 1;
            mark(&client, n + 1).await;
            store(&table, &reported, n + 1, storings, task).await;
        }
    }
    table.flush().await.expect("all have their outcome");
    store(&table, &reported, end, storings + 1, task).await;
    table.close().await.expect("closed");
}

fn client(endpoint: &str) -> Client {
    let config = FaultyDynamoDb::new()
        .config_builder()
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

async fn open(client: &Client, reported: &Reported) -> TableSink {
    // Quick retries: what matters here is how often, not how patiently.
    let retry = RetryPolicy::default()
        .initial_backoff(Duration::from_millis(1))
        .max_backoff(Duration::from_millis(20))
        .budget(RetryBudgetSettings::default().min_per_second(10_000));
    let settings = TableSettings::default()
        .concurrency(16)
        .buffer_records(200)
        .retry(retry);
    let reported = Arc::clone(reported);
    let sink = DynamoDbSink::builder(client)
        .table(TABLE, settings)
        .keys(TABLE, KeySchema::new("pk", KeyKind::String))
        .dead_letters(move |letter| {
            assert!(letter.reason.is_none(), "nothing is refused here: {letter}");
            report(&reported, &letter.record);
            async { Ok(()) }
        });
    let sink = sink.open().await.expect("opened");
    sink.table(TABLE).expect("it was added")
}

/// Notes an update that was applied once or not at all. Other writes that come back so are safe
/// to repeat, and so need no note.
fn report(reported: &Reported, record: &WriteRecord) {
    let expressions = record.parts()[0].expressions();
    let expressions = serde_json::from_str(&expressions).expect("an object");
    if let Some(n) = add_of(&expressions) {
        reported.lock().insert(n);
    }
}

/// Lets the service know that the snapshot of this position is about to be taken, beside the sink:
/// what was applied before, and is in that snapshot, must be marked as sent.
async fn mark(client: &Client, position: u64) {
    let pk = AttributeValue::S(position.to_string());
    let mark = client.put_item().table_name(MARKS).item("pk", pk);
    while mark.clone().send().await.is_err() {}
}

async fn store(table: &TableSink, reported: &Reported, position: u64, number: u64, task: &Task) {
    let snapshot = table.snapshot().await.expect("taken").to_bytes();
    let snapshot = String::from_utf8(snapshot).expect("UTF-8");
    // Read after the snapshot was taken: what it no longer holds has been reported by then.
    let reported = reported.lock().clone();
    let wait = task.wait.filter(|wait| wait.storing == number);
    let state = State {
        position,
        snapshot,
        reported,
    };
    state.store(&task.state, || {
        if wait.is_some_and(|wait| wait.before_rename) {
            wait_to_be_killed();
        }
    });
    if wait.is_some() {
        wait_to_be_killed();
    }
}

/// Blocks this thread only: requests go on meanwhile.
fn wait_to_be_killed() {
    let mut out = std::io::stdout();
    writeln!(out, "{WAITING}").expect("heard");
    out.flush().expect("heard");
    loop {
        std::thread::park();
    }
}

/// The task of this process, if it is a writer.
pub(super) fn task() -> Option<Task> {
    let task = std::env::var(TASK).ok()?;
    Some(serde_json::from_str(&task).expect("a task"))
}

/// The file of a folder that holds the state.
pub(super) fn state_in(folder: &Path) -> PathBuf {
    folder.join("state.json")
}
