//! Samples of a pipeline's errors, for the tests of all errors.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::endpoint_error::EndpointError;
use super::enrichment::LookupError;
use super::error::PipelineError;
use super::position::{Position, PositionError};
use super::reason::{Reason, ReasonKind};
use crate::error::ErrorKind;
use crate::error::samples::{ROOT, Sample};
use crate::retry::samples::throttled;
use crate::settings::samples::config;

/// A caller's own error, with a cause.
#[derive(Debug, thiserror::Error)]
#[error("the archive refused it")]
struct Outer(#[source] io::Error);

fn outer() -> EndpointError {
    Outer(io::Error::other(ROOT)).into()
}

pub(crate) fn all() -> Vec<Sample> {
    let mut all = of_runs();
    all.extend(of_conversions());
    let version = "2".to_owned();
    let expected = ROOT;
    all.push(Sample::new(
        PositionError::Version { version },
        ErrorKind::Invalid,
    ));
    all.push(Sample::new(
        PositionError::Malformed { expected },
        ErrorKind::Invalid,
    ));
    all
}

/// Returns the types into which any error converts.
fn of_conversions() -> [Sample; 5] {
    let lookup = |error: LookupError, kind| {
        let said = (error.kind(), error.is_retryable());
        Sample::converted(error, said, kind)
    };
    let endpoint = |error: EndpointError, kind| {
        let said = (error.kind(), error.is_retryable());
        Sample::converted(error, said, kind)
    };
    [
        lookup(Outer(io::Error::other(ROOT)).into(), ErrorKind::Unavailable),
        lookup(LookupError::record(ROOT), ErrorKind::Invalid),
        endpoint(outer(), ErrorKind::Handler),
        endpoint(throttled().into(), ErrorKind::Capacity),
        endpoint(
            outer().with_kind(ErrorKind::Unavailable),
            ErrorKind::Unavailable,
        ),
    ]
}

fn of_runs() -> Vec<Sample> {
    let operator = || Arc::from("archive");
    let position = || Position::number("orders-3".into(), 42);
    let timeout = Duration::from_secs(600);
    let sink = |error| PipelineError::Sink {
        operator: operator(),
        error,
    };
    let record = |kind| PipelineError::Record {
        operator: operator(),
        position: position(),
        reason: Reason::new(kind, ROOT),
    };
    let source = PipelineError::Source {
        operator: operator(),
        error: throttled().into(),
    };
    let lost = PipelineError::Lost {
        operator: operator(),
        records: 2,
    };
    let stalled = PipelineError::Stalled {
        operator: operator(),
        timeout,
        in_flight: 2,
        position: position(),
        age: timeout,
    };
    let draining = PipelineError::DrainTimeout {
        in_flight: 2,
        timeout,
    };
    let closing = PipelineError::CloseTimeout {
        operator: operator(),
        timeout,
    };
    let root = || io::Error::other(ROOT);
    vec![
        Sample::new(PipelineError::from(config()), ErrorKind::Config),
        Sample::new(PipelineError::Signal(root()), ErrorKind::Config),
        Sample::new(source, ErrorKind::Capacity),
        Sample::new(sink(outer()), ErrorKind::Handler),
        Sample::new(sink(root().into()), ErrorKind::Unavailable),
        Sample::new(PipelineError::DeadLetter(outer()), ErrorKind::Handler),
        Sample::new(record(ReasonKind::Absent), ErrorKind::NotFound),
        Sample::new(record(ReasonKind::TimedOut), ErrorKind::Timeout),
        Sample::new(record(ReasonKind::Lookup), ErrorKind::Unavailable),
        Sample::new(record(ReasonKind::Setup), ErrorKind::Config),
        Sample::new(record(ReasonKind::Invalid), ErrorKind::Invalid),
        Sample::new(record(ReasonKind::Rejected), ErrorKind::Invalid),
        Sample::new(record(ReasonKind::Panicked), ErrorKind::Handler),
        Sample::new(lost, ErrorKind::Unavailable),
        Sample::new(stalled, ErrorKind::Timeout),
        Sample::new(draining, ErrorKind::Timeout),
        // The next run goes on where this one was given up.
        Sample::new(PipelineError::Aborted { in_flight: 2 }, ErrorKind::Closed).retryable(true),
        Sample::new(closing, ErrorKind::Timeout),
    ]
}
