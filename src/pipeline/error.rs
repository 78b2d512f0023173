//! The errors that end a pipeline before its source ends.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::endpoint_error::EndpointError;
use super::position::Position;
use super::reason::Reason;
use crate::error::ErrorKind;
use crate::settings::units::format_duration;
use crate::settings::{ConfigError, SettingsPlace};

/// The name of the dead-letter output in errors.
pub(super) const DEAD_LETTERS: &str = "dead-letter";

/// The reason why a pipeline stopped. What was not acknowledged by then, its source gives again.
#[derive(Debug)]
#[non_exhaustive]
pub enum PipelineError {
    /// A setting of the pipeline or of an operator is out of its range. Nothing was started.
    Config(ConfigError),
    /// The handlers of SIGTERM and ctrl-C could not be set. Nothing was started.
    Signal(std::io::Error),
    /// The source failed.
    #[non_exhaustive]
    Source {
        /// The source's name.
        operator: Arc<str>,
        /// Its error.
        error: EndpointError,
    },
    /// The sink failed.
    #[non_exhaustive]
    Sink {
        /// The sink's name.
        operator: Arc<str>,
        /// Its error.
        error: EndpointError,
    },
    /// The dead-letter output failed.
    DeadLetter(EndpointError),
    /// A record was refused, and there is no dead-letter output, or the operator's policy is to
    /// stop.
    #[non_exhaustive]
    Record {
        /// The operator's name, or the sink's.
        operator: Arc<str>,
        /// The position of the record in its source.
        position: Position,
        /// The reason.
        reason: Reason,
    },
    /// The sink, or the dead-letter output, dropped deliveries, or flushed, and gave no reason: not
    /// by its next flush and not by its close either.
    #[non_exhaustive]
    Lost {
        /// The sink's name, or `dead-letter`.
        operator: Arc<str>,
        /// The number of records.
        records: u64,
    },
    /// The sink, or the dead-letter output, had something and settled nothing for
    /// [`stall_timeout`](super::PipelineSettings::stall_timeout). A new run may go on: it may find
    /// other connections, and others have taken over meanwhile.
    #[non_exhaustive]
    Stalled {
        /// The sink's name, or `dead-letter`.
        operator: Arc<str>,
        /// The setting.
        timeout: Duration,
        /// The records between source and durability.
        in_flight: usize,
        /// The position of the oldest record that it has something of.
        position: Position,
        /// The time since the source handed that one out.
        age: Duration,
    },
    /// A graceful stop took longer than four fifths of `stop_timeout`.
    #[non_exhaustive]
    DrainTimeout {
        /// Records that were given up, un-acknowledged.
        in_flight: usize,
        /// The time that it had.
        timeout: Duration,
    },
    /// The pipeline was aborted, by a second signal.
    #[non_exhaustive]
    Aborted {
        /// Records that were given up, un-acknowledged.
        in_flight: usize,
    },
    /// All records are done, but closing was not over within `stop_timeout`: positions may not have
    /// been stored.
    #[non_exhaustive]
    CloseTimeout {
        /// The source's or the sink's name.
        operator: Arc<str>,
        /// The setting.
        timeout: Duration,
    },
}

/// The part of a pipeline that ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PipelinePart {
    /// The program, which has to be changed or set up in another way.
    Setup,
    /// The source.
    Source,
    /// The sink, or the dead-letter output.
    Sink,
    /// A record.
    Record,
    /// A request to stop: time ran out, or there was a second one.
    Stopped,
}

impl PipelineError {
    /// Returns the kind of error: that of the source's or the sink's error, or of the record's
    /// [reason](super::ReasonKind), where there is one.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::Signal(_) => ErrorKind::Config,
            Self::Source { error, .. } | Self::Sink { error, .. } | Self::DeadLetter(error) => {
                error.kind()
            }
            Self::Record { reason, .. } => reason.kind().error_kind(),
            Self::Lost { .. } => ErrorKind::Unavailable,
            Self::Stalled { .. } | Self::DrainTimeout { .. } | Self::CloseTimeout { .. } => {
                ErrorKind::Timeout
            }
            Self::Aborted { .. } => ErrorKind::Closed,
        }
    }

    /// Returns the part of the pipeline that ended it.
    #[must_use]
    pub fn part(&self) -> PipelinePart {
        match self {
            Self::Config(_) | Self::Signal(_) => PipelinePart::Setup,
            Self::Source { .. } => PipelinePart::Source,
            Self::Sink { .. } | Self::DeadLetter(_) | Self::Lost { .. } | Self::Stalled { .. } => {
                PipelinePart::Sink
            }
            Self::Record { .. } => PipelinePart::Record,
            Self::DrainTimeout { .. } | Self::Aborted { .. } | Self::CloseTimeout { .. } => {
                PipelinePart::Stopped
            }
        }
    }

    /// Returns whether a new run, from the stored positions, may succeed with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Config(_) | Self::Signal(_) => false,
            Self::Source { error, .. } => error.is_retryable(),
            Self::Sink { error, .. } | Self::DeadLetter(error) => error.is_retryable(),
            Self::Record { reason, .. } => reason.kind().error_kind().is_transient(),
            Self::Lost { .. }
            | Self::Stalled { .. }
            | Self::DrainTimeout { .. }
            | Self::Aborted { .. }
            | Self::CloseTimeout { .. } => true,
        }
    }

    /// Returns the name of the operator, source or sink that it is about.
    #[must_use]
    pub fn operator(&self) -> Option<&str> {
        match self {
            Self::Config(error) => match error.place() {
                Some(SettingsPlace::Operator(name)) => Some(name),
                _ => None,
            },
            Self::Source { operator, .. }
            | Self::Sink { operator, .. }
            | Self::Record { operator, .. }
            | Self::Lost { operator, .. }
            | Self::Stalled { operator, .. }
            | Self::CloseTimeout { operator, .. } => Some(operator),
            Self::DeadLetter(_) => Some(DEAD_LETTERS),
            Self::Signal(_) | Self::DrainTimeout { .. } | Self::Aborted { .. } => None,
        }
    }
}

impl From<ConfigError> for PipelineError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Signal(_) => f.write_str("signals can't be listened for"),
            Self::Source { operator, error } | Self::Sink { operator, error } => {
                write!(f, "{operator}: {error}")
            }
            Self::DeadLetter(error) => write!(f, "dead letters: {error}"),
            Self::Record {
                operator,
                position,
                reason,
            } => write!(f, "{operator}: record {position}: {reason}"),
            Self::Lost { operator, records } => write!(
                f,
                "{operator}: {records} records were neither written nor rejected"
            ),
            Self::Stalled {
                operator,
                timeout,
                in_flight,
                position,
                age,
            } => write!(
                f,
                "{operator}: nothing was written for {}, with {in_flight} records in flight; the oldest, read {} s \
                 ago, is {position}",
                format_duration(*timeout),
                age.as_secs()
            ),
            Self::DrainTimeout { in_flight, timeout } => write!(
                f,
                "{in_flight} records were still in flight {timeout:?} after the stop was asked for"
            ),
            Self::Aborted { in_flight } => write!(f, "aborted with {in_flight} records in flight"),
            Self::CloseTimeout { operator, timeout } => {
                write!(f, "{operator}: not closed within {timeout:?}")
            }
        }
    }
}

/// The text holds the error of a source or a sink; what caused that one follows here, down to the
/// root.
impl Error for PipelineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::Signal(error) => Some(error),
            Self::Source { error, .. } | Self::Sink { error, .. } | Self::DeadLetter(error) => {
                error.source()
            }
            Self::Record { .. }
            | Self::Lost { .. }
            | Self::Stalled { .. }
            | Self::DrainTimeout { .. }
            | Self::Aborted { .. }
            | Self::CloseTimeout { .. } => None,
        }
    }
}
