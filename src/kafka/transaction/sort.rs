//! The sorting of what transactional calls answer: one function, so that no call has consequences of its own.
//!
//! librdkafka's flags say what its own state allows, and the same code has other flags in other calls. So the codes
//! that have one meaning come first, then the flags, then the call; what is left needs a new producer.

use std::fmt;

use rdkafka::error::RDKafkaErrorCode;

/// A call of the transactional protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Init,
    Begin,
    SendOffsets,
    Commit,
    Abort,
}

impl Call {
    /// Returns whether the transaction may be aborted after it: the others are before it, or are the abort itself.
    fn is_within(self) -> bool {
        matches!(self, Self::SendOffsets | Self::Commit)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "start of transactions",
            Self::Begin => "begin of a transaction",
            Self::SendOffsets => "sending of offsets",
            Self::Commit => "commit",
            Self::Abort => "abort",
        })
    }
}

/// The consequence of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Verdict {
    /// The same call goes again, on the same producer.
    Again,
    /// The transaction is aborted; its records come again.
    Abort,
    /// A new producer is made, which ends the transaction. If a commit failed so, it may have been carried out: positions are
    /// asked anew.
    Renew,
    /// As [`Renew`](Self::Renew): a producer of the same id was opened, or the transaction took too long. The two are the
    /// same to the broker, so it says nothing of who has the partitions.
    Fenced,
    /// Neither time nor another producer helps.
    Stop,
}

/// Returns the consequence of an error of this code and these flags of librdkafka.
pub(crate) fn sort(
    call: Call,
    code: RDKafkaErrorCode,
    is_fatal: bool,
    is_retriable: bool,
    requires_abort: bool,
) -> Verdict {
    if is_fence(code) {
        return Verdict::Fenced;
    }
    if is_final(code) {
        return Verdict::Stop;
    }
    // A call under way that this one does not resume would be in its way for good, whatever librdkafka says.
    let is_blocked = matches!(
        code,
        RDKafkaErrorCode::Conflict | RDKafkaErrorCode::PreviousInProgress
    );
    // Among them INVALID_TXN_STATE: an abort that overtook the transaction's first record at the broker.
    if is_fatal || is_blocked {
        return Verdict::Renew;
    }
    match call.is_within() && (requires_abort || is_of_group(code)) {
        true => Verdict::Abort,
        false if is_retriable && !requires_abort => Verdict::Again,
        false => Verdict::Renew,
    }
}

/// Returns whether another producer may have taken the place of this one.
fn is_fence(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Fenced
            | Code::InvalidProducerEpoch
            | Code::ProducerFenced
            // The broker has forgotten the id. librdkafka would go on by a new epoch, and so would a producer that was
            // stopped for longer than ids are kept: after another one took its place (KAFKA-18019).
            | Code::UnknownProducerId
            | Code::InvalidProducerIdMapping
    )
}

/// Returns whether the member is to look at its group first. Says nothing of the producer, nor of a record.
fn is_of_group(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::RebalanceInProgress
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            // Another member has the `group.instance.id`. Its own client says so too, and ends the source: the
            // producer is not the one that was fenced.
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::StaleMemberEpoch
    )
}

/// Returns whether a person has to act: grant a right, correct a setting, replace the broker.
fn is_final(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TransactionalIdAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::UnsupportedForMessageFormat
            | Code::InvalidTransactionTimeout
            | Code::InvalidGroupId
            | Code::OffsetMetadataTooLarge
    )
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaRespErr;

    use super::*;

    const CALLS: [Call; 5] = [
        Call::Init,
        Call::Begin,
        Call::SendOffsets,
        Call::Commit,
        Call::Abort,
    ];

    /// Returns every code that the bindings have.
    fn codes() -> impl Iterator<Item = RDKafkaErrorCode> {
        let all = (-250..1_000).filter_map(|raw| RDKafkaRespErr::try_from(raw).ok());
        all.map(RDKafkaErrorCode::from)
    }

    /// Calls with each call, code and flags.
    fn each(mut check: impl FnMut(Call, RDKafkaErrorCode, [bool; 3], Verdict)) {
        let mut checked = 0;
        for call in CALLS {
            for code in codes() {
                for flags in 0..8 {
                    let flags @ [fatal, retriable, abort] = [1, 2, 4].map(|flag| flags & flag != 0);
                    checked += 1;
                    check(call, code, flags, sort(call, code, fatal, retriable, abort));
                }
            }
        }
        assert!(checked > 5 * 8 * 100, "{checked}");
    }

    #[test]
    fn every_error_has_a_consequence_that_ends_it() {
        each(|call, code, [fatal, retriable, abort], verdict| {
            let seen = format!("{call:?} {code:?} {fatal} {retriable} {abort}");
            match verdict {
                // The only one that stays with the producer: librdkafka itself must say that the call may be resumed.
                Verdict::Again => assert!(retriable && !fatal && !abort, "{seen}"),
                // Only where there is a transaction, and not as the answer to an abort: that would go on forever.
                Verdict::Abort => assert!(call.is_within() && !fatal, "{seen}"),
                Verdict::Renew | Verdict::Fenced | Verdict::Stop => {}
            }
            if fatal || (!retriable && !abort && !is_of_group(code)) {
                let leaves = !matches!(verdict, Verdict::Again | Verdict::Abort);
                assert!(leaves, "without a flag it is as if fatal: {seen}");
            }
        });
    }

    #[test]
    fn a_code_that_fences_or_stops_does_so_in_every_call_and_with_all_flags() {
        use RDKafkaErrorCode as Code;
        each(|call, code, flags, verdict| {
            let expected = match code {
                Code::Fenced
                | Code::InvalidProducerEpoch
                | Code::ProducerFenced
                | Code::UnknownProducerId
                | Code::InvalidProducerIdMapping => Verdict::Fenced,
                Code::TransactionalIdAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::UnsupportedVersion
                | Code::UnsupportedFeature => Verdict::Stop,
                _ => return,
            };
            assert_eq!(verdict, expected, "{call:?} {code:?} {flags:?}");
        });
    }

    #[test]
    fn the_verdicts_of_what_brokers_and_librdkafka_answer() {
        use RDKafkaErrorCode as Code;
        const FATAL: [bool; 3] = [true, false, false];
        const RETRIABLE: [bool; 3] = [false, true, false];
        const ABORT: [bool; 3] = [false, false, true];
        const NONE: [bool; 3] = [false; 3];
        for (call, code, flags, expected) in [
            (
                Call::Init,
                Code::OperationTimedOut,
                RETRIABLE,
                Verdict::Again,
            ),
            (
                Call::Init,
                Code::CoordinatorNotAvailable,
                RETRIABLE,
                Verdict::Again,
            ),
            (
                Call::Init,
                Code::InvalidTransactionTimeout,
                FATAL,
                Verdict::Stop,
            ),
            (
                Call::Init,
                Code::TransactionalIdAuthorizationFailed,
                RETRIABLE,
                Verdict::Stop,
            ),
            (Call::Begin, Code::State, NONE, Verdict::Renew),
            (
                Call::SendOffsets,
                Code::IllegalGeneration,
                ABORT,
                Verdict::Abort,
            ),
            (
                Call::SendOffsets,
                Code::RebalanceInProgress,
                ABORT,
                Verdict::Abort,
            ),
            (
                Call::SendOffsets,
                Code::UnknownMemberId,
                NONE,
                Verdict::Abort,
            ),
            (
                Call::SendOffsets,
                Code::FencedInstanceId,
                ABORT,
                Verdict::Abort,
            ),
            (
                Call::SendOffsets,
                Code::BrokerTransportFailure,
                RETRIABLE,
                Verdict::Again,
            ),
            (
                Call::SendOffsets,
                Code::OffsetMetadataTooLarge,
                ABORT,
                Verdict::Stop,
            ),
            (
                Call::Commit,
                Code::OperationTimedOut,
                RETRIABLE,
                Verdict::Again,
            ),
            (Call::Commit, Code::Inconsistent, ABORT, Verdict::Abort),
            (Call::Commit, Code::Fenced, FATAL, Verdict::Fenced),
            (
                Call::Commit,
                Code::UnknownProducerId,
                ABORT,
                Verdict::Fenced,
            ),
            (Call::Commit, Code::Conflict, RETRIABLE, Verdict::Renew),
            (Call::Commit, Code::State, NONE, Verdict::Renew),
            (
                Call::Abort,
                Code::InvalidTransactionalState,
                FATAL,
                Verdict::Renew,
            ),
            (
                Call::Abort,
                Code::OperationTimedOut,
                RETRIABLE,
                Verdict::Again,
            ),
            (Call::Abort, Code::IllegalGeneration, ABORT, Verdict::Renew),
            (
                Call::Abort,
                Code::OutOfOrderSequenceNumber,
                ABORT,
                Verdict::Renew,
            ),
        ] {
            let [fatal, retriable, abort] = flags;
            let verdict = sort(call, code, fatal, retriable, abort);
            assert_eq!(verdict, expected, "{call:?} {code:?} {flags:?}");
        }
    }
}
