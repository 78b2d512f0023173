//! The control of a table: flush, close, snapshot, settings that change, and its numbers.

use tokio::sync::oneshot;

use super::TableSink;
use crate::capacity::{Concurrency, Rate};
use crate::health::Health;
use crate::settings::{ConfigError, SettingsPlace};
use crate::sink::error::{DrainError, SubmitError};
use crate::sink::limited::LimitedBy;
use crate::sink::limits::SinkLimits;
use crate::sink::message::Control;
use crate::sink::outcome::Outcome;
use crate::sink::report::Report;
use crate::sink::snapshot::{Restored, Snapshot, SnapshotError};
use crate::sink::stats::TableStats;

impl TableSink {
    /// Waits until every write submitted before this call has its outcome. Later ones don't delay
    /// it.
    ///
    /// Until then, batches don't wait to fill.
    ///
    /// # Errors
    ///
    /// [`DrainError`] if writes failed that no receipt has observed, or the table has failed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: failures that a dropped flush would have reported are left to the next one.
    pub async fn flush(&self) -> Result<(), DrainError> {
        self.begin_flush().found().await
    }

    pub(in crate::sink) fn begin_flush(&self) -> Report<'_> {
        Report::ask(&self.shared, Control::Flush)
    }

    /// Takes no more writes, on any handle of this table, and waits until every accepted one has
    /// its outcome; then the worker ends.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush), [`DrainError::Closed`] where it was closed or aborted before. The
    /// table is closed nevertheless.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the table is closed; dropped then, accepted writes are still carried out.
    pub async fn close(&self) -> Result<(), DrainError> {
        self.begin_close().found().await
    }

    pub(in crate::sink) fn begin_close(&self) -> Report<'_> {
        self.shared.admission.close(SubmitError::Closed);
        Report::ask(&self.shared, Control::Close)
    }

    /// Ends the table at once: no write is sent any more, and every one without an outcome is
    /// handed back as [`Outcome::Unwritten`], to its receipt and here, in submission order.
    ///
    /// Writes that were in flight are marked as maybe applied.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the abort takes place; dropped then, the receipts still have the outcomes.
    pub async fn abort(&self) -> Vec<Outcome> {
        self.shared.admission.close(SubmitError::Closed);
        self.ask(Control::Abort).await.unwrap_or_default()
    }

    /// Returns the writes without an outcome at this moment, in order, without stopping the sink.
    ///
    /// See [`Snapshot`].
    ///
    /// # Errors
    ///
    /// [`DrainError::Closed`] or [`DrainError::Gone`] once the worker has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn snapshot(&self) -> Result<Snapshot, DrainError> {
        let saved = self.ask(Control::Snapshot).await??;
        Ok(Snapshot::of(&self.shared.name, saved))
    }

    /// Submits the writes that a snapshot holds for this table, in their order. Call it before
    /// submitting others.
    ///
    /// # Errors
    ///
    /// See [`SnapshotError`]; nothing was submitted if it concerns the snapshot as a whole. A
    /// snapshot of other tables alone is refused: a table goes by the name or ARN it was opened
    /// with.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe as a whole: dropped, some writes were submitted and others not. Restore
    /// again from the same snapshot into a new sink.
    pub async fn restore(&self, snapshot: &Snapshot) -> Result<Restored, SnapshotError> {
        if !snapshot.tables().any(|table| table == self.name()) {
            snapshot.check_tables(std::iter::once(self.name()))?;
        }
        snapshot.prepare_for(&self.shared)?.submit().await
    }

    /// Returns the numbers of this moment.
    #[must_use]
    pub fn stats(&self) -> TableStats {
        let published = self.shared.stats.lock();
        let mut stats = published.stats.clone();
        stats.limited_by = LimitedBy::new(published.limit, &self.shape());
        drop(published);
        let (records, bytes, waiting) = self.shared.admission.level();
        match &mut stats.limited_by {
            LimitedBy::Nothing if waiting > 0 => {
                stats.limited_by = LimitedBy::Buffer { callers: waiting };
            }
            LimitedBy::Retries { cause } => {
                let last = stats.last_error.as_ref();
                *cause = last.map(|last| format!("{}: {}", last.operation, last.cause));
            }
            _ => {}
        }
        stats.buffered_records = records;
        stats.buffered_bytes = bytes;
        stats.waiting_callers = waiting;
        stats
    }

    /// Returns whether requests to the table succeed at present.
    ///
    /// It fails once requests have failed for a second without a success between, at once where
    /// time alone cannot help. Where capacity is short, it fails after ten seconds without a write.
    #[must_use]
    pub fn health(&self) -> Health {
        let published = self.shared.stats.lock();
        published.health.clone()
    }

    /// Sets how many write units a second the table is asked for, from now on: over the setting
    /// [`rate`](crate::sink::TableSettings::rate).
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`]; nothing has changed then. On a table that is closed it has no
    /// effect.
    pub fn set_rate(&self, rate: impl Into<Rate>) -> Result<(), ConfigError> {
        let rate = rate.into();
        rate.check(&SettingsPlace::Table(self.name().to_owned()))?;
        self.shared.control(Control::SetRate(rate));
        Ok(())
    }

    /// Sets how many requests may be in flight, from now on: over the setting
    /// [`concurrency`](crate::sink::TableSettings::concurrency). Requests in flight beyond that are
    /// not stopped.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`]; nothing has changed then. On a table that is closed it has no
    /// effect.
    pub fn set_concurrency(&self, requests: impl Into<Concurrency>) -> Result<(), ConfigError> {
        let concurrency = requests.into();
        let place = SettingsPlace::Table(self.name().to_owned());
        concurrency.check(&place)?;
        SinkLimits::check_requests(&place, concurrency, self.shared.max_requests)?;
        self.shared.control(Control::SetConcurrency(concurrency));
        Ok(())
    }

    async fn ask<R>(
        &self,
        control: impl FnOnce(oneshot::Sender<R>) -> Control,
    ) -> Result<R, DrainError> {
        let (reply, answer) = oneshot::channel();
        self.shared.ask(control(reply))?;
        answer.await.map_err(|_| DrainError::Gone)
    }
}
