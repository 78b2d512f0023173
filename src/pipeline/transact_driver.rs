//! The transactions of a pipeline as its run knows them.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::Transact;
use crate::pipeline::driver::{Driver, Room};
use crate::pipeline::error::PipelineError;
use crate::pipeline::transaction_stats::TransactionCounts;
use crate::pipeline::transactions::Transactions;
use crate::pipeline::turns::Turns;

impl<T: Transactions> Driver for Transact<T> {
    fn turns(&self) -> Arc<dyn Turns> {
        Arc::clone(&self.gate) as Arc<dyn Turns>
    }

    fn counts(&self) -> Arc<TransactionCounts> {
        Arc::clone(&self.counts)
    }

    fn set_group(&mut self, group: u32) {
        self.transactions.set_group(group);
    }

    fn run<'a>(&'a mut self, room: Room<'a>) -> BoxFuture<'a, Result<(), PipelineError>> {
        Box::pin(self.drive(room))
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.transactions.close().await;
            self.counts.closed();
            self.held.clear();
        })
    }
}
