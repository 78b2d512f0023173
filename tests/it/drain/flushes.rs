//! Flush, close and abort.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_earlier_writes_only() {
    let fake = fake();
    let table = open_with(&fake, one_by_one()).await;
    fake.inject(on_writes(
        Fault::delay_after(Duration::from_secs(1)).times(2),
    ));
    fake.inject(on_writes(Fault::delay_after(Duration::from_secs(60))).always());
    let mut early = [
        table.put(&row("a", 1)).await.unwrap(),
        table.put(&row("b", 1)).await.unwrap(),
    ];
    let flush = table.flush();
    let mut flush = Box::pin(flush);
    assert!(flush.as_mut().now_or_never().is_none());
    let mut late = table.put(&row("c", 1)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(3), flush)
        .await
        .expect("the later write holds it up")
        .unwrap();
    assert!(
        early
            .iter_mut()
            .all(|receipt| receipt.try_outcome().unwrap().is_written())
    );
    assert!(late.try_outcome().is_none());
    table.close().await.unwrap();
    assert!(late.await.is_written());
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_nothing_is_done_at_once() {
    let table = open(&fake()).await;
    table.flush().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_let_batches_wait_to_fill() {
    let fake = fake();
    let settings = TableSettings::default()
        .linger(Duration::from_secs(60))
        .concurrency(2);
    let table = open_with(&fake, settings).await;
    fake.inject(Fault::delay_before(Duration::from_secs(1)).always());
    for n in 0..3 {
        drop(table.put(&row(format!("k{n}"), n)).await.unwrap());
        settle().await;
    }
    tokio::time::timeout(Duration::from_secs(5), table.flush())
        .await
        .expect("it waited for the linger")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_close_drains_and_refuses_what_comes_later() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(on_writes(
        Fault::throttled(Throttle::ProvisionedThroughput).times(5),
    ));
    let mut receipts = Vec::new();
    for n in 0..100 {
        receipts.push(table.put(&row(format!("k{n}"), n)).await.unwrap());
    }
    let other = table.clone();
    let mut close = Box::pin(table.close());
    assert!(close.as_mut().now_or_never().is_none());
    let late = other.put(&row("late", 1)).await;
    assert!(matches!(late, Err(SubmitError::Closed)), "{late:?}");
    close.await.unwrap();
    for receipt in receipts {
        assert!(receipt.await.is_written());
    }
    assert_eq!(fake.item_count(TABLE), 100);
    for error in [
        table.close().await.unwrap_err(),
        other.flush().await.unwrap_err(),
        other.snapshot().await.unwrap_err(),
    ] {
        assert!(matches!(error, DrainError::Closed), "{error:?}");
    }
    assert!(table.abort().await.is_empty());
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn closes_and_flushes_at_the_same_time_all_end() {
    let fake = fake();
    let table = open_with(&fake, one_by_one()).await;
    fake.inject(Fault::delay_before(Duration::from_secs(1)).always());
    for n in 0..3 {
        drop(table.put(&row(format!("k{n}"), n)).await.unwrap());
    }
    let (flushed, closed, again) = tokio::join!(table.flush(), table.close(), table.close());
    flushed.unwrap();
    closed.unwrap();
    again.unwrap();
    assert_eq!(fake.item_count(TABLE), 3);
}

#[tokio::test(start_paused = true)]
async fn an_abort_hands_all_back_in_order_and_knows_what_may_have_applied() {
    let fake = fake();
    let settings = TableSettings::default()
        .concurrency(2)
        .max_batch_items(2)
        .request_timeout(Duration::from_secs(300));
    let table = open_with(&fake, settings).await;
    fake.inject(Fault::never_answer().after_applying().on_key(is_pk("k0")));
    fake.inject(Fault::never_answer().always());
    let mut receipts = Vec::new();
    for n in 0..10 {
        receipts.push(table.put(&row(format!("k{n}"), n)).await.unwrap());
        if n == 1 || n == 3 {
            settle().await;
        }
    }
    // Those of one key wait behind each other.
    receipts.push(table.put(&row("k9", 10)).await.unwrap());
    settle().await;
    let in_flight: usize = fake.requests().iter().map(RequestRecord::items).sum();
    assert!((1..=4).contains(&in_flight));
    let mut flush = Box::pin(table.flush());
    assert!(flush.as_mut().now_or_never().is_none());
    let handed_back = table.abort().await;
    let order: Vec<u64> = handed_back
        .iter()
        .map(|outcome| match outcome {
            Outcome::Unwritten {
                record: Some(record),
                ..
            } => record.item().unwrap().deserialize::<Row>().unwrap().n,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, (0..=10).collect::<Vec<_>>());
    let unsure = handed_back
        .iter()
        .filter(|outcome| outcome.may_have_applied())
        .count();
    assert_eq!(unsure, in_flight);
    for (told, receipt) in handed_back.iter().zip(receipts) {
        let receipt = receipt.await;
        assert_eq!(told.may_have_applied(), receipt.may_have_applied());
        assert!(matches!(receipt, Outcome::Unwritten { .. }));
    }
    // Whatever is in the table was marked.
    for outcome in &handed_back {
        let stored = stored_n(&fake, &key_of(outcome)).is_some();
        assert!(!stored || outcome.may_have_applied() || key_of(outcome) == "k9");
    }
    assert!(matches!(flush.await, Err(DrainError::Closed)));
    assert!(matches!(
        table.put(&row("z", 1)).await,
        Err(SubmitError::Closed)
    ));
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn an_abort_refuses_those_who_wait_for_room() {
    let fake = fake();
    fake.inject(Fault::never_answer().always());
    let table = open_with(&fake, one_by_one().buffer_records(1).max_key_share(1.0)).await;
    drop(table.put(&row("a", 1)).await.unwrap());
    let mut waiting = Box::pin(table.put(&row("b", 1)).into_future());
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(table.abort().await.len(), 1);
    assert!(matches!(waiting.await, Err(SubmitError::Closed)));
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn what_asks_right_behind_an_abort_hears_that_it_is_closed() {
    let fake = fake();
    let table = open(&fake).await;
    let (_, flushed, snapshot) = tokio::join!(table.abort(), table.flush(), table.snapshot());
    assert!(matches!(flushed, Err(DrainError::Closed)), "{flushed:?}");
    assert!(matches!(snapshot, Err(DrainError::Closed)), "{snapshot:?}");
}

#[tokio::test(start_paused = true)]
async fn dropping_all_handles_still_drains() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(on_writes(Fault::throttled(Throttle::Throttling).times(3)));
    fake.inject(on_writes(Fault::close_before()));
    for n in 0..60 {
        drop(table.put(&row(format!("k{n}"), n)).await.unwrap());
    }
    drop(table);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(fake.item_count(TABLE), 60);
}
