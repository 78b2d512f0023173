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
    DescribeTable,
    GetItem,
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
    pub const ALL: [Self; 14] = [
        Self::BatchGetItem,
        Self::BatchWriteItem,
        Self::CreateTable,
        Self::DeleteItem,
        Self::DeleteTable,
        Self::DescribeTable,
        Self::GetItem,
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
            Self::DescribeTable => "DescribeTable",
            Self::GetItem => "GetItem",
            Self::ListTables => "ListTables",
            Self::PutItem => "PutItem",
            Self::Query => "Query",
            Self::Scan => "Scan",
            Self::TransactWriteItems => "TransactWriteItems",
            Self::UpdateItem => "UpdateItem",
            Self::UpdateTable => "UpdateTable",
        }
    }

    /// Whether the operation changes items.
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
            | Self::DescribeTable
            | Self::GetItem
            | Self::ListTables
            | Self::Query
            | Self::Scan
            | Self::UpdateTable => false,
        }
    }

    /// Whether the operation is about tables rather than items.
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

    pub(super) fn from_target(target: &str) -> Option<Self> {
        let name = target.strip_prefix("DynamoDB_20120810.")?;
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == name)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
