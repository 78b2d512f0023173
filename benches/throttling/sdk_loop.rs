//! What a careful user writes without this crate: sixteen tasks that take up to 25 records each
//! from one queue, `BatchWriteItem` by the SDK with its default retries, and what is left
//! unprocessed again after exponential backoff with full jitter.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use dynamodb_connector::test_util::FaultyDynamoDb;
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;

use crate::record::{Record, Ticket};
use crate::requests::{self, Answered, Entry};
use crate::rig::Failure;
use crate::rig::records::BATCH;

const LANES: usize = 16;
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

pub(crate) struct SdkLoop {
    queue: mpsc::Sender<Entry>,
    lanes: Vec<AbortHandle>,
}

impl SdkLoop {
    pub(crate) fn start(fake: &FaultyDynamoDb, table: &str) -> Self {
        let client = requests::client(fake, RetryConfig::standard());
        // A batch for each lane.
        let (queue, records) = mpsc::channel::<Entry>(LANES * BATCH);
        let records = Arc::new(Mutex::new(records));
        let lanes = (0..LANES).map(|lane| {
            let (client, table, records) = (client.clone(), table.to_owned(), Arc::clone(&records));
            let mut rng = fastrand::Rng::with_seed(lane as u64);
            let lane = tokio::spawn(async move {
                loop {
                    let mut batch = Vec::with_capacity(BATCH);
                    if records.lock().await.recv_many(&mut batch, BATCH).await == 0 {
                        return;
                    }
                    let mut delay = FIRST_DELAY;
                    loop {
                        batch = match requests::send(&client, &table, batch).await {
                            None => return,
                            Some(Answered::Left(left)) if left.is_empty() => break,
                            Some(Answered::Left(left) | Answered::Refused(left)) => left,
                        };
                        tokio::time::sleep(delay.mul_f64(rng.f64())).await;
                        delay = (delay * 2).min(LONGEST_DELAY);
                    }
                }
            });
            lane.abort_handle()
        });
        Self {
            queue,
            lanes: lanes.collect(),
        }
    }

    pub(crate) async fn submit(&self, record: Record, ticket: Ticket) -> Result<(), Failure> {
        // From its generation on: there is no buffer that the record would wait for.
        let entry = Entry::new(record, ticket.accepted())?;
        Ok(self.queue.send(entry).await?)
    }

    pub(crate) fn stop(&self) {
        self.lanes.iter().for_each(AbortHandle::abort);
    }
}
