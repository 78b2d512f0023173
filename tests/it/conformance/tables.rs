//! `CreateTable`, `DescribeTable`, `DeleteTable`, `ListTables`.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    BillingMode, KeyType, ProvisionedThroughput, ScalarAttributeType, TableStatus,
};

use super::harness::*;

checks![
    a_table_is_described,
    a_provisioned_table_tells_its_units,
    a_table_is_created_once_and_deleted_once,
    table_names_are_checked,
];

async fn a_table_is_described(client: Client) {
    let table = table(&client).await;
    let answer = client
        .describe_table()
        .table_name(&table)
        .send()
        .await
        .expect("described");
    let described = answer.table().expect("a table");
    assert_eq!(described.table_status(), Some(&TableStatus::Active));
    let roles: Vec<_> = described
        .key_schema()
        .iter()
        .map(|e| (e.attribute_name(), e.key_type().clone()))
        .collect();
    assert_eq!(roles, [("pk", KeyType::Hash), ("sk", KeyType::Range)]);
    let index = &described.global_secondary_indexes()[0];
    assert_eq!(index.index_name(), Some("by-group"));
    assert_eq!(index.key_schema()[0].attribute_name(), "g");
    let mode = described
        .billing_mode_summary()
        .and_then(|summary| summary.billing_mode());
    assert_eq!(mode, Some(&BillingMode::PayPerRequest));
    let kinds = described.attribute_definitions();
    assert!(kinds.iter().any(|kind| {
        kind.attribute_name() == "sk" && kind.attribute_type() == &ScalarAttributeType::N
    }));
}

async fn a_provisioned_table_tells_its_units(client: Client) {
    let name = format!("provisioned-{}", std::process::id());
    let units = ProvisionedThroughput::builder()
        .read_capacity_units(3)
        .write_capacity_units(7);
    client
        .create_table()
        .table_name(&name)
        .key_schema(key_element("pk", KeyType::Hash))
        .attribute_definitions(attribute("pk", ScalarAttributeType::S))
        .provisioned_throughput(units.build().expect("complete"))
        .send()
        .await
        .expect("created");
    let answer = client
        .describe_table()
        .table_name(&name)
        .send()
        .await
        .expect("described");
    let table = answer.table().expect("a table");
    let units = table.provisioned_throughput().expect("units");
    assert_eq!(units.write_capacity_units(), Some(7));
    let mode = table
        .billing_mode_summary()
        .and_then(|summary| summary.billing_mode());
    assert!(mode.is_none_or(|mode| mode == &BillingMode::Provisioned));
    client
        .delete_table()
        .table_name(&name)
        .send()
        .await
        .expect("deleted");
}

async fn a_table_is_created_once_and_deleted_once(client: Client) {
    let name = table(&client).await;
    let again = client
        .create_table()
        .table_name(&name)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key_element("pk", KeyType::Hash))
        .attribute_definitions(attribute("pk", ScalarAttributeType::S));
    refused(again.send().await, "ResourceInUseException", &[]);
    assert!(table_names(&client).await.contains(&name));
    client
        .delete_table()
        .table_name(&name)
        .send()
        .await
        .expect("deleted");
    let again = client.delete_table().table_name(&name).send().await;
    refused(again, "ResourceNotFoundException", &[]);
}

async fn table_names_are_checked(client: Client) {
    let describe = client.describe_table().table_name("a!").send().await;
    refused(describe, "ValidationException", &[]);
}
