//! Snapshots: of any legal item, at any time, for any other sink.

use dynamodb_connector::TableSpec;
use dynamodb_connector::sink::{DynamoDbSink, Snapshot, TableSettings, TableSink};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation, Throttle};

use super::{all_written, ms, secs};
use crate::setup::{
    TABLE, assert_no_room_taken, fake, large, open, open_with, row, settle, stored, stored_n,
};

/// A service that refuses every batch for want of capacity.
fn throttled() -> FaultyDynamoDb {
    let fake = fake();
    let refused = Fault::throttled(Throttle::ProvisionedThroughput);
    fake.inject(refused.on(Operation::BatchWriteItem).always());
    fake
}

async fn reread(table: &TableSink) -> Snapshot {
    let bytes = table.snapshot().await.expect("a snapshot").to_bytes();
    Snapshot::from_bytes(&bytes).expect("what was written is read")
}

#[tokio::test(start_paused = true)]
async fn long_strings_survive_a_snapshot() {
    let source = throttled();
    let table = open(&source).await;
    let sizes = [65_535, 65_536, 100_000, 390_000];
    for size in sizes {
        let put = table.put(&large(format!("of {size}"), size));
        drop(put.await.expect("accepted"));
    }
    let snapshot = reread(&table).await;
    assert_eq!(snapshot.len(), sizes.len());
    let target = fake();
    let table = open(&target).await;
    let restored = table.restore(&snapshot).await.expect("restored");
    all_written(restored.receipts).await;
    for size in sizes {
        let item = stored(&target, &format!("of {size}")).expect("there");
        assert_eq!(item["text"].as_s().expect("a string").len(), size);
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_under_lasting_throttling_is_immediate_and_sends_nothing() {
    let fake = throttled();
    let table = open(&fake).await;
    let mut receipts = Vec::new();
    for n in 0..5_000 {
        receipts.push(table.put(&row(format!("k{n}"), n)).await.expect("accepted"));
    }
    tokio::time::sleep(secs(600)).await;
    settle().await;
    let sent = fake.requests().len();
    // Shorter than tokio's clock can tell: it comes without any time passing.
    let snapshot = tokio::time::timeout(ms(1), table.snapshot()).await;
    let snapshot = snapshot.expect("immediate").expect("a snapshot");
    assert_eq!(fake.requests().len(), sent);
    assert_eq!((snapshot.len(), fake.item_count(TABLE)), (5_000, 0));
    // It has not stopped the sink.
    fake.heal();
    table.close().await.expect("all written");
    all_written(receipts).await;
    let target = crate::setup::fake();
    let table = open(&target).await;
    table.restore(&snapshot).await.expect("restored");
    table.close().await.expect("all written");
    assert_eq!(target.item_count(TABLE), 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_moves_to_a_sink_of_other_settings() {
    let source = throttled();
    let settings = TableSettings::default()
        .concurrency(1..=64)
        .deadline(secs(3_600));
    let table = open_with(&source, settings).await;
    for n in 0..500 {
        let put = table.put(&row(format!("k{}", n % 50), n));
        drop(put.await.expect("accepted"));
    }
    let snapshot = reread(&table).await;
    table.abort().await;
    assert_eq!(snapshot.len(), 500);

    // Another service, by another way of opening, among other tables, and with a buffer that holds a fraction of it.
    let target = fake();
    target.create_table(TableSpec::new("others"));
    let small = TableSettings::default()
        .concurrency(1)
        .max_batch_items(3)
        .buffer_records(10)
        .max_key_share(1.0);
    let sink = DynamoDbSink::builder(&target.client())
        .table("others", TableSettings::default())
        .table(TABLE, small)
        .open();
    let sink = sink.await.expect("opened");
    let restored = sink.restore(&snapshot).await.expect("restored");
    assert_eq!(
        (restored.receipts.len(), restored.handed_back.len()),
        (500, 0)
    );
    sink.close().await.expect("all written");
    all_written(restored.receipts).await;
    assert_eq!(target.applied().len(), 500);
    assert!(target.overlaps().is_empty());
    for n in 450..500 {
        assert_eq!(stored_n(&target, &format!("k{}", n % 50)), Some(n));
    }
    assert_no_room_taken(&sink.table(TABLE).expect("opened"));
}
