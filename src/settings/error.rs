//! What is wrong with settings, and where.

use std::fmt;
use std::path::PathBuf;

use crate::error::ErrorKind;

/// The part of the settings a mistake is in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsPlace {
    /// The settings as a whole, outside `defaults` and `tables`.
    Whole,
    /// The settings every table starts from.
    Defaults,
    /// The settings of the table of this name.
    Table(String),
}

impl fmt::Display for SettingsPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("settings"),
            Self::Defaults => f.write_str("defaults"),
            Self::Table(name) => write!(f, "table {name:?}"),
        }
    }
}

/// Settings that cannot be used. None of these mends itself: somebody has to change the settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value outside its range.
    #[error("{place}: {field} is {value}, allowed {allowed}")]
    #[non_exhaustive]
    OutOfRange {
        /// Which settings.
        place: SettingsPlace,
        /// The path to the field, such as `retry.budget.ratio`.
        field: String,
        /// The value that stands there.
        value: String,
        /// The values that may stand there.
        allowed: String,
    },
    /// A value of the wrong type, or a field that does not exist.
    #[error("{place}: {}{problem}", .field.as_ref().map(|f| format!("{f}: ")).unwrap_or_default())]
    #[non_exhaustive]
    Unreadable {
        /// Which settings.
        place: SettingsPlace,
        /// The path to the field, or to the table around a field that does not exist; absent at the top.
        field: Option<String>,
        /// What is wrong, with the value and what was expected.
        problem: String,
    },
    /// Text that is not TOML, or not JSON.
    #[error("settings are not {format}: {problem}")]
    #[non_exhaustive]
    Syntax {
        /// `TOML` or `JSON`.
        format: &'static str,
        /// What is wrong, with the line and the column.
        problem: String,
    },
    /// A file that cannot be read. The source says why.
    #[error("settings file {path:?} cannot be read")]
    #[non_exhaustive]
    File {
        /// The file's path as it was given.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file whose name tells no format.
    #[error("settings file {path:?} ends in neither .toml nor .json")]
    #[non_exhaustive]
    Format {
        /// The file's path as it was given.
        path: PathBuf,
    },
}

impl ConfigError {
    /// The table whose settings are wrong, where it is one table's.
    pub fn table(&self) -> Option<&str> {
        match self {
            Self::OutOfRange {
                place: SettingsPlace::Table(name),
                ..
            }
            | Self::Unreadable {
                place: SettingsPlace::Table(name),
                ..
            } => Some(name),
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

    /// The path to the field that is wrong, where one is known.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::OutOfRange { field, .. } => Some(field),
            Self::Unreadable { field, .. } => field.as_deref(),
            _ => None,
        }
    }
}
