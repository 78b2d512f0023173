//! Failures: each as the same error, either way.

use super::fake::{Fake, Reply};
use super::{CALL, RESOURCE, WAYS, body, client, opened, operations};
use crate::retry::ErrorClass::{
    Ambiguous, Fatal, Invalid, Permanent, Refused, Throttled, Transient,
};
use crate::retry::{ErrorClass, ServiceError, ThrottlingLimit};
use crate::transport::{Operation, TransportKind};
use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::Bytes;
use std::io;

async fn outcome(
    kind: TransportKind,
    operation: Operation,
    script: impl FnOnce(&Fake),
) -> Result<Bytes, ServiceError> {
    let fake = Fake::default();
    let client = client(&fake, |config| config);
    let transport = opened(kind, &fake, &client, RESOURCE).await;
    script(&fake);
    transport.call(operation, body("{}")).await
}

async fn failure(kind: TransportKind, status: u16, answer: &str) -> ServiceError {
    let script = |fake: &Fake| fake.answer(status, &[("x-amzn-requestid", "ID-1")], answer);
    outcome(kind, CALL, script).await.unwrap_err()
}

#[tokio::test]
async fn an_answers_code_and_class_are_read() {
    for kind in WAYS {
        for (status, answer, code, class) in [
            (
                400,
                "{\"__type\":\"com.amazonaws.dynamodb.v20120810#ValidationException\"}",
                "ValidationException",
                Invalid,
            ),
            (
                400,
                "{\"__type\":\"com.amazon.coral.service#ExpiredTokenException\"}",
                "ExpiredTokenException",
                Transient,
            ),
            (
                400,
                "{\"code\":\"ResourceNotFoundException\"}",
                "ResourceNotFoundException",
                Fatal,
            ),
            (
                400,
                "{\"__type\":\"ThrottlingException:http://x/\"}",
                "ThrottlingException",
                Throttled,
            ),
            (
                500,
                "{\"__type\":\"InternalServerError\"}",
                "InternalServerError",
                Ambiguous,
            ),
            (
                400,
                "{\"__type\":\"com.amazonaws.dynamodb.v20120810#LimitExceededException\"}",
                "LimitExceededException",
                Throttled,
            ),
            (
                400,
                "{\"__type\":\"com.amazonaws.dynamodb.v20120810#TrimmedDataAccessException\"}",
                "TrimmedDataAccessException",
                Permanent,
            ),
            (
                400,
                "{\"__type\":\"com.amazonaws.dynamodb.v20120810#ExpiredIteratorException\"}",
                "ExpiredIteratorException",
                Permanent,
            ),
            (400, "{\"__type\":\"a#BrandNew\"}", "BrandNew", Refused),
            (503, "<html>no</html>", "HttpStatus", Ambiguous),
            (403, "<html>proxy</html>", "HttpStatus", Fatal),
            (413, "<html>big</html>", "RequestEntityTooLarge", Invalid),
            (429, "", "HttpStatus", Throttled),
            (
                400,
                "{\"__type\":\"not a code {secret}\"}",
                "HttpStatus",
                Transient,
            ),
            // Odd bodies, whose code is read all the same.
            (
                400,
                "\u{feff}{\"__type\":\"ValidationException\"}",
                "ValidationException",
                Invalid,
            ),
            (
                400,
                "{\"message\":7,\"Message\":{\"a\":1},\"__type\":\"ValidationException\"}",
                "ValidationException",
                Invalid,
            ),
            (
                400,
                "{\"message\":\"secret\",\"Message\":\"b\",\"code\":400,\"Code\":\"ValidationException\"}",
                "ValidationException",
                Invalid,
            ),
            (
                400,
                "{\"ThrottlingReasons\":[null,7,{\"reason\":null}],\"__type\":\"ThrottlingException\"}",
                "ThrottlingException",
                Throttled,
            ),
            (
                400,
                "{\"CancellationReasons\":null,\"__type\":\"TransactionCanceledException\"}",
                "TransactionCanceledException",
                Refused,
            ),
            (
                400,
                "{\"__type\":\"TransactionCanceledException\",\"message\":\"Transaction cancelled, please \
                 refer cancellation reasons for specific reasons [None, TransactionConflict]\"}",
                "TransactionCanceledException",
                Transient,
            ),
            (
                400,
                "{\"__type\":\"ValidationException\",\"message\":\"cut sho",
                "ValidationException",
                Invalid,
            ),
            (
                400,
                "{\"__type\":\"ConditionalCheckFailedException\",\"Item\":{\"a\":{\"S\":\"cut",
                "GarbledAnswer",
                Ambiguous,
            ),
            (204, "", "HttpStatus", Ambiguous),
            (302, "", "HttpStatus", Ambiguous),
        ] {
            let error = failure(kind, status, answer).await;
            assert_eq!(
                (error.code(), error.class()),
                (code, class),
                "{kind:?} {answer}"
            );
            assert_eq!(error.status(), Some(status), "{kind:?} {answer}");
            assert_eq!(error.request_id(), Some("ID-1"), "{kind:?} {answer}");
            assert_eq!(error.is_credentials(), code == "ExpiredTokenException");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }
}

#[tokio::test]
async fn a_code_in_the_header_counts() {
    for kind in WAYS {
        let headers = [("x-amzn-errortype", "ThrottlingException:http://x/")];
        let script = |fake: &Fake| fake.answer(400, &headers, "{}");
        let error = outcome(kind, CALL, script).await.unwrap_err();
        assert_eq!(
            (error.code(), error.class()),
            ("ThrottlingException", Throttled),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn the_reasons_of_throttling_are_read() {
    for kind in WAYS {
        for field in ["ThrottlingReasons", "throttlingReasons"] {
            let error = failure(
                kind,
                400,
                &format!(
                    "{{\"__type\":\"x#ProvisionedThroughputExceededException\",\"message\":\"m\",\
                     \"{field}\":[{{\"reason\":\"TableWriteKeyRangeThroughputExceeded\",\
                     \"resource\":\"arn:t\"}},{{\"reason\":\"New\"}}]}}"
                ),
            )
            .await;
            let reasons = error.throttling_reasons();
            assert_eq!(reasons.len(), 2, "{kind:?} {field}");
            assert_eq!(reasons[0].limit(), &ThrottlingLimit::TableKeyRange);
            assert_eq!(reasons[0].resource(), Some("arn:t"));
            assert_eq!(reasons[1].limit(), &ThrottlingLimit::Unknown("New".into()));
        }
    }
}

#[tokio::test]
async fn the_item_in_place_is_kept_and_not_shown() {
    let item = "{\"id\":{\"S\":\"secret\"}, \"n\":{\"N\":\"1.0\"}}";
    for kind in WAYS {
        let answer = format!(
            "{{\"__type\":\"x#ConditionalCheckFailedException\",\
             \"Message\":\"The conditional request failed\",\"Item\":{item}}}"
        );
        let error = failure(kind, 400, &answer).await;
        assert_eq!(error.class(), Permanent);
        assert_eq!(error.existing_item(), Some(item.as_bytes()), "{kind:?}");
        assert_eq!(
            error.service_message(),
            Some("The conditional request failed")
        );
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[tokio::test]
async fn the_reasons_of_a_cancelled_transaction_are_read() {
    for kind in WAYS {
        for (reasons, class) in [
            (
                "{\"Code\":\"None\"},{\"Code\":\"TransactionConflict\"}",
                Transient,
            ),
            (
                "{\"Code\":\"ThrottlingError\"},{\"Code\":\"TransactionConflict\"}",
                Throttled,
            ),
            (
                "{\"Code\":\"TransactionConflict\"},{\"Code\":\"ConditionalCheckFailed\",\
                 \"Item\":{\"id\":{\"S\":\"secret\"}},\"Message\":\"secret\"}",
                Permanent,
            ),
        ] {
            let answer = format!(
                "{{\"__type\":\"x#TransactionCanceledException\",\
                 \"Message\":\"cancelled for secret\",\"CancellationReasons\":[{reasons}]}}"
            );
            let error = failure(kind, 400, &answer).await;
            assert_eq!(error.class(), class, "{kind:?}");
            assert_eq!(error.cancellation_reasons().len(), 2);
            assert!(!format!("{error} {error:?}").contains("secret"));
            let last = &error.cancellation_reasons()[1];
            let item = (class == Permanent).then_some(&b"{\"id\":{\"S\":\"secret\"}}"[..]);
            assert_eq!(last.existing_item(), item, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_success_is_given_as_it_came() {
    let odd = " {\"UnprocessedItems\" : {} } ";
    for kind in WAYS {
        for &operation in operations() {
            let right = crc32fast::hash(odd.as_bytes()).to_string();
            let script = |fake: &Fake| fake.answer(200, &[("x-amz-crc32", &right)], odd);
            let answer = outcome(kind, operation, script).await.unwrap();
            assert_eq!(answer, odd.as_bytes(), "{kind:?} {operation:?}");
        }
    }
}

/// A body that is no answer at all is for the parser to find: the SDK's own must not come before
/// it.
#[tokio::test]
async fn garbage_with_a_200_is_handed_on() {
    for kind in WAYS {
        for &operation in operations() {
            let script = |fake: &Fake| fake.answer(200, &[], "{\"Unproc");
            let answer = outcome(kind, operation, script).await.unwrap();
            assert_eq!(answer, &b"{\"Unproc"[..], "{kind:?} {operation:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_checksum_leaves_the_outcome_open() {
    for kind in WAYS {
        for status in [200, 400] {
            for wrong in ["1", "what"] {
                let script = |fake: &Fake| fake.answer(status, &[("x-amz-crc32", wrong)], "{}");
                let error = outcome(kind, CALL, script).await.unwrap_err();
                assert_eq!(error.code(), "GarbledAnswer", "{kind:?}");
                assert_eq!(error.class(), Ambiguous);
            }
        }
        // Decoded on the way: the checksum is of other bytes.
        let headers = [("x-amz-crc32", "1"), ("content-encoding", "gzip")];
        let script = |fake: &Fake| fake.answer(200, &headers, "{}");
        outcome(kind, CALL, script).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_http_client_says_decides_whether_it_was_sent() {
    type Make = fn() -> ConnectorError;
    let cases: [(Make, &str, ErrorClass); 9] = [
        (
            || ConnectorError::io(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused))),
            "ConnectFailed",
            Transient,
        ),
        (
            || ConnectorError::io(Box::new(io::Error::from(io::ErrorKind::NetworkUnreachable))),
            "ConnectFailed",
            Transient,
        ),
        (
            || ConnectorError::io("client error (Connect)".into()),
            "ConnectFailed",
            Transient,
        ),
        (
            || ConnectorError::timeout("HTTP connect timeout occurred after 3s".into()),
            "ConnectFailed",
            Transient,
        ),
        (
            || ConnectorError::timeout("HTTP read timeout occurred after 3s".into()),
            "ReadTimeout",
            Ambiguous,
        ),
        (
            || ConnectorError::io(Box::new(io::Error::from(io::ErrorKind::ConnectionReset))),
            "ConnectionClosed",
            Ambiguous,
        ),
        (
            || ConnectorError::io(Box::new(io::Error::from(io::ErrorKind::BrokenPipe))),
            "ConnectionClosed",
            Ambiguous,
        ),
        (
            || ConnectorError::other("who knows".into(), None),
            "ConnectionClosed",
            Ambiguous,
        ),
        (
            || ConnectorError::user("bad request".into()),
            "ClientMisconfigured",
            Fatal,
        ),
    ];
    for kind in WAYS {
        for (make, code, class) in cases {
            let script = |fake: &Fake| fake.then(Reply::Fails(make()));
            let error = outcome(kind, CALL, script).await.unwrap_err();
            assert_eq!(
                (error.code(), error.class()),
                (code, class),
                "{kind:?} {error:?}"
            );
            assert_eq!(error.status(), None);
            assert_eq!(error.may_have_applied(), class == Ambiguous);
            assert!(error.to_string().contains(": "), "{error}");
        }
    }
}
