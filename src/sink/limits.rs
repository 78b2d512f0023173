//! The limits over all tables of a sink.

use serde::{Deserialize, Serialize};

use super::config::TableSettings;
use crate::capacity::Concurrency;
use crate::settings::{Bound, Bytes, ConfigError, SettingsPlace, allowed_at, units};

/// The default limit of requests in flight. Chosen: eight tables at their default concurrency, and a
/// quarter of the default limit of open files of a process (1,024).
const DEFAULT_MAX_REQUESTS: usize = 256;

/// The default limit of buffered bytes. Chosen: four tables with their default buffers full.
const DEFAULT_BUFFER_BYTES: usize = 256 << 20;

const TEBIBYTE: usize = match 1_usize.checked_shl(40) {
    Some(bytes) => bytes,
    None => usize::MAX,
};
const MAX_REQUESTS: Bound<usize> = Bound::new("max_requests", 1, 1_000_000);
const BUFFER_BYTES: Bound<Bytes> = Bound::new("buffer_bytes", Bytes(4 << 20), Bytes(TEBIBYTE));

/// Limits over all tables of a sink, as far as they are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct SinkLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_requests: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) buffer_bytes: Option<Size>,
}

/// A number of bytes, in a settings file with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct Size(#[serde(with = "units::size")] usize);

impl SinkLimits {
    pub(super) fn set_buffer_bytes(&mut self, bytes: usize) {
        self.buffer_bytes = Some(Size(bytes));
    }

    /// Returns these limits, and those of others where one is not set.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            max_requests: self.max_requests.or(others.max_requests),
            buffer_bytes: self.buffer_bytes.or(others.buffer_bytes),
        }
    }

    /// Returns the allowed values of the field at `path`, in words.
    pub(super) fn allowed(path: &str) -> Option<String> {
        allowed_at(path, &[MAX_REQUESTS]).or_else(|| allowed_at(path, &[BUFFER_BYTES]))
    }

    /// Checks the limits against their ranges and against the limits of each table.
    pub(super) fn check<'a>(
        self,
        tables: impl Iterator<Item = (String, &'a TableSettings)>,
    ) -> Result<(), ConfigError> {
        let place = &SettingsPlace::Sink;
        if let Some(requests) = self.max_requests {
            MAX_REQUESTS.check(place, requests)?;
        }
        if let Some(Size(bytes)) = self.buffer_bytes {
            BUFFER_BYTES.check(place, Bytes(bytes))?;
        }
        for (table, settings) in tables {
            if let Some(requests) = self.max_requests {
                let least = settings.get_concurrency().max();
                let other = format!("concurrency of {table}");
                MAX_REQUESTS.check_from(place, requests, least, &other)?;
            }
            if let Some(Size(bytes)) = self.buffer_bytes {
                let least = Bytes(settings.get_buffer_bytes());
                let other = format!("buffer_bytes of {table}");
                BUFFER_BYTES.check_from(place, Bytes(bytes), least, &other)?;
            }
        }
        Ok(())
    }

    /// Checks a table's new concurrency against the limit of requests in flight.
    pub(super) fn check_requests(
        place: &SettingsPlace,
        concurrency: Concurrency,
        max_requests: usize,
    ) -> Result<(), ConfigError> {
        if concurrency.max() <= max_requests {
            return Ok(());
        }
        Err(ConfigError::OutOfRange {
            place: place.clone(),
            field: "concurrency".to_owned(),
            value: concurrency.max().to_string(),
            allowed: format!("1 to {max_requests} (max_requests of the sink)"),
        })
    }

    /// Returns the most requests that these tables may have in flight together.
    pub(super) fn requests<'a>(self, tables: impl Iterator<Item = &'a TableSettings>) -> usize {
        let largest = tables
            .map(|settings| settings.get_concurrency().max())
            .max();
        let default = DEFAULT_MAX_REQUESTS.max(largest.unwrap_or(0));
        self.max_requests.unwrap_or(default)
    }

    /// Returns the most bytes that the buffers of these tables may hold together.
    pub(super) fn bytes<'a>(self, tables: impl Iterator<Item = &'a TableSettings>) -> usize {
        let largest = tables.map(TableSettings::get_buffer_bytes).max();
        let default = DEFAULT_BUFFER_BYTES.max(largest.unwrap_or(0));
        self.buffer_bytes.map_or(default, |Size(bytes)| bytes)
    }
}
