//! What takes part in the rotation.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::rig::Failure;
use crate::rig::records::{self, Decision};

/// One way to bring records to the server.
pub(crate) trait Contender: Send + Sync {
    fn name(&self) -> &'static str;

    /// The largest ratio to the floor that is good enough, where one is asked.
    fn bar(&self) -> Option<f64> {
        None
    }

    /// Makes and writes `batches` batches one after the other, each acknowledged in full before
    /// the next is made.
    fn lane(
        self: Arc<Self>,
        lane: usize,
        batches: usize,
    ) -> BoxFuture<'static, Result<(), Failure>>;
}

/// Makes the records and drops them: a part of every other row.
pub(crate) struct RecordsOnly;

impl Contender for RecordsOnly {
    fn name(&self) -> &'static str {
        "making the records"
    }

    fn lane(
        self: Arc<Self>,
        lane: usize,
        batches: usize,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            for batch in 0..batches {
                let records: Vec<Decision> = records::batch(lane, batch);
                std::hint::black_box(&records);
            }
            Ok(())
        })
    }
}
