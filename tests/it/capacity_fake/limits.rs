//! What each limit refuses, and how it says so.

use std::time::Duration;

use aws_sdk_dynamodb::types::ThrottlingReason;
use dynamodb_connector::IndexSpec;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::test_util::{Capacity, Refill};

use super::{ARN, TABLE, expected, fake, provisioned, put, puts, refusal, s, seconds, write};

#[tokio::test(start_paused = true)]
async fn what_is_short_comes_back_and_a_batch_of_which_nothing_is_taken_is_refused() {
    let (fake, client) = fake(provisioned(10), Capacity::enforced());
    seconds(1.0).await;
    assert_eq!(write(&client, puts(0..25)).await, Ok(15));
    assert_eq!(
        refusal(&client, puts(0..25)).await,
        expected(
            "ProvisionedThroughputExceededException",
            "TableWriteProvisionedThroughputExceeded",
            ARN
        )
    );
    assert_eq!(fake.item_count(TABLE), 10);
    let usage = fake.capacity_usage(TABLE).unwrap();
    assert!((usage.granted_units - 10.0).abs() < 1e-6);
    assert!((usage.consumed_units - 10.0).abs() < 1e-6);
    assert_eq!((usage.write_requests, usage.throttled_requests), (2, 2));
    assert_eq!((usage.items_sent, usage.items_throttled), (50, 40));
}

#[tokio::test(start_paused = true)]
async fn small_items_pass_behind_a_large_one_that_does_not() {
    let (fake, client) = fake(provisioned(10), Capacity::enforced());
    seconds(1.0).await;
    let writes = vec![put("a", 4, &[]), put("large", 9, &[]), put("b", 6, &[])];
    assert_eq!(write(&client, writes).await, Ok(1));
    let key = [("pk", s("large"))];
    assert!(fake.item(TABLE, key).is_none());
    assert_eq!(fake.item_count(TABLE), 2);
}

#[tokio::test(start_paused = true)]
async fn capacity_by_the_second_comes_at_one_moment_of_each_second() {
    for seed in 0..3 {
        let capacity = Capacity::enforced().refill(Refill::BySecond).seed(seed);
        let (fake, _) = fake(provisioned(100), capacity);
        let mut grants = Vec::new();
        let mut held = 0.0;
        for millis in 0..3_000 {
            let granted = fake.capacity_usage(TABLE).unwrap().granted_units;
            if granted > held {
                assert!((granted - held - 100.0).abs() < 1e-6);
                grants.push(millis);
                held = granted;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(grants.len(), 3, "{grants:?}");
        assert!(grants.windows(2).all(|pair| pair[1] - pair[0] == 1_000));
        assert!(grants[0] > 0, "the seed gives a phase");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_bank_gives_three_hundred_seconds_at_once() {
    // Ten partitions: otherwise these would be what is short.
    let capacity = Capacity::enforced().full_bank().partitions(10);
    let (fake, client) = fake(provisioned(10), capacity);
    let mut admitted = 0;
    while let Ok(left) = write(&client, puts(admitted..admitted + 25)).await {
        admitted += 25 - left;
    }
    assert_eq!(admitted, 3_000);
    assert_eq!(fake.item_count(TABLE), 3_000);
}

#[tokio::test(start_paused = true)]
async fn a_partition_takes_its_units_and_no_more_while_the_others_go_on() {
    let spec = provisioned(8_000).sort("sk", KeyKind::String);
    let capacity = Capacity::enforced().full_bank().partitions(8);
    let (fake, client) = fake(spec, capacity.partition_units(10));
    let hot = |from: usize| {
        (from..from + 25)
            .map(|at| put("hot", 1, &[("sk", &at.to_string())]))
            .collect::<Vec<_>>()
    };
    assert_eq!(write(&client, hot(0)).await, Ok(15));
    assert_eq!(
        refusal(&client, hot(0)).await,
        expected(
            "ProvisionedThroughputExceededException",
            "TableWriteKeyRangeThroughputExceeded",
            ARN
        )
    );
    let cold = |key: usize| vec![put(&key.to_string(), 1, &[("sk", "a")])];
    let mut passed = 0;
    for key in 0..40 {
        passed += usize::from(write(&client, cold(key)).await.is_ok());
    }
    // A key in eight shares the hot one's partition.
    assert!((30..40).contains(&passed), "{passed}");
    // What a partition does not use it keeps for one second.
    seconds(10.0).await;
    assert_eq!(write(&client, hot(0)).await, Ok(15));
    assert_eq!(
        fake.capacity_usage(TABLE).unwrap().items_sent,
        25 + 25 + 40 + 25
    );
}

#[tokio::test(start_paused = true)]
async fn keys_are_spread_evenly_and_by_the_seed() {
    let mut places = Vec::new();
    for seed in [1, 2] {
        let spec = provisioned(40_000);
        let capacity = Capacity::enforced().full_bank().partitions(4).seed(seed);
        let (_, client) = fake(spec, capacity.partition_units(250));
        let mut refused = Vec::new();
        for id in 0..1_000 {
            if write(&client, puts(id..id + 1)).await.is_err() {
                refused.push(id);
            }
        }
        assert!(refused.len() < 100, "{} of 1,000", refused.len());
        places.push(refused);
    }
    assert_ne!(places[0], places[1]);
}

#[tokio::test(start_paused = true)]
async fn a_write_is_refused_for_an_index_alone() {
    let index = IndexSpec::global("by_group").partition("g", KeyKind::String);
    let spec = provisioned(1_000).index(index.provisioned(5, 10));
    let (fake, client) = fake(spec, Capacity::enforced());
    seconds(1.0).await;
    let inside = |from: usize| {
        (from..from + 25)
            .map(|id| put(&id.to_string(), 1, &[("g", "a")]))
            .collect::<Vec<_>>()
    };
    assert_eq!(write(&client, inside(0)).await, Ok(15));
    assert_eq!(
        refusal(&client, inside(100)).await,
        expected(
            "ProvisionedThroughputExceededException",
            "IndexWriteProvisionedThroughputExceeded",
            &format!("{ARN}/index/by_group")
        )
    );
    assert_eq!(
        write(&client, puts(200..225)).await,
        Ok(0),
        "these are not in the index"
    );
    let usage = fake.capacity_usage(TABLE).unwrap();
    assert!((usage.consumed_units - 35.0).abs() < 1e-6);
    let index = &usage.indexes["by_group"];
    assert!((index.consumed_units - 10.0).abs() < 1e-6);
    assert!((index.granted_units - 10.0).abs() < 1e-6);
    fake.set_index_write_units(TABLE, "by_group", 20);
    seconds(1.0).await;
    assert_eq!(write(&client, inside(100)).await, Ok(5));
}

#[tokio::test(start_paused = true)]
async fn a_local_index_draws_on_its_table() {
    let index = IndexSpec::local("by_at").sort("at", KeyKind::String);
    let spec = provisioned(10).sort("sk", KeyKind::String).index(index);
    let (fake, client) = fake(spec, Capacity::enforced());
    seconds(1.0).await;
    let writes = (0..25).map(|id| put(&id.to_string(), 1, &[("sk", "a"), ("at", "b")]));
    assert_eq!(write(&client, writes.collect()).await, Ok(20));
    let usage = fake.capacity_usage(TABLE).unwrap();
    assert!((usage.consumed_units - 10.0).abs() < 1e-6);
    assert!(usage.indexes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn several_reasons_are_told_once_each() {
    let index = IndexSpec::global("by_group").partition("g", KeyKind::String);
    let spec = provisioned(5).index(index);
    let (_, client) = fake(spec, Capacity::enforced());
    let writes = (0..25).map(|id| put(&id.to_string(), 1, &[("g", "a")]));
    let (_, reasons) = write(&client, writes.collect()).await.expect_err("refused");
    let mut reasons: Vec<_> = reasons
        .iter()
        .filter_map(ThrottlingReason::reason)
        .collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "IndexWriteProvisionedThroughputExceeded",
            "TableWriteProvisionedThroughputExceeded"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_accounts_limit_is_told_by_its_own_exception() {
    let capacity = Capacity::enforced().full_bank().account_units(10);
    let (_, client) = fake(provisioned(1_000), capacity);
    assert_eq!(write(&client, puts(0..25)).await, Ok(15));
    assert_eq!(
        refusal(&client, puts(0..25)).await,
        expected(
            "RequestLimitExceeded",
            "TableWriteAccountLimitExceeded",
            ARN
        )
    );
}
