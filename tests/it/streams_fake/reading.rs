//! `GetShardIterator` and `GetRecords`.

use std::time::Duration;

use aws_sdk_dynamodbstreams::types::ShardIteratorType::{
    AfterSequenceNumber, AtSequenceNumber, Latest, TrimHorizon,
};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test(start_paused = true)]
async fn each_kind_of_iterator_begins_at_its_place() {
    let fake = table(1);
    let (shard, client) = (only_shard(&fake), fake.streams_client());
    for key in ["a", "b", "c"] {
        put(&fake, key, "1").await;
    }
    let second = number(&drain(&fake, &shard).await[1]);
    let latest = iterator_for(&fake, &shard, Latest, None).await;
    put(&fake, "d", "1").await;
    for (kind, number, wanted) in [
        (TrimHorizon, None, &["a", "b", "c", "d"][..]),
        (AtSequenceNumber, Some(&second), &["b", "c", "d"]),
        (AfterSequenceNumber, Some(&second), &["c", "d"]),
        (Latest, None, &[]),
    ] {
        let number = number.map(String::as_str);
        let iterator = iterator_for(&fake, &shard, kind.clone(), number).await;
        let (records, next) = read(&client, &iterator).await.expect("a page");
        assert_eq!(keys(&records), wanted, "{kind:?}");
        assert!(next.is_some(), "an open shard goes on");
    }
    let (records, _) = read(&client, &latest).await.expect("a page");
    assert_eq!(keys(&records), ["d"]);
}

#[tokio::test(start_paused = true)]
async fn a_page_holds_what_was_asked_for_at_most() {
    let fake = table(1);
    put_many(&fake, 5).await;
    let iterator = iterator_for(&fake, &only_shard(&fake), TrimHorizon, None).await;
    let client = fake.streams_client();
    let ask = client.get_records().shard_iterator(&iterator);
    let page = ask.limit(2).send().await.expect("a page");
    assert_eq!(keys(page.records()), ["key-0", "key-1"]);
    let next = page.next_shard_iterator.expect("more");
    let (rest, _) = read(&client, &next).await.expect("a page");
    assert_eq!(keys(&rest), ["key-2", "key-3", "key-4"]);
    let ask = client.get_records().shard_iterator(&iterator).limit(1001);
    let error = ask
        .send()
        .await
        .expect_err("a refusal")
        .into_service_error();
    assert!(error.is_limit_exceeded_exception());
}

#[tokio::test(start_paused = true)]
async fn a_page_holds_a_thousand_records_or_a_megabyte() {
    let fake = table(1);
    fake.keep_journal(false);
    put_many(&fake, 1001).await;
    let (shard, client) = (only_shard(&fake), fake.streams_client());
    let iterator = iterator_for(&fake, &shard, TrimHorizon, None).await;
    let (records, _) = read(&client, &iterator).await.expect("a page");
    assert_eq!(records.len(), 1000);
    let latest = iterator_for(&fake, &shard, Latest, None).await;
    for at in 0..4 {
        put(&fake, &format!("large-{at}"), &"x".repeat(300 << 10)).await;
    }
    let (records, next) = read(&client, &latest).await.expect("a page");
    assert_eq!(records.len(), 3);
    let (records, _) = read(&client, &next.expect("more")).await.expect("a page");
    assert_eq!(records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_records_of_a_closed_shard_come_without_a_next_iterator() {
    let fake = table(1);
    let (shard, client) = (only_shard(&fake), fake.streams_client());
    put(&fake, "a", "1").await;
    let before = iterator_for(&fake, &shard, TrimHorizon, None).await;
    let latest = iterator_for(&fake, &shard, Latest, None).await;
    fake.roll_shard(TABLE, &shard);
    let (records, next) = read(&client, &before).await.expect("a page");
    assert_eq!((keys(&records), next), (vec!["a".to_owned()], None));
    let (records, next) = read(&client, &latest).await.expect("a page");
    assert_eq!((records.len(), next), (0, None));
}

#[tokio::test(start_paused = true)]
async fn an_iterator_expires_after_fifteen_minutes_or_by_hand() {
    let fake = table(1);
    let (shard, client) = (only_shard(&fake), fake.streams_client());
    let first = iterator_for(&fake, &shard, TrimHorizon, None).await;
    tokio::time::sleep(Duration::from_secs(15 * 60 - 1)).await;
    let (_, next) = read(&client, &first).await.expect("still good");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let expired = Err("ExpiredIteratorException".to_owned());
    assert_eq!(read(&client, &first).await, expired);
    let next = next.expect("a fresh one");
    read(&client, &next).await.expect("still good");
    fake.expire_iterators();
    assert_eq!(read(&client, &next).await, expired);
    let again = iterator_for(&fake, &shard, TrimHorizon, None).await;
    read(&client, &again).await.expect("a new one is good");
}

#[tokio::test(start_paused = true)]
async fn records_are_trimmed_after_a_day() {
    let fake = table(1);
    let (shard, client) = (only_shard(&fake), fake.streams_client());
    put(&fake, "a", "1").await;
    let old = number(&drain(&fake, &shard).await[0]);
    tokio::time::sleep(DAY / 2).await;
    put(&fake, "b", "1").await;
    tokio::time::sleep(DAY / 2 - Duration::from_secs(60)).await;
    let before = iterator_for(&fake, &shard, TrimHorizon, None).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(keys(&drain(&fake, &shard).await), ["b"]);
    let trimmed = Err("TrimmedDataAccessException".to_owned());
    assert_eq!(read(&client, &before).await, trimmed);
    let at = ask_iterator(&fake, &shard, AtSequenceNumber, Some(&old)).await;
    assert_eq!(at, Err("TrimmedDataAccessException".to_owned()));
    // What comes after the last trimmed record is all there.
    let after = iterator_for(&fake, &shard, AfterSequenceNumber, Some(&old)).await;
    assert_eq!(keys(&read(&client, &after).await.expect("a page").0), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_refused() {
    let fake = table(1);
    let (shard, client) = (only_shard(&fake), fake.streams_client());
    let refused = |code: &str| Err(code.to_owned());
    let kind = TrimHorizon;
    let unknown = ask_iterator(&fake, "shardId-unknown", kind, None).await;
    assert_eq!(unknown, refused("ResourceNotFoundException"));
    let without = ask_iterator(&fake, &shard, AtSequenceNumber, None).await;
    assert_eq!(without, refused("ValidationException"));
    let foreign = ask_iterator(&fake, &shard, AtSequenceNumber, Some("1")).await;
    assert_eq!(foreign, refused("ValidationException"));
    let kind = "AT_TIMESTAMP".into();
    let kind = ask_iterator(&fake, &shard, kind, None).await;
    assert_eq!(kind, refused("ValidationException"));
    let nonsense = read(&client, "nonsense").await;
    assert_eq!(nonsense, Err("ValidationException".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_closed_shard_vanishes_when_its_records_are_trimmed() {
    let fake = table(1);
    let shard = only_shard(&fake);
    put(&fake, "a", "1").await;
    let child = fake.roll_shard(TABLE, &shard);
    tokio::time::sleep(DAY - Duration::from_secs(1)).await;
    assert_eq!(
        ids(&listing(&fake, 100).await),
        [shard.clone(), child.clone()]
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ids(&listing(&fake, 100).await), [child]);
    let gone = ask_iterator(&fake, &shard, TrimHorizon, None).await;
    assert_eq!(gone, Err("ResourceNotFoundException".to_owned()));
}
