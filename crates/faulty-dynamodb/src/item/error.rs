//! A refusal in the words DynamoDB uses: HTTP status, `__type`, message.

use serde_json::{Map, Value as Json};

use super::throttle::Throttle;

/// `__type` prefix of the errors DynamoDB itself raises.
const DYNAMODB: &str = "com.amazonaws.dynamodb.v20120810#";
/// `__type` prefix of the request validator in front of it.
const VALIDATOR: &str = "com.amazon.coral.validate#";
/// `__type` prefix of the service framework: authentication, parsing.
const FRAMEWORK: &str = "com.amazon.coral.service#";

/// An error answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// Members beside the type and the message, such as `CancellationReasons`.
    pub(crate) extra: Map<String, Json>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            extra: Map::new(),
        }
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationException", message)
    }

    pub(crate) fn invalid_values(message: &str) -> Self {
        Self::validation(format!(
            "One or more parameter values were invalid: {message}"
        ))
    }

    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::new(400, "SerializationException", message)
    }

    pub(crate) fn missing_table(table: &str) -> Self {
        Self::new(
            400,
            "ResourceNotFoundException",
            format!("Requested resource not found: Table: {table} not found"),
        )
    }

    pub(crate) fn with(mut self, name: &str, value: Json) -> Self {
        self.extra.insert(name.to_owned(), value);
        self
    }

    /// Returns whether it refuses for want of capacity.
    pub(crate) fn is_throttling(&self) -> bool {
        let reasons = self
            .extra
            .get("CancellationReasons")
            .and_then(Json::as_array);
        let mut codes = reasons.into_iter().flatten().map(|reason| &reason["Code"]);
        Throttle::is_one(&self.code)
            || codes
                .any(|code| code == "ThrottlingError" || code == "ProvisionedThroughputExceeded")
    }

    fn namespace(&self) -> &'static str {
        match self.code.as_str() {
            "ValidationException" => VALIDATOR,
            "SerializationException"
            | "UnknownOperationException"
            | "ExpiredTokenException"
            | "UnrecognizedClientException"
            | "AccessDeniedException"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignatureException"
            | "RequestTimeTooSkewed"
            | "ServiceUnavailableException" => FRAMEWORK,
            _ => DYNAMODB,
        }
    }

    /// The JSON body of the answer.
    pub(crate) fn body(&self) -> Json {
        let mut body = Map::new();
        body.insert(
            "__type".to_owned(),
            Json::from(format!("{}{}", self.namespace(), self.code)),
        );
        // The framework in front of DynamoDB spells the member with a capital letter.
        let member = if self.namespace() == FRAMEWORK {
            "Message"
        } else {
            "message"
        };
        body.insert(member.to_owned(), Json::from(self.message.as_str()));
        body.extend(self.extra.clone());
        Json::Object(body)
    }
}
