//! The error of a source or a sink.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::error::classified::classified;
use crate::error::{ErrorKind, text};

/// An error of a pipeline's source, of its sink or of its dead-letter output.
///
/// Any error converts by `?` or `into()`: that of a library, an `anyhow::Error`, a text. Errors of
/// this crate keep their kind, and so does [`std::io::Error`]; others are of the kind
/// [`Handler`](ErrorKind::Handler), the caller's own code, and a new run is not expected to help,
/// unless [`retryable`](Self::retryable) or [`with_kind`](Self::with_kind) say otherwise.
///
/// As every type into which all errors convert, it is no [`Error`] itself:
/// [`as_error`](Self::as_error) and [`into_error`](Self::into_error) give the one that it holds.
/// `{}` prints that error, `{:#}` its causes as well, and [`source`](Self::source) leads to the
/// first of them.
///
/// ```
/// use dynamodb_connector::ErrorKind;
/// use dynamodb_connector::pipeline::{Delivery, EndpointError, Sink};
///
/// struct Lines(std::fs::File);
///
/// impl Sink<String> for Lines {
///     async fn write(&mut self, line: String, delivery: Delivery) -> Result<(), EndpointError> {
///         use std::io::Write;
///         if line.contains('\n') {
///             delivery.reject("more than one line");
///             return Ok(());
///         }
///         writeln!(self.0, "{line}")?;
///         self.0.sync_data()?;
///         delivery.done();
///         Ok(())
///     }
///
///     async fn flush(&mut self) -> Result<(), EndpointError> {
///         Ok(())
///     }
///
///     async fn close(self) -> Result<(), EndpointError> {
///         Err(EndpointError::new("the disk is gone").with_kind(ErrorKind::Unavailable))
///     }
/// }
/// ```
pub struct EndpointError {
    error: Box<dyn Error + Send + Sync>,
    kind: ErrorKind,
    is_retryable: bool,
    /// The sink that it is of, where a pipeline has several.
    sink: Option<Arc<str>>,
}

impl EndpointError {
    /// Returns the error of an endpoint, as `?` does.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = error.into();
        let classification = classified(&*error);
        let (kind, is_retryable) = classification
            .map_or((ErrorKind::Handler, false), |classification| {
                (classification.kind(), classification.is_retryable())
            });
        Self {
            error,
            kind,
            is_retryable,
            sink: None,
        }
    }

    /// Notes the sink that it is of, unless it has one.
    pub(super) fn of_sink(mut self, name: &Arc<str>) -> Self {
        self.sink.get_or_insert_with(|| Arc::clone(name));
        self
    }

    /// Returns the sink that it is of, or `sink`, the pipeline's only one.
    pub(super) fn sink_or(&self, sink: &Arc<str>) -> Arc<str> {
        Arc::clone(self.sink.as_ref().unwrap_or(sink))
    }

    /// Sets the kind, and with it whether a new run may succeed: yes for a
    /// [transient](ErrorKind::is_transient) one.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self.is_retryable = kind.is_transient();
        self
    }

    /// Sets whether a new run may succeed with nothing changed.
    #[must_use]
    pub fn retryable(mut self, is_retryable: bool) -> Self {
        self.is_retryable = is_retryable;
        self
    }

    /// Returns the kind of error: what has to change before a run can succeed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns whether a new run may succeed with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.is_retryable
    }

    /// Returns the cause of the error that this one holds and prints.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }

    /// Returns the error that it was made of, for a look at its type.
    #[must_use]
    pub fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }

    /// Returns the error that it was made of.
    #[must_use]
    pub fn into_error(self) -> Box<dyn Error + Send + Sync> {
        self.error
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for EndpointError {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            f.write_str(&text(&*self.error))
        } else {
            self.error.fmt(f)
        }
    }
}

impl fmt::Debug for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointError")
            .field("kind", &self.kind)
            .field("is_retryable", &self.is_retryable)
            .field("error", &self.error)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the archive refused it")]
    struct Outer(#[source] std::io::Error);

    /// An error that is none of `std`'s and converts into one, as `anyhow::Error` is.
    struct Report(&'static str);

    impl From<Report> for Box<dyn Error + Send + Sync> {
        fn from(report: Report) -> Self {
            report.0.into()
        }
    }

    #[test]
    fn any_error_converts_and_each_cause_is_printed_once() {
        let outer = || Outer(std::io::Error::other("disk full"));
        let fails = || -> Result<(), EndpointError> { Err(outer())? };
        let error = fails().expect_err("it fails");
        assert_eq!(error.to_string(), "the archive refused it");
        assert_eq!(format!("{error:#}"), "the archive refused it: disk full");
        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("disk full")
        );
        assert!(error.as_error().is::<Outer>());
        assert_eq!(
            text(&*error.into_error()),
            "the archive refused it: disk full"
        );
        assert_eq!(EndpointError::from("a text").to_string(), "a text");
        assert_eq!(
            EndpointError::from(Report("a report")).to_string(),
            "a report"
        );
        // One that passes through keeps what was set.
        let set = EndpointError::new("x")
            .with_kind(ErrorKind::Denied)
            .retryable(true);
        let passes = || -> Result<(), EndpointError> { Err(set)? };
        let passed = passes().expect_err("it fails");
        assert_eq!(
            (passed.kind(), passed.is_retryable()),
            (ErrorKind::Denied, true)
        );
    }

    #[test]
    fn known_errors_keep_their_kind_and_others_are_the_callers() {
        let of = |error: EndpointError| (error.kind(), error.is_retryable());
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert_eq!(of(denied.into()), (ErrorKind::Denied, false));
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(of(reset.into()), (ErrorKind::Unavailable, true));
        assert_eq!(of("a text".into()), (ErrorKind::Handler, false));
        #[cfg(feature = "kafka")]
        assert_eq!(
            of(crate::kafka::KafkaError::Closed.into()),
            (ErrorKind::Closed, false)
        );
        #[cfg(feature = "streams")]
        assert_eq!(
            of(crate::streams::StreamsError::Panicked.into()),
            (ErrorKind::Internal, false)
        );
    }
}
