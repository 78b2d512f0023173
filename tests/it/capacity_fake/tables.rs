//! `UpdateTable`, and what indexes hold.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    BillingMode, GlobalSecondaryIndexUpdate, OnDemandThroughput, ProvisionedThroughput,
    ReturnConsumedCapacity, UpdateGlobalSecondaryIndexAction, WarmThroughput,
};
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::test_util::{Capacity, FaultyDynamoDb};
use dynamodb_connector::{IndexSpec, TableSpec};

use super::{TABLE, fake, provisioned, puts, s, seconds, warm_units, write};

fn units(write: i64) -> ProvisionedThroughput {
    let units = ProvisionedThroughput::builder().read_capacity_units(5);
    units.write_capacity_units(write).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn update_table_changes_units_at_once() {
    let index = IndexSpec::global("by_group").partition("g", KeyKind::String);
    let (_, client) = fake(provisioned(10).index(index), Capacity::enforced());
    let update = || client.update_table().table_name(TABLE);
    let index = |write: i64| {
        let update = UpdateGlobalSecondaryIndexAction::builder().index_name("by_group");
        let update = update.provisioned_throughput(units(write)).build().unwrap();
        GlobalSecondaryIndexUpdate::builder().update(update).build()
    };
    let answer = update()
        .provisioned_throughput(units(20))
        .global_secondary_index_updates(index(7))
        .send();
    let table = answer.await.unwrap().table_description.unwrap();
    let write = |units: &aws_sdk_dynamodb::types::ProvisionedThroughputDescription| {
        units.write_capacity_units()
    };
    assert_eq!(table.provisioned_throughput().and_then(write), Some(20));
    let described = &table.global_secondary_indexes()[0];
    assert_eq!(described.provisioned_throughput().and_then(write), Some(7));
    seconds(1.0).await;
    assert_eq!(self::write(&client, puts(0..25)).await, Ok(5));

    let message = |error: aws_sdk_dynamodb::operation::update_table::UpdateTableError| {
        error.message().unwrap_or_default().to_owned()
    };
    let same = update().provisioned_throughput(units(20)).send().await;
    assert!(message(same.unwrap_err().into_service_error()).contains("will not change"));
    let none = update().provisioned_throughput(units(0)).send().await;
    assert!(message(none.unwrap_err().into_service_error()).contains("greater than or equal to 1"));
    let nothing = update().send().await;
    assert!(message(nothing.unwrap_err().into_service_error()).contains("At least one of"));
    let missing = client
        .update_table()
        .table_name("elsewhere")
        .provisioned_throughput(units(1));
    let missing = missing.send().await.unwrap_err().into_service_error();
    assert!(missing.is_resource_not_found_exception());
}

#[tokio::test(start_paused = true)]
async fn update_table_changes_the_mode() {
    let (_, client) = fake(provisioned(10), Capacity::enforced().warm_units(15));
    let update = || client.update_table().table_name(TABLE);
    let on_demand = update().billing_mode(BillingMode::PayPerRequest);
    let maximum = OnDemandThroughput::builder()
        .max_write_request_units(12)
        .build();
    let table = on_demand
        .on_demand_throughput(maximum)
        .send()
        .await
        .unwrap();
    let table = table.table_description.unwrap();
    let mode = table
        .billing_mode_summary()
        .and_then(|mode| mode.billing_mode());
    assert_eq!(mode, Some(&BillingMode::PayPerRequest));
    let maximum = table
        .on_demand_throughput()
        .and_then(OnDemandThroughput::max_write_request_units);
    assert_eq!(maximum, Some(12));
    seconds(5.0).await;
    assert_eq!(write(&client, puts(0..25)).await, Ok(13));
    let off = OnDemandThroughput::builder()
        .max_write_request_units(-1)
        .build();
    update().on_demand_throughput(off).send().await.unwrap();
    seconds(1.0).await;
    assert_eq!(write(&client, puts(0..25)).await, Ok(10));
    let warm = |units: i64| {
        WarmThroughput::builder()
            .write_units_per_second(units)
            .build()
    };
    update().warm_throughput(warm(20)).send().await.unwrap();
    assert_eq!(warm_units(&client).await, 20);
    seconds(1.0).await;
    assert_eq!(write(&client, puts(0..25)).await, Ok(5));
    let lower = update().warm_throughput(warm(10)).send().await.unwrap_err();
    assert!(
        lower
            .into_service_error()
            .message()
            .is_some_and(|text| text.contains("decreasing"))
    );
    let error = update()
        .provisioned_throughput(units(5))
        .send()
        .await
        .unwrap_err();
    let error = error.into_service_error();
    assert!(
        error
            .message()
            .is_some_and(|text| text.contains("PAY_PER_REQUEST"))
    );
    let back = update()
        .billing_mode(BillingMode::Provisioned)
        .provisioned_throughput(units(5));
    back.send().await.unwrap();
    seconds(1.0).await;
    assert_eq!(write(&client, puts(0..25)).await, Ok(20));
}

#[tokio::test(start_paused = true)]
async fn an_index_costs_and_holds_its_projected_part() {
    let by_group = |name: &str| IndexSpec::global(name).partition("g", KeyKind::String);
    let fake = FaultyDynamoDb::new();
    let spec = TableSpec::new(TABLE)
        .index(by_group("keys").keys_only())
        .index(by_group("some").include(["y"]))
        .index(by_group("all"));
    fake.create_table(spec);
    let client = fake.client();
    let costs = async |x: &str, y: &str, g: &str| {
        let put = client.put_item().table_name(TABLE).item("pk", s("a"));
        let put = put.item("x", s(x)).item("y", s(y)).item("g", s(g));
        let put = put.return_consumed_capacity(ReturnConsumedCapacity::Indexes);
        let consumed = put.send().await.unwrap().consumed_capacity.unwrap();
        let indexes = consumed.global_secondary_indexes.unwrap_or_default();
        ["keys", "some", "all"].map(|name| {
            indexes
                .get(name)
                .map_or(0.0, |units| units.capacity_units.unwrap())
        })
    };
    let long = "x".repeat(1500);
    assert_eq!(costs(&long, "y", "1").await, [1.0, 1.0, 2.0]);
    assert_eq!(
        costs("x", "y", "1").await,
        [0.0, 0.0, 2.0],
        "what they hold is the same"
    );
    assert_eq!(costs("x", "z", "1").await, [0.0, 1.0, 1.0]);
    assert_eq!(costs("x", "z", "1").await, [0.0, 0.0, 0.0]);
    assert_eq!(
        costs("x", "z", "2").await,
        [2.0, 2.0, 2.0],
        "a delete and a put"
    );

    let mut found = Vec::new();
    for index in ["keys", "some", "all"] {
        let scan = client.scan().table_name(TABLE).index_name(index).send();
        let mut names: Vec<String> = scan
            .await
            .unwrap()
            .items
            .unwrap()
            .remove(0)
            .into_keys()
            .collect();
        names.sort_unstable();
        found.push(names.join(" "));
    }
    assert_eq!(found, ["g pk", "g pk y", "g pk x y"]);
    let table = client
        .describe_table()
        .table_name(TABLE)
        .send()
        .await
        .unwrap();
    let described = table.table.unwrap().global_secondary_indexes.unwrap();
    let kinds = described.iter().map(|index| {
        let projection = index.projection().unwrap();
        let names = projection.non_key_attributes().join(" ");
        format!("{} {names}", projection.projection_type().unwrap().as_str())
    });
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        ["KEYS_ONLY ", "INCLUDE y", "ALL "]
    );
    assert_eq!(described[0].index_size_bytes(), Some(2 + 1 + 1 + 1));
}
