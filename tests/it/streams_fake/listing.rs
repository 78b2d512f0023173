//! `ListStreams` and `DescribeStream`.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodbstreams::types::{KeyType, ShardFilter, ShardFilterType, StreamStatus};
use dynamodb_connector::test_util::FaultyDynamoDb;
use dynamodb_connector::{StreamView, TableSpec};

use super::*;

async fn children(fake: &FaultyDynamoDb, parent: &str) -> Vec<String> {
    let arn = fake.stream_arn(TABLE).expect("a stream");
    let filter = ShardFilter::builder().r#type(ShardFilterType::ChildShards);
    let ask = fake.streams_client().describe_stream().stream_arn(arn);
    let ask = ask.shard_filter(filter.shard_id(parent).build());
    let answer = ask.send().await.expect("described");
    ids(answer.stream_description.expect("a description").shards())
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_described() {
    let fake = table(2);
    let arn = fake.stream_arn(TABLE).expect("a stream");
    let ask = fake.streams_client().describe_stream().stream_arn(&arn);
    let answer = ask.send().await.expect("described");
    let stream = answer.stream_description.expect("a description");
    assert_eq!(stream.stream_arn.as_deref(), Some(arn.as_str()));
    assert_eq!(stream.table_name.as_deref(), Some(TABLE));
    assert_eq!(stream.stream_status, Some(StreamStatus::Enabled));
    assert!(arn.ends_with(stream.stream_label.as_deref().expect("a label")));
    assert_eq!(stream.key_schema()[0].key_type, KeyType::Hash);
    assert_eq!(stream.shards().len(), 2);
    for shard in stream.shards() {
        let range = shard.sequence_number_range.as_ref().expect("a range");
        assert!(range.starting_sequence_number.is_some());
        assert!(range.ending_sequence_number.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_shards_are_listed_page_by_page() {
    let fake = table(1000);
    let all = ids(&listing(&fake, 100).await);
    let known: Vec<String> = fake
        .shards(TABLE)
        .iter()
        .map(|s| s.id().to_owned())
        .collect();
    assert_eq!(all, known);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 1000);
    assert_eq!(fake.requests().len(), 10);
    let arn = fake.stream_arn(TABLE).expect("a stream");
    let ask = fake.streams_client().describe_stream().stream_arn(arn);
    let error = ask.limit(101).send().await.expect_err("a refusal");
    assert_eq!(code(&error), "ValidationException");
}

#[tokio::test(start_paused = true)]
async fn split_shards_have_children_and_an_end() {
    let fake = table(1);
    let parent = only_shard(&fake);
    put_many(&fake, 10).await;
    let halves = fake.split_shard(TABLE, &parent);
    put_many(&fake, 0).await;
    let listed = listing(&fake, 100).await;
    assert_eq!(ids(&listed)[1..], halves);
    let range = |at: usize| listed[at].sequence_number_range.clone().expect("a range");
    let ending = range(0).ending_sequence_number.expect("closed");
    for child in [1, 2] {
        assert_eq!(listed[child].parent_shard_id.as_ref(), Some(&parent));
        assert!(range(child).starting_sequence_number.expect("a start") > ending);
    }
    assert_eq!(children(&fake, &parent).await, halves);
    assert!(children(&fake, &halves[0]).await.is_empty());
    fake.ignore_shard_filter(TABLE, true);
    assert_eq!(children(&fake, &halves[0]).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn children_are_listed_late() {
    let fake = table(1);
    let parent = only_shard(&fake);
    fake.list_children_late(TABLE, Duration::from_secs(30));
    let child = fake.roll_shard(TABLE, &parent);
    let listed = ids(&listing(&fake, 100).await);
    assert_eq!(listed, std::slice::from_ref(&parent));
    assert!(children(&fake, &parent).await.is_empty());
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(
        ids(&listing(&fake, 100).await),
        [parent.clone(), child.clone()]
    );
    assert_eq!(children(&fake, &parent).await, [child]);
}

#[tokio::test(start_paused = true)]
async fn spoilt_listings_are_right_in_the_end() {
    let fake = table(8);
    fake.split_all_shards(TABLE);
    let right = ids(&listing(&fake, 5).await);
    fake.inconsistent_pages(TABLE, 7);
    let mut listings = Vec::new();
    for _ in 0..60 {
        listings.push(ids(&listing(&fake, 5).await));
    }
    assert!(listings.iter().skip(2).step_by(3).all(|ids| *ids == right));
    let wrong: Vec<&Vec<String>> = listings.iter().filter(|ids| **ids != right).collect();
    let distinct = |ids: &[String]| ids.iter().collect::<BTreeSet<_>>().len();
    assert!(
        wrong.iter().any(|ids| distinct(ids) < right.len()),
        "missing"
    );
    assert!(
        wrong.iter().any(|ids| distinct(ids) < ids.len()),
        "repeated"
    );
    let disordered = |ids: &&&Vec<String>| ids.len() == right.len() && distinct(ids) == ids.len();
    assert!(wrong.iter().any(|ids| disordered(&ids)), "out of order");
    fake.inconsistent_pages(TABLE, None);
    assert_eq!(ids(&listing(&fake, 5).await), right);
}

#[tokio::test(start_paused = true)]
async fn streams_are_listed() {
    let fake = table(1);
    for name in ["others", "another"] {
        fake.create_table(TableSpec::new(name).stream(StreamView::KeysOnly));
    }
    fake.create_table(TableSpec::new("without"));
    let client = fake.streams_client();
    let one = client.list_streams().table_name(TABLE).send().await;
    let one = one.expect("listed");
    assert_eq!(one.streams().len(), 1);
    assert_eq!(one.streams()[0].stream_arn, fake.stream_arn(TABLE));
    let mut names = Vec::new();
    let mut start = None;
    loop {
        let page = client.list_streams().limit(1);
        let page = page.set_exclusive_start_stream_arn(start).send().await;
        let page = page.expect("listed");
        names.extend(page.streams().iter().filter_map(|s| s.table_name.clone()));
        start = page.last_evaluated_stream_arn;
        if start.is_none() {
            break;
        }
    }
    assert_eq!(names, ["another", TABLE, "others"]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_stream_is_not_found() {
    let fake = table(1);
    let arn = fake.stream_arn(TABLE).expect("a stream");
    let ask = fake.streams_client().describe_stream();
    let error = ask.stream_arn(format!("{arn}1")).send().await;
    let error = error.expect_err("a refusal").into_service_error();
    assert!(error.is_resource_not_found_exception());
}
