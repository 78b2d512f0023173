//! Why an embedded server did not start.

use std::io;

use thiserror::Error;

/// Why an embedded server did not start, or did not do as told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// The database could not be opened.
    #[error("cannot open the embedded database: {reason}")]
    #[non_exhaustive]
    Open {
        /// What the database says.
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
        /// The rule, or what the database says.
        reason: String,
    },
    /// There is a table of this name already. It stays as it is.
    #[error("the table {table:?} exists already")]
    #[non_exhaustive]
    TableExists {
        /// The table's name.
        table: String,
    },
    /// The mock Kafka cluster did not start, or did not do as told.
    #[cfg(feature = "kafka")]
    #[error("embedded kafka: {reason}")]
    #[non_exhaustive]
    Kafka {
        /// What librdkafka says.
        reason: String,
    },
}
