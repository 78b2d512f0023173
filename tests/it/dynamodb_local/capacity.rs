//! DynamoDB Local reports units that it never enforces: it is not held to them.

use aws_sdk_dynamodb::types::{BillingMode, ProvisionedThroughput, ScalarAttributeType};
use dynamodb_connector::sink::{CapacityMode, LimitedBy};

use super::{Local, all_written, pk};

#[tokio::test]
async fn neither_a_provisioned_nor_an_on_demand_table_is_held_to_its_units() {
    let test = "capacity::neither_a_provisioned_nor_an_on_demand_table_is_held_to_its_units";
    let Some(local) = Local::with_key(test, ScalarAttributeType::S, None).await else {
        return;
    };
    for mode in [BillingMode::PayPerRequest, BillingMode::Provisioned] {
        if mode == BillingMode::Provisioned {
            // One unit a second, of the table and of its index.
            let units = ProvisionedThroughput::builder()
                .read_capacity_units(1)
                .write_capacity_units(1)
                .build()
                .expect("complete");
            let index = aws_sdk_dynamodb::types::UpdateGlobalSecondaryIndexAction::builder()
                .index_name("by-group")
                .provisioned_throughput(units.clone())
                .build()
                .expect("complete");
            let update = aws_sdk_dynamodb::types::GlobalSecondaryIndexUpdate::builder();
            let change = local
                .client
                .update_table()
                .table_name(&local.name)
                .billing_mode(mode.clone())
                .provisioned_throughput(units)
                .global_secondary_index_updates(update.update(index).build());
            change.send().await.expect("updated");
        }
        let table = local.open().await;
        let mut receipts = Vec::new();
        for number in 0..500 {
            let put = table.put_item(&pk(format!("{mode:?}-{number}")));
            receipts.push(put.await.expect("accepted"));
        }
        all_written(receipts).await;
        let stats = table.stats();
        assert_eq!(stats.mode, CapacityMode::Unknown, "{mode:?}");
        assert_eq!(stats.rate, None, "{mode:?}");
        assert_eq!(stats.limited_by, LimitedBy::Nothing, "{mode:?}");
        table.close().await.expect("all is written");
    }
    local.end().await;
}
