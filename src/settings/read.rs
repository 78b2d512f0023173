//! The reader of every settings type, from text and from files.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{ConfigError, SettingsPlace};

/// A settings type: a section of a file of all settings, or a file of its own.
pub(crate) trait Section: DeserializeOwned {
    /// The section, as messages name it.
    const PLACE: SettingsPlace;

    /// Checks every field.
    fn check(&self) -> Result<(), ConfigError>;

    /// Returns the allowed values of the field at `path`, in words, for messages about values that
    /// can't be read.
    fn allowed(path: &str) -> Option<String>;

    /// Reads the fields and checks them.
    fn read(value: Value) -> Result<Self, ConfigError> {
        let settings: Self = fields(&Self::PLACE, value, Self::allowed)?;
        settings.check()?;
        Ok(settings)
    }

    /// Reads a file and checks it.
    fn read_file(path: &Path) -> Result<Self, ConfigError> {
        let value = parse_file(path)?;
        Self::read(value).map_err(|error| error.in_file(path))
    }
}

/// Gives a [`Section`] the methods that all settings types have.
macro_rules! settings_type {
    ($type:ty) => {
        impl $type {
            /// Reads TOML and checks it.
            ///
            /// # Errors
            /// [`ConfigError::Syntax`](crate::ConfigError::Syntax) where it is no TOML,
            /// [`ConfigError::Unreadable`](crate::ConfigError::Unreadable) for an unknown field or a
            /// value of the wrong type, and as [`validate`](Self::validate).
            pub fn from_toml(text: &str) -> Result<Self, crate::ConfigError> {
                crate::settings::Section::read(crate::settings::parse_toml(text)?)
            }

            /// Reads JSON and checks it.
            ///
            /// # Errors
            /// As [`from_toml`](Self::from_toml).
            pub fn from_json(text: &str) -> Result<Self, crate::ConfigError> {
                crate::settings::Section::read(crate::settings::parse_json(text)?)
            }

            /// Reads a file ending in `.toml` or `.json` and checks it.
            ///
            /// Blocks the calling thread while it reads: meant for the start of a program, not for a
            /// running task.
            ///
            /// # Errors
            /// [`ConfigError::Format`](crate::ConfigError::Format) for any other ending,
            /// [`ConfigError::File`](crate::ConfigError::File) where the file can't be read or is
            /// not UTF-8, and [`ConfigError::InFile`](crate::ConfigError::InFile) with an error as of
            /// [`from_toml`](Self::from_toml).
            pub fn from_path(
                path: impl AsRef<std::path::Path>,
            ) -> Result<Self, crate::ConfigError> {
                crate::settings::Section::read_file(path.as_ref())
            }

            /// Checks every field. Opening does so too.
            ///
            /// # Errors
            /// The first field that is wrong, with the section, its value and what is allowed:
            /// mostly [`ConfigError::OutOfRange`](crate::ConfigError::OutOfRange).
            pub fn validate(&self) -> Result<(), crate::ConfigError> {
                crate::settings::Section::check(self)
            }
        }
    };
}
pub(crate) use settings_type;

/// Parses TOML. A time is its text, as if it stood in quotation marks: JSON has no form for it.
pub(crate) fn parse_toml(text: &str) -> Result<Value, ConfigError> {
    let mut value = toml::from_str(text).map_err(|error| ConfigError::Syntax {
        format: "TOML",
        problem: located(text, &error),
    })?;
    quote_times(&mut value);
    Ok(value)
}

/// The name of the only field of a time, as the parser of TOML gives it to other formats.
const TOML_TIME: &str = "$__toml_private_datetime";

fn quote_times(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(quote_times),
        Value::Object(fields) => match fields.get(TOML_TIME) {
            Some(Value::String(time)) if fields.len() == 1 => *value = Value::String(time.clone()),
            _ => fields.values_mut().for_each(quote_times),
        },
        _ => {}
    }
}

/// Parses JSON.
pub(crate) fn parse_json(text: &str) -> Result<Value, ConfigError> {
    serde_json::from_str(text).map_err(|error| ConfigError::Syntax {
        format: "JSON",
        problem: error.to_string(),
    })
}

/// Parses a file by the format that its name ends in.
pub(crate) fn parse_file(path: &Path) -> Result<Value, ConfigError> {
    let parse = match path.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => parse_toml,
        Some("json") => parse_json,
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
    parse(&text).map_err(|error| error.in_file(path))
}

/// Takes a table of fields. What stands in its place is not shown: it may be a secret.
pub(crate) fn table(
    place: &SettingsPlace,
    value: Value,
) -> Result<Map<String, Value>, ConfigError> {
    match value {
        Value::Object(table) => Ok(table),
        _ => Err(ConfigError::Unreadable {
            place: place.clone(),
            field: None,
            problem: "is no table of settings".to_owned(),
        }),
    }
}

/// Reads a part of the settings. An error names the place and the field, with the values that are
/// `allowed` there.
pub(crate) fn fields<T: DeserializeOwned>(
    place: &SettingsPlace,
    value: Value,
    allowed: impl FnOnce(&str) -> Option<String>,
) -> Result<T, ConfigError> {
    let value = Value::Object(table(place, value)?);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let mut problem = error.inner().to_string();
        let field = (path != ".").then_some(path);
        if let Some(allowed) = field.as_deref().and_then(allowed) {
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
pub(crate) fn one_line(text: &str) -> String {
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
