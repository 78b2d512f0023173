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
    /// The mock Kafka cluster did not start, or did not do as told.
    #[cfg(feature = "kafka")]
    #[error("embedded kafka: {reason}")]
    #[non_exhaustive]
    Kafka {
        /// What librdkafka says.
        reason: String,
    },
}
