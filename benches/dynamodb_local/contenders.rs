//! The sink, and the loop that does without it.

use std::time::Duration;

use dynamodb_connector::sink::{DynamoDbSink, TableSettings, TableSink};
use futures::future::{BoxFuture, join_all};
use tokio::task::JoinHandle;

use crate::rig::records::BATCH;
use crate::rig::times::Times;
use crate::rig::{Failure, clock, sdk};
use crate::rounds::{Batches, Contender};
use crate::table::Table;

/// The latencies of a batch's items, when all have their outcome.
type Waiting = JoinHandle<Result<Vec<Duration>, Failure>>;

/// One writer that puts record after record. The buffer holds twice what may be in flight: a
/// batch is full when a request ends, and a record waits for no more than one other batch.
pub(crate) struct Stream {
    table: Table,
    sink: TableSink,
}

impl Stream {
    pub(crate) async fn open(table: &Table, concurrency: usize) -> Result<Self, Failure> {
        let settings = TableSettings::default()
            .concurrency(concurrency)
            .buffer_records(2 * BATCH * concurrency);
        let sink = DynamoDbSink::builder(&table.client)
            .table(&table.name, settings)
            .open()
            .await?;
        Ok(Self {
            table: table.clone(),
            sink: sink.table(&table.name)?,
        })
    }

    pub(crate) async fn close(&self) -> Result<(), Failure> {
        Ok(self.sink.close().await?)
    }
}

impl Contender for Stream {
    fn name(&self) -> &'static str {
        "the sink"
    }

    /// An item's latency is from its acceptance to its outcome. The records of a batch are
    /// awaited in their order: what is measured may be too long, never too short.
    fn write(&self, batches: Batches) -> BoxFuture<'_, Result<Times, Failure>> {
        Box::pin(async move {
            let mut waiting = Vec::new();
            let put = self.put_all(batches, &mut waiting).await;
            let batches = join_all(waiting).await;
            // Those too whose receipts were dropped over a failure.
            let flushed = self.sink.flush().await;
            put?;
            let mut latencies = Times::default();
            for batch in batches {
                latencies.extend(batch??);
            }
            flushed?;
            Ok(latencies)
        })
    }
}

impl Stream {
    /// Hands the receipts of each batch to a task that awaits them.
    async fn put_all(&self, batches: Batches, waiting: &mut Vec<Waiting>) -> Result<(), Failure> {
        for batch in batches {
            let mut receipts = Vec::with_capacity(BATCH);
            for number in batch * BATCH..(batch + 1) * BATCH {
                let receipt = self.sink.put_item(&self.table.item(number)).await?;
                receipts.push((clock::instant(), receipt));
            }
            waiting.push(tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(BATCH);
                for (accepted, receipt) in receipts {
                    receipt.await.into_result()?;
                    latencies.push(accepted.elapsed());
                }
                Ok(latencies)
            }));
        }
        Ok(())
    }
}

/// So many lanes, each with a request in flight: `BatchWriteItem` of 25, unprocessed items sent
/// again after a while that doubles.
pub(crate) struct SdkLoop {
    pub(crate) table: Table,
    pub(crate) lanes: usize,
}

impl Contender for SdkLoop {
    fn name(&self) -> &'static str {
        "hand-written SDK loop"
    }

    /// An item's latency is that of its batch, from when the batch is at hand.
    fn write(&self, batches: Batches) -> BoxFuture<'_, Result<Times, Failure>> {
        Box::pin(async move {
            let lanes =
                (0..self.lanes).map(|_| tokio::spawn(lane(self.table.clone(), batches.clone())));
            let mut latencies = Times::default();
            for lane in join_all(lanes).await {
                latencies.extend(lane??);
            }
            Ok(latencies)
        })
    }
}

async fn lane(table: Table, batches: Batches) -> Result<Vec<Duration>, Failure> {
    let mut latencies = Vec::new();
    for batch in batches {
        let items: Vec<_> = (batch * BATCH..(batch + 1) * BATCH)
            .map(|number| table.item(number))
            .collect();
        let began = clock::instant();
        let (client, items) = (&table.client, items.into_iter());
        sdk::write_batch(client, &table.name, items).await?;
        latencies.extend([began.elapsed(); BATCH]);
    }
    Ok(latencies)
}
