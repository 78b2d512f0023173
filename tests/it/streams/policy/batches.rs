//! Batches: size, window, parts that are done, filters.

use dynamodb_connector::ConfigError;

use super::*;

/// The batches that were handled, each as its number of changes.
#[derive(Clone, Default)]
struct Sizes(Arc<Mutex<Vec<(usize, Duration)>>>);

impl Sizes {
    fn sizes(&self) -> Vec<usize> {
        self.0.lock().iter().map(|(size, _)| *size).collect()
    }

    fn handler(
        &self,
        log: &Log,
    ) -> impl Fn(Batch<Item>) -> std::future::Ready<Result<(), BatchError>> + Send + Sync + 'static
    {
        let (start, sizes, log) = (Instant::now(), Arc::clone(&self.0), log.clone());
        move |batch| {
            log.note(&batch);
            let entry = (batch.changes.len(), start.elapsed());
            sizes.lock().push(entry);
            std::future::ready(Ok(()))
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_its_size_or_its_window() {
    let fake = table(1);
    for version in 0..25 {
        put(&fake, "a", version).await;
    }
    let (log, sizes) = (Log::default(), Sizes::default());
    let source = nth(&fake, 1).settings(settings().batch_records(10).batch_window(5 * SECOND));
    let worker = Worker::handle(source, sizes.handler(&log)).await;
    log.until(20).await;
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(sizes.sizes(), [10, 10], "the rest waits for more");
    put(&fake, "a", 25).await;
    log.until(26).await;
    assert_eq!(sizes.sizes(), [10, 10, 6]);
    let entries = sizes.0.lock().clone();
    let waited = entries[2].1 - entries[1].1;
    assert!((5..6).contains(&waited.as_secs()), "{waited:?}");
    // What waits when the shard ends, or the source is closed, does not wait in vain.
    for version in 26..30 {
        put(&fake, "a", version).await;
    }
    fake.split_all_shards(TABLE);
    eventually("the end of a shard is a reason", 2 * SECOND, || {
        log.len() == 30
    })
    .await;
    worker.stop().await;
    assert_eq!(log.versions("a"), (0..30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_that_failed_in_part_only_the_rest_comes_again() {
    for bisect in [true, false] {
        let fake = table(1);
        for version in 0..8 {
            put(&fake, "a", version).await;
        }
        let given: Arc<Mutex<Vec<Vec<u64>>>> = Arc::default();
        let noted = Arc::clone(&given);
        let source = nth(&fake, 1).settings(settings().bisect(bisect));
        let worker = Worker::handle(source, move |batch: Batch<Item>| {
            let versions = batch
                .changes
                .iter()
                .map(|c| c.new.as_ref().unwrap().version);
            let mut given = noted.lock();
            given.push(versions.collect());
            std::future::ready(if given.len() == 1 {
                Err(BatchError::retry_from(3, "the rest later"))
            } else {
                Ok(())
            })
        })
        .await;
        let count = || given.lock().iter().map(Vec::len).sum::<usize>();
        eventually("the rest comes again", 10 * SECOND, || count() == 13).await;
        worker.stop().await;
        let given = given.lock().clone();
        assert_eq!(given[0], (0..8).collect::<Vec<_>>());
        assert_eq!(given[1..].concat(), (3..8).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_says_is_done_is_in_the_checkpoint() {
    let fake = table(1);
    for version in 0..8 {
        put(&fake, "a", version).await;
    }
    let worker = Worker::handle(nth(&fake, 1), move |batch: Batch<Item>| {
        let first = batch.changes[0].new.as_ref().unwrap().version;
        std::future::ready(Err(match first {
            0 => BatchError::retry_from(5, "the rest later"),
            _ => Problem("never").into(),
        }))
    })
    .await;
    tokio::time::sleep(20 * SECOND).await;
    worker.stop().await;
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 2), &log).await;
    log.until(3).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), [5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn filtered_changes_are_not_given_and_count_as_done() {
    let fake = table(2);
    for version in 0..10 {
        put_each(&fake, 10, version).await;
    }
    let log = Log::default();
    let even = |record: &dynamodb_connector::streams::Record| {
        let item: Option<Item> = record.new_image().expect("readable");
        item.is_some_and(|item| item.version % 2 == 0)
    };
    let worker = Worker::start(nth(&fake, 1).filter(even), &log).await;
    log.until(50).await;
    assert_eq!(worker.control.stats().filtered, 50);
    worker.stop().await;
    for id in 0..10 {
        assert_eq!(log.versions(&format!("k{id}")), [0, 2, 4, 6, 8]);
    }
    let rest = Log::default();
    let worker = Worker::start(nth(&fake, 2), &rest).await;
    tokio::time::sleep(20 * SECOND).await;
    worker.stop().await;
    assert_eq!(
        rest.len(),
        0,
        "the last ones were filtered, and done with that"
    );
}

#[tokio::test(start_paused = true)]
async fn deletes_by_time_to_live_are_told_apart() {
    let fake = table(1);
    put(&fake, "a", 0).await;
    put(&fake, "b", 0).await;
    assert!(fake.expire_item(TABLE, [("id", AttributeValue::S("a".into()))]));
    delete(&fake, "b").await;
    let seen: Arc<Mutex<Vec<(String, EventKind, bool)>>> = Arc::default();
    let noted = Arc::clone(&seen);
    let worker = Worker::handle(nth(&fake, 1), move |batch: Batch<Item>| {
        for change in batch.changes {
            let item = change.new.or(change.old).expect("an image");
            let ttl = change.record.is_ttl_delete();
            noted.lock().push((item.id, change.kind, ttl));
        }
        std::future::ready(Ok(()))
    })
    .await;
    eventually("all are seen", 10 * SECOND, || seen.lock().len() == 4).await;
    worker.stop().await;
    let expected = [
        ("a", EventKind::Insert, false),
        ("b", EventKind::Insert, false),
        ("a", EventKind::Remove, true),
        ("b", EventKind::Remove, false),
    ];
    let expected = expected.map(|(id, kind, ttl)| (id.to_owned(), kind, ttl));
    assert_eq!(*seen.lock(), expected);
}

#[tokio::test(start_paused = true)]
async fn settings_that_would_give_changes_up_need_somebody_who_takes_them() {
    let fake = table(1);
    for settings in [
        settings().retry(attempts(3)),
        settings().max_age(60 * SECOND),
        settings().on_gap(dynamodb_connector::GapPolicy::Report),
    ] {
        let error = nth(&fake, 1).settings(settings).open().await;
        let error = error.expect_err("nobody takes them");
        assert!(
            matches!(
                error,
                StreamsError::Config(ConfigError::NeedsHandler { .. })
            ),
            "{error}"
        );
    }
}
