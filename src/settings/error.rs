//! The errors of settings, with the place of each.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::ErrorKind;

/// The part of the settings that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsPlace {
    /// A file of all settings, outside its sections: `SettingsFile`.
    Whole,
    /// The settings of a sink to DynamoDB, outside `defaults` and `tables`: `DynamoDbSinkSettings`.
    Sink,
    /// The settings every table starts from.
    Defaults,
    /// The settings of the table of this name.
    Table(String),
    /// The settings of one table by themselves, which have no name: `TableSettings`.
    UnnamedTable,
    /// A policy of retries by itself: `RetryPolicy`. Within other settings it is a field of theirs.
    Retry,
    /// The settings of a table's stream: `StreamsSettings`.
    Streams,
    /// The settings of a table's snapshot by themselves: `SnapshotSettings`. Within `StreamsSettings`
    /// they are a field.
    Snapshot,
    /// The brokers and librdkafka's properties: `KafkaSettings`.
    Kafka,
    /// The settings of a producer: `KafkaSinkSettings`.
    KafkaSink,
    /// The settings of a transactional producer: `TransactionSettings`.
    KafkaTransaction,
    /// The settings of a consumer: `KafkaSourceSettings`.
    KafkaSource,
    /// The settings of a pipeline: `PipelineSettings`.
    Pipeline,
    /// The settings of the pipeline's operator of this name.
    Operator(String),
}

impl fmt::Display for SettingsPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("settings"),
            Self::Sink => f.write_str("sink"),
            Self::Defaults => f.write_str("defaults"),
            Self::Table(name) => write!(f, "table {name:?}"),
            Self::UnnamedTable => f.write_str("table"),
            Self::Retry => f.write_str("retry"),
            Self::Streams => f.write_str("streams"),
            Self::Snapshot => f.write_str("snapshot"),
            Self::Kafka => f.write_str("kafka"),
            Self::KafkaSink => f.write_str("kafka.sink"),
            Self::KafkaTransaction => f.write_str("kafka.transaction"),
            Self::KafkaSource => f.write_str("kafka.source"),
            Self::Pipeline => f.write_str("pipeline"),
            Self::Operator(name) => f.write_str(name),
        }
    }
}

/// Settings that cannot be used. They have to be changed: no later attempt helps.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value outside its range.
    #[error("{place}: {field} is {value}, allowed {allowed}")]
    #[non_exhaustive]
    OutOfRange {
        /// The settings.
        place: SettingsPlace,
        /// The path to the field, such as `retry.budget.ratio`.
        field: String,
        /// The value.
        value: String,
        /// The range, or the values that are allowed.
        allowed: String,
    },
    /// A value of the wrong type, or a field that does not exist.
    #[error("{place}: {}{problem}", .field.as_ref().map(|f| format!("{f}: ")).unwrap_or_default())]
    #[non_exhaustive]
    Unreadable {
        /// The settings.
        place: SettingsPlace,
        /// The path to the field, or to the table around a field that does not exist; absent at the top.
        field: Option<String>,
        /// The fault, with the value and what was expected.
        problem: String,
    },
    /// A field that has to be set, and is not, or is empty.
    #[error("{place}: {field} is not set")]
    #[non_exhaustive]
    Missing {
        /// The settings that lack it.
        place: SettingsPlace,
        /// The field's name.
        field: &'static str,
    },
    /// A setting that gives records up, or passes over gaps, without a handler to take them.
    #[error("{place}: {setting} needs a handler: name one by `{handler}`")]
    #[non_exhaustive]
    NeedsHandler {
        /// The settings.
        place: SettingsPlace,
        /// The setting, with its value where it depends on that.
        setting: &'static str,
        /// The builder's method that takes the handler.
        handler: &'static str,
    },
    /// Two settings that exclude each other.
    #[error("{place}: {setting} does not go with `{with}`: leave one of them out")]
    #[non_exhaustive]
    Conflict {
        /// The settings.
        place: SettingsPlace,
        /// The setting, with its value where it depends on that.
        setting: &'static str,
        /// The other setting, or the builder's method.
        with: &'static str,
    },
    /// A property of librdkafka that does not exist, has a value it cannot have, is missing, or breaks a promise of this crate.
    #[error("{place} {}: {problem}", .property.as_ref().map_or_else(|| "properties".to_owned(), |property| format!("property {property:?}")))]
    #[non_exhaustive]
    Property {
        /// The settings.
        place: SettingsPlace,
        /// The property; `None` where several do not go together, which `problem` names.
        property: Option<String>,
        /// The fault, without a secret's value.
        problem: String,
    },
    /// Text that is not TOML, or not JSON.
    #[error("settings are not {format}: {problem}")]
    #[non_exhaustive]
    Syntax {
        /// `TOML` or `JSON`.
        format: &'static str,
        /// The fault, with the line and the column.
        problem: String,
    },
    /// A file that cannot be read. The source has the reason.
    #[error("settings file {path:?} cannot be read")]
    #[non_exhaustive]
    File {
        /// The file's path as it was given.
        path: PathBuf,
        /// The operating system's answer.
        source: Arc<std::io::Error>,
    },
    /// A file whose name ends in no format.
    #[error("settings file {path:?} ends in neither .toml nor .json")]
    #[non_exhaustive]
    Format {
        /// The file's path as it was given.
        path: PathBuf,
    },
    /// A mistake in a file.
    #[error("settings file {path:?}: {problem}")]
    #[non_exhaustive]
    InFile {
        /// The file's path as it was given.
        path: PathBuf,
        /// The mistake.
        problem: Box<ConfigError>,
    },
}

impl ConfigError {
    /// Returns the settings that are wrong; `None` where a file or its text can't be read at all.
    pub fn place(&self) -> Option<&SettingsPlace> {
        match self {
            Self::OutOfRange { place, .. }
            | Self::Unreadable { place, .. }
            | Self::Missing { place, .. }
            | Self::NeedsHandler { place, .. }
            | Self::Conflict { place, .. }
            | Self::Property { place, .. } => Some(place),
            Self::InFile { problem, .. } => problem.place(),
            Self::Syntax { .. } | Self::File { .. } | Self::Format { .. } => None,
        }
    }

    /// Returns the file that is wrong, or can't be read, where the settings came from one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } | Self::Format { path } | Self::InFile { path, .. } => {
                Some(path)
            }
            _ => None,
        }
    }

    /// Names the file in which the mistake is.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self::InFile {
            path: path.to_owned(),
            problem: Box::new(self),
        }
    }

    /// Names the field as settings of this part alone do: without the part before it.
    pub(crate) fn of_part(mut self, part: &str) -> Self {
        if let Self::OutOfRange { field, allowed, .. } = &mut self {
            let prefix = format!("{part}.");
            for text in [field, allowed] {
                *text = text.replacen(&prefix, "", 1);
            }
        }
        self
    }

    /// Returns the table whose settings are wrong, where it is one table's.
    pub fn table(&self) -> Option<&str> {
        match self.place() {
            Some(SettingsPlace::Table(name)) => Some(name),
            _ => None,
        }
    }

    /// Returns [`ErrorKind::Config`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Config
    }

    /// Returns `false`: the settings have to be changed.
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// Returns the path to the field that is wrong, or the property's name, where one is known.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::OutOfRange { field, .. } => Some(field),
            Self::Unreadable { field, .. } => field.as_deref(),
            Self::Missing { field, .. } => Some(field),
            Self::NeedsHandler { setting, .. } | Self::Conflict { setting, .. } => Some(setting),
            Self::Property { property, .. } => property.as_deref(),
            Self::InFile { problem, .. } => problem.field(),
            Self::Syntax { .. } | Self::File { .. } | Self::Format { .. } => None,
        }
    }
}
