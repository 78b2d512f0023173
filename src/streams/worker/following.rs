//! The table's next stream, once the one that was read was switched off and read to its end.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::super::StreamsError;
use super::super::lease::LeaseRow;
use super::super::listing::Lister;
use super::super::shared::{Order, Shared, Stream};
use super::Worker;
use crate::gap::{Gap, GapCause};
use crate::retry::{Retries, ServiceError};
use crate::transport::TableDescription;

type Described = Result<TableDescription, ServiceError>;

/// The question for the table's next stream.
pub(super) struct Following {
    question: Option<BoxFuture<'static, Described>>,
    due: Duration,
    retries: Retries,
}

impl Following {
    pub(super) fn new(retries: Retries) -> Self {
        Self {
            question: None,
            due: Duration::ZERO,
            retries,
        }
    }

    /// Returns when the table is to be described next; `None` while that is under way.
    pub(super) fn due(&self) -> Option<Duration> {
        self.question.is_none().then_some(self.due)
    }

    pub(super) fn start(&mut self, shared: &Shared) {
        let table = shared.source.clone();
        self.question = Some(Box::pin(async move { table.describe().await }));
    }

    /// Waits for the table's description. Returns `None` if it was not asked for.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Described> {
        let described = self.question.as_mut()?.await;
        self.question = None;
        Some(described)
    }
}

impl Worker {
    /// Returns whether the stream was switched off and nothing of it is left.
    pub(super) fn is_over(&self) -> bool {
        let observed = &self.looks.observed;
        let rows = observed.rows();
        let mut of_stream = rows.values().filter(|row| observed.is_of_stream(row));
        self.discovery.is_disabled()
            && self.course.order() == Order::Run
            && !self.is_snapshot_due()
            && self.tasks.is_empty()
            && !self.discovery.is_childless()
            && self.making.is_complete()
            && of_stream.all(LeaseRow::is_finished)
            && self.has_all_rows()
    }

    /// Continues with the table's next stream, where there is one.
    pub(super) fn described(&mut self, described: Described) -> Result<(), StreamsError> {
        // A worker that is to stop needs no next stream, nor an error about it.
        if !self.course.runs() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let table = shared.table.clone();
        let described = match described {
            Ok(described) => described,
            Err(error) if error.is_missing() => return Err(StreamsError::TableDeleted { table }),
            Err(error) if error.is_fatal() => {
                return Err(StreamsError::service("DescribeTable", &table, error));
            }
            Err(error) => {
                shared.failure_log.failed("DescribeTable", None, &error);
                self.following.due = shared.clock.now() + self.following.retries.failed();
                return Ok(());
            }
        };
        shared.failure_log.succeeded("DescribeTable", None);
        self.following.retries.succeeded();
        if !self.is_over() {
            return Ok(());
        }
        let ended = shared.stream();
        let Some(arn) = described.stream_arn.filter(|arn| *arn != ended.arn) else {
            return Err(StreamsError::StreamDisabled { table });
        };
        self.stream_replaced()?;
        tracing::info!(table, stream = arn, "the table has another stream");
        let transport = ended.transport.to(&arn);
        shared.set_stream(Stream { arn, transport });
        let lister = Lister::new(shared.stream(), shared.clock, self.rng.fork());
        self.listings.replace(lister);
        self.looks.observed.follow(&shared.stream().arn);
        self.making.replaced(shared.clock.now());
        self.discovery.replaced(shared.clock.now());
        Ok(())
    }

    /// Reports that the stream was replaced: changes between the two were recorded nowhere.
    pub(super) fn stream_replaced(&mut self) -> Result<(), StreamsError> {
        self.shared
            .gap(Gap::new(None, None, GapCause::StreamReplaced))?;
        self.rescan_before_rows();
        Ok(())
    }
}
