//! Lease tables of stopped KCL applications are taken over exactly at their checkpoints.
//!
//! `tests/fixtures/kcl/` has rows of lease tables as real workers of the Kinesis Client Library with its DynamoDB Streams adapter wrote them, read
//! from DynamoDB Local after each run: KCL 3.1.1 with adapter 2.0.1, KCL 3.5.1 with adapter 2.3.0, KCL 1.14.9 with adapter 1.6.1. The rows name shards
//! and records of those streams; here they are given the names of the fake's shards and the numbers of its records, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::test_util::FaultyDynamoDb;
use serde_json::Value as Json;

use super::rig::{
    LEASES, Log, Row, TABLE, Worker, checkpoint, eventually, leases, make_lease_table, nth, put,
    put_row, table, text,
};

const SECOND: Duration = Duration::from_secs(1);

const TWO_WORKERS: &str = include_str!("../../fixtures/kcl/kcl-3.1.1-two-workers.json");
const CHILD_AT_ITS_START: &str =
    include_str!("../../fixtures/kcl/kcl-3.1.1-child-begun-nowhere.json");
const ONE_TABLE: &str = include_str!("../../fixtures/kcl/kcl-3.5.1-one-table.json");
const KCL_1: &str = include_str!("../../fixtures/kcl/kcl-1.14.9-child-taken.json");
const SEVERAL_STREAMS: &str = include_str!("../../fixtures/kcl/kcl-3.1.1-several-streams.json");

fn value(json: &Json) -> AttributeValue {
    let (kind, value) = json.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "SS" => {
            let texts = value.as_array().unwrap().iter();
            AttributeValue::Ss(
                texts
                    .map(|text| text.as_str().unwrap().to_owned())
                    .collect(),
            )
        }
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(self::value).collect()),
        "M" => {
            let members = value.as_object().unwrap().iter();
            let members = members.map(|(name, member)| (name.clone(), self::value(member)));
            AttributeValue::M(members.collect())
        }
        other => panic!("no attribute of type {other} in these rows"),
    }
}

/// The rows of a fixture, with names in them replaced.
fn rows(fixture: &str, names: &[(&str, &str)]) -> Vec<Row> {
    let mut fixture = fixture.to_owned();
    for (theirs, ours) in names {
        assert!(fixture.contains(theirs), "{theirs} is in none of the rows");
        fixture = fixture.replace(theirs, ours);
    }
    let rows: Vec<BTreeMap<String, Json>> = serde_json::from_str(&fixture).unwrap();
    let row = |row: BTreeMap<String, Json>| -> Row {
        row.iter()
            .map(|(name, json)| (name.clone(), value(json)))
            .collect()
    };
    rows.into_iter().map(row).collect()
}

/// A table whose shard was rolled over: versions 0 to 4 of `a` in the parent, 5 to 14 in the child. The child's
/// name and the number of version 9 in it.
async fn rolled() -> (FaultyDynamoDb, String, String, String) {
    let fake = table(1);
    for version in 0..5 {
        put(&fake, "a", version).await;
    }
    let parent = fake.shards(TABLE)[0].id().to_owned();
    let child = fake.roll_shard(TABLE, &parent);
    for version in 5..10 {
        put(&fake, "a", version).await;
    }
    let shards = fake.shards(TABLE);
    let ninth = shards[1].last_sequence_number().unwrap().to_owned();
    for version in 10..15 {
        put(&fake, "a", version).await;
    }
    (fake, parent, child, ninth)
}

async fn load(fake: &FaultyDynamoDb, rows: &[Row]) {
    make_lease_table(fake);
    for row in rows {
        put_row(fake, row.clone()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_application_of_kcl_3_is_gone_on_with_after_its_checkpoint() {
    let (fake, parent, child, ninth) = rolled().await;
    let rows = rows(
        TWO_WORKERS,
        &[
            ("shardId-00000001795407353833-5148a727", child.as_str()),
            ("shardId-00000001795407173026-25a3db9f", parent.as_str()),
            ("000000000000000000106", ninth.as_str()),
        ],
    );
    load(&fake, &rows).await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    // Its worker is in the row and never gave it up: it is believed dead when it has been silent for the failover time.
    let took = eventually("it is gone on with", 30 * SECOND, || log.len() == 5).await;
    assert!(took <= 13 * SECOND, "{took:?}");
    put(&fake, "a", 15).await;
    log.until(6).await;
    tokio::time::sleep(120 * SECOND).await;
    let row = leases(&fake).remove(&child).expect("the child's row");
    assert_eq!(
        text(&row, "throughputKBps").as_deref(),
        Some("0.000146"),
        "which the KCL wrote as 1.46E-4"
    );
    assert_eq!(text(&row, "startingHashKey").as_deref(), Some("0"));
    worker.stop().await;
    assert_eq!(log.versions("a"), (10..16).collect::<Vec<_>>());
    assert_eq!(fake.get_records_calls(&parent), 0, "it was at SHARD_END");
    let last = fake.shards(TABLE)[1]
        .last_sequence_number()
        .map(str::to_owned);
    assert_eq!(checkpoint(&fake, &child), last);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_the_kcl_had_not_begun_is_read_from_its_first_record() {
    let (fake, parent, child, _) = rolled().await;
    let rows = rows(
        CHILD_AT_ITS_START,
        &[
            ("shardId-00000001795407353833-5148a727", child.as_str()),
            ("shardId-00000001795407173026-25a3db9f", parent.as_str()),
        ],
    );
    load(&fake, &rows).await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    log.until(10).await;
    tokio::time::sleep(60 * SECOND).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), (5..15).collect::<Vec<_>>());
    assert_eq!(fake.get_records_calls(&parent), 0);
}

#[tokio::test(start_paused = true)]
async fn the_one_table_of_kcl_3_5_is_taken_over_and_its_other_rows_stay_as_they_are() {
    let (fake, parent, child, _) = rolled().await;
    let rows = rows(
        ONE_TABLE,
        &[
            ("shardId-00000001795408366871-fb80ea19", child.as_str()),
            ("shardId-00000001795407671814-37dda67e", parent.as_str()),
        ],
    );
    load(&fake, &rows).await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    log.until(10).await;
    tokio::time::sleep(120 * SECOND).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), (5..15).collect::<Vec<_>>());
    assert_eq!(fake.get_records_calls(&parent), 0);
    let after = leases(&fake);
    let mut others = 0;
    for row in rows {
        let key = text(&row, "leaseKey").unwrap();
        if !key.starts_with("shardId-") {
            assert_eq!(after.get(&key), Some(&row), "{key}");
            others += 1;
        }
    }
    assert_eq!(others, 3);
    let entity = text(&after[&child], "entityType");
    assert_eq!(entity.as_deref(), Some("LEASE"));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_application_of_kcl_1_is_gone_on_with_after_its_checkpoint() {
    let (fake, parent, child, ninth) = rolled().await;
    let rows = rows(
        KCL_1,
        &[
            ("shardId-00000001795407711671-8633f5b5", child.as_str()),
            ("shardId-00000001795407676624-9ee14b36", parent.as_str()),
            ("000000000000000000030", ninth.as_str()),
        ],
    );
    load(&fake, &rows).await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    log.until(5).await;
    tokio::time::sleep(60 * SECOND).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), (10..15).collect::<Vec<_>>());
    assert_eq!(fake.get_records_calls(&parent), 0);
}

/// What [`rolled`] has, with the parent's checkpoint at version 2: a KCL that was stopped in the middle of a shard that has been closed since.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_in_the_middle_of_a_closed_shard_is_gone_on_with_through_its_child() {
    let fake = table(1);
    for version in 0..3 {
        put(&fake, "a", version).await;
    }
    let shard = fake.shards(TABLE).remove(0);
    for version in 3..5 {
        put(&fake, "a", version).await;
    }
    fake.roll_shard(TABLE, shard.id());
    for version in 5..8 {
        put(&fake, "a", version).await;
    }
    // A checkpoint of a worker that was asked to hand over and killed, with everything that a KCL may leave.
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |number: &str| AttributeValue::N(number.to_owned());
    let row: HashMap<String, AttributeValue> = [
        ("leaseKey", text(shard.id())),
        ("checkpoint", text(shard.last_sequence_number().unwrap())),
        ("checkpointSubSequenceNumber", number("0")),
        ("leaseCounter", number("7")),
        ("leaseOwner", text("dead-worker")),
        ("checkpointOwner", text("another-dead-worker")),
        ("ownerSwitchesSinceCheckpoint", number("0")),
        ("pendingCheckpoint", text("TRIM_HORIZON")),
        ("pendingCheckpointSubSequenceNumber", number("0")),
        ("somebodyElses", text("kept")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    load(&fake, &[row]).await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    log.until(5).await;
    assert_eq!(log.versions("a"), (3..8).collect::<Vec<_>>());
    let row = leases(&fake).remove(shard.id());
    worker.stop().await;
    if let Some(row) = row {
        assert_eq!(
            super::rig::text(&row, "somebodyElses").as_deref(),
            Some("kept")
        );
        assert_eq!(row.get("pendingCheckpoint"), None);
        assert_eq!(row.get("checkpointOwner"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn leases_of_an_application_on_several_streams_are_left_alone() {
    let fake = table(1);
    put(&fake, "a", 0).await;
    let theirs = rows(SEVERAL_STREAMS, &[]);
    load(&fake, &theirs).await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    log.until(1).await;
    tokio::time::sleep(120 * SECOND).await;
    worker.stop().await;
    let after = leases(&fake);
    for row in theirs {
        assert_eq!(after.get(&text(&row, "leaseKey").unwrap()), Some(&row));
    }
}

#[tokio::test(start_paused = true)]
async fn our_rows_have_what_a_kcl_needs() {
    let (fake, _, _, _) = rolled().await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1), &log).await;
    // While the parent is still to be read the child's row is there too: a KCL would start it otherwise.
    let rows = leases(&fake);
    assert_eq!(rows.len(), 2);
    let needed = [
        "leaseKey",
        "checkpoint",
        "checkpointSubSequenceNumber",
        "leaseCounter",
        "ownerSwitchesSinceCheckpoint",
    ];
    log.until(15).await;
    worker.stop().await;
    for row in rows.values().chain(leases(&fake).values()) {
        for name in needed {
            assert!(text(row, name).is_some(), "{name} of {row:?}");
        }
    }
    assert!(fake.item_count(LEASES) >= 1);
}
