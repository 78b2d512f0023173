//! On-demand tables: their level, its growth, their maximum.

use std::time::Duration;

use dynamodb_connector::item::KeyKind;
use dynamodb_connector::test_util::Capacity;
use dynamodb_connector::{IndexSpec, TableSpec};

use super::{ARN, TABLE, expected, fake, offer, put, puts, refusal, seconds, warm_units, write};

#[tokio::test(start_paused = true)]
async fn an_on_demand_table_says_what_it_is_short_of() {
    let spec = TableSpec::new(TABLE);
    let (fake, client) = fake(spec, Capacity::enforced().warm_units(20));
    assert_eq!(write(&client, puts(0..25)).await, Ok(5));
    let key_range = expected(
        "ThrottlingException",
        "TableWriteKeyRangeThroughputExceeded",
        ARN,
    );
    assert_eq!(refusal(&client, puts(0..25)).await, key_range);
    // A second's capacity is kept, no more.
    seconds(60.0).await;
    assert_eq!(write(&client, puts(0..25)).await, Ok(5));
    fake.set_max_on_demand(TABLE, Some(10));
    let maximum = expected(
        "ThrottlingException",
        "TableWriteMaxOnDemandThroughputExceeded",
        ARN,
    );
    assert_eq!(refusal(&client, puts(0..25)).await, maximum);
    seconds(1.0).await;
    assert_eq!(write(&client, puts(0..25)).await, Ok(15));
    fake.set_max_on_demand(TABLE, None);
    seconds(1.0).await;
    assert_eq!(write(&client, puts(0..25)).await, Ok(5));
}

#[tokio::test(start_paused = true)]
async fn an_index_on_demand_is_held_at_its_maximum() {
    let index = IndexSpec::global("by_group").partition("g", KeyKind::String);
    let spec = TableSpec::new(TABLE).index(index.on_demand_at_most(10));
    let (fake, client) = fake(spec, Capacity::enforced());
    let inside = || {
        (0..25)
            .map(|id| put(&id.to_string(), 1, &[("g", "a")]))
            .collect::<Vec<_>>()
    };
    assert_eq!(write(&client, inside()).await, Ok(15));
    let fresh = (50..75).map(|id| put(&id.to_string(), 1, &[("g", "a")]));
    assert_eq!(
        refusal(&client, fresh.collect()).await,
        expected(
            "ThrottlingException",
            "IndexWriteMaxOnDemandThroughputExceeded",
            &format!("{ARN}/index/by_group")
        )
    );
    assert!(
        (fake.capacity_usage(TABLE).unwrap().indexes["by_group"].consumed_units - 10.0).abs()
            < 1e-6
    );
}

#[tokio::test(start_paused = true)]
async fn an_on_demand_table_grows_with_use_and_not_without() {
    let (_, client) = fake(TableSpec::new(TABLE), Capacity::enforced().warm_units(20));
    assert_eq!(warm_units(&client).await, 20);
    // 50 units are offered in a second. In ten minutes of use it grows by the third root of 2.
    let (every, span) = (Duration::from_millis(500), Duration::from_mins(10));
    let admitted = offer(&client, every, span).await;
    assert_eq!(warm_units(&client).await, 25);
    // The mean of a growth from 20 to 25.2, in steps, and the second that it began with.
    assert!((13_430..=13_550).contains(&admitted), "{admitted}");
    seconds(3600.0).await;
    assert_eq!(warm_units(&client).await, 25, "an idle table does not grow");
    offer(&client, every * 3, Duration::from_mins(5)).await;
    assert_eq!(warm_units(&client).await, 25, "used by two thirds");
}

#[tokio::test(start_paused = true)]
async fn a_table_does_not_grow_beyond_its_maximum() {
    let spec = TableSpec::new(TABLE).on_demand_at_most(22);
    let (fake, client) = fake(spec, Capacity::enforced().warm_units(20));
    let every = Duration::from_millis(500);
    offer(&client, every, Duration::from_mins(5)).await;
    assert_eq!(warm_units(&client).await, 22);
    let before = fake.capacity_usage(TABLE).unwrap().consumed_units;
    offer(&client, every, Duration::from_secs(100)).await;
    let used = fake.capacity_usage(TABLE).unwrap().consumed_units - before;
    assert!((2_199.0..=2_201.0).contains(&used), "{used}");
}
