//! A shard that changes hands: what was begun ends first, whoever works on it, and however its thread is blocked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dynamodb_connector::streams::{
    Batch, BatchError, Change, RecordStream, StartPosition, StreamsError, StreamsSettings,
    TrackedRecord,
};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::rig::{
    Item, LEASES, Log, TABLE, Worker, checkpoint, eventually, leases, nth, open_shards, put,
    put_each, table, text,
};

const SECOND: Duration = Duration::from_secs(1);

fn one_by_one() -> StreamsSettings {
    StreamsSettings::default()
        .batch_records(1)
        .drain_timeout(SECOND)
}

/// A consumer that keeps what it was given for longer than the drain sees that it is no longer its own, before another worker has it.
#[tokio::test(start_paused = true)]
async fn a_delivery_is_current_until_its_shard_may_be_another_workers() {
    let fake = table(2);
    put_each(&fake, 20, 0).await;
    let source = nth(&fake, 1).settings(one_by_one()).open().await;
    let mut stream = source.expect("it opens").into_stream();
    let mut kept = Vec::new();
    while kept.len() < 20 {
        kept.push(stream.next().await.expect("more").expect("a record"));
    }
    let reading = tokio::spawn(async move { stream.next().await.map(|_| ()) });
    assert!(kept.iter().all(TrackedRecord::is_current));

    let log = Log::default();
    let (seen, newcomer) = (log.clone(), nth(&fake, 2).settings(one_by_one()));
    let other = Worker::start(newcomer, &log).await;
    let given = seen.until(1);
    tokio::time::timeout(60 * SECOND, given)
        .await
        .expect("it is handed over");
    let taken = log.seen()[0].shard.clone();
    for delivery in &kept {
        let is_taken = delivery.record.shard_id().as_str() == taken;
        assert_eq!(delivery.is_current(), !is_taken);
    }
    other.stop().await;
    reading.abort();
}

/// A worker whose tasks are not run can't say that a lease has lapsed: the time does.
#[tokio::test(start_paused = true)]
async fn a_delivery_is_not_current_once_the_lease_was_not_renewed_in_time() {
    let fake = table(1);
    put_each(&fake, 2, 0).await;
    let source = nth(&fake, 1).settings(one_by_one()).open().await;
    let mut stream = source.expect("it opens").into_stream();
    let delivery = stream.next().await.expect("more").expect("a record");
    assert!(delivery.is_current());
    // Every task of the runtime is held up for so long.
    tokio::time::advance(10 * SECOND).await;
    assert!(!delivery.is_current());
}

/// Handlers that keep their thread for longer than the failover time: whatever is done is checkpointed, while nobody else takes the lease.
#[tokio::test(start_paused = true)]
async fn a_handler_that_blocks_its_thread_for_longer_than_the_failover_time_gets_on() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    for version in 0..8 {
        put(&fake, "a", version).await;
    }
    let log = Log::default();
    let seen = log.clone();
    let handler = move |batch: Batch<Item>| {
        let log = seen.clone();
        async move {
            // The clock goes on and nothing else does: where it is polled again, other tasks are.
            let advancing = std::pin::pin!(tokio::time::advance(12 * SECOND));
            let _ = futures::poll!(advancing);
            log.note(&batch);
            Ok::<(), BatchError>(())
        }
    };
    let worker = Worker::handle(nth(&fake, 1).settings(one_by_one()), handler).await;
    let last = fake.shards(TABLE)[0]
        .last_sequence_number()
        .map(str::to_owned);
    eventually("all is checkpointed", 300 * SECOND, || {
        checkpoint(&fake, &shard) == last
    })
    .await;
    let versions = log.versions("a");
    assert_eq!(versions.first(), Some(&0));
    assert_eq!(versions.last(), Some(&7));
    assert!(versions.is_sorted(), "{versions:?}");
    assert!(versions.len() <= 10, "few come twice: {versions:?}");
    worker.stop().await;
}

/// A shard at LATEST of which nothing has been read yet is read on from where it was, not from the moment at which its lease was proven.
#[tokio::test(start_paused = true)]
async fn at_latest_a_lease_that_lapses_before_the_first_record_loses_none() {
    let fake = table(1);
    let log = Log::default();
    let source = nth(&fake, 1).start(StartPosition::Latest);
    let worker = Worker::start(source, &log).await;
    eventually("it is read", 10 * SECOND, || worker.shards().len() == 1).await;
    tokio::time::sleep(SECOND).await;
    put_each(&fake, 5, 0).await;
    // Every task of the runtime is held up for so long.
    tokio::time::advance(12 * SECOND).await;
    put_each(&fake, 5, 1).await;
    log.until(10).await;
    log.assert_each(5, 0..2);
    worker.stop().await;
}

/// A worker that asked for leases and leaves gives them back: their reader keeps them, without a pause.
#[tokio::test(start_paused = true)]
async fn a_worker_that_had_asked_for_leases_and_stops_leaves_no_shard_unread() {
    let fake = table(40);
    let log = Log::default();
    let one = Worker::start(nth(&fake, 1), &log).await;
    eventually("it has all", 60 * SECOND, || one.shards().len() == 40).await;
    let two = Worker::start(nth(&fake, 2), &log).await;
    eventually("it has asked", 10 * SECOND, || {
        let rows = leases(&fake);
        rows.values().any(|row| row.contains_key("checkpointOwner"))
    })
    .await;
    two.stop().await;
    put_each(&fake, 200, 0).await;
    let since = tokio::time::Instant::now();
    log.until(200).await;
    assert!(since.elapsed() < 4 * SECOND, "{:?}", since.elapsed());
    one.stop().await;
}

/// An owner learns that it is asked from the scan that it makes anyway.
#[tokio::test(start_paused = true)]
async fn eight_workers_share_two_hundred_shards_within_ten_seconds() {
    let fake = table(200);
    let log = Log::default();
    let mut workers = vec![Worker::start(nth(&fake, 0), &log).await];
    eventually("one has all", 60 * SECOND, || {
        workers[0].shards().len() == 200
    })
    .await;
    for n in 1..8 {
        workers.push(Worker::start(nth(&fake, n), &log).await);
    }
    let took = eventually("all have a part", 60 * SECOND, || {
        workers.iter().all(|worker| worker.shards().len() == 25)
    })
    .await;
    assert!(took <= 10 * SECOND, "{took:?}");
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn callbacks_that_panic_are_named_and_no_defect_of_this_crate() {
    let fake = table(1);
    put(&fake, "a", 0).await;
    let log = Log::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let source = nth(&fake, 1).filter(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        // Without the hook, which would print a backtrace.
        std::panic::resume_unwind(Box::new("a filter that panics"))
    });
    let error = Worker::start(source, &log).await.error().await;
    assert!(
        matches!(
            error,
            StreamsError::CallbackPanicked {
                callback: "filter",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "the source's `filter` panicked");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert!(
        fake.items(LEASES)
            .iter()
            .all(|row| text(row, "leaseOwner").is_none())
    );

    let worker = Worker::start(nth(&fake, 2), &log).await;
    log.until(1).await;
    worker.stop().await;
}

/// The writes of leases that were refused because a row was not as expected.
fn refused_writes(fake: &FaultyDynamoDb) -> usize {
    let requests = fake.requests().into_iter();
    requests
        .filter(|request| request.operation() == Some(Operation::UpdateItem))
        .filter(|request| request.error_code() == Some("ConditionalCheckFailedException"))
        .count()
}

/// A worker asks for leases and withdraws while their reader finishes its work, again and again: nothing moves.
#[tokio::test(start_paused = true)]
async fn a_reader_keeps_its_leases_when_the_worker_that_asked_for_them_withdraws() {
    const SHARDS: usize = 12;
    const ROUNDS: u64 = 6;
    let fake = table(SHARDS);
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(1_000)));
    let patient = StreamsSettings::default().drain_timeout(60 * SECOND);
    let source = nth(&fake, 1).settings(patient);
    let one = Worker::handle(source, log.gated_handler(&gate)).await;
    eventually("it has all", 10 * SECOND, || one.shards().len() == SHARDS).await;
    for round in 0..ROUNDS {
        fake.clear_journal();
        gate.forget_permits(1_000);
        put_each(&fake, 60, round).await;
        tokio::time::sleep(SECOND).await;
        let two = Worker::start(nth(&fake, round + 2), &Log::default()).await;
        let asked_for = || {
            let rows = leases(&fake).into_values();
            rows.filter(|row| row.contains_key("checkpointOwner"))
                .count()
        };
        eventually("it has asked", 10 * SECOND, || asked_for() == SHARDS / 2).await;
        // Long enough for the reader to see it, in a look or in a refused renewal.
        tokio::time::sleep(4 * SECOND).await;
        two.stop().await;
        assert_eq!(asked_for(), 0, "it has withdrawn");
        if round % 2 == 0 {
            // The reader sees that too before its work ends. Else its work ends first.
            tokio::time::sleep(4 * SECOND).await;
        }
        gate.add_permits(1_000);
        let since = Instant::now();
        let seen = usize::try_from(61 * round + 60).unwrap();
        log.until(seen).await;
        put(&fake, "k0", 1_000 + round).await;
        eventually("the next change is read", 4 * SECOND, || {
            log.versions("k0").contains(&(1_000 + round))
        })
        .await;
        assert!(since.elapsed() < 4 * SECOND, "{:?}", since.elapsed());
        let writes = fake.applied().into_iter();
        let writes = writes.filter(|write| write.table() == LEASES);
        for row in writes.filter_map(|write| write.after()) {
            let owner = text(&row, "leaseOwner");
            let reader = text(&row, "checkpointOwner").or(owner);
            let is_kept = reader.as_ref().is_some_and(|it| it.starts_with("w1-"));
            let is_let_go = reader.is_none() && round % 2 == 1;
            assert!(is_kept || is_let_go, "round {round}: of {reader:?}");
        }
        // A request is met in one renewal at most, and so is its end. More would be a dispute.
        let refused = refused_writes(&fake);
        assert!(refused <= 2 * SHARDS, "{refused} writes were refused");
    }
    assert_eq!(one.shards().len(), SHARDS);
    assert_eq!(one.control.stats().leases_lost, 0);
    one.stop().await;
    for id in 1..60 {
        let versions: Vec<u64> = (0..ROUNDS).collect();
        assert_eq!(log.versions(&format!("k{id}")), versions);
    }
}

/// Takes records and acknowledges those that are current, until every item was seen at this version.
async fn take_all(stream: &mut RecordStream, ids: u64, version: u64) {
    let mut missing: std::collections::BTreeSet<String> =
        (0..ids).map(|id| format!("k{id}")).collect();
    while !missing.is_empty() {
        let next = tokio::time::timeout(120 * SECOND, stream.next()).await;
        let next = next.unwrap_or_else(|_| panic!("{missing:?} never come at {version}"));
        let delivery = next.expect("more").expect("a record");
        if !delivery.is_current() {
            continue;
        }
        let change = Change::<Item>::read(delivery.record).expect("an item");
        let item = change.new.expect("it is there");
        if item.version == version {
            missing.remove(&item.id);
        }
        delivery.ack.done();
    }
}

/// Six shards whose renewals fail from the last accepted one on, while a batch of each waits to be taken. Gives the time of that renewal.
async fn batches_of_leases_that_will_lapse() -> (FaultyDynamoDb, RecordStream, Instant) {
    let fake = table(6);
    let begun = Instant::now();
    let source = nth(&fake, 1).open().await;
    let mut stream = source.expect("it opens").into_stream();
    put_each(&fake, 30, 0).await;
    take_all(&mut stream, 30, 0).await;
    // All is checkpointed by then.
    tokio::time::sleep(3 * SECOND).await;
    let failing = Fault::internal_error().on(Operation::UpdateItem);
    fake.inject(failing.table(LEASES).always());
    let renewed = fake
        .applied()
        .iter()
        .rev()
        .find(|write| write.table() == LEASES)
        .map(|write| begun + write.at());
    put_each(&fake, 30, 1).await;
    (fake, stream, renewed.expect("leases are renewed"))
}

/// All is given in the end, and checkpointed.
async fn gets_on(fake: &FaultyDynamoDb, mut stream: RecordStream) {
    take_all(&mut stream, 30, 1).await;
    put_each(fake, 30, 2).await;
    take_all(&mut stream, 30, 2).await;
    let reading = tokio::spawn(async move {
        let more = stream.next().await.is_some();
        (stream, more)
    });
    eventually("all is checkpointed", 60 * SECOND, || {
        let shards = fake.shards(TABLE).into_iter();
        shards
            .filter(|shard| shard.record_count() > 0)
            .all(|shard| checkpoint(fake, shard.id()).as_deref() == shard.last_sequence_number())
    })
    .await;
    reading.abort();
}

/// Renewals fail for longer than the failover time and work again; about when the leases lapse, a batch is taken.
#[tokio::test(start_paused = true)]
async fn a_batch_taken_about_when_its_lease_lapses_stops_no_shard() {
    for early in (0..=400).step_by(25) {
        let (fake, mut stream, renewed) = batches_of_leases_that_will_lapse().await;
        let lapse = renewed + 10 * SECOND + Duration::from_millis(150);
        tokio::time::sleep_until(lapse - Duration::from_millis(early)).await;
        let taken = {
            let mut batch = std::pin::pin!(stream.next_batch());
            match futures::poll!(&mut batch) {
                std::task::Poll::Ready(taken) => taken.expect("more").expect("records"),
                std::task::Poll::Pending => Vec::new(),
            }
        };
        tokio::time::sleep(SECOND).await;
        fake.heal();
        // Those that are not current any more are dropped with the rest.
        for delivery in taken {
            if delivery.is_current() {
                delivery.ack.done();
            }
        }
        gets_on(&fake, stream).await;
    }
}

/// The lease is over by the clock when the batch is taken, and the answer that renews it is seen before that by the shard's task:
/// the task goes on with what it has.
#[tokio::test(start_paused = true)]
async fn a_batch_taken_after_a_lapse_that_a_late_answer_makes_good_is_given_again() {
    for early in (300..=1_300).step_by(100) {
        let (fake, mut stream, renewed) = batches_of_leases_that_will_lapse().await;
        let lapse = renewed + 10 * SECOND;
        tokio::time::sleep_until(lapse - Duration::from_millis(early + 1_000)).await;
        fake.heal();
        // Writes from now on are answered a second later, before their time-out.
        let slow = Fault::delay_after(SECOND).on(Operation::UpdateItem);
        fake.inject(slow.table(LEASES).always());
        tokio::time::sleep_until(lapse - Duration::from_millis(early)).await;
        {
            // The clock jumps past the lapse and the answers, and no task is run before the batch is taken.
            let jump = Duration::from_millis(early + 400);
            let jump = std::pin::pin!(tokio::time::advance(jump));
            let _ = futures::poll!(jump);
            let mut next = std::pin::pin!(stream.next());
            let given = futures::poll!(&mut next);
            assert!(given.is_pending(), "no record is current");
        }
        tokio::time::sleep(2 * SECOND).await;
        fake.heal();
        gets_on(&fake, stream).await;
    }
}
