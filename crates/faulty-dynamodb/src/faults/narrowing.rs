//! The requests that a fault strikes, and how many of them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::fault::Fault;
use crate::item::value::item_to_sdk;
use crate::store::operation::Operation;
use crate::store::request::Targets;

impl Fault {
    /// Strikes only this operation.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.filter.operation = Some(operation);
        self
    }

    /// Strikes only requests that name this table.
    #[must_use]
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.filter.table = Some(table.into());
        self
    }

    /// Strikes only requests that name a key satisfying the predicate.
    #[must_use]
    pub fn on_key(
        mut self,
        predicate: impl Fn(&HashMap<String, AttributeValue>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.filter.key = Some(std::sync::Arc::new(predicate));
        self
    }

    /// Strikes only requests for this shard: `GetShardIterator` and `GetRecords`.
    #[must_use]
    pub fn on_shard(mut self, shard: impl Into<String>) -> Self {
        self.filter.shard = Some(shard.into());
        self
    }

    /// Lets this many matching requests pass first.
    #[must_use]
    pub fn skip(mut self, requests: usize) -> Self {
        self.skip = requests;
        self
    }

    /// Strikes this many matching requests. Default: one.
    #[must_use]
    pub fn times(mut self, requests: usize) -> Self {
        self.times = Some(requests);
        self
    }

    /// Strikes every matching request from now on.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    pub(crate) fn matches(&self, operation: Operation, targets: &Targets) -> bool {
        self.filter
            .operation
            .is_none_or(|requested| requested == operation)
            && self
                .filter
                .table
                .as_ref()
                .is_none_or(|table| targets.tables.contains(table))
            && self
                .filter
                .shard
                .as_ref()
                .is_none_or(|shard| targets.shard.as_ref() == Some(shard))
            && self.filter.key.as_ref().is_none_or(|predicate| {
                targets
                    .keys
                    .iter()
                    .any(|target| predicate(&item_to_sdk(&target.attributes)))
            })
    }
}
