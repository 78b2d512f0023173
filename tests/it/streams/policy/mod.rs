//! The policy for changes that can't be handled, and the batches in which they come.

mod batches;
mod letters;
mod parallel;
mod retries;

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::ErrorKind;
use dynamodb_connector::retry::RetryPolicy;
use dynamodb_connector::streams::{
    Batch, BatchError, DeadReason, EventKind, FailedChange, RawChange, StreamsError,
    StreamsSettings, StreamsSourceBuilder,
};
use dynamodb_connector::test_util::FaultyDynamoDb;
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::rig::{
    Item, Log, TABLE, Worker, delete, eventually, nth, open_shards, put, put_each, table,
};

const SECOND: Duration = Duration::from_secs(1);

/// Dead letters, in the order in which they were taken.
#[derive(Clone, Default)]
struct Letters(Arc<Mutex<Vec<FailedChange>>>);

impl Letters {
    fn take(&self, builder: StreamsSourceBuilder) -> StreamsSourceBuilder {
        let letters = Arc::clone(&self.0);
        builder.dead_letters(move |letter| {
            letters.lock().push(letter);
            std::future::ready(Ok::<(), String>(()))
        })
    }

    fn all(&self) -> Vec<FailedChange> {
        self.0.lock().clone()
    }

    /// The items and versions of those that can be read.
    fn items(&self) -> Vec<(String, u64)> {
        let letters = self.all().into_iter();
        letters
            .map(|letter| {
                let record = letter.record.expect("a record");
                let item: Item = record.new_image().expect("readable").expect("an image");
                (item.id, item.version)
            })
            .collect()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Problem(&'static str);

/// A handler that fails on whatever batch has this item.
fn fails_on(
    log: &Log,
    calls: &Arc<AtomicUsize>,
    bad: &'static str,
) -> impl Fn(Batch<Item>) -> std::future::Ready<Result<(), BatchError>> + Send + Sync + 'static {
    let (log, calls) = (log.clone(), Arc::clone(calls));
    move |batch| {
        calls.fetch_add(1, Ordering::Relaxed);
        let is_bad = |id: &str| id == bad;
        let found = batch
            .changes
            .iter()
            .any(|change| is_bad(&change.new.as_ref().expect("an image").id));
        std::future::ready(if found {
            Err(Problem("the ledger is closed").into())
        } else {
            log.note(&batch);
            Ok(())
        })
    }
}

fn settings() -> StreamsSettings {
    StreamsSettings::default()
}

fn attempts(most: u32) -> RetryPolicy {
    RetryPolicy::default().max_attempts(most)
}
