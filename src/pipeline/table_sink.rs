//! A DynamoDB table as a pipeline's sink.

use std::fmt;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::dead_letter::Reason;
use super::delivery::Delivery;
use super::endpoint_error::EndpointError;
use super::pending_error::PendingError;
use super::sink::{Handle, IntoSink, Sink};
use crate::sink::{Outcome, Receipt, SubmitError, TableSink, Write};

/// Writes each value to a table; the delivery is done when the write's receipt says so.
///
/// `Written` and `Superseded` are done. So is `ConditionFailed`: a condition that does not hold is
/// an answer, such as that the table has a newer version. A write that is refused, or whose answer
/// was lost and that must not be sent again, is rejected: it goes to the pipeline's dead letters.
/// One that is handed back, because the table failed or was closed, ends the pipeline.
///
/// The table's handle stays open for others. `flush` waits for the writes of this output alone, for
/// the table's `linger` too; `close` closes nothing but this output.
///
/// ```
/// # #[cfg(feature = "test-util")]
/// # async fn example(table: dynamodb_connector::sink::TableSink) {
/// use dynamodb_connector::pipeline::{Pipeline, TableOutput};
/// use dynamodb_connector::test_util::IterSource;
///
/// #[derive(serde::Serialize)]
/// struct Row {
///     pk: String,
///     version: u64,
/// }
///
/// let rows = (0..3).map(|n| Row { pk: format!("k{n}"), version: 1 });
/// let job = Pipeline::from(IterSource::new(rows.collect::<Vec<_>>()))
///     .to(TableOutput::new(&table, |table, row: &Row| table.put(row).newer_by("version")));
/// # job.run().await.unwrap();
/// # }
/// ```
pub struct TableOutput<T> {
    table: TableSink,
    to_write: ToWrite<T>,
    settling: Option<Settling>,
    pending: PendingError,
}

type ToWrite<T> = Box<dyn for<'a> Fn(&'a TableSink, &T) -> Write<'a> + Send>;

/// The task that waits for receipts, in the order of the writes.
struct Settling {
    accepted: mpsc::UnboundedSender<Accepted>,
    task: JoinHandle<()>,
}

impl Drop for Settling {
    fn drop(&mut self) {
        // After a flush it has nothing to do; else the pipeline gives up, and nothing more is to be
        // acknowledged.
        self.task.abort();
    }
}

enum Accepted {
    Write(Receipt, Delivery),
    Flush(oneshot::Sender<()>),
}

/// Each value is put as a whole item, as by [`TableOutput::puts`].
#[diagnostic::do_not_recommend]
impl<T: Serialize + Send + 'static> IntoSink<T, Handle> for TableSink {
    type Sink = TableOutput<T>;

    fn into_sink(self) -> Self::Sink {
        TableOutput::puts(&self)
    }
}

impl<T: Serialize + Send + 'static> TableOutput<T> {
    /// Returns an output that stores each value as a whole item.
    pub fn puts(table: &TableSink) -> Self {
        Self::new(table, TableSink::put)
    }
}

impl<T: Send + 'static> TableOutput<T> {
    /// Returns an output that submits what `to_write` makes of each value.
    pub fn new(
        table: &TableSink,
        to_write: impl for<'a> Fn(&'a TableSink, &T) -> Write<'a> + Send + 'static,
    ) -> Self {
        Self {
            table: table.clone(),
            to_write: Box::new(to_write),
            settling: None,
            pending: PendingError::default(),
        }
    }

    /// Sends to the settling task, which is started by the first write.
    fn accept(&mut self, accepted: Accepted) -> Result<(), EndpointError> {
        let settling = self.settling.get_or_insert_with(|| {
            // Bounded by the table's buffer: each entry has its place there, or had until a moment
            // ago.
            let (sender, receiver) = mpsc::unbounded_channel();
            let task = tokio::spawn(settle(receiver, self.pending.clone()));
            let accepted = sender;
            Settling { accepted, task }
        });
        let sent = settling.accepted.send(accepted);
        sent.map_err(|_| {
            EndpointError::new("the task that waits for receipts is gone").retryable(true)
        })
    }
}

async fn settle(mut accepted: mpsc::UnboundedReceiver<Accepted>, pending: PendingError) {
    while let Some(accepted) = accepted.recv().await {
        let (receipt, delivery) = match accepted {
            Accepted::Write(receipt, delivery) => (receipt, delivery),
            Accepted::Flush(reached) => {
                // There is no receiver where the flush was dropped.
                let _ = reached.send(());
                continue;
            }
        };
        match receipt.await {
            Outcome::Written | Outcome::Superseded | Outcome::ConditionFailed { .. } => {
                delivery.done();
            }
            refused @ (Outcome::Rejected { .. } | Outcome::Unknown { .. }) => {
                delivery.reject(match refused.into_result() {
                    Ok(()) => Reason::from("refused"),
                    Err(error) => Reason::of(&error),
                });
            }
            unwritten @ Outcome::Unwritten { .. } => {
                let error = match unwritten.into_result() {
                    Ok(()) => EndpointError::new("handed back"),
                    Err(error) => EndpointError::new(error),
                };
                // Before the delivery is dropped, which has the pipeline ask.
                pending.keep(error.retryable(true));
                drop(delivery);
            }
        }
    }
}

impl<T: Send + 'static> Sink<T> for TableOutput<T> {
    async fn write(&mut self, value: T, delivery: Delivery) -> Result<(), EndpointError> {
        self.pending.check()?;
        let submit = (self.to_write)(&self.table, &value).into_future();
        drop(value);
        match submit.await {
            Ok(receipt) => self.accept(Accepted::Write(receipt, delivery)),
            Err(error) if error.is_record() => {
                delivery.reject(Reason::of(&error));
                Ok(())
            }
            Err(error) => {
                let gone = matches!(error, SubmitError::Gone | SubmitError::Closed);
                Err(EndpointError::new(error).retryable(gone))
            }
        }
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        if self.settling.is_some() {
            let (reached, wait) = oneshot::channel();
            self.accept(Accepted::Flush(reached))?;
            wait.await.map_err(|_| {
                EndpointError::new("the task that waits for receipts is gone").retryable(true)
            })?;
        }
        self.pending.check()
    }

    async fn close(self) -> Result<(), EndpointError> {
        self.pending.check()
    }
}

impl<T> fmt::Debug for TableOutput<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableOutput")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
