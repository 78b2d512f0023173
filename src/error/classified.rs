//! The kind of an error whose type is not known: that of a pipeline's source or sink. The one place
//! of `error` that names the errors of all modules; no module but `pipeline` uses it.

use std::error::Error;
use std::io;

use super::{Classified, ErrorKind};

impl Classified for io::Error {
    fn kind(&self) -> ErrorKind {
        use io::ErrorKind as Io;
        match io::Error::kind(self) {
            Io::NotFound => ErrorKind::NotFound,
            Io::PermissionDenied => ErrorKind::Denied,
            Io::TimedOut => ErrorKind::Timeout,
            Io::StorageFull | Io::QuotaExceeded | Io::OutOfMemory => ErrorKind::Capacity,
            Io::InvalidInput => ErrorKind::Config,
            _ => ErrorKind::Unavailable,
        }
    }

    fn is_retryable(&self) -> bool {
        Classified::kind(self).is_transient()
    }
}

/// Has this crate's errors classify themselves by their own methods, and finds each by its type.
macro_rules! classify {
    ($($(#[$feature:meta])? $error:ty),* $(,)?) => {
        $(
            $(#[$feature])?
            impl Classified for $error {
                fn kind(&self) -> ErrorKind {
                    <$error>::kind(self)
                }

                fn is_retryable(&self) -> bool {
                    <$error>::is_retryable(self)
                }
            }
        )*

        /// Returns an error as one that classifies itself; `None` for the caller's own.
        pub(crate) fn classified<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a dyn Classified> {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Some(error);
            }
            $(
                $(#[$feature])?
                if let Some(error) = error.downcast_ref::<$error>() {
                    return Some(error);
                }
            )*
            None
        }
    };
}

classify! {
    crate::item::ItemError,
    crate::letter::DeadLetterFormatError,
    crate::retry::ServiceError,
    crate::settings::ConfigError,
    crate::sink::DrainError,
    crate::sink::NotWritten,
    crate::sink::OpenError,
    crate::sink::RecordSinkError,
    crate::sink::RejectReason,
    crate::sink::SnapshotError,
    crate::sink::StopReason,
    crate::sink::SubmitError,
    #[cfg(feature = "embedded")]
    crate::embedded::EmbeddedError,
    #[cfg(feature = "kafka")]
    crate::kafka::KafkaError,
    #[cfg(feature = "pipeline")]
    crate::pipeline::PipelineError,
    #[cfg(feature = "pipeline")]
    crate::pipeline::PositionError,
    #[cfg(feature = "streams")]
    crate::item::DecodeError,
    #[cfg(feature = "streams")]
    crate::streams::InvalidSequenceNumber,
    #[cfg(feature = "streams")]
    crate::streams::MalformedRecord,
    #[cfg(feature = "streams")]
    crate::streams::StreamsError,
}
