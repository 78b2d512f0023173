//! The sink: records in, DynamoDB writes out.

mod config;
mod tables;

pub use crate::capacity::Concurrency;
pub use crate::settings::{ConfigError, SettingsPlace};
pub use config::TableSettings;
pub use tables::SinkSettings;
