//! Slow and refused requests.

use std::time::Duration;

use aws_sdk_dynamodbstreams::types::ShardIteratorType::TrimHorizon;
use dynamodb_connector::test_util::{Fault, FaultPlan, Operation};

use super::*;

#[tokio::test(start_paused = true)]
async fn describe_stream_is_limited() {
    let fake = table(1);
    let arn = fake.stream_arn(TABLE).expect("a stream");
    fake.limit_describe_stream(2);
    let client = fake.streams_client();
    let describe = || client.describe_stream().stream_arn(&arn).send();
    describe().await.expect("the first");
    describe().await.expect("the second");
    let error = describe().await.expect_err("the third");
    assert_eq!(code(&error), "ThrottlingException");
    tokio::time::sleep(Duration::from_secs(1)).await;
    describe().await.expect("a second later");
}

#[tokio::test(start_paused = true)]
async fn a_shard_takes_five_reads_a_second() {
    let fake = table(1);
    let (shard, client) = (only_shard(&fake), fake.streams_client());
    let iterator = iterator_for(&fake, &shard, TrimHorizon, None).await;
    for _ in 0..20 {
        read(&client, &iterator).await.expect("not limited");
    }
    fake.limit_readers(true);
    for _ in 0..5 {
        read(&client, &iterator).await.expect("one of five");
    }
    let exceeded = Err("LimitExceededException".to_owned());
    assert_eq!(read(&client, &iterator).await, exceeded);
    tokio::time::sleep(Duration::from_secs(1)).await;
    read(&client, &iterator).await.expect("a second later");
    assert_eq!(fake.get_records_calls(&shard), 27);
    assert_eq!(fake.max_readers(&shard), 1);
}

/// How long the latest request took.
fn took(fake: &FaultyDynamoDb) -> Duration {
    let requests = fake.requests();
    let last = requests.last().expect("a request");
    last.ended().expect("it has ended") - last.received()
}

#[tokio::test(start_paused = true)]
async fn a_slow_shard_takes_two_readers() {
    let fake = table(2);
    let (shards, client) = (fake.shards(TABLE), fake.streams_client());
    let (slow, quick) = (shards[0].id(), shards[1].id());
    fake.slow_shard(TABLE, slow, Duration::from_secs(3));
    fake.limit_readers(true);
    let iterator = iterator_for(&fake, quick, TrimHorizon, None).await;
    read(&client, &iterator).await.expect("a page");
    assert_eq!(took(&fake), Duration::ZERO);
    let iterator = iterator_for(&fake, slow, TrimHorizon, None).await;
    let both = futures::join!(read(&client, &iterator), read(&client, &iterator));
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(took(&fake), Duration::from_secs(3));
    assert_eq!(fake.max_readers(slow), 2);
    let three = futures::future::join_all((0..3).map(|_| read(&client, &iterator))).await;
    assert!(three.iter().any(Result::is_err));
    assert_eq!((fake.max_readers(slow), fake.max_readers(quick)), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_gives_up_is_no_reader_any_more() {
    let fake = table(1);
    let (shard, client) = (only_shard(&fake), fake.streams_client());
    fake.slow_shard(TABLE, &shard, Duration::from_secs(3));
    let iterator = iterator_for(&fake, &shard, TrimHorizon, None).await;
    for _ in 0..4 {
        let read = read(&client, &iterator);
        let gone = tokio::time::timeout(Duration::from_secs(1), read).await;
        assert!(gone.is_err());
    }
    assert_eq!(fake.max_readers(&shard), 1);
}

#[tokio::test(start_paused = true)]
async fn faults_strike_operations_and_shards() {
    let fake = table(2);
    let (shards, client) = (fake.shards(TABLE), fake.streams_client());
    let (one, two) = (shards[0].id(), shards[1].id());
    let fault = Fault::internal_error().on(Operation::GetRecords);
    fake.inject(fault.on_shard(two).table(TABLE).times(1));
    for (shard, code) in [(one, None), (two, Some("InternalServerError")), (two, None)] {
        let iterator = iterator_for(&fake, shard, TrimHorizon, None).await;
        let outcome = read(&client, &iterator).await.err();
        assert_eq!(outcome.as_deref(), code);
    }
    for (fault, code) in [
        (Fault::trimmed_data(), "TrimmedDataAccessException"),
        (Fault::expired_iterator(), "ExpiredIteratorException"),
        (Fault::limit_exceeded(), "LimitExceededException"),
        (Fault::resource_not_found(), "ResourceNotFoundException"),
    ] {
        let iterator = iterator_for(&fake, one, TrimHorizon, None).await;
        fake.inject(fault.on_shard(one));
        assert_eq!(read(&client, &iterator).await, Err(code.to_owned()));
    }
    fake.fault_plan(FaultPlan::seeded(1).internal_error(1.0));
    let outcome = ask_iterator(&fake, one, TrimHorizon, None).await;
    assert_eq!(outcome, Err("InternalServerError".to_owned()));
}
