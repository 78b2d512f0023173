//! Answers made of items, kept from the SDK's deserializers.
//!
//! **Problem.** A page of records is a megabyte, from local servers thirty. On the way through the
//! orchestrator the SDK makes trees of `AttributeValue` of it, which are never read: the answer is
//! kept as it came.
//!
//! **Choice.** In the deserializer's place one that gives it an empty success, `{}`, to read: an
//! output of the right type, without anything in it. Errors are deserialized as ever, so that a
//! client's interceptors see which one it is. The response itself is left as it is.
//!
//! **Rejected.** Taking the body out before it is deserialized: interceptors are not asynchronous,
//! and the body is still on its way by then.

use super::Operation;
use aws_sdk_dynamodb::config::ConfigBag;
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugin;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::FrozenLayer;
use std::fmt;

/// The deserializer of an operation whose answer is made of items: it leaves the items out.
pub(super) struct ElidedAnswer {
    /// The SDK's configuration of the operation, its deserializer included.
    operation: FrozenLayer,
}

impl fmt::Debug for ElidedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ElidedAnswer").finish_non_exhaustive()
    }
}

impl ElidedAnswer {
    /// Returns the deserializer of an operation, or `None` where the SDK's own can stay: the answer
    /// is small.
    pub(super) fn of(operation: Operation) -> Option<Self> {
        #[cfg(feature = "pipeline")]
        use aws_sdk_dynamodb::operation::batch_get_item;
        use aws_sdk_dynamodb::operation::{get_item, query, scan};
        #[cfg(feature = "streams")]
        use aws_sdk_dynamodbstreams::operation::get_records;

        let operation = match operation {
            Operation::GetItem => get_item::GetItem::new().config(),
            Operation::Scan => scan::Scan::new().config(),
            Operation::Query => query::Query::new().config(),
            #[cfg(feature = "pipeline")]
            Operation::BatchGetItem => batch_get_item::BatchGetItem::new().config(),
            #[cfg(feature = "streams")]
            Operation::GetRecords => get_records::GetRecords::new().config(),
            #[cfg(feature = "streams")]
            Operation::DescribeStream | Operation::GetShardIterator => None,
            Operation::BatchWriteItem
            | Operation::PutItem
            | Operation::UpdateItem
            | Operation::DeleteItem
            | Operation::TransactWriteItems
            | Operation::DescribeTable => None,
        }?;
        operation.load::<SharedResponseDeserializer>()?;
        Some(Self { operation })
    }
}

impl DeserializeResponse for ElidedAnswer {
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        config: &ConfigBag,
    ) -> Result<Output, OrchestratorError<Error>> {
        let deserializer = self.operation.load::<SharedResponseDeserializer>();
        let deserializer = deserializer
            .ok_or_else(|| OrchestratorError::other("the operation has no deserializer"))?;
        if !response.status().is_success() {
            return deserializer.deserialize_nonstreaming_with_config(response, config);
        }
        let mut empty = HttpResponse::new(response.status(), SdkBody::from("{}"));
        *empty.headers_mut() = response.headers().clone();
        deserializer.deserialize_nonstreaming_with_config(&empty, config)
    }
}
