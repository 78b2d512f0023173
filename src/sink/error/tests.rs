use std::error::Error;

use super::{DrainError, OpenError, StopReason, SubmitError};
use crate::error::{self, ErrorKind};
use crate::item::ItemError;
use crate::retry::{ErrorClass, Failure, ServiceError, code};
use crate::settings::ConfigError;
use crate::sink::{
    NotWritten, Outcome, RecordSinkError, RejectReason, SnapshotError, TableSettings, WriteRecord,
};

fn service(class: ErrorClass, code: &'static str) -> ServiceError {
    Failure::new(class, code).with_detail("the root").into()
}

fn denied() -> ServiceError {
    service(ErrorClass::Fatal, "AccessDeniedException")
}

fn throttled() -> ServiceError {
    service(ErrorClass::Throttled, "ThrottlingException")
}

fn item() -> ItemError {
    let attribute = "the root".to_owned();
    ItemError::MissingKey { attribute }
}

fn config() -> ConfigError {
    let settings = TableSettings::default().max_batch_items(26);
    settings.validate("the root").unwrap_err()
}

fn misfit() -> SubmitError {
    let (table, error) = ("decisions".to_owned(), item());
    SubmitError::Item { table, error }
}

fn record() -> WriteRecord {
    WriteRecord::of_row("decisions".into(), None)
}

fn rejected(reason: RejectReason) -> Outcome {
    let record = record();
    Outcome::Rejected { reason, record }
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

fn unwritten(cause: Option<ServiceError>) -> Outcome {
    Outcome::Unwritten {
        may_have_applied: false,
        record: Some(record()),
        cause,
    }
}

fn not_written(outcome: Outcome) -> NotWritten {
    outcome.into_result().unwrap_err()
}

/// Returns the errors that have a cause, each with its kind.
fn with_causes() -> Vec<(Box<dyn Error>, ErrorKind)> {
    let table = || "decisions".to_owned();
    let boxed = |error: SubmitError| Box::new(error);
    let stopped = || StopReason::DeadLetter("the root".to_owned());
    let submit = [
        (misfit(), ErrorKind::Invalid),
        (
            SubmitError::Failed {
                table: table(),
                error: denied(),
            },
            ErrorKind::Denied,
        ),
        (SubmitError::Stopped(stopped()), ErrorKind::Handler),
        (
            SubmitError::DeadLetter {
                error: boxed(SubmitError::Full),
                handler: "the root".into(),
            },
            ErrorKind::Handler,
        ),
    ];
    let drain = || {
        let outcomes = Vec::new();
        [
            (
                DrainError::Failed {
                    table: table(),
                    error: service(ErrorClass::Fatal, code::KEYS_CHANGED),
                    outcomes: vec![unwritten(None)],
                },
                ErrorKind::NotFound,
            ),
            (
                DrainError::Unobserved {
                    table: table(),
                    outcomes: vec![rejected(given_up()), rejected(refused())],
                },
                ErrorKind::Capacity,
            ),
            (
                DrainError::Stopped {
                    table: table(),
                    reason: stopped(),
                    outcomes,
                },
                ErrorKind::Handler,
            ),
        ]
    };
    let mut all: Vec<(Box<dyn Error>, ErrorKind)> = vec![
        (Box::new(OpenError::from(config())), ErrorKind::Config),
        (
            Box::new(OpenError::Describe {
                table: table(),
                error: service(ErrorClass::Transient, code::CONNECT_FAILED),
            }),
            ErrorKind::Unavailable,
        ),
        (
            Box::new(not_written(rejected(RejectReason::Invalid(
                boxed(misfit()),
            )))),
            ErrorKind::Invalid,
        ),
        (
            Box::new(not_written(rejected(refused()))),
            ErrorKind::Invalid,
        ),
        (Box::new(not_written(rejected(late()))), ErrorKind::Timeout),
        (
            Box::new(not_written(unwritten(Some(denied())))),
            ErrorKind::Denied,
        ),
        (
            Box::new(SnapshotError::Write {
                table: table(),
                place: 3,
                error: item(),
            }),
            ErrorKind::Invalid,
        ),
        (
            Box::new(SnapshotError::Submit {
                place: 3,
                error: misfit(),
            }),
            ErrorKind::Invalid,
        ),
        (
            Box::new(RecordSinkError::NotWritten {
                outcomes: vec![rejected(late()), rejected(refused())],
            }),
            ErrorKind::Timeout,
        ),
    ];
    for (error, kind) in drain() {
        all.push((Box::new(error), kind));
    }
    for (error, kind) in drain() {
        all.push((Box::new(RecordSinkError::from(error)), kind));
    }
    for (error, kind) in submit {
        all.push((Box::new(RecordSinkError::from(error.clone())), kind));
        all.push((Box::new(error), kind));
    }
    all
}

/// Returns the kind of any error of the sink.
fn kind(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    fn of<E: Error + 'static>(
        error: &(dyn Error + 'static),
        kind: fn(&E) -> ErrorKind,
    ) -> Option<ErrorKind> {
        error.downcast_ref::<E>().map(kind)
    }
    of(error, OpenError::kind)
        .or_else(|| of(error, SubmitError::kind))
        .or_else(|| of(error, DrainError::kind))
        .or_else(|| of(error, NotWritten::kind))
        .or_else(|| of(error, SnapshotError::kind))
        .or_else(|| of(error, RecordSinkError::kind))
}

#[test]
fn each_cause_is_printed_once_and_the_root_is_reached() {
    for (error, wanted) in with_causes() {
        let text = error::text(&*error);
        assert_eq!(text.matches("the root").count(), 1, "{text}");
        assert!(!text.ends_with('.'), "{text}");
        assert_eq!(kind(&*error), Some(wanted), "{text}");
    }
}

#[test]
fn without_a_cause_the_text_is_the_whole_story() {
    let table = || "decisions".to_owned();
    let errors: [(Box<dyn Error>, ErrorKind); 12] = [
        (Box::new(OpenError::NoTable), ErrorKind::Config),
        (
            Box::new(OpenError::Duplicate { table: table() }),
            ErrorKind::Config,
        ),
        (
            Box::new(OpenError::NotActive {
                table: table(),
                status: "DELETING".into(),
            }),
            ErrorKind::Unavailable,
        ),
        (Box::new(SubmitError::Full), ErrorKind::Capacity),
        (Box::new(SubmitError::Closed), ErrorKind::Closed),
        (Box::new(SubmitError::Gone), ErrorKind::Closed),
        (
            Box::new(SubmitError::UnknownTable(table())),
            ErrorKind::Config,
        ),
        (
            Box::new(SubmitError::Stopped(StopReason::Unobserved(1_000))),
            ErrorKind::Closed,
        ),
        (Box::new(DrainError::Closed), ErrorKind::Closed),
        (
            Box::new(SnapshotError::UnknownTable {
                table: table(),
                writes: 2,
            }),
            ErrorKind::Config,
        ),
        (
            Box::new(not_written(Outcome::ConditionFailed { existing: None })),
            ErrorKind::Condition,
        ),
        (
            Box::new(not_written(Outcome::Unknown {
                existing: None,
                record: record(),
            })),
            ErrorKind::Unknown,
        ),
    ];
    for (error, wanted) in errors {
        assert!(error.source().is_none(), "{error}");
        assert_eq!(kind(&*error), Some(wanted), "{error}");
    }
    let open = OpenError::Describe {
        table: table(),
        error: throttled(),
    };
    assert!(open.is_retryable());
    assert!(!OpenError::NoTable.is_retryable());
    assert_eq!(config().kind(), ErrorKind::Config);
    assert_eq!(item().kind(), ErrorKind::Invalid);
}

#[test]
fn a_kind_follows_from_the_services_answer() {
    for (class, code, kind) in [
        (
            ErrorClass::Throttled,
            "ThrottlingException",
            ErrorKind::Capacity,
        ),
        (
            ErrorClass::Ambiguous,
            "InternalServerError",
            ErrorKind::Unavailable,
        ),
        (
            ErrorClass::Transient,
            code::CONNECT_FAILED,
            ErrorKind::Unavailable,
        ),
        (
            ErrorClass::Transient,
            "ExpiredTokenException",
            ErrorKind::Denied,
        ),
        (
            ErrorClass::Refused,
            "BrandNewException",
            ErrorKind::Unavailable,
        ),
        (
            ErrorClass::Invalid,
            "ValidationException",
            ErrorKind::Invalid,
        ),
        (
            ErrorClass::Permanent,
            "ConditionalCheckFailedException",
            ErrorKind::Condition,
        ),
        (
            ErrorClass::Permanent,
            "ItemCollectionSizeLimitExceededException",
            ErrorKind::Invalid,
        ),
        (
            ErrorClass::Fatal,
            "AccessDeniedException",
            ErrorKind::Denied,
        ),
        (
            ErrorClass::Fatal,
            "InvalidSignatureException",
            ErrorKind::Denied,
        ),
        (
            ErrorClass::Fatal,
            "ResourceNotFoundException",
            ErrorKind::NotFound,
        ),
        (ErrorClass::Fatal, code::BARE_STATUS, ErrorKind::Config),
        (
            ErrorClass::Fatal,
            code::CLIENT_MISCONFIGURED,
            ErrorKind::Config,
        ),
    ] {
        assert_eq!(service(class, code).kind(), kind, "{code}");
    }
}

#[test]
fn a_server_that_describes_no_tables_is_no_question_of_rights() {
    for (code, remedy) in [
        ("UnknownOperationException", "does not describe tables"),
        ("AccessDeniedException", "allow dynamodb:DescribeTable"),
    ] {
        let error = OpenError::Describe {
            table: "decisions".to_owned(),
            error: service(ErrorClass::Fatal, code),
        };
        assert!(error.to_string().contains(remedy), "{error}");
    }
}
