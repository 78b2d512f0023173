//! `TableDescription`, as DynamoDB words it.

use std::time::Duration;

use dynamodb_table_spec::{Billing, IndexSpec};
use dynamodb_table_spec::{KeyAttribute, KeySchema, Projection};
use serde_json::{Value as Json, json};

use super::table::{Table, Totals};
use crate::item::arn::table_arn;

/// A new table's read units per second (AWS: "On-demand capacity mode").
const WARM_READ_UNITS: u64 = 12_000;

impl Table {
    /// `TableDescription` as `DescribeTable` answers it.
    pub(crate) fn describe(&mut self, status: &str, now: Duration) -> Json {
        let warm = self.throughput.as_mut();
        let warm = warm.map(|throughput| throughput.warm_units(now));
        let spec = &self.spec;
        let mut attributes: Vec<&KeyAttribute> = Vec::new();
        let schemas = std::iter::once(&spec.keys).chain(spec.indexes.iter().map(|i| &i.keys));
        for attribute in schemas.flat_map(KeySchema::attributes) {
            if !attributes
                .iter()
                .any(|known| known.name() == attribute.name())
            {
                attributes.push(attribute);
            }
        }
        let attributes: Vec<Json> = attributes
            .iter()
            .map(|a| json!({ "AttributeName": a.name(), "AttributeType": a.kind().name() }))
            .collect();
        let mut description = json!({
            "TableName": spec.name,
            "TableStatus": status,
            "TableArn": table_arn(&spec.name),
            "TableId": "00000000-0000-0000-0000-000000000000",
            "CreationDateTime": self.created,
            "AttributeDefinitions": attributes,
            "KeySchema": schema_json(&spec.keys),
            "ItemCount": self.totals.items,
            "TableSizeBytes": self.totals.bytes,
            "DeletionProtectionEnabled": false,
            "ProvisionedThroughput": throughput_json(spec.billing, None),
        });
        if let Billing::OnDemand { max_write_units } = spec.billing {
            description["BillingModeSummary"] = json!({
                "BillingMode": "PAY_PER_REQUEST",
                "LastUpdateToPayPerRequestDateTime": self.created,
            });
            if let Some(units) = max_write_units {
                description["OnDemandThroughput"] = on_demand_json(units);
            }
        }
        if let Some(stream) = &self.stream {
            description["LatestStreamArn"] = json!(stream.arn);
            description["LatestStreamLabel"] = json!(stream.label);
            if let Some(view) = stream.view {
                description["StreamSpecification"] =
                    json!({ "StreamEnabled": true, "StreamViewType": view.name() });
            }
        }
        // Unless enforced or asked for there is none: a client would keep to it for nothing.
        if let Some(units) = warm.max(self.warm) {
            description["WarmThroughput"] = json!({
                "ReadUnitsPerSecond": WARM_READ_UNITS, "WriteUnitsPerSecond": units,
                "Status": "ACTIVE",
            });
        }
        for (member, local) in [
            ("GlobalSecondaryIndexes", false),
            ("LocalSecondaryIndexes", true),
        ] {
            let indexes: Vec<Json> = spec
                .indexes
                .iter()
                .zip(&self.index_totals)
                .filter(|(index, _)| index.local == local)
                .map(|(index, totals)| self.describe_index(index, *totals))
                .collect();
            if !indexes.is_empty() {
                description[member] = Json::Array(indexes);
            }
        }
        description
    }

    fn describe_index(&self, index: &IndexSpec, totals: Totals) -> Json {
        let mut description = json!({
            "IndexName": index.name,
            "IndexArn": format!("{}/index/{}", table_arn(&self.spec.name), index.name),
            "KeySchema": schema_json(&index.keys),
            "Projection": projection_json(&index.projection),
            "ItemCount": totals.items,
            "IndexSizeBytes": totals.bytes,
        });
        if !index.local {
            description["IndexStatus"] = Json::from("ACTIVE");
            description["ProvisionedThroughput"] =
                throughput_json(self.spec.billing, index.provisioned);
            if let (Billing::OnDemand { .. }, Some(units)) =
                (self.spec.billing, index.max_write_units)
            {
                description["OnDemandThroughput"] = on_demand_json(units);
            }
        }
        description
    }
}

pub(crate) fn schema_json(keys: &KeySchema) -> Json {
    keys.attributes()
        .zip(["HASH", "RANGE"])
        .map(|(a, role)| json!({ "AttributeName": a.name(), "KeyType": role }))
        .collect()
}

fn throughput_json(billing: Billing, own: Option<(u64, u64)>) -> Json {
    let (read, write) = match billing {
        Billing::OnDemand { .. } => (0, 0),
        Billing::Provisioned { read, write } => own.unwrap_or((read, write)),
    };
    json!({ "NumberOfDecreasesToday": 0, "ReadCapacityUnits": read, "WriteCapacityUnits": write })
}

fn on_demand_json(max_write_units: u64) -> Json {
    json!({ "MaxReadRequestUnits": -1, "MaxWriteRequestUnits": max_write_units })
}

fn projection_json(projection: &Projection) -> Json {
    match projection {
        Projection::All => json!({ "ProjectionType": "ALL" }),
        Projection::KeysOnly => json!({ "ProjectionType": "KEYS_ONLY" }),
        Projection::Include(names) => {
            json!({ "ProjectionType": "INCLUDE", "NonKeyAttributes": names })
        }
    }
}
