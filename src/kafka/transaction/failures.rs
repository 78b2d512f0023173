//! The errors of transactional calls, in this crate's words.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use super::super::error::KafkaError;
use super::client::CallFailure;
use super::sort::{Call, Verdict};
use crate::error::ErrorKind;
use crate::settings::units::format_duration;

/// An error, with what follows from it.
pub(crate) type CallError = (Verdict, KafkaError);

/// Returns the error of a call that was answered.
pub(super) fn ended(call: Call, id: &str, failure: &CallFailure) -> CallError {
    let reason = &failure.reason;
    let error = match failure.verdict {
        Verdict::Fenced => KafkaError::Fatal {
            kind: ErrorKind::Fenced,
            reason: format!(
                "transactional id {id:?}: {call}: {reason}; the transaction took longer than transaction_timeout, or another process \
                 has the same application and instance"
            )
            .into(),
        },
        Verdict::Stop => KafkaError::Fatal {
            kind: kind(failure.code),
            reason: format!("transactional id {id:?}: {call}: {reason}{}", remedy(failure.code))
                .into(),
        },
        Verdict::Again | Verdict::Abort | Verdict::Renew => not_committed(call, reason),
    };
    (failure.verdict, error)
}

/// Returns the error of a call that was not answered.
pub(super) fn no_answer(call: Call, waited: Duration) -> CallError {
    let reason = format!("no answer within {}", format_duration(waited));
    (Verdict::Renew, not_committed(call, &reason))
}

/// Returns the error of a call that is not made, for this reason.
pub(super) fn failed(verdict: Verdict, call: Call, reason: &str) -> CallError {
    (verdict, not_committed(call, reason))
}

/// Returns the error of a call that the producer's state does not allow.
pub(super) fn not_open(call: Call, reason: &str) -> CallError {
    failed(Verdict::Renew, call, reason)
}

fn not_committed(call: Call, reason: &str) -> KafkaError {
    KafkaError::NotCommitted {
        reason: format!("{call}: {reason}").into(),
    }
}

fn kind(code: RDKafkaErrorCode) -> ErrorKind {
    use RDKafkaErrorCode as Code;
    match code {
        Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::UnsupportedForMessageFormat
        | Code::InvalidTransactionTimeout
        | Code::InvalidGroupId
        | Code::OffsetMetadataTooLarge => ErrorKind::Config,
        _ => ErrorKind::Denied,
    }
}

fn remedy(code: RDKafkaErrorCode) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        Code::TransactionalIdAuthorizationFailed => {
            "; grant Write and Describe on the transactional ids that begin with the application's name and \"/\""
        }
        Code::GroupAuthorizationFailed => "; grant Read on the source's group",
        Code::TopicAuthorizationFailed => {
            "; grant Write on the output's topics, and Read on the source's"
        }
        Code::UnsupportedVersion | Code::UnsupportedFeature => {
            "; the broker has no transactions that fence a group's members: Apache Kafka has them from 2.5 on"
        }
        Code::InvalidTransactionTimeout => {
            "; lower transaction_timeout, or raise the broker's transaction.max.timeout.ms"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: RDKafkaErrorCode, verdict: Verdict) -> KafkaError {
        let failure = CallFailure {
            code,
            verdict,
            reason: "why".to_owned(),
        };
        ended(Call::Commit, "a/b/0", &failure).1
    }

    #[test]
    fn an_error_says_what_was_done_and_why_and_what_to_do() {
        use RDKafkaErrorCode as Code;
        let again = of(Code::OperationTimedOut, Verdict::Again);
        assert_eq!(again.to_string(), "offsets not committed: commit: why");
        assert!(again.is_retryable());
        let fenced = of(Code::Fenced, Verdict::Fenced);
        assert_eq!(fenced.kind(), ErrorKind::Fenced);
        assert!(fenced.to_string().contains("\"a/b/0\""), "{fenced}");
        let denied = of(Code::TransactionalIdAuthorizationFailed, Verdict::Stop);
        assert_eq!(denied.kind(), ErrorKind::Denied);
        assert!(denied.to_string().contains("grant Write"), "{denied}");
        let old = of(Code::UnsupportedFeature, Verdict::Stop);
        assert_eq!(old.kind(), ErrorKind::Config);
        assert!(old.is_fatal());
        let (verdict, error) = no_answer(Call::SendOffsets, Duration::from_secs(12));
        assert_eq!(verdict, Verdict::Renew);
        assert_eq!(
            error.to_string(),
            "offsets not committed: sending of offsets: no answer within 12s"
        );
    }
}
