//! One classification of every error, matched exhaustively.

/// The way to treat a failed request.
///
/// Of a request that reads, nothing is ever applied: there [`Ambiguous`](Self::Ambiguous) says that
/// no answer is known, and it is sent again as after [`Transient`](Self::Transient).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The service refused for want of capacity and applied nothing: send again, later and slower.
    Throttled,
    /// The request failed and was certainly not applied: send again.
    Transient,
    /// The request failed and may have been applied: send again only what may be applied twice,
    /// as every read may.
    Ambiguous,
    /// The service refused without saying whether the request or its own state is the cause: with a
    /// code that this version does not know. Send again; what alone is refused while others like it
    /// pass is the cause.
    Refused,
    /// The service refuses the contents of the request: a record in it breaks a rule, or the table
    /// has other keys than before.
    Invalid,
    /// This request can never succeed, whatever else does: its condition does not hold, or its
    /// shard iterator has expired.
    Permanent,
    /// No request of this kind can succeed until rights, credentials, the endpoint or the table are
    /// changed. A roll-out of any of them may look like this for some seconds.
    Fatal,
}

/// The codes known, one variant for each group of codes that are treated alike and mean the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CodeGroup {
    CapacityExceeded,
    /// Control-plane limits; on Streams more than two readers of a shard.
    LimitExceeded,
    ServiceFailed,
    TokenStillInFlight,
    WriteConflict,
    TableBusy,
    CredentialsExpired,
    CredentialsRefused,
    SignatureRefused,
    ClockSkewed,
    AccessRefused,
    /// The table; on Streams also the stream or the shard, which vanishes a day after it was
    /// closed.
    ResourceMissing,
    WrongEndpoint,
    /// A compatible server that does not have the operation.
    OperationUnknown,
    ConditionFailed,
    TransactionCancelled,
    TokenReused,
    ItemCollectionTooLarge,
    RequestMalformed,
    RequestTooLarge,
    /// Records that are asked for are older than the stream keeps them.
    RecordsTrimmed,
    /// A shard iterator lives 15 minutes.
    IteratorExpired,
}

impl CodeGroup {
    /// Returns the group of a code. Sources: the errors of `BatchWriteItem`, `PutItem`,
    /// `UpdateItem`, `DeleteItem`, `TransactWriteItems`, `DescribeTable`, `GetItem`, `Scan` and
    /// `Query` and, of Streams, `DescribeStream`, `GetShardIterator` and `GetRecords` in the API
    /// reference, "Common Errors" there, and the code lists of the SDK's own classifiers
    /// (aws-runtime, `retries/classifiers.rs`).
    fn of(code: &str) -> Option<Self> {
        Some(match code {
            "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "Throttling"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "SlowDown"
            | "BandwidthLimitExceeded"
            | "PriorRequestNotComplete"
            | "TransactionThrottlingException"
            | "EC2ThrottledException" => Self::CapacityExceeded,
            "LimitExceededException" => Self::LimitExceeded,
            "InternalServerError"
            | "InternalServerErrorException"
            | "InternalFailure"
            | "InternalError"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "RequestTimeout"
            | "RequestTimeoutException" => Self::ServiceFailed,
            "TransactionInProgressException" => Self::TokenStillInFlight,
            "ReplicatedWriteConflictException" | "TransactionConflictException" => {
                Self::WriteConflict
            }
            "ResourceInUseException" => Self::TableBusy,
            "ExpiredTokenException" | "ExpiredToken" => Self::CredentialsExpired,
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException" => Self::CredentialsRefused,
            "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "AuthFailure" => Self::SignatureRefused,
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Self::ClockSkewed,
            "AccessDeniedException"
            | "AccessDenied"
            | "NotAuthorized"
            | "OptInRequired"
            | "SubscriptionRequiredException" => Self::AccessRefused,
            "ResourceNotFoundException" | "TableNotFoundException" => Self::ResourceMissing,
            "InvalidEndpointException" => Self::WrongEndpoint,
            "UnknownOperationException" | "InvalidAction" | "UnknownOperation" => {
                Self::OperationUnknown
            }
            "ConditionalCheckFailedException" => Self::ConditionFailed,
            "TransactionCanceledException" => Self::TransactionCancelled,
            "IdempotentParameterMismatchException" => Self::TokenReused,
            "ItemCollectionSizeLimitExceededException" => Self::ItemCollectionTooLarge,
            "ValidationException" | "ValidationError" | "SerializationException" => {
                Self::RequestMalformed
            }
            "RequestEntityTooLarge" | "RequestEntityTooLargeException" => Self::RequestTooLarge,
            "TrimmedDataAccessException" => Self::RecordsTrimmed,
            "ExpiredIteratorException" => Self::IteratorExpired,
            _ => return None,
        })
    }

    fn class(self) -> ErrorClass {
        match self {
            Self::CapacityExceeded | Self::LimitExceeded => ErrorClass::Throttled,
            Self::WriteConflict | Self::TableBusy | Self::CredentialsExpired => {
                ErrorClass::Transient
            }
            // A 500 or 503 may come after the write was applied. A token in flight means that an
            // earlier send of the same transaction is being applied right now.
            Self::ServiceFailed | Self::TokenStillInFlight => ErrorClass::Ambiguous,
            Self::ConditionFailed
            | Self::TransactionCancelled
            | Self::TokenReused
            | Self::ItemCollectionTooLarge
            | Self::RecordsTrimmed
            | Self::IteratorExpired => ErrorClass::Permanent,
            Self::RequestMalformed | Self::RequestTooLarge => ErrorClass::Invalid,
            // A clock that is off is Transient once it has been corrected: see the transport.
            Self::CredentialsRefused
            | Self::SignatureRefused
            | Self::ClockSkewed
            | Self::AccessRefused
            | Self::ResourceMissing
            | Self::WrongEndpoint
            | Self::OperationUnknown => ErrorClass::Fatal,
        }
    }
}

/// Returns the class of an answer that is not a success.
pub(crate) fn classify(status: u16, code: Option<&str>) -> ErrorClass {
    if let Some(known) = code.and_then(CodeGroup::of) {
        return known.class();
    }
    match (status, code) {
        (429, _) => ErrorClass::Throttled,
        // The server gave up waiting for the request, or for its upstream.
        (408, _) | (500.., _) => ErrorClass::Ambiguous,
        // Refused by a proxy before the service: no record is at fault.
        (401 | 403 | 407, _) | (404 | 405, None) => ErrorClass::Fatal,
        (413, _) => ErrorClass::Invalid,
        (400..=499, Some(_)) => ErrorClass::Refused,
        // Every refusal of the service bears a code: this one is cut short, or another's.
        (400..=499, None) => ErrorClass::Transient,
        // Nothing DynamoDB sends: the outcome is unknown.
        (0..=399, _) => ErrorClass::Ambiguous,
    }
}

/// Returns the class of a canceled transaction, by the codes of its reasons. The gravest decides: a
/// transaction with one bad item can't succeed however often it is sent.
pub(crate) fn classify_cancellation<'a>(codes: impl Iterator<Item = &'a str>) -> ErrorClass {
    let mut class = None;
    for code in codes {
        let this = match code {
            "None" => continue,
            "TransactionConflict" => ErrorClass::Transient,
            "ProvisionedThroughputExceeded" | "ThrottlingError" | "RequestLimitExceeded" => {
                ErrorClass::Throttled
            }
            "AccessDenied" => ErrorClass::Fatal,
            "ConditionalCheckFailed" | "DuplicateItem" | "ItemCollectionSizeLimitExceeded" => {
                ErrorClass::Permanent
            }
            "ValidationError" => ErrorClass::Invalid,
            _ => ErrorClass::Refused,
        };
        if class.is_none_or(|class| gravity(this) > gravity(class)) {
            class = Some(this);
        }
    }
    // Without a reason, the cause may be a conflict that passes.
    class.unwrap_or(ErrorClass::Refused)
}

fn gravity(class: ErrorClass) -> u8 {
    match class {
        ErrorClass::Transient => 0,
        ErrorClass::Throttled => 1,
        ErrorClass::Ambiguous => 2,
        ErrorClass::Refused => 3,
        ErrorClass::Invalid => 4,
        ErrorClass::Permanent => 5,
        ErrorClass::Fatal => 6,
    }
}

/// Returns whether a code refuses one action only: its caller may not use it, or the server does
/// not have it.
pub(crate) fn is_action_code(code: &str) -> bool {
    matches!(
        CodeGroup::of(code),
        Some(CodeGroup::AccessRefused | CodeGroup::OperationUnknown)
    )
}

/// Returns whether a code refuses the credentials or the signature.
pub(crate) fn is_identity_code(code: &str) -> bool {
    matches!(
        CodeGroup::of(code),
        Some(
            CodeGroup::CredentialsExpired
                | CodeGroup::CredentialsRefused
                | CodeGroup::SignatureRefused
        )
    )
}

/// Returns whether a code says that the credentials have run out: a newer set may do.
pub(crate) fn is_credentials_code(code: &str) -> bool {
    CodeGroup::of(code) == Some(CodeGroup::CredentialsExpired)
}

/// Returns whether a code says that the clock is off.
pub(super) fn is_clock_code(code: &str) -> bool {
    CodeGroup::of(code) == Some(CodeGroup::ClockSkewed)
}

/// Returns whether a code may be caused by a clock that is off.
pub(crate) fn is_skew_code(code: &str) -> bool {
    matches!(
        CodeGroup::of(code),
        Some(CodeGroup::ClockSkewed | CodeGroup::SignatureRefused | CodeGroup::AccessRefused)
    )
}
