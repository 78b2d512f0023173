//! Requests of every kind: what they pay, how long they take, how they are counted.

use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    DeleteRequest, Put, ReturnConsumedCapacity, TransactWriteItem, WriteRequest,
};
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::test_util::{Capacity, Fault, FaultyDynamoDb, RequestRecord, Throttle};
use dynamodb_connector::{IndexSpec, TableSpec};

use super::{ARN, TABLE, fake, provisioned, put, puts, s, seconds, write};

#[tokio::test(start_paused = true)]
async fn requests_take_their_service_time_beside_each_other() {
    let mean = Duration::from_millis(10);
    let capacity = Capacity::enforced().full_bank().service_time(mean).seed(3);
    let (fake, client) = fake(provisioned(1_000), capacity);
    let all = (0..200).map(|id| {
        let client = client.clone();
        tokio::spawn(async move { write(&client, puts(id..id + 1)).await })
    });
    let all: Vec<_> = all.collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Ok(0));
    }
    let requests = fake.requests();
    let first = requests.iter().map(RequestRecord::received).min().unwrap();
    let last = requests
        .iter()
        .filter_map(RequestRecord::ended)
        .max()
        .unwrap();
    assert!(
        last - first < Duration::from_millis(13),
        "beside each other"
    );
    let took = |request: &RequestRecord| request.ended().unwrap() - request.received();
    let mut times: Vec<Duration> = requests.iter().map(took).collect();
    times.sort_unstable();
    // Tokio's timers count in milliseconds.
    let slack = Duration::from_millis(1);
    let (shortest, longest) = (times[0], times[199]);
    assert!(shortest + slack >= Duration::from_millis(8) && shortest < mean - slack);
    assert!(longest < Duration::from_millis(13) && longest > mean + slack / 2);
    let sum: Duration = times.iter().sum();
    let average = sum / 200;
    assert!(average.abs_diff(mean) < slack, "{average:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_is_applied_in_the_middle_of_its_service_time() {
    let capacity = Capacity::enforced().full_bank();
    let capacity = capacity.service_time(Duration::from_millis(100));
    let (fake, client) = fake(provisioned(10), capacity);
    assert_eq!(write(&client, puts(0..1)).await, Ok(0));
    let request = &fake.requests()[0];
    let applied = fake.applied()[0].at() - request.received();
    let half = (request.ended().unwrap() - request.received()) / 2;
    assert!(
        applied.abs_diff(half) <= Duration::from_millis(1),
        "{applied:?} {half:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn singles_are_refused_with_the_reason_and_pay_for_a_failed_condition() {
    let (fake, client) = fake(provisioned(3), Capacity::enforced());
    seconds(1.0).await;
    let put = |id: &str| client.put_item().table_name(TABLE).item("pk", s(id));
    put("a")
        .item("x", s("x".repeat(1500)))
        .send()
        .await
        .unwrap();
    let guarded = put("a").condition_expression("attribute_not_exists(pk)");
    let error = guarded
        .clone()
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert_eq!(
        error.code(),
        Some("ProvisionedThroughputExceededException"),
        "throttled first"
    );
    seconds(1.0).await;
    let error = guarded.send().await.unwrap_err().into_service_error();
    assert!(error.is_conditional_check_failed_exception());
    let consumed = fake.capacity_usage(TABLE).unwrap().consumed_units;
    assert!(
        (consumed - 4.0).abs() < 1e-6,
        "two for the item that is there: {consumed}"
    );
    seconds(0.4).await;
    // Two units left over and one and a fifth come: three.
    assert!(put("b").send().await.is_ok());
    assert!(put("c").send().await.is_ok());
    let delete = client.delete_item().table_name(TABLE).key("pk", s("b"));
    delete.send().await.unwrap();
    let update = client.update_item().table_name(TABLE).key("pk", s("b"));
    let error = update.send().await.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("ProvisionedThroughputExceededException"));
    let error = put("d").send().await.unwrap_err().into_service_error();
    let PutItemError::ProvisionedThroughputExceededException(error) = error else {
        panic!("another error: {error:?}");
    };
    assert_eq!(error.throttling_reasons()[0].resource(), Some(ARN));
}

fn codes(error: TransactWriteItemsError) -> Vec<String> {
    let TransactWriteItemsError::TransactionCanceledException(error) = error else {
        panic!("another error: {error:?}");
    };
    let reasons = error.cancellation_reasons.unwrap_or_default();
    reasons
        .into_iter()
        .filter_map(|reason| reason.code)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_transaction_takes_twice_as_much_and_all_or_nothing() {
    let (fake, client) = fake(provisioned(10), Capacity::enforced());
    let transaction = |ids: std::ops::Range<usize>| {
        let action = |id: usize| {
            let put = Put::builder()
                .table_name(TABLE)
                .item("pk", s(id.to_string()));
            TransactWriteItem::builder()
                .put(put.build().unwrap())
                .build()
        };
        client
            .transact_write_items()
            .set_transact_items(Some(ids.map(action).collect()))
            .send()
    };
    seconds(1.0).await;
    let error = transaction(0..6).await.unwrap_err().into_service_error();
    assert_eq!(codes(error), ["ProvisionedThroughputExceeded"; 6]);
    assert_eq!(fake.item_count(TABLE), 0);
    let usage = fake.capacity_usage(TABLE).unwrap();
    assert!(usage.consumed_units.abs() < 1e-6);
    assert_eq!((usage.throttled_requests, usage.items_throttled), (1, 6));
    transaction(0..5).await.unwrap();
    assert!((fake.capacity_usage(TABLE).unwrap().consumed_units - 10.0).abs() < 1e-6);
    assert!(write(&client, puts(0..1)).await.is_err());

    fake.set_max_on_demand(TABLE, None);
    let error = transaction(0..1).await.unwrap_err().into_service_error();
    assert_eq!(codes(error), ["ThrottlingError"]);
}

#[tokio::test(start_paused = true)]
async fn usage_is_the_sum_of_the_capacity_reported() {
    let index = IndexSpec::global("by_group").partition("g", KeyKind::String);
    let spec = provisioned(200).index(index.provisioned(5, 100).keys_only());
    let (fake, client) = fake(spec, Capacity::enforced());
    fake.keep_journal(false);
    fake.inject(Fault::unprocessed_count(3).skip(4).times(5));
    fake.inject(Fault::throttled(Throttle::Throttling).skip(10).times(2));
    let mut rng = fastrand::Rng::with_seed(9);
    let (mut table, mut index) = (0.0, 0.0);
    let (mut sent, mut back, mut throttled, mut requests) = (0_usize, 0_usize, 0, 0);
    for _ in 0..300 {
        seconds(rng.f64() / 4.0).await;
        let from = rng.usize(0..50);
        let count = rng.usize(1..=25);
        let writes = (from..from + count).map(|id| {
            let id = id.to_string();
            let group = [("g", if rng.bool() { "a" } else { "b" })];
            if rng.u8(0..8) == 0 {
                let delete = DeleteRequest::builder().key("pk", s(id)).build().unwrap();
                return WriteRequest::builder().delete_request(delete).build();
            }
            put(&id, rng.usize(1..4), if rng.bool() { &group } else { &[] })
        });
        let batch = client
            .batch_write_item()
            .request_items(TABLE, writes.collect());
        let batch = batch.return_consumed_capacity(ReturnConsumedCapacity::Indexes);
        requests += 1;
        sent += count;
        let Ok(answer) = batch.send().await else {
            back += count;
            throttled += 1;
            continue;
        };
        let left: usize = answer
            .unprocessed_items()
            .map_or(0, |left| left.values().map(Vec::len).sum());
        back += left;
        throttled += u64::from(left > 0);
        for consumed in answer.consumed_capacity() {
            table += consumed.table().unwrap().capacity_units().unwrap();
            for index_consumed in consumed.global_secondary_indexes().into_iter().flatten() {
                index += index_consumed.1.capacity_units().unwrap();
            }
        }
    }
    let usage = fake.capacity_usage(TABLE).unwrap();
    assert!((usage.consumed_units - table).abs() < 1e-6);
    assert!((usage.indexes["by_group"].consumed_units - index).abs() < 1e-6);
    assert!(usage.consumed_units <= usage.granted_units + 1e-6);
    assert!(
        index > 100.0 && throttled > 20 && throttled < requests,
        "{usage:?}"
    );
    assert_eq!(
        (usage.write_requests, usage.throttled_requests),
        (requests, throttled)
    );
    let items = (
        usize::try_from(usage.items_sent),
        usize::try_from(usage.items_throttled),
    );
    assert_eq!(items, (Ok(sent), Ok(back)));
}

#[tokio::test(start_paused = true)]
async fn without_enforcement_nothing_is_refused_or_promised() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE));
    let client = fake.client();
    for _ in 0..300 {
        assert_eq!(write(&client, puts(0..25)).await, Ok(0));
    }
    assert_eq!(fake.capacity_usage(TABLE), None);
    let table = client
        .describe_table()
        .table_name(TABLE)
        .send()
        .await
        .unwrap();
    assert!(table.table.unwrap().warm_throughput.is_none());
}
