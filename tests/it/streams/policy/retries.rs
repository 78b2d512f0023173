//! Retries, ages, and the isolation of what fails.

use super::*;

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
    assert_eq!(letter.attempts, 3);
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
        let mut times = noted.lock();
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
        times.lock().len() == 20
    })
    .await;
    tokio::time::sleep(30 * SECOND).await;
    worker.stop().await;
    let times = times.lock();
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
        assert_eq!(letter.attempts, 0);
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
    assert!(letters.all()[0].attempts > 3);
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
    assert_eq!(letters.all()[0].attempts, 1);
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
    assert_eq!(error.kind(), ErrorKind::Invalid);
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
