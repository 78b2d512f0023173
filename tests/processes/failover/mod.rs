//! Of three processes that share a stream's shards, one is killed (SIGKILL), twenty times; each time another takes its place.
//!
//! The service runs in this process, and so do the writers. A worker is this binary again, started as a process of its own; it writes each
//! record that it handles into a pipe that all workers write to, so that what was handled is in one order, and survives its
//! worker. The moments are counted in records, never in time: a machine that does much else only takes longer. Between the kills, shards are
//! rolled over and split.
//!
//! What holds:
//!
//! - Nothing is lost, and the changes of a key come in order; what comes again comes from after the last checkpoint.
//! - A killed worker's shards are read again, each by another worker, behind the last checkpoint.
//! - Each shard is read by those alone that had its lease, one after the other.
//! - Workers that are stopped give up their leases.

mod ledger;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter};
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::test_util::{FaultyDynamoDb, TableSpecExt as _};
use dynamodb_connector::{StreamView, TableSpec};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::in_time;
use ledger::{Ledger, Seen, owners};
use worker::{TABLE, TASK, Task};

const KILLS: usize = 20;
const SEED: u64 = 20_261;
const WORKERS: usize = 3;
const SHARDS: usize = 6;
const WRITERS: usize = 4;
/// Enough that each shard has some.
const KEYS: usize = 120;
/// Between two writes of one writer.
const PACE: Duration = Duration::from_millis(8);

/// The process that is killed. Without a task there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of its own, which the other test starts and kills"]
async fn worker_process() {
    if let Some(task) = worker::task() {
        worker::run(&task).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_killed_again_and_again_lose_nothing_and_their_shards_are_read_again() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(
        TableSpec::new(TABLE)
            .partition("id", KeyKind::String)
            .stream(StreamView::NewAndOldImages)
            .stream_shards(SHARDS),
    );
    let server = fake.serve().await.expect("a port");
    let (stop, stopped) = watch::channel(false);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(fake.clone(), writer, stopped.clone()));
    }
    let mut fleet = Fleet::new(server.endpoint_url());
    for _ in 0..WORKERS {
        fleet.start();
    }
    let mut rng = fastrand::Rng::with_seed(SEED);
    for kill in 0..KILLS {
        fleet.until_all_read().await;
        if kill % 5 == 4 {
            change_shards(&fake, &mut rng);
        }
        fleet.read(rng.usize(20..200)).await;
        fleet.kill(rng.usize(..WORKERS), &fake).await;
        fleet.start();
        fleet.until(Ledger::is_settled).await;
    }
    fleet.until_all_read().await;

    stop.send_replace(true);
    let mut written = BTreeMap::new();
    while let Some(newest) = writers.join_next().await {
        written.append(&mut newest.expect("no panic"));
    }
    fleet.until(|ledger| ledger.newest == written).await;
    let ledger = fleet.stop().await;
    assert_eq!(ledger.newest, written);
    assert_eq!(owners(&fake), [], "the leases were given up");
    ledger.check_owners(&fake);
    println!(
        "{} changes, {} shards of the dead read again, {} changes repeated after a death, {} others",
        written.values().sum::<u64>(),
        ledger.taken_over,
        ledger.repeats_after_a_death,
        ledger.other_repeats,
    );
    assert!(
        ledger.other_repeats == 0 || !ledger.none_lost(&fake),
        "a living worker hands over when it is done"
    );
    assert!(ledger.taken_over >= KILLS, "or little was shown");
    assert!(ledger.repeats_after_a_death > 0, "or they died idle");
    server.shutdown().await;
}

/// Writes ascending versions of keys of its own until it is told to stop; gives the newest of each.
async fn write(
    fake: FaultyDynamoDb,
    writer: usize,
    stopped: watch::Receiver<bool>,
) -> BTreeMap<String, u64> {
    let client = fake.client();
    let mut newest = BTreeMap::new();
    let mut pace = tokio::time::interval(PACE);
    for n in (writer..).step_by(WRITERS) {
        if *stopped.borrow() {
            break;
        }
        pace.tick().await;
        let id = format!("k{}", n % KEYS);
        let version = newest.get(&id).copied().unwrap_or(0) + 1;
        let put = client.put_item().table_name(TABLE);
        let put = put.item("id", AttributeValue::S(id.clone()));
        let put = put.item("version", AttributeValue::N(version.to_string()));
        put.send().await.expect("written");
        newest.insert(id, version);
    }
    newest
}

/// Rolls every open shard over, and splits one of the children.
fn change_shards(fake: &FaultyDynamoDb, rng: &mut fastrand::Rng) {
    let shards = fake.shards(TABLE);
    let open = shards.iter().filter(|shard| shard.is_open());
    let children: Vec<String> = open
        .map(|shard| fake.roll_shard(TABLE, shard.id()))
        .collect();
    fake.split_shard(TABLE, &children[rng.usize(..children.len())]);
}

/// The workers, and what they tell.
struct Fleet {
    endpoint: String,
    writer: PipeWriter,
    told: mpsc::UnboundedReceiver<Seen>,
    /// The oldest first. A worker's number is never used again.
    workers: VecDeque<(usize, Child)>,
    next: usize,
    ledger: Ledger,
}

impl Fleet {
    fn new(endpoint: String) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let (tell, told) = mpsc::unbounded_channel();
        std::thread::spawn(move || listen(reader, &tell));
        Self {
            endpoint,
            writer,
            told,
            workers: VecDeque::new(),
            next: 0,
            ledger: Ledger::default(),
        }
    }

    fn start(&mut self) {
        let task = Task {
            endpoint: self.endpoint.clone(),
            worker: self.next,
        };
        let child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["failover::worker_process", "--exact"])
            .args(["--ignored", "--nocapture"])
            .env(TASK, serde_json::to_string(&task).expect("JSON"))
            .stdin(Stdio::piped())
            .stdout(self.writer.try_clone().expect("a pipe's end"))
            .kill_on_drop(true)
            .spawn();
        self.workers.push_back((self.next, child.expect("started")));
        self.next += 1;
    }

    async fn kill(&mut self, place: usize, fake: &FaultyDynamoDb) {
        let (number, mut child) = self.workers.remove(place).expect("three are there");
        assert!(
            child.try_wait().expect("it is ours").is_none(),
            "it ended by itself: its last words are on standard error"
        );
        child.kill().await.expect("killed");
        self.ledger.died(number, fake);
        // The journal of requests is not looked at, and would grow.
        drop(fake.take_requests());
    }

    /// Notes what is told until the ledger is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Ledger) -> bool) {
        let noting = async {
            while !wanted(&self.ledger) {
                let seen = self.told.recv().await.expect("somebody can still tell");
                self.ledger.note(&seen);
            }
        };
        in_time(noting).await;
    }

    /// Until each worker has told of a record since.
    async fn until_all_read(&mut self) {
        self.ledger.told.clear();
        let numbers: Vec<usize> = self.workers.iter().map(|(number, _)| *number).collect();
        self.until(|ledger| {
            numbers
                .iter()
                .all(|number| ledger.told.contains_key(number))
        })
        .await;
    }

    /// Until so many more records were told of.
    async fn read(&mut self, records: usize) {
        self.ledger.told.clear();
        self.until(|ledger| ledger.told.values().sum::<usize>() >= records)
            .await;
    }

    /// Stops all workers, in good order, and gives what they told.
    async fn stop(mut self) -> Ledger {
        for (_, child) in &mut self.workers {
            drop(child.stdin.take());
        }
        for (number, mut child) in self.workers {
            let status = in_time(child.wait()).await.expect("waited for");
            assert!(status.success(), "worker {number}: {status}");
        }
        drop(self.writer);
        while let Some(seen) = self.told.recv().await {
            self.ledger.note(&seen);
        }
        self.ledger
    }
}

/// Hands on what is told until nobody can tell any more.
fn listen(reader: PipeReader, tell: &mpsc::UnboundedSender<Seen>) {
    for line in BufReader::new(reader).lines() {
        let line = line.expect("text");
        if let Some(seen) = Seen::parse(&line)
            && tell.send(seen).is_err()
        {
            // The test has failed, and says so.
            return;
        }
    }
}
