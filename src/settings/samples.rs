//! Samples of wrong settings, for the tests of all errors.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{ConfigError, SettingsPlace};
use crate::error::ErrorKind;
use crate::error::samples::{ROOT, Sample};

/// Returns a setting out of its range.
pub(crate) fn config() -> ConfigError {
    ConfigError::OutOfRange {
        place: SettingsPlace::Table(ROOT.to_owned()),
        field: "linger".to_owned(),
        value: "2h".to_owned(),
        allowed: "0s to 1m".to_owned(),
    }
}

pub(crate) fn all() -> Vec<Sample> {
    let place = SettingsPlace::Streams;
    let path = || "app.toml".into();
    let errors = [
        config(),
        ConfigError::Unreadable {
            place: SettingsPlace::Defaults,
            field: Some("linger".to_owned()),
            problem: ROOT.to_owned(),
        },
        ConfigError::Missing {
            place: SettingsPlace::Kafka,
            field: "bootstrap_servers",
        },
        ConfigError::NeedsHandler {
            place: place.clone(),
            setting: "max_age",
            handler: "dead_letters",
        },
        ConfigError::Conflict {
            place,
            setting: "lease_table",
            with: "leases_in_memory",
        },
        ConfigError::Property {
            place: SettingsPlace::Kafka,
            property: Some("acks".to_owned()),
            problem: ROOT.to_owned(),
        },
        ConfigError::Property {
            place: SettingsPlace::Kafka,
            property: None,
            problem: ROOT.to_owned(),
        },
        ConfigError::Syntax {
            format: "TOML",
            problem: ROOT.to_owned(),
        },
        ConfigError::File {
            path: path(),
            source: Arc::new(io::Error::other(ROOT)),
        },
        ConfigError::Format { path: path() },
        config().in_file(Path::new("app.toml")),
    ];
    let sample = |error| Sample::new(error, ErrorKind::Config);
    errors.map(sample).into()
}
