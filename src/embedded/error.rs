//! The errors of embedded servers.

use std::io;

use thiserror::Error;

use crate::error::ErrorKind;

/// The reason for which an embedded server did not start, or did not take an order.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// The database could not be opened.
    #[error("cannot open the embedded database: {reason}")]
    #[non_exhaustive]
    Open {
        /// The database's words.
        reason: String,
    },
    /// The path of the database's file is no UTF-8 text.
    #[error("the path of the embedded database is no UTF-8 text")]
    Path,
    /// No port of the loopback interface could be listened on.
    #[error("cannot listen on the loopback interface")]
    Listen(#[source] io::Error),
    /// The table was not created: its specification breaks a rule of `CreateTable`, or the database
    /// does not take it.
    #[error("cannot create the table {table:?}: {reason}")]
    #[non_exhaustive]
    CreateTable {
        /// The table's name.
        table: String,
        /// The rule, or the database's words.
        reason: String,
    },
    /// There is a table of this name already. It stays as it is.
    #[error("the table {table:?} exists already")]
    #[non_exhaustive]
    TableExists {
        /// The table's name.
        table: String,
    },
    /// The mock Kafka cluster did not start, or did not take an order.
    #[cfg(feature = "kafka")]
    #[error("embedded kafka: {reason}")]
    #[non_exhaustive]
    Kafka {
        /// librdkafka's words.
        reason: String,
    },
}

impl EmbeddedError {
    /// Returns the kind of error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Path | Self::CreateTable { .. } | Self::TableExists { .. } => ErrorKind::Config,
            Self::Open { .. } | Self::Listen(_) => ErrorKind::Unavailable,
            #[cfg(feature = "kafka")]
            Self::Kafka { .. } => ErrorKind::Unavailable,
        }
    }

    /// Returns whether the same call may succeed later with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_transient()
    }
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::error::samples::Sample> {
    use crate::error::samples::{ROOT, Sample};
    let (table, reason) = (|| "orders".to_owned(), || ROOT.to_owned());
    let created = EmbeddedError::CreateTable {
        table: table(),
        reason: reason(),
    };
    vec![
        Sample::new(
            EmbeddedError::Open { reason: reason() },
            ErrorKind::Unavailable,
        ),
        Sample::new(EmbeddedError::Path, ErrorKind::Config),
        Sample::new(
            EmbeddedError::Listen(io::Error::other(ROOT)),
            ErrorKind::Unavailable,
        ),
        Sample::new(created, ErrorKind::Config),
        Sample::new(
            EmbeddedError::TableExists { table: table() },
            ErrorKind::Config,
        ),
        #[cfg(feature = "kafka")]
        Sample::new(
            EmbeddedError::Kafka { reason: reason() },
            ErrorKind::Unavailable,
        ),
    ]
}
