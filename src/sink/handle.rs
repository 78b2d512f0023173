//! The handle of all tables of a sink.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures::future::join_all;

use super::error::{DrainError, OpenError, SubmitError};
use super::outcome::Outcome;
use super::report::Report;
use super::snapshot::{Restored, Snapshot, SnapshotError};
use super::table::TableSink;

/// A handle to all the tables of a sink. Cheap to clone.
///
/// Each table has settings, buffer, order and worker of its own: one that is slow or has failed
/// doesn't hold up the others, but for their share of the limits over all tables
/// ([`DynamoDbSinkSettings::max_requests`](super::DynamoDbSinkSettings::max_requests),
/// [`buffer_bytes`](super::DynamoDbSinkSettings::buffer_bytes)).
#[derive(Clone)]
pub struct DynamoDbSink {
    pub(super) tables: Arc<HashMap<String, TableSink>>,
}

impl DynamoDbSink {
    /// Returns the handle of one table.
    ///
    /// # Errors
    ///
    /// [`SubmitError::UnknownTable`] for a table that was not opened.
    pub fn table(&self, name: &str) -> Result<TableSink, SubmitError> {
        let table = self.tables.get(name).cloned();
        table.ok_or_else(|| SubmitError::UnknownTable(name.to_owned()))
    }

    /// Returns all tables, in no order.
    pub fn tables(&self) -> impl Iterator<Item = &TableSink> {
        self.tables.values()
    }

    pub(super) fn into_table(self, name: &str) -> Result<TableSink, OpenError> {
        self.tables.get(name).cloned().ok_or(OpenError::NoTable)
    }

    /// Flushes all tables, at the same time.
    ///
    /// # Errors
    ///
    /// The first table's error, with the outcomes of the others' added. All tables are flushed
    /// nevertheless.
    ///
    /// # Cancel safety
    ///
    /// As [`TableSink::flush`].
    pub async fn flush(&self) -> Result<(), DrainError> {
        Self::drained(self.tables().map(TableSink::begin_flush)).await
    }

    /// Closes all tables, at the same time.
    ///
    /// # Errors
    ///
    /// The first table's error, with the outcomes of the others' added. All tables are closed
    /// nevertheless.
    ///
    /// # Cancel safety
    ///
    /// As [`TableSink::close`].
    pub async fn close(&self) -> Result<(), DrainError> {
        Self::drained(self.tables().map(TableSink::begin_close)).await
    }

    /// Waits for reports that were all requested at once. Each keeps its result until the last is
    /// there, so that a drop in between loses nothing.
    async fn drained(reports: impl Iterator<Item = Report<'_>>) -> Result<(), DrainError> {
        let mut reports: Vec<Report<'_>> = reports.collect();
        for report in &mut reports {
            report.wait().await;
        }
        DrainError::first_of(reports.into_iter().map(Report::take).collect())
    }

    /// Aborts all tables, and returns the outcomes that they hand back, in order by table.
    ///
    /// # Cancel safety
    ///
    /// As [`TableSink::abort`].
    pub async fn abort(&self) -> Vec<Outcome> {
        join_all(self.tables().map(TableSink::abort))
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    /// Returns a snapshot of all tables, each at a moment of its own.
    ///
    /// # Errors
    ///
    /// As [`TableSink::snapshot`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn snapshot(&self) -> Result<Snapshot, DrainError> {
        let tables = join_all(self.tables().map(TableSink::snapshot)).await;
        tables
            .into_iter()
            .try_fold(Snapshot::default(), |all, one| Ok(all.merge(one?)))
    }

    /// Submits the writes that a snapshot holds, table by table.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::UnknownTable`] if it holds writes of a table that this sink did not open;
    /// nothing was submitted then. Else as [`TableSink::restore`].
    ///
    /// # Cancel safety
    ///
    /// As [`TableSink::restore`].
    pub async fn restore(&self, snapshot: &Snapshot) -> Result<Restored, SnapshotError> {
        snapshot.check_tables(self.tables.keys().map(String::as_str))?;
        // All tables' writes are checked before the first is submitted.
        let ready: Result<Vec<_>, _> = self
            .tables()
            .map(|table| snapshot.prepare_for(table.shared()))
            .collect();
        let mut all = Restored::default();
        for ready in ready? {
            let Restored {
                receipts,
                handed_back,
            } = ready.submit().await?;
            all.receipts.extend(receipts);
            all.handed_back.extend(handed_back);
        }
        Ok(all)
    }
}

impl fmt::Debug for DynamoDbSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbSink")
            .field("tables", &self.tables.keys())
            .finish()
    }
}
