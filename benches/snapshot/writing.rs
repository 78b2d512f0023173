//! A writer that keeps the buffer full, and when each of its writes was accepted and settled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dynamodb_connector::sink::{Receipt, TableSink};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::rig::records::{TABLE, decision};
use crate::rig::server::NullServer;
use crate::rig::{Failure, clock, sdk};

/// The writer's two tasks.
pub(crate) struct Writing {
    table: TableSink,
    enough: Arc<AtomicBool>,
    puts: JoinHandle<Result<Vec<Instant>, Failure>>,
    outcomes: JoinHandle<Result<Vec<Instant>, Failure>>,
}

/// When writes were accepted, and when they had their outcome; each in order.
pub(crate) struct Instants {
    pub(crate) puts: Vec<Instant>,
    pub(crate) outcomes: Vec<Instant>,
}

impl Writing {
    pub(crate) async fn start(server: &NullServer, note_bytes: usize) -> Result<Self, Failure> {
        let table = TableSink::open(&sdk::client(server.endpoint()), TABLE).await?;
        let enough = Arc::new(AtomicBool::new(false));
        let (sender, receipts) = mpsc::unbounded_channel();
        let puts = tokio::spawn(put(table.clone(), note_bytes, sender, Arc::clone(&enough)));
        let outcomes = tokio::spawn(settled(receipts));
        Ok(Self {
            table,
            enough,
            puts,
            outcomes,
        })
    }

    pub(crate) fn table(&self) -> &TableSink {
        &self.table
    }

    /// Waits until the writer waits for room, and the sink has found its concurrency.
    pub(crate) async fn fill(&self) {
        while self.table.stats().waiting_callers == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    pub(crate) async fn stop(self) -> Result<Instants, Failure> {
        self.enough.store(true, Ordering::Relaxed);
        let puts = self.puts.await??;
        self.table.close().await?;
        let outcomes = self.outcomes.await??;
        Ok(Instants { puts, outcomes })
    }
}

async fn put(
    table: TableSink,
    note_bytes: usize,
    receipts: mpsc::UnboundedSender<Receipt>,
    enough: Arc<AtomicBool>,
) -> Result<Vec<Instant>, Failure> {
    let mut accepted = Vec::new();
    for number in 0.. {
        if enough.load(Ordering::Relaxed) {
            break;
        }
        receipts.send(table.put(&decision(number, note_bytes)).await?)?;
        accepted.push(clock::instant());
    }
    Ok(accepted)
}

async fn settled(mut receipts: mpsc::UnboundedReceiver<Receipt>) -> Result<Vec<Instant>, Failure> {
    let mut settled = Vec::new();
    while let Some(receipt) = receipts.recv().await {
        receipt.await.into_result()?;
        settled.push(clock::instant());
    }
    Ok(settled)
}
