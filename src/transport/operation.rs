//! The operations that can be called, and their services.

/// The operations that sinks, sources and their surroundings call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    BatchWriteItem,
    PutItem,
    UpdateItem,
    DeleteItem,
    TransactWriteItems,
    DescribeTable,
    GetItem,
    Scan,
    Query,
    #[cfg(feature = "pipeline")]
    BatchGetItem,
    #[cfg(feature = "streams")]
    DescribeStream,
    #[cfg(feature = "streams")]
    GetShardIterator,
    #[cfg(feature = "streams")]
    GetRecords,
}

/// The services that a [`Transport`](super::Transport) can be made over: they have endpoints and
/// clients of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Service {
    DynamoDb,
    #[cfg(feature = "streams")]
    Streams,
}

impl Service {
    /// Returns its operations, in the order of [`Operation::index`].
    pub(super) fn operations(self) -> &'static [Operation] {
        match self {
            Self::DynamoDb => &[
                Operation::BatchWriteItem,
                Operation::PutItem,
                Operation::UpdateItem,
                Operation::DeleteItem,
                Operation::TransactWriteItems,
                Operation::DescribeTable,
                Operation::GetItem,
                Operation::Scan,
                Operation::Query,
                #[cfg(feature = "pipeline")]
                Operation::BatchGetItem,
            ],
            #[cfg(feature = "streams")]
            Self::Streams => &[
                Operation::DescribeStream,
                Operation::GetShardIterator,
                Operation::GetRecords,
            ],
        }
    }
}

impl Operation {
    /// Returns its name, for spans.
    pub(crate) fn name(self) -> &'static str {
        self.target().rsplit('.').next().unwrap_or_default()
    }

    /// Returns the value of `x-amz-target`.
    pub(super) fn target(self) -> &'static str {
        match self {
            Self::BatchWriteItem => "DynamoDB_20120810.BatchWriteItem",
            Self::PutItem => "DynamoDB_20120810.PutItem",
            Self::UpdateItem => "DynamoDB_20120810.UpdateItem",
            Self::DeleteItem => "DynamoDB_20120810.DeleteItem",
            Self::TransactWriteItems => "DynamoDB_20120810.TransactWriteItems",
            Self::DescribeTable => "DynamoDB_20120810.DescribeTable",
            Self::GetItem => "DynamoDB_20120810.GetItem",
            Self::Scan => "DynamoDB_20120810.Scan",
            Self::Query => "DynamoDB_20120810.Query",
            #[cfg(feature = "pipeline")]
            Self::BatchGetItem => "DynamoDB_20120810.BatchGetItem",
            #[cfg(feature = "streams")]
            Self::DescribeStream => "DynamoDBStreams_20120810.DescribeStream",
            #[cfg(feature = "streams")]
            Self::GetShardIterator => "DynamoDBStreams_20120810.GetShardIterator",
            #[cfg(feature = "streams")]
            Self::GetRecords => "DynamoDBStreams_20120810.GetRecords",
        }
    }

    pub(super) fn service(self) -> Service {
        match self {
            Self::BatchWriteItem
            | Self::PutItem
            | Self::UpdateItem
            | Self::DeleteItem
            | Self::TransactWriteItems
            | Self::DescribeTable
            | Self::GetItem
            | Self::Scan
            | Self::Query => Service::DynamoDb,
            #[cfg(feature = "pipeline")]
            Self::BatchGetItem => Service::DynamoDb,
            #[cfg(feature = "streams")]
            Self::DescribeStream | Self::GetShardIterator | Self::GetRecords => Service::Streams,
        }
    }

    /// Returns its place among the operations of its service.
    pub(super) fn index(self) -> usize {
        match self {
            Self::BatchWriteItem => 0,
            Self::PutItem => 1,
            Self::UpdateItem => 2,
            Self::DeleteItem => 3,
            Self::TransactWriteItems => 4,
            Self::DescribeTable => 5,
            Self::GetItem => 6,
            Self::Scan => 7,
            Self::Query => 8,
            #[cfg(feature = "pipeline")]
            Self::BatchGetItem => 9,
            #[cfg(feature = "streams")]
            Self::DescribeStream => 0,
            #[cfg(feature = "streams")]
            Self::GetShardIterator => 1,
            #[cfg(feature = "streams")]
            Self::GetRecords => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: &[Service] = &[
        Service::DynamoDb,
        #[cfg(feature = "streams")]
        Service::Streams,
    ];

    #[test]
    fn an_operation_is_in_its_place_among_its_services() {
        for service in SERVICES {
            for (index, operation) in service.operations().iter().enumerate() {
                assert_eq!(operation.index(), index, "{operation:?}");
                assert_eq!(operation.service(), *service, "{operation:?}");
                assert_eq!(operation.name(), format!("{operation:?}"));
            }
        }
    }
}
