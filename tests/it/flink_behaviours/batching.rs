//! Sizes and times of batches.

use super::*;

#[tokio::test(start_paused = true)]
async fn exact_multiples_of_the_batch_size_flush() {
    let fake = service();
    let table = open(&fake, settings().linger(Duration::from_secs(60))).await;
    let receipts: Vec<_> = (0..75).map(|n| put(&table, &format!("k{n}"), n)).collect();
    all_written(receipts).await;
    assert_eq!(sizes(&fake), [25, 25, 25]);
}

#[tokio::test(start_paused = true)]
async fn the_byte_limit_is_inclusive() {
    let limit = measured(3).await;
    for (extra, expected) in [(0, vec![3]), (1, vec![2, 1])] {
        let fake = service();
        let table = open(&fake, settings().max_batch_bytes(limit)).await;
        all_written(large(&table, 3, extra)).await;
        assert_eq!(sizes(&fake), expected, "{extra} bytes over");
        assert!(
            batches(&fake)
                .iter()
                .all(|batch| batch.body_bytes() <= limit)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn count_and_byte_limits_reached_at_once_flush_once() {
    let limit = measured(3).await;
    let fake = service();
    let both = settings()
        .max_batch_bytes(limit)
        .max_batch_items(3)
        .linger(Duration::from_secs(60));
    let table = open(&fake, both).await;
    all_written(large(&table, 3, 0)).await;
    table.flush().await.expect("nothing failed");
    assert_eq!(sizes(&fake), [3], "one batch, and none that is empty");
}

#[tokio::test(start_paused = true)]
async fn the_linger_takes_all_buffered_up_to_its_end_and_runs_once() {
    let fake = service();
    let table = open(&fake, settings().concurrency(2).linger(ms(50))).await;
    fake.inject(Fault::delay_after(ms(500)).on(Operation::BatchWriteItem));
    // One request is under way, so that what follows waits to fill a batch.
    let mut receipts = vec![put(&table, "first", 0)];
    tokio::time::sleep(ms(5)).await;
    let began = batches(&fake)[0].received() + ms(5);
    for n in 0..5 {
        receipts.push(put(&table, &format!("k{n}"), n));
        tokio::time::sleep(ms(9)).await;
    }
    tokio::time::sleep(ms(20)).await;
    assert_eq!(
        sizes(&fake),
        [1, 5],
        "all five at the end of the first one's linger"
    );
    let waited = batches(&fake)[1].received() - began;
    assert!((ms(50)..ms(53)).contains(&waited), "{waited:?}");
    tokio::time::sleep(ms(300)).await;
    assert_eq!(sizes(&fake), [1, 5], "no second timer, no empty batch");
    all_written(receipts).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_input_drains() {
    let fake = service();
    let table = open(
        &fake,
        settings().concurrency(2).linger(Duration::from_secs(60)),
    )
    .await;
    fake.inject(Fault::delay_after(Duration::from_secs(5)).on(Operation::BatchWriteItem));
    let mut receipts = vec![put(&table, "first", 0)];
    tokio::time::sleep(ms(5)).await;
    receipts.extend((0..7).map(|n| put(&table, &format!("k{n}"), n)));
    tokio::time::sleep(ms(5)).await;
    assert_eq!(sizes(&fake), [1], "the rest waits to fill a batch");
    table.close().await.expect("closed");
    assert_eq!(sizes(&fake), [1, 7]);
    for mut receipt in receipts {
        assert!(
            receipt
                .try_outcome()
                .is_some_and(|outcome| outcome.is_written())
        );
    }
    assert!(matches!(
        table.put(&item("a", 1)).await,
        Err(SubmitError::Closed)
    ));
}

#[tokio::test(start_paused = true)]
async fn an_empty_flush_is_safe() {
    let fake = service();
    let table = open(&fake, settings()).await;
    table.flush().await.expect("nothing to do");
    tokio::join!(table.flush(), table.flush())
        .1
        .expect("nothing to do");
    assert!(table.snapshot().await.expect("a snapshot").is_empty());
    table.close().await.expect("nothing to do");
    assert!(batches(&fake).is_empty());
    assert!(matches!(table.flush().await, Err(DrainError::Closed)));
}
