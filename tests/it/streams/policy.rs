//! What becomes of changes that can't be handled, and in what batches they come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::retry::RetryPolicy;
use dynamodb_connector::streams::{
    Batch, BatchError, DeadReason, EventKind, FailedChange, StreamsError, StreamsErrorKind,
    StreamsSettings, StreamsSourceBuilder,
};
use dynamodb_connector::test_util::FaultyDynamoDb;
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::rig::{
    Item, Log, TABLE, Worker, delete, eventually, nth, open_shards, put, put_each, table,
};

const SECOND: Duration = Duration::from_secs(1);

/// Dead letters, in the order in which they were taken.
#[derive(Clone, Default)]
struct Letters(Arc<Mutex<Vec<FailedChange>>>);

impl Letters {
    fn take(&self, builder: StreamsSourceBuilder) -> StreamsSourceBuilder {
        let letters = Arc::clone(&self.0);
        builder.dead_letters(move |letter| {
            letters.lock().unwrap().push(letter);
            std::future::ready(Ok::<(), String>(()))
        })
    }

    fn all(&self) -> Vec<FailedChange> {
        self.0.lock().unwrap().clone()
    }

    /// The items and versions of those that can be read.
    fn items(&self) -> Vec<(String, u64)> {
        let letters = self.all().into_iter();
        letters
            .map(|letter| {
                let record = letter.record.expect("a record");
                let item: Item = record.new_image().expect("readable").expect("an image");
                (item.id, item.version)
            })
            .collect()
    }
}

/// How many batches were handled, and how many changes each had.
#[derive(Clone, Default)]
struct Sizes(Arc<Mutex<Vec<(usize, Duration)>>>);

impl Sizes {
    fn sizes(&self) -> Vec<usize> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|(size, _)| *size)
            .collect()
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
            sizes.lock().unwrap().push(entry);
            std::future::ready(Ok(()))
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Problem(&'static str);

/// A handler that fails on whatever batch has this item.
fn fails_on(
    log: &Log,
    calls: &Arc<AtomicUsize>,
    bad: &'static str,
) -> impl Fn(Batch<Item>) -> std::future::Ready<Result<(), BatchError>> + Send + Sync + 'static {
    let (log, calls) = (log.clone(), Arc::clone(calls));
    move |batch| {
        calls.fetch_add(1, Ordering::Relaxed);
        let is_bad = |id: &str| id == bad;
        let found = batch
            .changes
            .iter()
            .any(|change| is_bad(&change.new.as_ref().expect("an image").id));
        std::future::ready(if found {
            Err(Problem("the ledger is closed").into())
        } else {
            log.note(&batch);
            Ok(())
        })
    }
}

fn settings() -> StreamsSettings {
    StreamsSettings::default()
}

fn attempts(most: u32) -> RetryPolicy {
    RetryPolicy::default().max_attempts(most)
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
    let entries = sizes.0.lock().unwrap().clone();
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
async fn what_fails_as_often_as_it_may_is_dead_lettered_with_the_reason() {
    let fake = table(1);
    for id in ["good", "bad", "fine"] {
        put(&fake, id, 1).await;
    }
    let (log, letters, calls) = (Log::default(), Letters::default(), Arc::default());
    let source = nth(&fake, 1).settings(settings().batch_records(1).retry(attempts(3)));
    let worker = Worker::handle(letters.take(source), fails_on(&log, &calls, "bad")).await;
    log.until(2).await;
    assert_eq!(letters.items(), [("bad".to_owned(), 1)]);
    let letter = letters.all().remove(0);
    assert_eq!(letter.failures, 3);
    assert!(
        matches!(&letter.reason, DeadReason::Handler(said) if said == "the ledger is closed"),
        "{:?}",
        letter.reason
    );
    assert_eq!(calls.load(Ordering::Relaxed), 5);
    let stats = worker.control.stats();
    assert_eq!((stats.dead_lettered, stats.handled), (1, 2));
    worker.stop().await;
    let worker = Worker::start(nth(&fake, 2), &log).await;
    tokio::time::sleep(30 * SECOND).await;
    worker.stop().await;
    assert_eq!(log.len(), 2, "the checkpoint has passed it");
}

#[tokio::test(start_paused = true)]
async fn retries_are_further_and_further_apart_and_never_end_without_a_cap() {
    let fake = table(1);
    put(&fake, "a", 0).await;
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = Arc::clone(&times);
    let worker = Worker::handle(nth(&fake, 1), move |batch| {
        let mut times = noted.lock().unwrap();
        assert_eq!(batch.failures, u32::try_from(times.len()).unwrap());
        times.push(Instant::now());
        std::future::ready(if times.len() < 20 {
            Err(Problem("later").into())
        } else {
            Ok(())
        })
    })
    .await;
    eventually("it is handled in the end", 300 * SECOND, || {
        times.lock().unwrap().len() == 20
    })
    .await;
    tokio::time::sleep(30 * SECOND).await;
    worker.stop().await;
    let times = times.lock().unwrap();
    assert_eq!(times.len(), 20);
    let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        pauses[0] < SECOND / 10 && pauses[18] > 4 * SECOND,
        "{pauses:?}"
    );
    assert!(
        pauses.iter().all(|pause| *pause < 11 * SECOND),
        "{pauses:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn changes_over_the_maximum_age_are_dead_lettered_unseen() {
    let fake = table(1);
    fake.set_clock_behind(300 * SECOND);
    put(&fake, "a", 1).await;
    put(&fake, "b", 1).await;
    fake.set_clock_behind(Duration::ZERO);
    put(&fake, "a", 2).await;
    fake.set_clock_behind(300 * SECOND);
    put(&fake, "b", 2).await;
    fake.set_clock_behind(Duration::ZERO);
    put(&fake, "a", 3).await;
    let (log, letters) = (Log::default(), Letters::default());
    let source = letters.take(nth(&fake, 1).settings(settings().max_age(120 * SECOND)));
    let worker = Worker::start(source, &log).await;
    log.until(2).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), [2, 3]);
    assert_eq!(log.versions("b"), [0; 0]);
    let expected = [("a", 1), ("b", 1), ("b", 2)].map(|(id, version)| (id.to_owned(), version));
    assert_eq!(letters.items(), expected);
    for letter in letters.all() {
        let DeadReason::TooOld(age) = letter.reason else {
            panic!("{:?}", letter.reason);
        };
        assert!((300..=302).contains(&age.as_secs()), "{age:?}");
        assert_eq!(letter.failures, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_keeps_failing_is_given_up_when_it_grows_too_old() {
    let fake = table(1);
    put(&fake, "a", 1).await;
    let letters = Letters::default();
    let source = letters.take(nth(&fake, 1).settings(settings().max_age(60 * SECOND)));
    let worker = Worker::handle(source, |_| std::future::ready(Err(Problem("never").into()))).await;
    let took = eventually("it is given up", 200 * SECOND, || !letters.all().is_empty()).await;
    assert!((58..75).contains(&took.as_secs()), "{took:?}");
    worker.stop().await;
    assert!(matches!(letters.all()[0].reason, DeadReason::TooOld(_)));
    assert!(letters.all()[0].failures > 3);
}

#[tokio::test(start_paused = true)]
async fn bisecting_isolates_the_one_bad_change_among_many() {
    let fake = table(1);
    for n in 0..100 {
        let id = if n == 37 {
            "bad".to_owned()
        } else {
            format!("k{}", n % 7)
        };
        put(&fake, &id, n).await;
    }
    let (log, letters, calls) = (Log::default(), Letters::default(), Arc::default());
    let source = nth(&fake, 1).settings(settings().retry(attempts(2)));
    let worker = Worker::handle(letters.take(source), fails_on(&log, &calls, "bad")).await;
    log.until(99).await;
    worker.stop().await;
    assert_eq!(letters.items(), [("bad".to_owned(), 37)]);
    for id in 0..7 {
        let expected: Vec<u64> = (0..100).filter(|n| *n != 37 && n % 7 == id).collect();
        assert_eq!(log.versions(&format!("k{id}")), expected);
    }
    let calls = calls.load(Ordering::Relaxed);
    assert!(
        calls <= 18,
        "two for each halving and two for the bad one: {calls}"
    );

    // Without bisecting the whole batch is given up.
    let (log, letters, calls) = (Log::default(), Letters::default(), Arc::default());
    let source = nth(&fake, 2).lease_table("another").settings(
        settings()
            .retry(attempts(2))
            .bisect(false)
            .batch_records(50),
    );
    let worker = Worker::handle(letters.take(source), fails_on(&log, &calls, "bad")).await;
    log.until(50).await;
    worker.stop().await;
    assert_eq!(letters.items().len(), 50);
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
            let mut given = noted.lock().unwrap();
            given.push(versions.collect());
            std::future::ready(if given.len() == 1 {
                Err(BatchError::retry_from(3, "the rest later"))
            } else {
                Ok(())
            })
        })
        .await;
        let count = || given.lock().unwrap().iter().map(Vec::len).sum::<usize>();
        eventually("the rest comes again", 10 * SECOND, || count() == 13).await;
        worker.stop().await;
        let given = given.lock().unwrap().clone();
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

fn refuses(
    log: &Log,
) -> impl Fn(Batch<Item>) -> std::future::Ready<Result<(), BatchError>> + Send + Sync + 'static {
    let log = log.clone();
    move |mut batch| {
        let bad = |change: &dynamodb_connector::streams::Change<Item>| {
            change.new.as_ref().unwrap().version % 10 == 3
        };
        std::future::ready(match batch.changes.iter().position(bad) {
            Some(at) => {
                batch.changes.truncate(at);
                log.note(&batch);
                Err(BatchError::refuse(at, "no such product"))
            }
            None => {
                log.note(&batch);
                Ok(())
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_change_is_dead_lettered_at_once_and_the_others_handled_once() {
    let fake = table(1);
    for version in 0..30 {
        put(&fake, "a", version).await;
    }
    let (log, letters) = (Log::default(), Letters::default());
    let worker = Worker::handle(letters.take(nth(&fake, 1)), refuses(&log)).await;
    log.until(27).await;
    worker.stop().await;
    let expected: Vec<u64> = (0..30).filter(|version| version % 10 != 3).collect();
    assert_eq!(log.versions("a"), expected);
    let refused: Vec<u64> = letters
        .items()
        .into_iter()
        .map(|(_, version)| version)
        .collect();
    assert_eq!(refused, [3, 13, 23]);
    assert_eq!(letters.all()[0].failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_change_that_nobody_takes_ends_the_source() {
    let fake = table(1);
    for version in 0..5 {
        put(&fake, "a", version).await;
    }
    let log = Log::default();
    let error = Worker::handle(nth(&fake, 1), refuses(&log))
        .await
        .error()
        .await;
    assert_eq!(error.kind(), StreamsErrorKind::Record);
    assert!(
        matches!(&error, StreamsError::Refused { problem, .. } if problem.contains("no such product")),
        "{error}"
    );
    let rest = Log::default();
    let worker = Worker::start(nth(&fake, 2), &rest).await;
    rest.until(2).await;
    worker.stop().await;
    assert_eq!(
        rest.versions("a"),
        [3, 4],
        "the leases were given up with what was done"
    );
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
    assert!(stuck.len() > 250, "other lanes go on: {}", stuck.len());
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

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_offered_until_it_is_taken() {
    let fake = table(1);
    put(&fake, "bad", 0).await;
    put(&fake, "good", 0).await;
    let (log, calls) = (Log::default(), Arc::default());
    let offered = Arc::new(AtomicUsize::new(0));
    let taking = Arc::clone(&offered);
    let source = nth(&fake, 1)
        .settings(settings().retry(attempts(1)))
        .dead_letters(move |_| {
            let turn = taking.fetch_add(1, Ordering::Relaxed);
            async move {
                assert!(turn != 2, "the dead-letter handler's bug");
                if turn < 4 {
                    Err(Problem("the queue is down"))
                } else {
                    Ok(())
                }
            }
        });
    let worker = Worker::handle(source, fails_on(&log, &calls, "bad")).await;
    log.until(1).await;
    tokio::time::sleep(30 * SECOND).await;
    worker.stop().await;
    assert_eq!(offered.load(Ordering::Relaxed), 5);
    assert_eq!(log.versions("good"), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_not_taken_comes_again_after_a_restart() {
    let fake = table(1);
    put(&fake, "bad", 0).await;
    put(&fake, "good", 0).await;
    let (log, calls) = (Log::default(), Arc::default());
    let source = nth(&fake, 1)
        .settings(settings().retry(attempts(1)).batch_records(1))
        .dead_letters(|_| async { Err(Problem("the queue is down")) });
    let worker = Worker::handle(source, fails_on(&log, &calls, "bad")).await;
    tokio::time::sleep(30 * SECOND).await;
    worker.stop().await;
    assert_eq!(log.len(), 0, "nothing overtakes it");
    let again = Log::default();
    let worker = Worker::start(nth(&fake, 2), &again).await;
    again.until(2).await;
    worker.stop().await;
    assert_eq!(
        (again.versions("bad"), again.versions("good")),
        (vec![0], vec![0])
    );
}

/// An item whose version is no number: no [`Item`].
async fn put_unreadable(fake: &FaultyDynamoDb, id: &str) {
    let request = fake.client().put_item().table_name(TABLE);
    let request = request.item("id", AttributeValue::S(id.to_owned())).item(
        "version",
        AttributeValue::S("the secret of the item".to_owned()),
    );
    request.send().await.expect("it is written");
}

const UNKNOWN: &str = r#"{"eventID": "x", "eventName": "TRUNCATE", "eventVersion": "1.1",
    "dynamodb": {"Keys": {"id": {"S": "a secret key"}}, "ApproximateCreationDateTime": 1700000000}}"#;

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_read_is_dead_lettered_and_the_rest_handled() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    put(&fake, "a", 0).await;
    put_unreadable(&fake, "u").await;
    put(&fake, "a", 1).await;
    fake.inject_stream_record(TABLE, &shard, UNKNOWN)
        .expect("it is in the stream");
    put(&fake, "a", 2).await;
    fake.inject_stream_record(TABLE, &shard, r#"{"eventName": "INSERT"}"#);
    put(&fake, "a", 3).await;
    let (log, letters) = (Log::default(), Letters::default());
    let worker = Worker::start(letters.take(nth(&fake, 1)), &log).await;
    log.until(4).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), [0, 1, 2, 3]);
    let letters = letters.all();
    assert_eq!(letters.len(), 3);
    assert!(matches!(letters[0].reason, DeadReason::Undecodable(_)));
    assert!(letters[0].record.is_ok(), "its keys can be read");
    assert!(matches!(letters[1].reason, DeadReason::Malformed));
    assert!(
        letters[1]
            .record
            .as_ref()
            .is_err_and(|r| r.sequence_number().is_some())
    );
    assert!(matches!(letters[2].reason, DeadReason::Malformed));
    let shown = format!("{letters:?}");
    assert!(!shown.contains("secret"), "{shown}");

    let rest = Log::default();
    let worker = Worker::start(nth(&fake, 2), &rest).await;
    tokio::time::sleep(20 * SECOND).await;
    worker.stop().await;
    assert_eq!(rest.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_and_that_nobody_takes_ends_the_source() {
    for unknown in [false, true] {
        let fake = table(1);
        put(&fake, "a", 0).await;
        if unknown {
            let shard = open_shards(&fake).remove(0);
            fake.inject_stream_record(TABLE, &shard, UNKNOWN);
        } else {
            put_unreadable(&fake, "u").await;
        }
        put(&fake, "a", 1).await;
        let log = Log::default();
        let error = Worker::start(nth(&fake, 1), &log).await.error().await;
        assert_eq!(error.kind(), StreamsErrorKind::Record);
        match &error {
            StreamsError::Undecodable { .. } => assert!(!unknown),
            StreamsError::Malformed { .. } => assert!(unknown),
            other => panic!("{other}"),
        }
        let said = format!("{error} {error:?}");
        assert!(!said.contains("secret"), "{said}");
        assert_eq!(log.versions("a"), [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn as_a_stream_a_record_of_an_unknown_kind_goes_to_the_dead_letters_or_ends_it() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    put(&fake, "a", 0).await;
    fake.inject_stream_record(TABLE, &shard, UNKNOWN);
    put(&fake, "a", 1).await;
    let mut stream = nth(&fake, 1).open().await.expect("it opens").into_stream();
    let mut ended = None;
    while ended.is_none() {
        match stream.next().await.expect("more") {
            Ok(delivery) => delivery.ack.done(),
            Err(error) => ended = Some(error),
        }
    }
    assert!(
        matches!(ended, Some(StreamsError::Malformed { .. })),
        "{ended:?}"
    );
    assert!(stream.next().await.is_none(), "an error is the last");

    let letters = Letters::default();
    let source = letters.take(nth(&fake, 2).lease_table("another"));
    let mut stream = source.open().await.expect("it opens").into_stream();
    for _ in 0..2 {
        stream
            .next()
            .await
            .expect("more")
            .expect("a record")
            .ack
            .done();
    }
    tokio::time::timeout(5 * SECOND, stream.next())
        .await
        .expect_err("no more");
    assert_eq!(letters.all().len(), 1);
    stream.close().await.expect("it closes");
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
            noted.lock().unwrap().push((item.id, change.kind, ttl));
        }
        std::future::ready(Ok(()))
    })
    .await;
    eventually("all are seen", 10 * SECOND, || {
        seen.lock().unwrap().len() == 4
    })
    .await;
    worker.stop().await;
    let expected = [
        ("a", EventKind::Insert, false),
        ("b", EventKind::Insert, false),
        ("a", EventKind::Remove, true),
        ("b", EventKind::Remove, false),
    ];
    let expected = expected.map(|(id, kind, ttl)| (id.to_owned(), kind, ttl));
    assert_eq!(*seen.lock().unwrap(), expected);
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
            matches!(error, StreamsError::HandlerMissing { .. }),
            "{error}"
        );
    }
}
