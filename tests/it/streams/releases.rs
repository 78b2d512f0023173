//! Leases that are given up: after the work of their reader, and only where another worker waits for them.

use parking_lot::Mutex;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::streams::{Batch, BatchError, StreamsSettings};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};
use tokio::sync::Semaphore;

use super::rig::{
    Item, LEASES, Log, Worker, eventually, leases, nth, open_shards, put, put_row, table, text,
};

const SECOND: Duration = Duration::from_secs(1);

/// The work of a handler. Where it ends, it notes the worker that the shard's row names then.
struct Work {
    fake: FaultyDynamoDb,
    shard: String,
    owners: Arc<Mutex<Vec<Option<String>>>>,
}

impl Drop for Work {
    fn drop(&mut self) {
        let row = leases(&self.fake).remove(&self.shard).expect("its row");
        let owner = text(&row, "leaseOwner");
        self.owners.lock().push(owner);
    }
}

/// A handler that never ends by itself, and what the row said when it was stopped.
#[derive(Clone, Default)]
struct Endless(Arc<Mutex<Vec<Option<String>>>>, Log);

impl Endless {
    async fn start(&self, fake: &FaultyDynamoDb, n: u64) -> Worker {
        let (this, fake_) = (self.clone(), fake.clone());
        let handler = move |batch: Batch<Item>| {
            let work = Work {
                fake: fake_.clone(),
                shard: batch.shard.to_string(),
                owners: Arc::clone(&this.0),
            };
            this.1.note(&batch);
            async move {
                pending::<()>().await;
                drop(work);
                Ok::<(), BatchError>(())
            }
        };
        let settings = StreamsSettings::default().drain_timeout(Duration::ZERO);
        let worker = Worker::handle(nth(fake, n).settings(settings), handler).await;
        self.1.until(1).await;
        worker
    }
}

/// Once the row names no reader, or another, the next one may begin: the work of the last one has ended before.
#[tokio::test(start_paused = true)]
async fn a_handler_that_is_stopped_has_ended_before_its_lease_is_let_go() {
    for n in 0..20 {
        let fake = table(1);
        put(&fake, "a", 0).await;
        let endless = Endless::default();
        let worker = endless.start(&fake, n).await;
        worker.stop().await;
        let owners = endless.0.lock().clone();
        let [Some(owner)] = owners.as_slice() else {
            panic!("the row was free while a handler worked: {owners:?}");
        };
        assert!(owner.starts_with(&format!("w{n}-")), "{owner}");
        let row = leases(&fake).into_values().next().expect("a row");
        assert_eq!(text(&row, "leaseOwner"), None);
    }
}

/// The worker that asked for a lease has withdrawn, and the reader's looks fail: the write of the lease shows it, and the last look
/// that saw the request does not start the hand-over again.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_withdrawn_is_not_followed_again_from_an_old_look() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let slow = StreamsSettings::default().drain_timeout(300 * SECOND);
    let worker = Worker::handle(nth(&fake, 1).settings(slow), log.gated_handler(&gate)).await;
    put(&fake, "a", 0).await;
    eventually("it is read", 10 * SECOND, || worker.shards().len() == 1).await;
    tokio::time::sleep(SECOND).await;

    let mut row = leases(&fake).remove(&shard).expect("a row");
    let asker = AttributeValue::S("w2-00000000deadbeef".to_owned());
    let me = row.insert("leaseOwner".to_owned(), asker);
    let me = me.expect("an owner");
    row.insert("checkpointOwner".to_owned(), me.clone());
    put_row(&fake, row).await;
    // A look sees the request, and no look after that sees anything.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let fault = Fault::internal_error().on(Operation::Scan);
    fake.inject(fault.table(LEASES).always());
    let mut row = leases(&fake).remove(&shard).expect("a row");
    row.insert("leaseOwner".to_owned(), me.clone());
    row.remove("checkpointOwner");
    put_row(&fake, row).await;
    // A dispute without end would take no time otherwise.
    let slow = Fault::delay_before(SECOND).on(Operation::UpdateItem);
    fake.inject(slow.table(LEASES).skip(20).always());
    fake.clear_journal();
    // Several renewals.
    tokio::time::sleep(15 * SECOND).await;
    let requests = fake.requests().into_iter();
    let refused = requests
        .filter(|request| request.error_code() == Some("ConditionalCheckFailedException"))
        .count();
    assert_eq!(refused, 1, "one write finds the withdrawal");
    gate.add_permits(100);
    log.until(1).await;
    put(&fake, "a", 1).await;
    eventually("it is read on", 5 * SECOND, || log.len() == 2).await;
    let row = leases(&fake).remove(&shard).expect("a row");
    assert_eq!(row.get("leaseOwner"), Some(&me));
    fake.heal();
    worker.stop().await;
}
