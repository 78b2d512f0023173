//! What fails for a while is sent again, later and later, in its place.

use dynamodb_connector::sink::TableSettings;
use dynamodb_connector::test_util::{Fault, Operation};

use super::{all_written, batches, gaps, ms, secs};
use crate::setup::{TABLE, assert_no_room_taken, fake, is_pk, open, open_with, row};

#[tokio::test(start_paused = true)]
async fn a_retried_item_waits_for_nobody_and_nobody_passes_it() {
    let fake = fake();
    let settings = TableSettings::default().concurrency(50);
    let table = open_with(&fake, settings).await;
    fake.inject(
        Fault::unprocessed_keys(is_pk("old"))
            .on_key(is_pk("old"))
            .times(6),
    );
    let mut receipts = Vec::new();
    // 100 batches, up to 50 of them in flight; each has one of the values of "old".
    for n in 0..2_500 {
        let pk = if n % 25 == 0 { "old" } else { &format!("k{n}") };
        receipts.push(table.put(&row(pk, n)).await.expect("accepted"));
    }
    // Only the key that comes back waits: all others are written before it has had its first delay.
    tokio::time::sleep(ms(20)).await;
    assert_eq!(fake.item_count(TABLE), 2_400);
    all_written(receipts).await;
    let mut applied = fake.applied();
    applied.retain(|write| is_pk("old")(&write.key()));
    let numbers = applied.iter().map(|write| write.attribute("n").expect("n"));
    let numbers: Vec<u64> = numbers
        .map(|n| n.as_n().expect("a number").parse().expect("whole"))
        .collect();
    assert_eq!(numbers, (0..100).map(|n| n * 25).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn network_errors_are_not_fatal() {
    for fault in [
        Fault::close_before(),
        Fault::close_after(),
        Fault::garbage_body(),
        Fault::truncated_body(),
        Fault::bad_gateway(),
        Fault::never_answer(),
        Fault::never_answer().after_applying(),
    ] {
        let told = format!("{fault:?}");
        let fake = fake();
        fake.inject(fault.on(Operation::BatchWriteItem).times(40));
        let table = open(&fake).await;
        let mut receipts = Vec::new();
        for n in 0..50 {
            receipts.push(table.put(&row(format!("k{n}"), n)).await.expect("accepted"));
        }
        let closed = tokio::time::timeout(secs(3_600), table.close()).await;
        closed.expect("not stuck").expect(&told);
        assert_eq!(fake.waiting_faults(), 0, "{told}");
        assert_eq!(fake.item_count(TABLE), 50, "{told}");
        all_written(receipts).await;
        assert_no_room_taken(&table);
    }
}

#[tokio::test(start_paused = true)]
async fn the_delay_grows_while_items_stay_unprocessed() {
    let fake = fake();
    fake.inject(Fault::unprocessed_all().times(12));
    let table = open(&fake).await;
    let receipts = [table.put(&row("a", 1)).await.expect("accepted")];
    all_written(receipts).await;
    assert_eq!(batches(&fake).len(), 13);
    // 50 ms, doubled up to 10 s, or up to 400 ms once a rate was found that limits the table; half of
    // each delay is drawn. Nothing is taken for a second: then a pause of up to a second comes on top.
    for (nth, gap) in (0..).zip(gaps(&fake)) {
        let full = ms(50 << nth).min(secs(10));
        let pause = if nth < 4 { ms(0) } else { secs(1) };
        assert!(
            gap >= full.min(ms(400)) / 2 && gap <= full + pause + ms(2),
            "{nth}: {gap:?} of {full:?}"
        );
    }
}
