//! The operations the faulty DynamoDB answers.

use std::fmt;

/// A DynamoDB operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is DynamoDB's own name of the operation")]
pub enum Operation {
    BatchGetItem,
    BatchWriteItem,
    CreateTable,
    DeleteItem,
    DeleteTable,
    DescribeStream,
    DescribeTable,
    GetItem,
    GetRecords,
    GetShardIterator,
    ListStreams,
    ListTables,
    PutItem,
    Query,
    Scan,
    TransactWriteItems,
    UpdateItem,
    UpdateTable,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 18] = [
        Self::BatchGetItem,
        Self::BatchWriteItem,
        Self::CreateTable,
        Self::DeleteItem,
        Self::DeleteTable,
        Self::DescribeStream,
        Self::DescribeTable,
        Self::GetItem,
        Self::GetRecords,
        Self::GetShardIterator,
        Self::ListStreams,
        Self::ListTables,
        Self::PutItem,
        Self::Query,
        Self::Scan,
        Self::TransactWriteItems,
        Self::UpdateItem,
        Self::UpdateTable,
    ];

    /// DynamoDB's name of the operation, as in `X-Amz-Target`.
    pub fn name(self) -> &'static str {
        match self {
            Self::BatchGetItem => "BatchGetItem",
            Self::BatchWriteItem => "BatchWriteItem",
            Self::CreateTable => "CreateTable",
            Self::DeleteItem => "DeleteItem",
            Self::DeleteTable => "DeleteTable",
            Self::DescribeStream => "DescribeStream",
            Self::DescribeTable => "DescribeTable",
            Self::GetItem => "GetItem",
            Self::GetRecords => "GetRecords",
            Self::GetShardIterator => "GetShardIterator",
            Self::ListStreams => "ListStreams",
            Self::ListTables => "ListTables",
            Self::PutItem => "PutItem",
            Self::Query => "Query",
            Self::Scan => "Scan",
            Self::TransactWriteItems => "TransactWriteItems",
            Self::UpdateItem => "UpdateItem",
            Self::UpdateTable => "UpdateTable",
        }
    }

    /// Returns whether the operation changes items.
    pub fn is_write(self) -> bool {
        match self {
            Self::BatchWriteItem
            | Self::DeleteItem
            | Self::PutItem
            | Self::TransactWriteItems
            | Self::UpdateItem => true,
            Self::BatchGetItem
            | Self::CreateTable
            | Self::DeleteTable
            | Self::DescribeStream
            | Self::DescribeTable
            | Self::GetItem
            | Self::GetRecords
            | Self::GetShardIterator
            | Self::ListStreams
            | Self::ListTables
            | Self::Query
            | Self::Scan
            | Self::UpdateTable => false,
        }
    }

    /// Returns whether the operation is about tables rather than items.
    pub fn is_control_plane(self) -> bool {
        matches!(
            self,
            Self::CreateTable
                | Self::DeleteTable
                | Self::DescribeTable
                | Self::ListTables
                | Self::UpdateTable
        )
    }

    /// Returns whether the operation is one of DynamoDB Streams.
    pub fn is_of_streams(self) -> bool {
        matches!(
            self,
            Self::DescribeStream | Self::GetRecords | Self::GetShardIterator | Self::ListStreams
        )
    }

    pub(crate) fn from_target(target: &str) -> Option<Self> {
        let (service, name) = target.split_once('.')?;
        let streams = match service {
            "DynamoDB_20120810" => false,
            "DynamoDBStreams_20120810" => true,
            _ => return None,
        };
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == name && operation.is_of_streams() == streams)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
