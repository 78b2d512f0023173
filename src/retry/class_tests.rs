//! Codes, statuses and reasons, each with its class.

use super::class::*;
use ErrorClass::{Ambiguous, Fatal, Invalid, Permanent, Refused, Throttled, Transient};

#[test]
fn every_code_has_its_class() {
    for (code, class) in [
        ("ProvisionedThroughputExceededException", Throttled),
        ("ThrottlingException", Throttled),
        ("RequestLimitExceeded", Throttled),
        ("Throttling", Throttled),
        ("TooManyRequestsException", Throttled),
        ("ThrottledException", Throttled),
        ("RequestThrottled", Throttled),
        ("RequestThrottledException", Throttled),
        ("SlowDown", Throttled),
        ("BandwidthLimitExceeded", Throttled),
        ("PriorRequestNotComplete", Throttled),
        ("TransactionThrottlingException", Throttled),
        ("EC2ThrottledException", Throttled),
        ("LimitExceededException", Throttled),
        ("InternalServerError", Ambiguous),
        ("InternalServerErrorException", Ambiguous),
        ("InternalError", Ambiguous),
        ("InternalFailure", Ambiguous),
        ("ServiceUnavailable", Ambiguous),
        ("ServiceUnavailableException", Ambiguous),
        ("RequestTimeout", Ambiguous),
        ("RequestTimeoutException", Ambiguous),
        ("TransactionInProgressException", Ambiguous),
        ("ReplicatedWriteConflictException", Transient),
        ("TransactionConflictException", Transient),
        ("ResourceInUseException", Transient),
        ("ExpiredTokenException", Transient),
        ("ExpiredToken", Transient),
        ("UnrecognizedClientException", Fatal),
        ("InvalidClientTokenId", Fatal),
        ("MissingAuthenticationToken", Fatal),
        ("MissingAuthenticationTokenException", Fatal),
        ("InvalidSignatureException", Fatal),
        ("SignatureDoesNotMatch", Fatal),
        ("IncompleteSignature", Fatal),
        ("IncompleteSignatureException", Fatal),
        ("AuthFailure", Fatal),
        ("RequestTimeTooSkewed", Fatal),
        ("RequestExpired", Fatal),
        ("RequestInTheFuture", Fatal),
        ("AccessDeniedException", Fatal),
        ("AccessDenied", Fatal),
        ("NotAuthorized", Fatal),
        ("OptInRequired", Fatal),
        ("SubscriptionRequiredException", Fatal),
        ("ResourceNotFoundException", Fatal),
        ("TableNotFoundException", Fatal),
        ("InvalidEndpointException", Fatal),
        ("InvalidAction", Fatal),
        ("UnknownOperation", Fatal),
        ("UnknownOperationException", Fatal),
        ("ConditionalCheckFailedException", Permanent),
        ("TransactionCanceledException", Permanent),
        ("IdempotentParameterMismatchException", Permanent),
        ("ItemCollectionSizeLimitExceededException", Permanent),
        ("ValidationException", Invalid),
        ("ValidationError", Invalid),
        ("SerializationException", Invalid),
        ("RequestEntityTooLarge", Invalid),
        ("RequestEntityTooLargeException", Invalid),
        ("TrimmedDataAccessException", Permanent),
        ("ExpiredIteratorException", Permanent),
    ] {
        for status in [200, 400, 403, 413, 429, 500, 503] {
            assert_eq!(classify(status, Some(code)), class, "{code} {status}");
        }
    }
}

#[test]
fn codes_of_credentials_and_of_clocks_are_told_apart() {
    for (code, credentials, skew) in [
        ("ExpiredTokenException", true, false),
        ("ExpiredToken", true, false),
        ("InvalidSignatureException", false, true),
        ("SignatureDoesNotMatch", false, true),
        ("RequestTimeTooSkewed", false, true),
        ("RequestExpired", false, true),
        ("AccessDeniedException", false, true),
        ("UnrecognizedClientException", false, false),
        ("ThrottlingException", false, false),
        ("NewException", false, false),
    ] {
        assert_eq!(is_credentials_code(code), credentials, "{code}");
        assert_eq!(is_skew_code(code), skew, "{code}");
    }
}

#[test]
fn a_code_not_known_goes_by_its_status() {
    for (status, code, class) in [
        (400, Some("NewException"), Refused),
        (404, Some("NewException"), Refused),
        (400, Some("ReplicaUnavailableException"), Refused),
        (400, Some("KMSDisabledException"), Refused),
        (429, Some("NewException"), Throttled),
        (429, None, Throttled),
        (500, Some("NewException"), Ambiguous),
        (500, None, Ambiguous),
        (502, None, Ambiguous),
        (503, None, Ambiguous),
        (504, None, Ambiguous),
        (408, None, Ambiguous),
        (400, None, Transient),
        (413, None, Invalid),
        (401, None, Fatal),
        (403, None, Fatal),
        (407, None, Fatal),
        (404, None, Fatal),
        (302, None, Ambiguous),
        (204, None, Ambiguous),
        (0, None, Ambiguous),
        (999, None, Ambiguous),
    ] {
        assert_eq!(classify(status, code), class, "{status} {code:?}");
    }
}

#[test]
fn a_cancelled_transaction_goes_by_its_gravest_reason() {
    for (codes, class) in [
        (&["None", "TransactionConflict"][..], Transient),
        (&["ThrottlingError", "TransactionConflict"], Throttled),
        (&["ProvisionedThroughputExceeded", "None"], Throttled),
        (
            &[
                "TransactionConflict",
                "ConditionalCheckFailed",
                "ThrottlingError",
            ],
            Permanent,
        ),
        (&["ValidationError"], Invalid),
        (&["ItemCollectionSizeLimitExceeded"], Permanent),
        (&["SomethingNew", "TransactionConflict"], Refused),
        (&["AccessDenied", "ValidationError"], Fatal),
        (&["None", "None"], Refused),
        (&[], Refused),
    ] {
        assert_eq!(
            classify_cancellation(codes.iter().copied()),
            class,
            "{codes:?}"
        );
    }
}
