//! Work in parallel, crashes and panics.

use super::*;

#[tokio::test(start_paused = true)]
async fn in_parallel_each_items_changes_stay_in_order_and_the_checkpoint_waits_for_all() {
    let fake = table(1);
    let settings = settings().parallelism(8).batch_records(5);
    for version in 0..10 {
        put_each(&fake, 40, version).await;
    }
    let (log, most, now) = (
        Log::default(),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let gate = Arc::new(Semaphore::new(0));
    let worker = {
        let (log, most, now, gate) = (
            log.clone(),
            Arc::clone(&most),
            Arc::clone(&now),
            Arc::clone(&gate),
        );
        Worker::handle(
            nth(&fake, 1).settings(settings.clone()),
            move |batch: Batch<Item>| {
                let (log, most, now, gate) = (
                    log.clone(),
                    Arc::clone(&most),
                    Arc::clone(&now),
                    Arc::clone(&gate),
                );
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    let first = batch.changes[0].new.as_ref().unwrap().clone();
                    // Different for each, so that they overtake one another; one item is stuck.
                    if batch
                        .changes
                        .iter()
                        .any(|c| c.new.as_ref().unwrap().id == "k0")
                    {
                        gate.acquire().await.expect("a permit").forget();
                    }
                    tokio::time::sleep(Duration::from_millis(10 + first.version * 37 % 90)).await;
                    log.note(&batch);
                    now.fetch_sub(1, Ordering::Relaxed);
                    Ok(())
                }
            },
        )
        .await
    };
    tokio::time::sleep(60 * SECOND).await;
    let stuck = log.seen();
    assert!(stuck.len() > 250, "other key groups go on: {}", stuck.len());
    assert!((2..=8).contains(&most.load(Ordering::Relaxed)));
    for id in 0..40 {
        let seen = log.versions(&format!("k{id}"));
        let count = u64::try_from(seen.len()).unwrap();
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
    }
    assert_eq!(log.versions("k0"), [0; 0]);
    worker.kill().await;

    // The item that was stuck is the first of all: everything comes again.
    let again = Log::default();
    let worker = Worker::start(nth(&fake, 2).settings(settings), &again).await;
    again.until(400).await;
    worker.stop().await;
    again.assert_each(40, 0..10);
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_two_items_gives_the_earlier_one_again() {
    let fake = table(1);
    for id in ["a", "b", "c", "d", "e", "f"] {
        put(&fake, id, 0).await;
    }
    let (log, settings) = (Log::default(), settings().parallelism(64).batch_records(1));
    let worker = {
        let log = log.clone();
        Worker::handle(
            nth(&fake, 1).settings(settings.clone()),
            move |batch: Batch<Item>| {
                let log = log.clone();
                async move {
                    if batch.changes[0].new.as_ref().unwrap().id == "c" {
                        std::future::pending::<()>().await;
                    }
                    log.note(&batch);
                    Ok(())
                }
            },
        )
        .await
    };
    log.until(5).await;
    tokio::time::sleep(5 * SECOND).await;
    worker.kill().await;
    let again = Log::default();
    let worker = Worker::start(nth(&fake, 2).settings(settings), &again).await;
    again.until(4).await;
    tokio::time::sleep(20 * SECOND).await;
    worker.stop().await;
    let mut ids: Vec<String> = again.seen().into_iter().map(|seen| seen.id).collect();
    ids.sort();
    assert_eq!(
        ids,
        ["c", "d", "e", "f"],
        "from the first that was not done"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_is_given_its_batch_again() {
    let fake = table(2);
    put_each(&fake, 10, 0).await;
    let (log, panics) = (Log::default(), Arc::new(AtomicUsize::new(0)));
    let worker = {
        let (log, panics) = (log.clone(), Arc::clone(&panics));
        Worker::handle(nth(&fake, 1), move |batch| {
            let turn = panics.fetch_add(1, Ordering::Relaxed);
            // Before it gives a future, and in the future.
            assert!(turn != 1, "a handler's bug");
            let log = log.clone();
            async move {
                assert!(turn > 2, "a handler's bug");
                log.note(&batch);
                Ok(())
            }
        })
        .await
    };
    log.until(10).await;
    put_each(&fake, 10, 1).await;
    log.until(20).await;
    worker.stop().await;
    log.assert_each(10, 0..2);

    let letters = Letters::default();
    let source = nth(&fake, 2)
        .lease_table("another")
        .settings(settings().retry(attempts(2)));
    let worker = Worker::handle(letters.take(source), |_| async { panic!("always") }).await;
    eventually("all are given up", 60 * SECOND, || {
        letters.all().len() == 20
    })
    .await;
    worker.stop().await;
    assert!(
        matches!(&letters.all()[0].reason, DeadReason::Handler(said) if said.contains("panicked"))
    );
}
