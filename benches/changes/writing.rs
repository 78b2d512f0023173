//! Writes at a rate, whatever becomes of them: an open loop.
//!
//! Each write comes at a random moment of its own slice of time. At a fixed distance from one another they would keep
//! step with the reads of a poll interval, and every write would wait as long as the one before.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::sink::TableSink;
use tokio::sync::mpsc;

use super::Clients;
use super::board::Board;
use crate::rig::records::{NOTE_BYTES, decision};
use crate::rig::{Failure, clock};

/// Puts the items of these numbers, through the sink at its defaults, and notes when. Returns when all are acknowledged.
pub(crate) async fn put(
    clients: &Clients,
    board: &Arc<Board>,
    writes: Range<usize>,
    rate: f64,
) -> Result<(), Failure> {
    let table = TableSink::open(&clients.dynamodb, &clients.table).await?;
    let mut rng = fastrand::Rng::with_seed(17);
    let (failed, mut failures) = mpsc::unbounded_channel::<Failure>();
    let began = clock::instant();
    for (write, slice) in writes.zip(0u32..) {
        let due = began + Duration::from_secs_f64((f64::from(slice) + rng.f64()) / rate);
        tokio::time::sleep_until(due.into()).await;
        board.called(write);
        let receipt = table.put(&decision(write, NOTE_BYTES)).await?;
        let (board, failed) = (Arc::clone(board), failed.clone());
        tokio::spawn(async move {
            match receipt.await.into_result() {
                Ok(()) => board.acknowledged(write),
                // The receiver is gone where another has failed already.
                Err(error) => drop(failed.send(error.into())),
            }
        });
    }
    table.close().await?;
    drop(failed);
    // The last of the senders goes with the last outcome.
    failures.recv().await.map_or(Ok(()), Err)
}
