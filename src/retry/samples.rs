//! Samples of the one error, for the tests of all errors.

use super::{ErrorClass, Failure, ServiceError};
use crate::error::ErrorKind;
use crate::error::samples::{ROOT, Sample};

/// Returns an error of this class and code, whose cause is the root.
pub(crate) fn service(class: ErrorClass, code: &'static str) -> ServiceError {
    Failure::new(class, code).with_detail(ROOT).into()
}

pub(crate) fn denied() -> ServiceError {
    service(ErrorClass::Fatal, "AccessDeniedException")
}

pub(crate) fn throttled() -> ServiceError {
    service(ErrorClass::Throttled, "ThrottlingException")
}

pub(crate) fn all() -> Vec<Sample> {
    let expired = service(ErrorClass::Transient, "ExpiredTokenException");
    vec![
        Sample::new(throttled(), ErrorKind::Capacity),
        Sample::new(denied(), ErrorKind::Denied),
        Sample::new(ServiceError::internal(ROOT), ErrorKind::Internal),
        // A provider may have new credentials the next time.
        Sample::new(expired, ErrorKind::Denied).retryable(true),
    ]
}
