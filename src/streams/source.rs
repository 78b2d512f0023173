//! The source of a table's changes: opened, then run with a handler or taken as a stream.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use super::StreamsError;
use super::builder::StreamsSourceBuilder;
use super::control::{Running, StreamsControl};
use super::dispatcher::Destination;
use super::events::NewsReceiver;
use super::policy::{Batch, BatchError, erase};
use super::record_batch::RecordBatch;
use super::record_stream::{Letters, RecordStream};
use super::shared::Order;
use super::worker::Worker;
use crate::retry::Backoff;

/// A source of a table's changes, open and not yet read.
///
/// Workers in any number of processes share the stream's shards by the lease table; see the [module](super) for the guarantees.
pub struct StreamsSource {
    pub(super) worker: Worker,
    pub(super) receiver: (mpsc::Receiver<RecordBatch>, NewsReceiver),
    pub(super) orders: Arc<watch::Sender<Order>>,
    pub(super) received_orders: watch::Receiver<Order>,
    /// The randomness of the delays of dead letters, if records are taken as a stream.
    pub(super) rng: fastrand::Rng,
}

impl fmt::Debug for StreamsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamsSource")
            .field("stream_arn", &self.worker.shared().stream().arn)
            .finish_non_exhaustive()
    }
}

impl StreamsSource {
    /// Opens a table's stream with default settings: see [`StreamsSourceBuilder::open`].
    ///
    /// # Errors
    ///
    /// As [`StreamsSourceBuilder::open`].
    ///
    /// # Panics
    ///
    /// As [`StreamsSourceBuilder::open`].
    ///
    /// # Cancel safety
    ///
    /// As [`StreamsSourceBuilder::open`].
    pub async fn open(
        dynamodb: &aws_sdk_dynamodb::Client,
        streams: &aws_sdk_dynamodbstreams::Client,
        table: impl Into<String>,
    ) -> Result<Self, StreamsError> {
        Self::builder(dynamodb, streams, table).open().await
    }

    /// Returns a builder of a source, from the clients of DynamoDB and DynamoDB Streams and a table's name or ARN.
    pub fn builder(
        dynamodb: &aws_sdk_dynamodb::Client,
        streams: &aws_sdk_dynamodbstreams::Client,
        table: impl Into<String>,
    ) -> StreamsSourceBuilder {
        StreamsSourceBuilder::new(dynamodb, streams, table.into())
    }

    /// Returns a handle that stops the source and returns its statistics while it runs.
    pub fn control(&self) -> StreamsControl {
        let shared = self.worker.shared();
        StreamsControl {
            orders: Arc::clone(&self.orders),
            counters: Arc::clone(&shared.counters),
            lags: Arc::clone(&shared.lags),
            failure_log: Arc::clone(&shared.failure_log),
        }
    }

    /// Gives every change to a handler, until the source is stopped by its [`control`](Self::control) or fails.
    ///
    /// A batch holds changes of one shard, in order; batches of different shards, and with
    /// [`parallelism`](super::StreamsSettings::parallelism) of different items, are handled at the same time. The checkpoint passes
    /// a change once the handler has returned `Ok` for its batch, so every effect must be durable by then. A change may be
    /// given again after a crash or a lost lease. After an error or a panic of the handler the batch is given again, as the
    /// settings define. If its lease is lost while a handler works, the handler is dropped at its next `await`.
    ///
    /// # Errors
    ///
    /// The error that stops the source: a [gap](StreamsError::Gap), a record that no handler takes, a stream
    /// that was switched off, a service that refuses for good. The leases are given up before it returns.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, everything stops where it is. The leases lapse after the failover time;
    /// stop the source by its [`control`](Self::control) to give them up at once.
    pub async fn run<T, H, F, E>(mut self, handler: H) -> Result<(), StreamsError>
    where
        T: DeserializeOwned + Send + 'static,
        H: Fn(Batch<T>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BatchError> + Send + 'static,
    {
        self.worker
            .set_destination(Destination::Handler(erase(handler)));
        drop(self.receiver);
        let running = Running(tokio::spawn(self.worker.run(self.received_orders)));
        running.ended().await
    }

    /// Returns every change as a stream of records, each with an [`Ack`](crate::progress::Ack).
    ///
    /// Must be called within a tokio runtime.
    pub fn into_stream(self) -> RecordStream {
        let control = self.control();
        let shared = self.worker.shared();
        let letters = Letters {
            handler: shared.callbacks.dead_letters.clone(),
            backoff: Backoff::new(shared.settings.get_retry()),
            rng: self.rng,
            failure_log: Arc::clone(&shared.failure_log),
        };
        let running = Running(tokio::spawn(self.worker.run(self.received_orders)));
        RecordStream::new(self.receiver, running, control, letters)
    }
}
