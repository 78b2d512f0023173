//! Rows of the lease table.

use super::*;

fn row<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Row {
    let attributes = attributes.into_iter();
    attributes
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn word(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[tokio::test(start_paused = true)]
async fn rows_of_other_kinds_are_skipped_and_left_alone() {
    let fake = table(2);
    make_lease_table(&fake);
    let others = [
        row([
            ("leaseKey", word("Leader")),
            ("entityType", word("LEADER")),
            ("ownerName", word("w")),
        ]),
        row([
            ("leaseKey", word("some note")),
            ("text", word("by an operator")),
        ]),
        row([
            ("leaseKey", word("shaped-like-a-lease")),
            ("entityType", word("OF_A_LATER_KCL")),
            ("leaseCounter", number(1)),
            ("checkpoint", word("TRIM_HORIZON")),
        ]),
    ];
    for other in &others {
        put_row(&fake, other.clone()).await;
    }
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    put_each(&fake, 20, 0).await;
    fake.split_all_shards(TABLE);
    put_each(&fake, 20, 1).await;
    log.until(40).await;
    tokio::time::sleep(120 * SECOND).await;
    worker.stop().await;
    let after = leases(&fake);
    for other in &others {
        assert_eq!(after.get(&text(other, "leaseKey").unwrap()), Some(other));
    }
    log.assert_each(20, 0..2);
}

#[tokio::test(start_paused = true)]
async fn unknown_attributes_of_a_lease_are_left_alone() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    make_lease_table(&fake);
    put_row(
        &fake,
        row([
            ("leaseKey", word(&shard)),
            ("leaseCounter", number(3)),
            ("checkpoint", word("TRIM_HORIZON")),
            ("checkpointSubSequenceNumber", number(0)),
            ("ownerSwitchesSinceCheckpoint", number(0)),
            ("theirs", AttributeValue::L(vec![number(1), word("x")])),
            ("throughputKBps", AttributeValue::N("6.85E-4".into())),
        ]),
    )
    .await;
    let log = Log::default();
    let one = Worker::start(nth(&fake, 1), &log).await;
    put(&fake, "a", 0).await;
    log.until(1).await;
    one.kill().await;
    let two = Worker::start(nth(&fake, 2), &log).await;
    put(&fake, "a", 1).await;
    eventually("it is read on", 30 * SECOND, || {
        log.versions("a").contains(&1)
    })
    .await;
    two.stop().await;
    let after = leases(&fake).remove(&shard).expect("the row");
    assert_eq!(
        after["theirs"],
        AttributeValue::L(vec![number(1), word("x")])
    );
    assert!(after.contains_key("throughputKBps"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_used_is_an_error_that_names_it() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    make_lease_table(&fake);
    put_row(
        &fake,
        row([
            ("leaseKey", word(&shard)),
            ("leaseCounter", number(3)),
            ("checkpoint", word("nonsense")),
        ]),
    )
    .await;
    let error = nth(&fake, 1).open().await.expect_err("a broken row");
    let said = error.to_string();
    assert!(
        said.contains(&shard) && said.contains("checkpoint"),
        "{said}"
    );
    assert!(said.contains(LEASES), "{said}");
}

#[tokio::test(start_paused = true)]
async fn rows_of_finished_parents_are_deleted_once_the_children_have_begun() {
    let fake = table(1);
    let log = Log::default();
    let settings = StreamsSettings::default().discovery_interval(5 * SECOND);
    let worker = Worker::start(nth(&fake, 1).settings(settings), &log).await;
    put_each(&fake, 20, 0).await;
    log.until(20).await;
    let parent = open_shards(&fake).remove(0);
    let children = fake.split_shard(TABLE, &parent);
    eventually("the parent is finished", 20 * SECOND, || {
        checkpoint(&fake, &parent).as_deref() == Some("SHARD_END")
    })
    .await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(
        checkpoint(&fake, &parent).as_deref(),
        Some("SHARD_END"),
        "no child has passed a record"
    );
    put_each(&fake, 20, 1).await;
    log.until(40).await;
    eventually("the parent's row is deleted", 60 * SECOND, || {
        leases(&fake).keys().cloned().collect::<BTreeSet<_>>() == children.clone().into()
    })
    .await;
    tokio::time::sleep(120 * SECOND).await;
    assert_eq!(leases(&fake).len(), 2, "and not made again");
    worker.stop().await;
    let worker = Worker::start(nth(&fake, 2), &log).await;
    put_each(&fake, 20, 2).await;
    log.until(60).await;
    worker.stop().await;
    log.assert_each(20, 0..3);
    let calls = fake.get_records_calls(&parent);
    assert!(calls > 0);
}
