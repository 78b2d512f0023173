//! What ends a pipeline before its source does.

use std::sync::Arc;
use std::time::Duration;

use super::dead_letter::{Reason, ReasonKind};
use super::sink::SinkError;
use super::source::{Position, SourceError};
use crate::settings::ConfigError;

/// Why a pipeline stopped. What was not acknowledged by then, its source gives again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A setting is out of its range. Nothing was started.
    #[error("{operator}: {error}")]
    Settings {
        /// The operator, or `pipeline`.
        operator: Arc<str>,
        /// Which setting, and its range.
        error: ConfigError,
    },
    /// The handlers of SIGTERM and ctrl-C could not be set. Nothing was started.
    #[error("signals can't be listened for: {0}")]
    Signal(#[source] std::io::Error),
    /// The source failed.
    #[error("{operator}: {error}")]
    Source {
        /// The source's name.
        operator: Arc<str>,
        /// What it says.
        #[source]
        error: SourceError,
    },
    /// The sink failed.
    #[error("{operator}: {error}")]
    Sink {
        /// The sink's name.
        operator: Arc<str>,
        /// What it says.
        #[source]
        error: SinkError,
    },
    /// The dead-letter output failed.
    #[error("dead letters: {0}")]
    DeadLetter(#[source] SinkError),
    /// A record could not be carried on with, and there is no dead-letter output, or its operator is told to stop.
    #[error("{operator}: record {position}: {reason}")]
    Record {
        /// The operator's name, or the sink's.
        operator: Arc<str>,
        /// Where the source has the record.
        position: Position,
        /// Why.
        reason: Reason,
    },
    /// The sink dropped deliveries, or flushed, without saying what became of values.
    #[error("{operator}: {records} records were neither written nor rejected")]
    Lost {
        /// The sink's name.
        operator: Arc<str>,
        /// How many.
        records: u64,
    },
    /// A graceful stop took longer than four fifths of `stop_timeout`.
    #[error("{in_flight} records were still in flight {timeout:?} after the stop was asked for")]
    DrainTimeout {
        /// Records that were given up, un-acknowledged.
        in_flight: usize,
        /// The time that it had.
        timeout: Duration,
    },
    /// The pipeline was aborted, by a second signal.
    #[error("aborted with {in_flight} records in flight")]
    Aborted {
        /// Records that were given up, un-acknowledged.
        in_flight: usize,
    },
    /// All records are done, but closing was not over within `stop_timeout`: positions may not have been stored.
    #[error("{operator}: not closed within {timeout:?}")]
    CloseTimeout {
        /// The source's or the sink's name.
        operator: Arc<str>,
        /// The setting.
        timeout: Duration,
    },
}

/// What kind of thing ended a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PipelineErrorKind {
    /// The program has to be changed or set up in another way.
    Setup,
    /// The source.
    Source,
    /// The sink, or the dead-letter output.
    Sink,
    /// A record.
    Record,
    /// It was told to stop, and time ran out or it was told twice.
    Stopped,
}

impl PipelineError {
    /// What kind of thing it was.
    #[must_use]
    pub fn kind(&self) -> PipelineErrorKind {
        match self {
            Self::Settings { .. } | Self::Signal(_) => PipelineErrorKind::Setup,
            Self::Source { .. } => PipelineErrorKind::Source,
            Self::Sink { .. } | Self::DeadLetter(_) | Self::Lost { .. } => PipelineErrorKind::Sink,
            Self::Record { .. } => PipelineErrorKind::Record,
            Self::DrainTimeout { .. } | Self::Aborted { .. } | Self::CloseTimeout { .. } => {
                PipelineErrorKind::Stopped
            }
        }
    }

    /// Whether a new run, from the stored positions, may succeed with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Settings { .. } | Self::Signal(_) => false,
            Self::Source { error, .. } => error.is_retryable(),
            Self::Sink { error, .. } | Self::DeadLetter(error) => error.is_retryable(),
            Self::Record { reason, .. } => {
                matches!(reason.kind(), ReasonKind::Lookup | ReasonKind::TimedOut)
            }
            Self::Lost { .. }
            | Self::DrainTimeout { .. }
            | Self::Aborted { .. }
            | Self::CloseTimeout { .. } => true,
        }
    }

    /// The name of the operator, source or sink that it is about.
    #[must_use]
    pub fn operator(&self) -> Option<&str> {
        match self {
            Self::Settings { operator, .. }
            | Self::Source { operator, .. }
            | Self::Sink { operator, .. }
            | Self::Record { operator, .. }
            | Self::Lost { operator, .. }
            | Self::CloseTimeout { operator, .. } => Some(operator),
            Self::DeadLetter(_) => Some("dead-letter"),
            Self::Signal(_) | Self::DrainTimeout { .. } | Self::Aborted { .. } => None,
        }
    }
}
