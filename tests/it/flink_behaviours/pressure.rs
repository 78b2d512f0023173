//! Bounds on requests in flight.

use super::*;

#[tokio::test(start_paused = true)]
async fn too_many_in_flight_blocks() {
    let fake = service();
    let table = open(
        &fake,
        settings()
            .concurrency(2)
            .max_batch_items(1)
            .buffer_records(4),
    )
    .await;
    fake.inject(
        Fault::delay_after(Duration::from_secs(1))
            .on(Operation::BatchWriteItem)
            .always(),
    );
    let receipts: Vec<_> = (0..4).map(|n| put(&table, &format!("k{n}"), n)).collect();
    tokio::time::sleep(ms(10)).await;
    assert_eq!(batches(&fake).len(), 2);
    assert_eq!(fake.in_flight(), 2);
    let full = table.put(&item("x", 1)).try_submit();
    assert!(matches!(full, Err(SubmitError::Full)), "{full:?}");
    let waits = tokio::time::timeout(ms(900), table.put(&item("x", 1))).await;
    assert!(waits.is_err(), "a submit waits for room");
    let entered = tokio::time::timeout(ms(200), table.put(&item("x", 1))).await;
    let last = entered.expect("an answer made room").expect("accepted");
    all_written(receipts).await;
    assert!(last.await.is_written());
    assert_eq!(fake.max_in_flight(), 2);
    assert_eq!(
        fake.applied().len(),
        5,
        "what was given up while it waited was never submitted"
    );
}

#[tokio::test(start_paused = true)]
async fn one_blocked_caller_does_not_stop_another() {
    let fake = service();
    // One key may take four of the sixteen places.
    let table = open(
        &fake,
        settings()
            .concurrency(2)
            .max_batch_items(4)
            .buffer_records(16),
    )
    .await;
    fake.inject(
        Fault::never_answer()
            .on_key(|key| key["pk"] == s("hot"))
            .always(),
    );
    let _hot: Vec<_> = (0..4).map(|n| put(&table, "hot", n)).collect();
    let blocked = tokio::spawn({
        let table = table.clone();
        async move { table.put(&item("hot", 4)).await }
    });
    tokio::time::sleep(ms(10)).await;
    assert!(!blocked.is_finished());
    let started = fake.applied().len();
    let others = (0..40).map(|n| {
        let table = table.clone();
        async move { table.put(&item(&format!("k{n}"), n)).confirm().await }
    });
    let all = tokio::time::timeout(Duration::from_secs(2), futures::future::join_all(others)).await;
    for outcome in all.expect("the others go on") {
        assert!(outcome.expect("accepted").is_written());
    }
    assert_eq!(fake.applied().len() - started, 40);
    assert!(!blocked.is_finished());
    table.abort().await;
    assert!(matches!(
        blocked.await.expect("no panic"),
        Err(SubmitError::Closed)
    ));
}
