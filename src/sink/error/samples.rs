//! Samples of the sink's errors, for the tests of all errors.

use super::{DrainError, OpenError, StopReason, SubmitError};
use crate::error::ErrorKind;
use crate::error::samples::{ROOT, Sample};
use crate::item::samples::misfit;
use crate::retry::samples::{denied, service, throttled};
use crate::retry::{ErrorClass, code};
use crate::settings::samples::config;
use crate::sink::{NotWritten, Outcome, RecordSinkError, RejectReason, SnapshotError, WriteRecord};

fn table() -> String {
    "decisions".to_owned()
}

fn record() -> WriteRecord {
    WriteRecord::of_row("decisions".into(), None)
}

fn not_an_item() -> SubmitError {
    SubmitError::Item {
        table: table(),
        error: misfit(),
    }
}

fn stopped() -> StopReason {
    StopReason::DeadLetter(ROOT.to_owned())
}

fn refused() -> RejectReason {
    RejectReason::Refused {
        error: service(ErrorClass::Invalid, "ValidationException"),
        may_have_applied: false,
    }
}

fn given_up() -> RejectReason {
    RejectReason::AttemptsExhausted {
        attempts: 3,
        may_have_applied: true,
        last: throttled(),
    }
}

fn late() -> RejectReason {
    RejectReason::DeadlineExceeded {
        attempts: 3,
        may_have_applied: false,
        last: Some(throttled()),
    }
}

fn rejected(reason: RejectReason) -> Outcome {
    Outcome::Rejected {
        reason,
        record: record(),
    }
}

fn unwritten(cause: ErrorClass, code: &'static str) -> Outcome {
    Outcome::Unwritten {
        may_have_applied: false,
        record: Some(record()),
        cause: Some(service(cause, code)),
    }
}

pub(crate) fn all() -> Vec<Sample> {
    let mut all = of_opening();
    all.extend(of_submitting());
    all.extend(of_draining());
    all.extend(of_outcomes());
    all.extend(of_snapshots());
    all
}

fn of_opening() -> Vec<Sample> {
    let described = |error| OpenError::Describe {
        table: table(),
        error,
    };
    let unreachable = service(ErrorClass::Transient, code::CONNECT_FAILED);
    vec![
        Sample::new(OpenError::from(config()), ErrorKind::Config),
        Sample::new(OpenError::NoTable, ErrorKind::Config),
        Sample::new(described(throttled()), ErrorKind::Capacity),
        Sample::new(described(unreachable), ErrorKind::Unavailable),
        Sample::new(
            OpenError::NotActive {
                table: table(),
                status: "DELETING".to_owned(),
            },
            ErrorKind::Unavailable,
        ),
        Sample::new(OpenError::Duplicate { table: table() }, ErrorKind::Config),
        Sample::new(
            OpenError::NameAndArn {
                table: table(),
                arn: format!("arn:aws:dynamodb:eu-west-1:123456789012:table/{}", table()),
            },
            ErrorKind::Config,
        ),
        Sample::new(OpenError::KeysTwice { table: table() }, ErrorKind::Config),
        Sample::new(
            OpenError::KeysWithoutTable { table: table() },
            ErrorKind::Config,
        ),
    ]
}

/// Returns the errors of submitting, each by itself and as a [`RecordSinkError`].
fn of_submitting() -> Vec<Sample> {
    let errors = [
        (not_an_item(), ErrorKind::Invalid),
        (
            SubmitError::Invalid {
                table: table(),
                what: ROOT.to_owned(),
            },
            ErrorKind::Invalid,
        ),
        (
            SubmitError::LargerThanBuffer {
                table: table(),
                bytes: 2_000,
                limit: 1_000,
            },
            ErrorKind::Invalid,
        ),
        (SubmitError::Full, ErrorKind::Capacity),
        (SubmitError::Closed, ErrorKind::Closed),
        (
            SubmitError::Failed {
                table: table(),
                error: denied(),
            },
            ErrorKind::Denied,
        ),
        (SubmitError::Stopped(stopped()), ErrorKind::Handler),
        (
            SubmitError::Stopped(StopReason::Unobserved(1_000)),
            ErrorKind::Closed,
        ),
        (SubmitError::UnknownTable(table()), ErrorKind::Config),
        (SubmitError::Gone, ErrorKind::Closed),
        (
            SubmitError::DeadLetter {
                error: Box::new(SubmitError::Full),
                handler: ROOT.to_owned(),
            },
            ErrorKind::Handler,
        ),
    ];
    let both = errors.into_iter().flat_map(|(error, kind)| {
        let of_sink = RecordSinkError::from(error.clone());
        [Sample::new(error, kind), Sample::new(of_sink, kind)]
    });
    both.collect()
}

/// Returns the errors of flushing and closing, each by itself and as a [`RecordSinkError`].
fn of_draining() -> Vec<Sample> {
    let errors = || {
        [
            (
                DrainError::Failed {
                    table: table(),
                    error: service(ErrorClass::Fatal, code::KEYS_CHANGED),
                    outcomes: vec![rejected(given_up())],
                },
                ErrorKind::NotFound,
            ),
            (
                DrainError::Unobserved {
                    table: table(),
                    outcomes: vec![rejected(given_up()), rejected(refused())],
                },
                ErrorKind::Invalid,
            ),
            (
                DrainError::Unobserved {
                    table: table(),
                    outcomes: vec![rejected(refused()), rejected(given_up())],
                },
                ErrorKind::Invalid,
            ),
            (
                DrainError::Unobserved {
                    table: table(),
                    outcomes: vec![rejected(given_up()), rejected(late())],
                },
                ErrorKind::Capacity,
            ),
            (
                DrainError::Stopped {
                    table: table(),
                    reason: stopped(),
                    outcomes: Vec::new(),
                },
                ErrorKind::Handler,
            ),
            (DrainError::Closed, ErrorKind::Closed),
            (DrainError::Gone, ErrorKind::Closed),
        ]
    };
    let alone = errors().map(|(error, kind)| Sample::new(error, kind));
    let of_sink = errors().map(|(error, kind)| Sample::new(RecordSinkError::from(error), kind));
    alone.into_iter().chain(of_sink).collect()
}

fn of_outcomes() -> Vec<Sample> {
    let failed = |outcome: Outcome| -> NotWritten {
        let failed = outcome.into_result();
        failed.expect_err("it is not written")
    };
    let denied = || unwritten(ErrorClass::Fatal, "AccessDeniedException");
    let unknown = Outcome::Unknown {
        existing: None,
        record: record(),
    };
    let handed_back = Outcome::Unwritten {
        may_have_applied: true,
        record: None,
        cause: None,
    };
    let invalid = || RejectReason::Invalid(Box::new(not_an_item()));
    let condition = Outcome::ConditionFailed { existing: None };
    let several = vec![rejected(late()), rejected(refused())];
    vec![
        Sample::new(invalid(), ErrorKind::Invalid),
        Sample::new(refused(), ErrorKind::Invalid),
        Sample::new(given_up(), ErrorKind::Capacity),
        Sample::new(late(), ErrorKind::Timeout),
        Sample::new(failed(rejected(invalid())), ErrorKind::Invalid),
        Sample::new(failed(rejected(late())), ErrorKind::Timeout),
        Sample::new(failed(denied()), ErrorKind::Denied),
        Sample::new(failed(handed_back), ErrorKind::Closed),
        Sample::new(failed(unknown), ErrorKind::Unknown),
        Sample::new(failed(condition), ErrorKind::Condition),
        Sample::new(stopped(), ErrorKind::Handler),
        Sample::new(StopReason::Unobserved(1_000), ErrorKind::Closed),
        Sample::new(
            RecordSinkError::NotWritten { outcomes: several },
            ErrorKind::Invalid,
        ),
    ]
}

fn of_snapshots() -> Vec<Sample> {
    let malformed = SnapshotError::Malformed {
        line: 1,
        what: ROOT.to_owned(),
    };
    let unknown = SnapshotError::UnknownTable {
        table: table(),
        writes: 2,
    };
    let write = SnapshotError::Write {
        table: table(),
        place: 3,
        error: misfit(),
    };
    let submit = |error| SnapshotError::Submit { place: 3, error };
    vec![
        Sample::new(malformed, ErrorKind::Invalid),
        Sample::new(SnapshotError::Version { found: 9 }, ErrorKind::Invalid),
        Sample::new(SnapshotError::Damaged(ROOT), ErrorKind::Invalid),
        Sample::new(unknown, ErrorKind::Config),
        Sample::new(write, ErrorKind::Invalid),
        Sample::new(submit(not_an_item()), ErrorKind::Invalid),
        Sample::new(submit(SubmitError::Full), ErrorKind::Capacity),
    ]
}
