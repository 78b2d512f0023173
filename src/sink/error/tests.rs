use super::OpenError;
use crate::error::ErrorKind;
use crate::retry::samples::service;
use crate::retry::{ErrorClass, code};

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
