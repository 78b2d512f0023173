//! Flushing, closing, aborting, and what ends a table by itself.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynamodb_connector::TableSpec;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::sink::{
    DrainError, DynamoDbSink, FailedWrite, Outcome, StopReason, SubmitError, TableSettings,
    TableSink,
};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation, RequestRecord, Throttle};
use futures::FutureExt;
use futures::future::join_all;

use crate::setup::{
    Row, TABLE, assert_no_room_taken, builder, fake, id, is_pk, on_writes, one_by_one, open,
    open_with, row, settle, stored_n,
};

fn key_of(outcome: &Outcome) -> String {
    let record = match outcome {
        Outcome::Rejected { record, .. } | Outcome::Unknown { record, .. } => record,
        Outcome::Unwritten {
            record: Some(record),
            ..
        } => record,
        other => panic!("{other:?}"),
    };
    record.item().unwrap().deserialize::<Row>().unwrap().pk
}

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

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

/// Waits on another runtime than the sink's.
fn elsewhere<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}

#[test]
fn receipts_and_drains_hear_of_a_runtime_that_is_gone() {
    let runtime = runtime();
    let fake = fake();
    fake.inject(Fault::never_answer().always());
    let (table, receipt, closed) = runtime.block_on(async {
        let table = open(&fake).await;
        let receipt = table.put(&row("a", 1)).await.unwrap();
        settle().await;
        let closed = open(&fake).await;
        closed.close().await.unwrap();
        (table, receipt, closed)
    });
    drop(runtime);
    let outcome = elsewhere(receipt);
    assert!(
        matches!(
            outcome,
            Outcome::Unwritten {
                may_have_applied: true,
                record: None,
                ..
            }
        ),
        "{outcome:?}"
    );
    elsewhere(async {
        let refused = table.put(&row("b", 1)).await.unwrap_err();
        assert!(matches!(refused, SubmitError::Gone), "{refused:?}");
        let refused = table.put(&row("b", 1)).try_submit().unwrap_err();
        assert!(matches!(refused, SubmitError::Gone), "{refused:?}");
        for error in [
            table.flush().await.unwrap_err(),
            table.snapshot().await.unwrap_err(),
            table.close().await.unwrap_err(),
        ] {
            assert!(matches!(error, DrainError::Gone), "{error:?}");
            assert!(error.may_have_applied());
        }
        assert!(table.abort().await.is_empty());
        // One that was closed before stays closed.
        assert!(matches!(closed.flush().await, Err(DrainError::Closed)));
    });
}

#[test]
fn a_close_under_way_hears_of_a_runtime_that_goes() {
    let runtime = runtime();
    let fake = fake();
    fake.inject(Fault::never_answer().always());
    let table: TableSink = runtime.block_on(async {
        let table = open(&fake).await;
        drop(table.put(&row("a", 1)).await.unwrap());
        settle().await;
        table
    });
    let mut close = Box::pin(table.close());
    assert!(close.as_mut().now_or_never().is_none());
    drop(runtime);
    let closed = elsewhere(close);
    assert!(matches!(closed, Err(DrainError::Gone)), "{closed:?}");
}

/// Fills a table, spoils it, and gives what its writes came to.
async fn spoiled(
    fake: &FaultyDynamoDb,
    spoil: impl Fn(&FaultyDynamoDb),
) -> (TableSink, DrainError) {
    let table = open_with(fake, TableSettings::default().concurrency(2)).await;
    drop(table.put(&row("before", 1)).await.unwrap());
    table.flush().await.unwrap();
    spoil(fake);
    let mut receipts = Vec::new();
    for n in 0..60 {
        receipts.push(table.put(&row(format!("k{n}"), n)).await.unwrap());
    }
    // The failure of one whose receipt is dropped is in the error.
    drop(receipts.pop());
    let error = table.flush().await.unwrap_err();
    assert_eq!(error.outcomes().len(), 1, "{error:?}");
    assert_eq!(key_of(&error.outcomes()[0]), "k59");
    for receipt in receipts {
        let outcome = receipt.await;
        assert!(
            matches!(
                outcome,
                Outcome::Unwritten {
                    may_have_applied: false,
                    record: Some(_),
                    cause: Some(_),
                    ..
                }
            ),
            "{outcome:?}"
        );
    }
    let refused = table.put(&row("after", 1)).await.unwrap_err();
    assert!(
        matches!(&refused, SubmitError::Failed { table, .. } if table == TABLE),
        "{refused:?}"
    );
    assert_eq!(table.stats().rejected, 0);
    assert_no_room_taken(&table);
    (table, error)
}

fn failure(error: &DrainError) -> &dynamodb_connector::ServiceError {
    match error {
        DrainError::Failed { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_deleted_is_fatal_and_all_is_handed_back() {
    let fake = fake();
    let (table, error) = spoiled(&fake, |fake| {
        assert!(fake.delete_table(TABLE));
    })
    .await;
    assert_eq!(failure(&error).code(), "ResourceNotFoundException");
    let closed = table.close().await.unwrap_err();
    assert_eq!(failure(&closed).code(), "ResourceNotFoundException");
    assert!(closed.outcomes().is_empty(), "each is reported once");
}

#[tokio::test(start_paused = true)]
async fn keys_that_change_are_fatal_and_nothing_is_rejected() {
    let fake = fake();
    let (_, error) = spoiled(&fake, |fake| {
        fake.alter_table(TableSpec::new(TABLE).partition("id", KeyKind::String));
    })
    .await;
    assert_eq!(failure(&error).code(), "TableKeysChanged");
}

#[tokio::test(start_paused = true)]
async fn access_that_is_denied_is_fatal() {
    let fake = fake();
    let (_, error) = spoiled(&fake, |fake| {
        fake.inject(Fault::access_denied().always());
    })
    .await;
    assert_eq!(failure(&error).code(), "AccessDeniedException");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_stay_expired_give_up_after_a_while() {
    let fake = fake();
    let before = tokio::time::Instant::now();
    let (_, error) = spoiled(&fake, |fake| {
        fake.inject(Fault::expired_token().always());
    })
    .await;
    assert!(failure(&error).is_credentials());
    let took = before.elapsed();
    assert!(took >= Duration::from_secs(30), "{took:?}");
    assert!(took < Duration::from_secs(90), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_renewed_in_time_lose_nothing() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(Fault::expired_token().always());
    let receipt = table.put(&row("a", 1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    fake.heal();
    assert!(receipt.await.is_written());
}

#[tokio::test(start_paused = true)]
async fn a_second_expiry_has_a_grace_of_its_own() {
    for proof in [false, true] {
        let fake = fake();
        let table = open(&fake).await;
        drop(table.put(&row("a", 1)).await.unwrap());
        table.flush().await.unwrap();
        for _ in 0..2 {
            fake.inject(on_writes(Fault::expired_token()));
            if proof {
                // A failed condition proves the credentials as well as a success does.
                let put = table
                    .put(&row("a", 2))
                    .condition("attribute_not_exists(pk)");
                let outcome = put.confirm().await.unwrap();
                assert!(
                    matches!(outcome, Outcome::ConditionFailed { .. }),
                    "{outcome:?}"
                );
            } else {
                let outcome = table.put(&row("b", 1)).confirm().await.unwrap();
                assert!(outcome.is_written());
            }
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        table.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_when_the_table_failed_keeps_its_answer() {
    let fake = fake();
    let settings = TableSettings::default().concurrency(2).max_batch_items(1);
    let settings = settings.request_timeout(Duration::from_secs(120));
    let table = open_with(&fake, settings).await;
    fake.inject(Fault::access_denied().on_key(is_pk("denied")).always());
    let denied = table.put(&row("denied", 1)).await.unwrap();
    // It is sent when the other has failed for nearly as long as it may, and is answered after that.
    tokio::time::sleep(Duration::from_secs(25)).await;
    fake.inject(Fault::delay_after(Duration::from_secs(60)).on_key(is_pk("slow")));
    let slow = table.put(&row("slow", 1)).await.unwrap();
    assert!(matches!(
        denied.await,
        Outcome::Unwritten {
            may_have_applied: false,
            ..
        }
    ));
    assert!(slow.await.is_written());
    assert!(matches!(
        table.close().await,
        Err(DrainError::Failed { .. })
    ));
}

type Letters = Arc<Mutex<Vec<FailedWrite>>>;

async fn with_letters(fake: &FaultyDynamoDb) -> (TableSink, Letters) {
    let letters = Letters::default();
    let kept = Arc::clone(&letters);
    let sink = builder(fake, TableSettings::default()).dead_letters(move |letter| {
        kept.lock().unwrap().push(letter);
        async { Ok(()) }
    });
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    (table, letters)
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_has_the_record_and_the_reason() {
    let fake = fake();
    let (table, letters) = with_letters(&fake).await;
    fake.inject(Fault::poison(is_pk("bad")));
    drop(table.put(&row("bad", 1)).await.unwrap());
    drop(table.put(&row("good", 1)).await.unwrap());
    fake.inject(Fault::close_after().on(Operation::UpdateItem));
    let add = table.update(&id("n"), "ADD n :one").value(":one", &1);
    let lost = add.await.unwrap();
    table.flush().await.expect("the handler has them");
    assert!(matches!(lost.await, Outcome::Unknown { .. }));
    let letters = letters.lock().unwrap();
    let bad = letters.iter().find(|l| l.reason.is_some()).unwrap();
    let item = bad.record.item().unwrap();
    assert_eq!(item.deserialize::<Row>().unwrap(), row("bad", 1));
    let reason = bad.reason.as_ref().unwrap();
    assert_eq!(
        reason.service_error().unwrap().code(),
        "ValidationException"
    );
    assert!(!bad.may_have_applied);
    let lost = letters.iter().find(|l| l.reason.is_none()).unwrap();
    assert!(lost.may_have_applied);
    assert_eq!(letters.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_flush_and_the_key_wait_for_a_slow_handler() {
    let fake = fake();
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    let sink = builder(&fake, TableSettings::default()).dead_letters(move |_| {
        let count = Arc::clone(&count);
        async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    });
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    // The first refusals of all may be for the sake of what else a request asks for.
    for _ in 0..2 {
        let before = table.put(&row("a", 0)).confirm().await.unwrap();
        assert!(before.is_written());
        settle().await;
    }
    fake.inject(
        Fault::validation("no")
            .on(Operation::BatchWriteItem)
            .times(2),
    );
    drop(table.put(&row("a", 1)).await.unwrap());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut next = table.put(&row("a", 2)).await.unwrap();
    let other = table.put(&row("b", 2)).await.unwrap();
    assert!(other.await.is_written(), "other keys go on");
    assert!(next.try_outcome().is_none());
    assert_eq!(table.snapshot().await.unwrap().len(), 2);
    let before = tokio::time::timeout(Duration::from_secs(10), table.flush()).await;
    assert!(before.is_err(), "the handler is not done");
    table.flush().await.unwrap();
    assert_eq!(done.load(Ordering::Relaxed), 1);
    assert!(next.await.is_written());
    table.close().await.unwrap();
    assert_no_room_taken(&table);
}

#[derive(Clone, Copy, Debug)]
enum Failing {
    Error,
    Panic,
    PanicAtOnce,
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_stops_the_table_and_the_record_is_reported() {
    for how in [Failing::Error, Failing::Panic, Failing::PanicAtOnce] {
        let fake = fake();
        let sink = builder(&fake, TableSettings::default()).dead_letters(move |_| {
            assert!(!matches!(how, Failing::PanicAtOnce), "on purpose");
            async move {
                assert!(!matches!(how, Failing::Panic), "on purpose");
                Err("the queue is full".into())
            }
        });
        let table = sink.open().await.unwrap().table(TABLE).unwrap();
        fake.inject(Fault::poison(is_pk("bad")));
        drop(table.put(&row("bad", 1)).await.unwrap());
        let good = table.put(&row("good", 1)).await.unwrap();
        let error = table.flush().await.unwrap_err();
        let DrainError::Stopped {
            reason: StopReason::DeadLetter(_),
            outcomes,
            ..
        } = &error
        else {
            panic!("{how:?} {error:?}");
        };
        assert_eq!(outcomes.len(), 1, "{how:?}: the handler has not taken it");
        assert_eq!(key_of(&outcomes[0]), "bad");
        assert!(good.await.is_written(), "what was accepted is carried out");
        let refused = table.put(&row("later", 1)).await.unwrap_err();
        assert!(matches!(refused, SubmitError::Stopped(_)), "{refused:?}");
        let closed = table.close().await.unwrap_err();
        assert!(matches!(closed, DrainError::Stopped { .. }));
        assert!(closed.outcomes().is_empty());
        assert_no_room_taken(&table);
    }
}

#[tokio::test(start_paused = true)]
async fn one_table_that_fails_leaves_the_others_alone() {
    let fake = fake();
    fake.create_table(TableSpec::new("others"));
    let sink = DynamoDbSink::builder(&fake.client())
        .table(TABLE, TableSettings::default())
        .table("others", TableSettings::default())
        .open();
    let sink = sink.await.unwrap();
    fake.delete_table(TABLE);
    let failed = sink.table(TABLE).unwrap();
    let failed = failed.put(&row("a", 1)).confirm().await.unwrap();
    assert!(matches!(failed, Outcome::Unwritten { .. }));
    let others = sink.table("others").unwrap();
    let puts = (0..50).map(|n| others.put(&row(format!("k{n}"), n)).confirm());
    for outcome in join_all(puts).await {
        assert!(outcome.unwrap().is_written());
    }
    assert!(matches!(
        sink.flush().await,
        Err(DrainError::Failed { table, .. }) if table == TABLE
    ));
    let handed_back = sink.abort().await;
    assert!(handed_back.is_empty());
}
