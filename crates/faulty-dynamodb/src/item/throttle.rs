//! The exceptions by which DynamoDB throttles, and their reasons.

use serde_json::json;

use super::error::Refusal;

/// The three exceptions by which DynamoDB throttles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Throttle {
    /// `ProvisionedThroughputExceededException`.
    ProvisionedThroughput,
    /// `ThrottlingException`.
    Throttling,
    /// `RequestLimitExceeded`.
    RequestLimit,
}

impl Throttle {
    const ALL: [Self; 3] = [
        Self::ProvisionedThroughput,
        Self::Throttling,
        Self::RequestLimit,
    ];

    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::ProvisionedThroughput => "ProvisionedThroughputExceededException",
            Self::Throttling => "ThrottlingException",
            Self::RequestLimit => "RequestLimitExceeded",
        }
    }

    /// Returns whether an exception is one of the three.
    pub(crate) fn is_one(code: &str) -> bool {
        Self::ALL.iter().any(|throttle| throttle.code() == code)
    }

    /// The exception itself, without reasons.
    pub(crate) fn refusal(self) -> Refusal {
        let message = match self {
            Self::ProvisionedThroughput => {
                "The level of configured provisioned throughput for the table was exceeded. Consider \
                 increasing your provisioning level with the UpdateTable API."
            }
            Self::Throttling => "Rate exceeded",
            Self::RequestLimit => {
                "Throughput exceeds the current throughput limit for your account."
            }
        };
        Refusal::new(400, self.code(), message)
    }

    /// Adds an entry to the reasons of such an exception.
    pub(crate) fn add_reason(self, refusal: &mut Refusal, reason: &str, resource: &str) {
        // ThrottlingException spells its member with a small letter.
        let member = match self {
            Self::Throttling => "throttlingReasons",
            Self::ProvisionedThroughput | Self::RequestLimit => "ThrottlingReasons",
        };
        let reasons = refusal.extra.entry(member).or_insert_with(|| json!([]));
        if let Some(reasons) = reasons.as_array_mut() {
            reasons.push(json!({ "reason": reason, "resource": resource }));
        }
    }
}
