//! What tests do to a stream.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodbstreams::types::ShardIteratorType::{Latest, TrimHorizon};
use aws_sdk_dynamodbstreams::types::StreamStatus;
use dynamodb_connector::StreamView;
use dynamodb_connector::test_util::ShardInfo;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_split_divides_the_keys() {
    let fake = table(1);
    let parent = only_shard(&fake);
    put_many(&fake, 20).await;
    let [left, right] = fake.split_shard(TABLE, &parent);
    for at in 0..20 {
        put(&fake, &format!("key-{at}"), "2").await;
    }
    let count = drain(&fake, &parent).await.len();
    assert_eq!(count, 20, "the parent keeps what it had");
    let left: BTreeSet<String> = keys(&drain(&fake, &left).await).into_iter().collect();
    let right: BTreeSet<String> = keys(&drain(&fake, &right).await).into_iter().collect();
    assert!(left.is_disjoint(&right) && left.len() + right.len() == 20);
    assert!(!left.is_empty() && !right.is_empty());
    let states: Vec<bool> = fake.shards(TABLE).iter().map(ShardInfo::is_open).collect();
    assert_eq!(states, [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn all_shards_split_at_once() {
    let fake = table(4);
    assert_eq!(fake.split_all_shards(TABLE).len(), 8);
    let shards = fake.shards(TABLE);
    assert_eq!(shards.len(), 12);
    let open = shards.iter().filter(|shard| shard.is_open());
    assert!(open.clone().all(|shard| shard.parent().is_some()));
    assert_eq!(open.count(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_rolled_shard_has_one_child_of_all_its_keys() {
    let fake = table(1);
    let parent = only_shard(&fake);
    let child = fake.roll_shard(TABLE, &parent);
    put_many(&fake, 5).await;
    assert_eq!(drain(&fake, &child).await.len(), 5);
    assert_eq!(drain(&fake, &parent).await.len(), 0);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the table has this open shard")]
async fn a_closed_shard_does_not_split() {
    let fake = table(1);
    let parent = only_shard(&fake);
    fake.roll_shard(TABLE, &parent);
    fake.split_shard(TABLE, &parent);
}

#[tokio::test(start_paused = true)]
async fn records_are_trimmed_by_hand() {
    let fake = table(1);
    let (shard, client) = (only_shard(&fake), fake.streams_client());
    put_many(&fake, 6).await;
    let before = iterator_for(&fake, &shard, TrimHorizon, None).await;
    fake.trim_stream(TABLE, 4);
    assert_eq!(drain(&fake, &shard).await.len(), 4);
    let trimmed = Err("TrimmedDataAccessException".to_owned());
    assert_eq!(read(&client, &before).await, trimmed);
    let up_to = number(&drain(&fake, &shard).await[2]);
    fake.trim_shard(TABLE, &shard, &up_to);
    assert_eq!(keys(&drain(&fake, &shard).await), ["key-5"]);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_shard_is_not_found() {
    let fake = table(2);
    let shards = fake.shards(TABLE);
    let (gone, stays) = (shards[0].id(), shards[1].id());
    let iterator = iterator_for(&fake, gone, TrimHorizon, None).await;
    fake.forget_shard(TABLE, gone);
    assert_eq!(ids(&listing(&fake, 100).await), [stays]);
    let missing = "ResourceNotFoundException".to_owned();
    let again = ask_iterator(&fake, gone, TrimHorizon, None).await;
    assert_eq!(again, Err(missing.clone()));
    let read = read(&fake.streams_client(), &iterator).await;
    assert_eq!(read, Err(missing));
}

#[tokio::test(start_paused = true)]
async fn a_disabled_stream_can_be_read_for_a_day() {
    let fake = table(1);
    let shard = only_shard(&fake);
    let arn = fake.stream_arn(TABLE).expect("a stream");
    put(&fake, "a", "1").await;
    fake.disable_stream(TABLE);
    put(&fake, "b", "1").await;
    assert_eq!(fake.stream_arn(TABLE).as_ref(), Some(&arn));
    let client = fake.streams_client();
    let described = client.describe_stream().stream_arn(&arn).send().await;
    let described = described.expect("described").stream_description;
    let status = described.expect("a description").stream_status;
    assert_eq!(status, Some(StreamStatus::Disabled));
    let iterator = iterator_for(&fake, &shard, TrimHorizon, None).await;
    let (records, next) = read(&client, &iterator).await.expect("a page");
    assert_eq!((keys(&records), next), (vec!["a".to_owned()], None));
    let new = fake.enable_stream(TABLE, StreamView::KeysOnly);
    assert_ne!(new, arn);
    assert_eq!(fake.stream_arn(TABLE), Some(new));
    let listed = client.list_streams().table_name(TABLE).send().await;
    assert_eq!(listed.expect("listed").streams().len(), 2);
    tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    let described = client.describe_stream().stream_arn(&arn).send().await;
    let error = described.expect_err("gone").into_service_error();
    assert!(error.is_resource_not_found_exception());
}

#[tokio::test(start_paused = true)]
async fn records_become_visible_late() {
    let fake = table(1);
    let (shard, client) = (only_shard(&fake), fake.streams_client());
    fake.stream_lag(TABLE, Duration::from_secs(2));
    let latest = iterator_for(&fake, &shard, Latest, None).await;
    put(&fake, "a", "1").await;
    fake.roll_shard(TABLE, &shard);
    let (records, next) = read(&client, &latest).await.expect("a page");
    assert_eq!(records.len(), 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let next = next.expect("the shard has not ended yet");
    let (records, next) = read(&client, &next).await.expect("a page");
    assert_eq!((records.len(), next), (1, None));
}

#[tokio::test(start_paused = true)]
async fn one_line_of_shards_splits_again_and_again() {
    let fake = table(2);
    let mut last = fake.shards(TABLE)[0].id().to_owned();
    for _ in 0..70 {
        [_, last] = fake.split_shard(TABLE, &last);
    }
    put_many(&fake, 100).await;
    let held: usize = fake.shards(TABLE).iter().map(ShardInfo::record_count).sum();
    assert_eq!(held, 100);
}
