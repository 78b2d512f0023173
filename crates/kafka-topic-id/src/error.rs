//! The reasons why a topic, or none, was described.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

/// The reason why one topic was not described: it does not exist, or this client may not see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicError {
    topic: String,
    code: RDKafkaErrorCode,
    reason: String,
}

impl TopicError {
    pub(crate) fn new(topic: &str, code: RDKafkaErrorCode, reason: String) -> Self {
        Self {
            topic: topic.to_owned(),
            code,
            reason,
        }
    }

    /// Returns the topic's name, as it was asked for.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns Kafka's code; [`RDKafkaErrorCode::Unknown`] for one that is newer than this librdkafka.
    #[must_use]
    pub fn code(&self) -> RDKafkaErrorCode {
        self.code
    }

    /// Returns the reason in librdkafka's words.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns whether the brokers know no topic of this name. A topic that was just made may take a
    /// moment until each broker knows it.
    #[must_use]
    pub fn is_unknown_topic(&self) -> bool {
        matches!(
            self.code,
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic
        )
    }

    /// Returns whether the same call may succeed later, with nothing changed by hand. A topic that
    /// does not exist is not among these: see [`is_unknown_topic`](Self::is_unknown_topic).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        is_retryable(self.code)
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, reason, .. } = self;
        write!(f, "topic {topic:?} not described: {reason}")?;
        match self.code {
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                f.write_str("; grant this client the operation Describe on it")
            }
            _ => Ok(()),
        }
    }
}

impl Error for TopicError {}

/// The reason why no topic was described: no broker answered, or not in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribeError {
    code: RDKafkaErrorCode,
    reason: String,
    waited: Option<Duration>,
}

impl DescribeError {
    pub(crate) fn new(code: RDKafkaErrorCode, reason: String) -> Self {
        Self {
            code,
            reason,
            waited: None,
        }
    }

    pub(crate) fn within(self, waited: Duration) -> Self {
        Self {
            waited: Some(waited),
            ..self
        }
    }

    /// Returns the code: librdkafka's own, or that of the broker's answer.
    #[must_use]
    pub fn code(&self) -> RDKafkaErrorCode {
        self.code
    }

    /// Returns the reason in librdkafka's words.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns whether the brokers did not answer within the time-out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(
            self.code,
            RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::TimedOutQueue
        )
    }

    /// Returns whether the same call may succeed later, with nothing changed by hand.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        is_retryable(self.code)
    }
}

impl fmt::Display for DescribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, .. } = self;
        match self.waited {
            Some(waited) if self.is_timeout() => write!(
                f,
                "topics not described within {waited:?}: {reason}; \
                 the client's error callback has the reason why no broker is reached"
            ),
            _ => write!(f, "topics not described: {reason}"),
        }
    }
}

impl Error for DescribeError {}

/// Returns whether a request that was answered by this code may be answered by another one later.
fn is_retryable(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        // Of librdkafka.
        Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::DestroyBroker
            | Code::OperationTimedOut
            | Code::Partial
            | Code::Resolve
            | Code::TimedOutQueue
            // Of the brokers.
            | Code::BrokerNotAvailable
            | Code::KafkaStorageError
            | Code::LeaderNotAvailable
            | Code::NetworkException
            | Code::NotController
            | Code::RebootstrapRequired
            | Code::RequestTimedOut
            | Code::ThrottlingQuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_topic_the_reason_and_the_remedy() {
        let error = |code, reason: &str| TopicError::new("orders", code, reason.to_owned());
        let unknown = error(RDKafkaErrorCode::UnknownTopicOrPartition, "no such topic");
        assert_eq!(
            unknown.to_string(),
            "topic \"orders\" not described: no such topic"
        );
        assert!(unknown.is_unknown_topic() && !unknown.is_retryable());
        let denied = error(RDKafkaErrorCode::TopicAuthorizationFailed, "denied");
        assert_eq!(
            denied.to_string(),
            "topic \"orders\" not described: denied; \
             grant this client the operation Describe on it"
        );
        assert!(!denied.is_unknown_topic() && !denied.is_retryable());
        assert!(error(RDKafkaErrorCode::LeaderNotAvailable, "").is_retryable());
        assert!(!error(RDKafkaErrorCode::Unknown, "").is_retryable());
    }

    #[test]
    fn a_timeout_names_its_length() {
        let error = |code| {
            DescribeError::new(code, "waiting for controller".to_owned())
                .within(Duration::from_millis(1_500))
        };
        let late = error(RDKafkaErrorCode::OperationTimedOut);
        assert!(late.is_timeout() && late.is_retryable());
        assert!(late.to_string().contains("within 1.5s: waiting"), "{late}");
        let other = error(RDKafkaErrorCode::UnsupportedFeature);
        assert_eq!(
            other.to_string(),
            "topics not described: waiting for controller"
        );
        assert!(!other.is_timeout() && !other.is_retryable());
    }
}
