//! The strategy of Flink's DynamoDB sink (`AsyncSinkWriter` with its
//! `CongestionControlRateLimitingStrategy`), on the same transport.
//!
//! One task owns buffer and limit, as Flink's mailbox thread does. A batch has as many entries as
//! the limit allows, 25 at most. A request that the service refused as a whole is sent again by
//! the SDK inside, and the strategy hears nothing of it. How the measured sink's SDK did that isn't
//! known. Here it is the Java SDK's `standard` mode for DynamoDB: nine attempts, after a random part
//! of one second, of two, and so on, without its retry quota. Its default mode, `legacy` (after half
//! of 500 ms or more), gives 40 to 41 % throttled by the second where 35 were measured; three
//! attempts, as of the Rust SDK, 32 to 37 %, but while capacity drips anything from 27 to 50 %.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use dynamodb_connector::test_util::FaultyDynamoDb;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::record::{Record, Ticket};
use crate::requests::{self, Answered, Entry};
use crate::rig::records::BATCH;
use crate::rig::{Failure, clock};

const MOST_REQUESTS: usize = 50;
const MOST_BUFFERED: usize = 10_000;
const LONGEST_IN_BUFFER: Duration = Duration::from_secs(5);
/// What a success adds to the entries that may be in flight; a failure halves them.
const INCREASE: usize = 10;

const ATTEMPTS: u32 = 9;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(20);

pub(crate) struct FlinkStrategy {
    writes: mpsc::Sender<(Record, Ticket)>,
    mailbox: AbortHandle,
}

impl FlinkStrategy {
    pub(crate) fn start(fake: &FaultyDynamoDb, table: &str) -> Self {
        let (writes, arriving) = mpsc::channel(1);
        let (done, completed) = mpsc::unbounded_channel();
        let writer = Writer {
            client: requests::client(fake, RetryConfig::disabled()),
            table: table.into(),
            buffer: VecDeque::new(),
            limit: Limit::default(),
            flush_at: None,
            flushing: false,
            requests: 0,
            done,
        };
        let mailbox = tokio::spawn(writer.run(arriving, completed));
        Self {
            writes,
            mailbox: mailbox.abort_handle(),
        }
    }

    pub(crate) async fn submit(&self, record: Record, ticket: Ticket) -> Result<(), Failure> {
        let sent = self.writes.send((record, ticket)).await;
        sent.map_err(|_| "the writer has ended".into())
    }

    pub(crate) fn stop(&self) {
        self.mailbox.abort();
    }
}

/// What came of a request of so many entries.
type Done = (usize, Vec<Entry>);

/// Entries that may be in flight: additive increase, multiplicative decrease.
struct Limit {
    most: usize,
    entries: usize,
    requests: usize,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            most: BATCH,
            entries: 0,
            requests: 0,
        }
    }
}

impl Limit {
    fn blocks(&self, batch: usize) -> bool {
        self.requests >= MOST_REQUESTS || self.entries + batch > self.most
    }

    fn started(&mut self, batch: usize) {
        self.requests += 1;
        self.entries += batch;
    }

    fn completed(&mut self, batch: usize, failed: bool) {
        self.requests -= 1;
        self.entries -= batch;
        self.most = if failed {
            // Java's `Math.round` of the half.
            self.most.div_ceil(2).max(1)
        } else {
            (self.most + INCREASE).min(BATCH * MOST_REQUESTS)
        };
    }
}

struct Writer {
    client: Client,
    table: Arc<str>,
    buffer: VecDeque<Entry>,
    limit: Limit,
    /// When what is buffered goes out in batches that are not full.
    flush_at: Option<Instant>,
    flushing: bool,
    /// Requests so far, from which the delays of the next are drawn.
    requests: u64,
    done: mpsc::UnboundedSender<Done>,
}

impl Writer {
    async fn run(
        mut self,
        mut arriving: mpsc::Receiver<(Record, Ticket)>,
        mut completed: mpsc::UnboundedReceiver<Done>,
    ) {
        loop {
            let timer = self.flush_at;
            tokio::select! {
                biased;
                Some((batch, failed)) = completed.recv() => {
                    self.limit.completed(batch, !failed.is_empty());
                    for entry in failed.into_iter().rev() {
                        self.start_timer();
                        self.buffer.push_front(entry);
                    }
                }
                () = async {
                    match timer {
                        Some(time) => tokio::time::sleep_until(time).await,
                        None => std::future::pending().await,
                    }
                } => {
                    self.flush_at = None;
                    self.flushing = true;
                }
                write = arriving.recv(), if self.buffer.len() < MOST_BUFFERED => {
                    let Some((record, ticket)) = write else { return };
                    let ticket = ticket.accepted();
                    let Ok(entry) = Entry::new(record, ticket) else { return };
                    self.start_timer();
                    self.buffer.push_back(entry);
                }
            }
            self.flush();
        }
    }

    fn start_timer(&mut self) {
        if self.buffer.is_empty() && self.flush_at.is_none() {
            self.flush_at = Some(Instant::from_std(clock::instant() + LONGEST_IN_BUFFER));
        }
    }

    fn flush(&mut self) {
        loop {
            let full = BATCH.min(self.limit.most);
            let batch = full.min(self.buffer.len());
            self.flushing &= batch > 0;
            let due = self.buffer.len() >= full || self.flushing;
            if batch == 0 || !due || self.limit.blocks(batch) {
                return;
            }
            self.limit.started(batch);
            self.requests += 1;
            let entries = self.buffer.drain(..batch).collect();
            let (client, table) = (self.client.clone(), Arc::clone(&self.table));
            let (done, seed) = (self.done.clone(), self.requests);
            tokio::spawn(async move {
                if let Some(left) = send(&client, &table, entries, seed).await {
                    // The writer is gone where the scenario has ended.
                    drop(done.send((batch, left)));
                }
            });
        }
    }
}

/// One request as the strategy sees it: refused ones are retried inside.
async fn send(
    client: &Client,
    table: &str,
    mut entries: Vec<Entry>,
    seed: u64,
) -> Option<Vec<Entry>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut delay = FIRST_DELAY;
    for _ in 1..ATTEMPTS {
        entries = match requests::send(client, table, entries).await? {
            Answered::Left(left) => return Some(left),
            Answered::Refused(all) => all,
        };
        tokio::time::sleep(delay.mul_f64(rng.f64())).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
    let (Answered::Left(left) | Answered::Refused(left)) =
        requests::send(client, table, entries).await?;
    Some(left)
}
