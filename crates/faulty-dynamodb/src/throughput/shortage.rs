//! The words for a want of capacity: exceptions, reasons, cancellation codes.

use dynamodb_table_spec::TableSpec;
use serde_json::{Value as Json, json};

use super::limits::{Limit, Throughput};
use crate::item::arn::table_arn;
use crate::item::error::Refusal;
use crate::item::throttle::Throttle;

const PROVISIONED: &str = "The level of configured provisioned throughput for the table was exceeded. \
    Consider increasing your provisioning level with the UpdateTable API.";
const PROVISIONED_INDEX: &str = "The level of configured provisioned throughput for one or more global \
    secondary indexes of the table was exceeded. Consider increasing your provisioning level for the \
    under-provisioned global secondary indexes with the UpdateTable API.";
const ON_DEMAND: &str = "Throughput exceeds the current capacity of your table or index. DynamoDB is \
    automatically scaling your table or index so please try again shortly.";

/// The limits that the writes of a request met, each once.
#[derive(Debug, Default)]
pub(crate) struct Shortages(Vec<Shortage>);

#[derive(Debug, PartialEq)]
struct Shortage {
    throttle: Throttle,
    reason: &'static str,
    resource: String,
    index: bool,
}

impl Shortages {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the limits that writes of one table met.
    pub(crate) fn add(
        &mut self,
        spec: &TableSpec,
        throughput: &Throughput,
        limits: impl IntoIterator<Item = Limit>,
    ) {
        for limit in limits {
            let shortage = Shortage::of(spec, throughput, limit);
            if !self.0.contains(&shortage) {
                self.0.push(shortage);
            }
        }
    }

    /// The exception for a request of which nothing was admitted. The account's limit comes last:
    /// it is reported where nothing else was short.
    pub(crate) fn exception(&self) -> Refusal {
        let among = |throttle: Throttle| self.0.iter().any(|short| short.throttle == throttle);
        let throttle = [Throttle::ProvisionedThroughput, Throttle::Throttling]
            .into_iter()
            .find(|throttle| among(*throttle))
            .unwrap_or(Throttle::RequestLimit);
        let mut refusal = throttle.refusal();
        if throttle == Throttle::ProvisionedThroughput && self.0.iter().all(|short| short.index) {
            PROVISIONED_INDEX.clone_into(&mut refusal.message);
        }
        for short in &self.0 {
            throttle.add_reason(&mut refusal, short.reason, &short.resource);
        }
        refusal
    }

    /// The code and the entry of `CancellationReasons` for one action of a transaction.
    pub(crate) fn cancellation(&self) -> (&'static str, Json) {
        let provisioned = |short: &Shortage| short.throttle == Throttle::ProvisionedThroughput;
        let (code, message) = if !self.0.iter().any(provisioned) {
            ("ThrottlingError", ON_DEMAND)
        } else if self.0.iter().all(|short| short.index) {
            ("ProvisionedThroughputExceeded", PROVISIONED_INDEX)
        } else {
            ("ProvisionedThroughputExceeded", PROVISIONED)
        };
        (code, json!({ "Code": code, "Message": message }))
    }
}

impl Shortage {
    fn of(spec: &TableSpec, throughput: &Throughput, limit: Limit) -> Self {
        let on_demand = throughput.on_demand();
        let reason = match (limit, on_demand) {
            (Limit::Account, _) => "TableWriteAccountLimitExceeded",
            (Limit::Partition(_), _) => "TableWriteKeyRangeThroughputExceeded",
            (Limit::Table, false) => "TableWriteProvisionedThroughputExceeded",
            (Limit::Table, true) if throughput.at_max() => {
                "TableWriteMaxOnDemandThroughputExceeded"
            }
            // An on-demand table that outgrows its partitions is short of nothing else.
            (Limit::Table, true) => "TableWriteKeyRangeThroughputExceeded",
            (Limit::Index(_), false) => "IndexWriteProvisionedThroughputExceeded",
            (Limit::Index(_), true) => "IndexWriteMaxOnDemandThroughputExceeded",
        };
        let throttle = match (limit, on_demand) {
            (Limit::Account, _) => Throttle::RequestLimit,
            (_, true) => Throttle::Throttling,
            (_, false) => Throttle::ProvisionedThroughput,
        };
        let mut resource = table_arn(&spec.name);
        let index = match limit {
            Limit::Index(at) => spec.indexes.get(at),
            Limit::Table | Limit::Partition(_) | Limit::Account => None,
        };
        if let Some(index) = index {
            resource = format!("{resource}/index/{}", index.name);
        }
        Self {
            throttle,
            reason,
            resource,
            index: index.is_some(),
        }
    }
}
