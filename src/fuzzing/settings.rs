//! Files of settings.

use serde::Deserialize;

use crate::sink::DynamoDbSinkSettings;
use crate::{ConfigError, SettingsFile};

/// Any bytes as TOML and as JSON, of a sink and of a whole program: settings that pass their own checks and can be written and read
/// again, or a complaint on one line.
///
/// # Panics
///
/// Where that does not hold.
pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for result in [
        DynamoDbSinkSettings::from_toml(&text),
        DynamoDbSinkSettings::from_json(&text),
    ] {
        match result {
            Ok(settings) => {
                settings.validate().expect("what was read was checked");
                // Not by way of text: serde_json reads the last digit of a fraction carelessly.
                let json = serde_json::to_value(&settings).expect("settings can be written");
                let again =
                    DynamoDbSinkSettings::deserialize(json).expect("what was written can be read");
                assert_eq!(again, settings);
                for (name, _) in settings.tables() {
                    settings.for_table(name).validate().expect("checked");
                }
            }
            Err(error) => assert_one_line(&error),
        }
    }
    for result in [
        SettingsFile::from_toml(&text),
        SettingsFile::from_json(&text),
    ] {
        if let Err(error) = result.and_then(|file| file.validate()) {
            assert_one_line(&error);
        }
    }
}

fn assert_one_line(error: &ConfigError) {
    let shown = error.to_string();
    assert!(!shown.contains('\n') && !shown.is_empty(), "{shown}");
}
