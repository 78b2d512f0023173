//! The settings of all tables of a sink, as a file holds them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::config::TableSettings;
use super::limits::{SinkLimits, Size};
use crate::settings::{ConfigError, SettingsPlace};

/// The settings of every table that a sink writes to.
///
/// Read from TOML or JSON, a table takes each field it does not name from `defaults`, those within
/// `retry` and `concurrency` included, and each that `defaults` does not name either from
/// [`TableSettings::default`]. A table that is not mentioned at all has the defaults.
///
/// ```
/// use std::time::Duration;
/// use dynamodb_connector::sink::{DynamoDbSinkSettings, TableSettings};
///
/// let settings = DynamoDbSinkSettings::from_toml(r#"
///     max_requests = 512             # of all tables together
///     buffer_bytes = "1GiB"
///
///     [defaults]
///     linger = "5ms"
///     retry.max_attempts = 20
///
///     [tables.decisions]
///     buffer_bytes = "256MiB"
/// "#)?;
/// let decisions = settings.for_table("decisions");
/// assert_eq!(
///     *decisions,
///     settings.for_table("any other").clone().buffer_bytes(256 << 20),
/// );
///
/// let refused = DynamoDbSinkSettings::from_toml("tables.decisions.linger = 5").unwrap_err();
/// assert_eq!(refused.table(), Some("decisions"));
/// assert_eq!(refused.field(), Some("linger"));
/// # Ok::<(), dynamodb_connector::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DynamoDbSinkSettings {
    #[serde(flatten)]
    limits: SinkLimits,
    defaults: TableSettings,
    tables: BTreeMap<String, TableSettings>,
}

impl DynamoDbSinkSettings {
    /// Sets the most requests that all tables together may have in flight. When the sink is opened, so
    /// many tables are described at a time, too.
    ///
    /// It is no strict bound on connections: the SDK's HTTP client opens one for a request that finds
    /// none free, and keeps it. On a busy machine four times as many connections as requests were seen.
    ///
    /// Default: 256, or the largest [`concurrency`](TableSettings::concurrency) of a table where
    /// that is more. Valid: from the largest concurrency of a table to 1,000,000. Tables share it
    /// evenly, and an eighth of the limit is kept for those that begin. Where there are more tables
    /// than requests, tables take turns: requests that hang then hold up the others too, for up to
    /// their time-out. Beside these, an eighth as many `DescribeTable` may be under way.
    #[must_use]
    pub fn max_requests(mut self, requests: usize) -> Self {
        self.limits.max_requests = Some(requests);
        self
    }

    /// Sets the most bytes, in memory, of records that all tables together have accepted and not
    /// yet settled. A submit beyond waits.
    ///
    /// Default: 256 MiB, or the largest [`buffer_bytes`](TableSettings::buffer_bytes) of a table
    /// where that is more. Valid: from the largest `buffer_bytes` of a table to 1 TiB.
    ///
    /// A table may always hold one record. Up to its even share (the limit divided by the open
    /// tables) it goes ahead of those that hold more; beyond that it takes only what no other table
    /// waits for. An eighth of the limit is kept for the tables, a part for each, so that those that
    /// are stuck leave room to the others. So at worst the buffers hold the limit and one record of
    /// each table.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.limits.set_buffer_bytes(bytes);
        self
    }

    /// Returns the limits over all tables.
    pub(super) fn limits(&self) -> SinkLimits {
        self.limits
    }

    /// Sets the settings of the tables that are not mentioned. Settings already given to a table
    /// stay as they are.
    #[must_use]
    pub fn defaults(mut self, defaults: TableSettings) -> Self {
        self.defaults = defaults;
        self
    }

    /// Sets one table's settings, all of them; to change some fields of the defaults, begin with a
    /// clone of [`for_table`](Self::for_table).
    #[must_use]
    pub fn table(mut self, name: impl Into<String>, settings: TableSettings) -> Self {
        self.tables.insert(name.into(), settings);
        self
    }

    /// Returns the settings of the table of this name: its own, or the defaults.
    pub fn for_table(&self, name: &str) -> &TableSettings {
        self.tables.get(name).unwrap_or(&self.defaults)
    }

    /// Returns the tables that have settings of their own.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &TableSettings)> {
        self.tables
            .iter()
            .map(|(name, settings)| (name.as_str(), settings))
    }

    /// Gives up the tables that have settings of their own.
    pub(super) fn into_tables(self) -> impl Iterator<Item = (String, TableSettings)> {
        self.tables.into_iter()
    }

    /// Reads TOML and checks it.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`] where it is no TOML, [`ConfigError::Unreadable`] for an unknown
    /// field or a value of the wrong type, [`ConfigError::OutOfRange`] for a value out of range.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let value = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            format: "TOML",
            problem: located(text, &error),
        })?;
        Self::from_value(value)
    }

    /// Reads JSON and checks it.
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml).
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let value = serde_json::from_str(text).map_err(|error| ConfigError::Syntax {
            format: "JSON",
            problem: error.to_string(),
        })?;
        Self::from_value(value)
    }

    /// Reads a file ending in `.toml` or `.json` and checks it.
    ///
    /// Blocks the calling thread while it reads: meant for the start of a program, not for a
    /// running task.
    ///
    /// # Errors
    /// [`ConfigError::Format`] for any other ending, [`ConfigError::File`] where the file cannot be
    /// read or is not UTF-8, and as [`from_toml`](Self::from_toml).
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let parse = match path.extension().and_then(|ending| ending.to_str()) {
            Some("toml") => Self::from_toml,
            Some("json") => Self::from_json,
            _ => {
                return Err(ConfigError::Format {
                    path: path.to_owned(),
                });
            }
        };
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.to_owned(),
            source: Arc::new(source),
        })?;
        parse(&text)
    }

    /// Checks the defaults, every table's settings, and the limits over all tables.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for the first field that is out of range, with its table, its
    /// value and the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.defaults.check(&SettingsPlace::Defaults)?;
        self.tables
            .iter()
            .try_for_each(|(name, settings)| settings.validate(name))?;
        self.limits.check(self.named_settings())
    }

    /// Returns each table's settings, by the names that messages give them.
    fn named_settings(&self) -> impl Iterator<Item = (String, &TableSettings)> {
        let tables = self.tables.iter();
        tables.map(|(name, settings)| (format!("table {name:?}"), settings))
    }

    fn from_value(value: Value) -> Result<Self, ConfigError> {
        let file: File = read(&SettingsPlace::Whole, value)?;

        // The defaults are read and checked before any table is, so that a mistake in them is not
        // reported as a table's.
        let defaults: TableSettings = read(
            &SettingsPlace::Defaults,
            Value::Object(file.defaults.clone()),
        )?;
        defaults.check(&SettingsPlace::Defaults)?;
        let mut tables = BTreeMap::new();
        for (name, own) in file.tables {
            let place = SettingsPlace::Table(name.clone());
            let settings: TableSettings =
                read(&place, Value::Object(overlay(file.defaults.clone(), own)))?;
            settings.check(&place)?;
            tables.insert(name, settings);
        }
        let settings = Self {
            limits: SinkLimits {
                max_requests: file.max_requests,
                buffer_bytes: file.buffer_bytes,
            },
            defaults,
            tables,
        };
        settings.limits.check(settings.named_settings())?;
        Ok(settings)
    }
}

/// Reads settings within an application's own, with the same checks and the same messages.
impl<'de> Deserialize<'de> for DynamoDbSinkSettings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::from_value(Value::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    max_requests: Option<usize>,
    buffer_bytes: Option<Size>,
    defaults: Map<String, Value>,
    tables: BTreeMap<String, Map<String, Value>>,
}

/// Puts `own` over `base`, field by field and table by table.
fn overlay(mut base: Map<String, Value>, own: Map<String, Value>) -> Map<String, Value> {
    for (field, value) in own {
        let merged = match (base.remove(&field), value) {
            (Some(Value::Object(under)), Value::Object(over)) => {
                Value::Object(overlay(under, over))
            }
            (_, over) => over,
        };
        base.insert(field, merged);
    }
    base
}

/// Reads a part of the settings. An error names the table and the field.
fn read<T: serde::de::DeserializeOwned>(
    place: &SettingsPlace,
    value: Value,
) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let mut problem = error.inner().to_string();
        let field = (path != ".").then_some(path);
        if let Some(allowed) = field.as_deref().and_then(TableSettings::allowed) {
            problem = format!("{problem}, allowed {allowed}");
        }
        ConfigError::Unreadable {
            place: place.clone(),
            field: field.as_deref().map(one_line),
            problem: one_line(&problem),
        }
    })
}

/// Returns a text on one line: a name from a file may hold a line break.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_debug());
        } else {
            line.push(c);
        }
    }
    line
}

/// Returns the parser's error on one line, with its place.
fn located(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', ", ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return message;
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("{message} at line {line} column {column}")
}

#[cfg(test)]
mod tests;
