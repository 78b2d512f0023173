//! The settings of all tables of a sink, as a file holds them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::config::TableSettings;
use super::limits::{SinkLimits, Size};
use crate::settings::{ConfigError, Section, SettingsPlace, fields, settings_type};

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

    /// Returns each table's settings, by the names that messages give them.
    fn named_settings(&self) -> impl Iterator<Item = (String, &TableSettings)> {
        let tables = self.tables.iter();
        tables.map(|(name, settings)| (format!("table {name:?}"), settings))
    }
}

settings_type!(DynamoDbSinkSettings);

impl Section for DynamoDbSinkSettings {
    const PLACE: SettingsPlace = SettingsPlace::Sink;

    fn check(&self) -> Result<(), ConfigError> {
        self.defaults.check_within(&SettingsPlace::Defaults)?;
        self.tables.iter().try_for_each(|(name, settings)| {
            settings.check_within(&SettingsPlace::Table(name.clone()))
        })?;
        self.limits.check(self.named_settings())
    }

    fn allowed(path: &str) -> Option<String> {
        SinkLimits::allowed(path)
    }

    fn read(value: Value) -> Result<Self, ConfigError> {
        let file: File = fields(&Self::PLACE, value, Self::allowed)?;

        // The defaults are read and checked before any table is, so that a mistake in them is not
        // reported as a table's.
        let defaults: TableSettings = fields(
            &SettingsPlace::Defaults,
            Value::Object(file.defaults.clone()),
            TableSettings::allowed,
        )?;
        defaults.check_within(&SettingsPlace::Defaults)?;
        let mut tables = BTreeMap::new();
        for (name, own) in file.tables {
            let place = SettingsPlace::Table(name.clone());
            let merged = Value::Object(overlay(file.defaults.clone(), own));
            let settings: TableSettings = fields(&place, merged, TableSettings::allowed)?;
            settings.check_within(&place)?;
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
        Self::read(Value::deserialize(from)?).map_err(serde::de::Error::custom)
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

#[cfg(test)]
mod tests;
