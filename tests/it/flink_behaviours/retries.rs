//! Writes that are sent again beside newer ones.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_retried_goes_before_newer_writes_of_its_key() {
    let fake = service();
    fake.inject(Fault::unprocessed_all().times(3));
    let table = open(&fake, settings()).await;
    let mut receipts = vec![put(&table, "a", 1)];
    tokio::time::sleep(ms(10)).await;
    receipts.extend([
        put(&table, "a", 2),
        put(&table, "b", 1),
        put(&table, "a", 3),
    ]);
    all_written(receipts).await;
    let of_a = fake
        .applied()
        .into_iter()
        .filter(|write| write.key()["pk"] == s("a"));
    let numbers: Vec<_> = of_a.filter_map(|write| write.attribute("n")).collect();
    assert_eq!(
        numbers,
        ["1", "2", "3"].map(|n| AttributeValue::N(n.to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_retried_keeps_its_room_and_its_size() {
    let limit = measured(3).await;
    let fake = service();
    let narrow = settings().max_batch_bytes(limit).buffer_records(25);
    let table = open(&fake, narrow).await;
    fake.inject(Fault::unprocessed_all().times(4));
    let receipts = large(&table, 5, 0);
    let before = table.stats();
    tokio::time::sleep(ms(20)).await;
    assert!(!batches(&fake).is_empty());
    let after = table.stats();
    assert_eq!(after.buffered_records, 5);
    assert_eq!(after.buffered_bytes, before.buffered_bytes);
    assert!(after.buffered_bytes > 5 * 200_000);
    all_written(receipts).await;
    assert!(
        batches(&fake)
            .iter()
            .all(|batch| batch.body_bytes() <= limit)
    );
    assert!(batches(&fake).len() > 4);
    table.flush().await.expect("nothing failed");
    assert_eq!(
        (table.stats().buffered_records, table.stats().buffered_bytes),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_sent_again() {
    for lost in [
        Fault::close_after(),
        Fault::garbage_body(),
        Fault::truncated_body(),
        Fault::internal_error().after_applying(),
        Fault::never_answer().after_applying(),
    ] {
        let fake = service();
        let told = format!("{lost:?}");
        fake.inject(lost.on(Operation::BatchWriteItem));
        let table = open(&fake, settings()).await;
        all_written(vec![put(&table, "a", 1), put(&table, "b", 2)]).await;
        assert_eq!(sizes(&fake), [2, 2], "{told}");
        assert_eq!(fake.applied().len(), 4, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_after_a_timeout_is_ignored() {
    let fake = service();
    let table = open(&fake, settings().request_timeout(Duration::from_secs(1))).await;
    // The answer would come at 1.5 s, when the write was sent again and before it is answered.
    fake.inject(Fault::delay_after(ms(1_500)).on(Operation::BatchWriteItem));
    fake.inject(Fault::delay_after(ms(900)).on(Operation::BatchWriteItem));
    let mut receipt = put(&table, "a", 1);
    tokio::time::sleep(ms(1_600)).await;
    assert_eq!(batches(&fake).len(), 2);
    assert!(
        receipt.try_outcome().is_none(),
        "the answer to the first attempt is nobody's"
    );
    assert!(receipt.await.is_written());
    table.close().await.expect("closed");
    assert_eq!(table.stats().written, 1);
    assert!(fake.overlaps().is_empty());
}
