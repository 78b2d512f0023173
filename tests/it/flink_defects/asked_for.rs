//! What the connector's users ask for.

use dynamodb_connector::TableSpec;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::retry::RetryPolicy;
use dynamodb_connector::sink::{
    DrainError, Outcome, RejectReason, SubmitError, TableSettings, TableSink,
};
use dynamodb_connector::test_util::{
    AppliedKind, AppliedWrite, Fault, FaultyDynamoDb, Operation, Throttle,
};
use futures::future::join_all;
use serde_json::json;

use super::{all_written, batches, gaps, ms, secs};
use crate::setup::{
    TABLE, assert_no_room_taken, fake, id, on_writes, one_by_one, open, open_with, row, settle,
    stored_n,
};

#[tokio::test(start_paused = true)]
async fn conditional_writes_and_updates_stand_in_line_with_plain_ones() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(Fault::unprocessed_all().times(3));
    fake.inject(Fault::throttled(Throttle::Throttling).on(Operation::UpdateItem));
    let new = "attribute_not_exists(pk)";
    let first = table.put(&row("a", 1)).condition(new).await;
    let again = table.put(&row("a", 2)).condition(new).await;
    let plain = table.put(&row("a", 3)).await;
    let add = table.update(&id("a"), "ADD n :n").value(":n", &10).await;
    let gone = table.delete(&id("b")).condition("n = :n").value(":n", &1);
    let gone = gone.await;
    for receipt in [first, plain, add] {
        assert!(receipt.expect("accepted").await.is_written());
    }
    for receipt in [again, gone] {
        let outcome = receipt.expect("accepted").await;
        assert!(
            matches!(outcome, Outcome::ConditionFailed { .. }),
            "{outcome:?}"
        );
    }
    assert_eq!(stored_n(&fake, "a"), Some(13));
    let kinds: Vec<_> = fake.applied().iter().map(AppliedWrite::kind).collect();
    assert_eq!(
        kinds,
        [AppliedKind::Put, AppliedKind::Put, AppliedKind::Update]
    );
}

#[tokio::test(start_paused = true)]
async fn coalescing_needs_no_keys_to_be_named() {
    let fake = FaultyDynamoDb::new();
    let spec = TableSpec::new(TABLE).partition("customer", KeyKind::String);
    fake.create_table(spec.sort("at", KeyKind::Number));
    let settings = TableSettings::default().coalesce(true);
    let sink =
        dynamodb_connector::sink::DynamoDbSink::builder(&fake.client()).table(TABLE, settings);
    let table = sink.open().await.expect("opened").table(TABLE);
    let table = table.expect("opened");
    let put = |at: u64, n: u64| {
        let write = table.put(&json!({ "customer": "c", "at": at, "n": n }));
        write.try_submit().expect("room")
    };
    let (old, other, new) = (put(1, 1), put(2, 2), put(1, 3));
    assert!(matches!(old.await, Outcome::Superseded));
    all_written([other, new]).await;
    assert_eq!(fake.applied().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_delete_sends_the_key_alone() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE).sort("at", KeyKind::Number));
    let table = TableSink::open(&fake.client(), TABLE).await;
    let table = table.expect("opened");
    let record = json!({ "pk": "a", "at": 7, "text": "x".repeat(300_000), "none": null });
    all_written([table.put(&record).await.expect("accepted")]).await;
    // The whole record, in which the key is found, and the key by itself.
    for key in [record, json!({ "at": 7, "pk": "a" })] {
        fake.clear_journal();
        all_written([table.delete(&key).await.expect("accepted")]).await;
        let [batch] = &batches(&fake)[..] else {
            panic!("more than one request");
        };
        assert!(batch.body_bytes() < 200, "{}", batch.body_bytes());
        assert_eq!(fake.applied()[0].kind(), AppliedKind::Delete);
        assert_eq!(fake.item_count(TABLE), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn retries_are_set_and_counted() {
    let fake = fake();
    let policy = RetryPolicy::default()
        .initial_backoff(secs(1))
        .multiplier(3.0)
        .max_backoff(secs(5))
        .max_attempts(5);
    let table = open_with(&fake, TableSettings::default().retry(policy)).await;
    fake.inject(
        Fault::internal_error()
            .on(Operation::BatchWriteItem)
            .always(),
    );
    let outcome = table.put(&row("a", 1)).confirm().await.expect("accepted");
    let Outcome::Rejected {
        reason: RejectReason::AttemptsExhausted { attempts, last, .. },
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!((attempts, last.code()), (5, "InternalServerError"));
    let stats = table.stats();
    assert_eq!((stats.retried, stats.failed_requests), (4, 5));
    let gaps = gaps(&fake);
    assert_eq!(gaps.len(), 4);
    for (gap, full) in gaps.into_iter().zip([1, 3, 5, 5].map(secs)) {
        assert!(
            gap >= full / 2 && gap <= full + ms(2),
            "{gap:?} of {full:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_hangs_when_the_table_fails() {
    let fake = fake();
    let table = open_with(&fake, one_by_one().buffer_records(8)).await;
    fake.inject(on_writes(Fault::delay_before(secs(5))));
    fake.inject(on_writes(Fault::access_denied()).always());
    let callers = (0..100).map(|n| {
        let table = table.clone();
        tokio::spawn(async move { table.put(&row(format!("k{n}"), n)).confirm().await })
    });
    let callers: Vec<_> = callers.collect();
    let drains = (0..5).map(|_| {
        let table = table.clone();
        tokio::spawn(async move { table.flush().await })
    });
    let drains: Vec<_> = drains.collect();
    settle().await;
    let ended = tokio::time::timeout(secs(120), async {
        (join_all(callers).await, join_all(drains).await)
    });
    let (callers, drains) = ended.await.expect("nobody hangs");
    let mut written = 0;
    for caller in callers {
        match caller.expect("no panic") {
            Ok(Outcome::Written) => written += 1,
            Ok(Outcome::Unwritten { .. }) | Err(SubmitError::Failed { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(written, 1, "the one in flight when nothing was wrong yet");
    for drain in drains {
        assert!(matches!(
            drain.expect("no panic"),
            Ok(()) | Err(DrainError::Failed { .. })
        ));
    }
    let closed = tokio::time::timeout(secs(1), table.close()).await;
    let closed = closed.expect("it does not hang");
    assert!(matches!(closed, Err(DrainError::Failed { .. })));
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn nobody_hangs_where_nothing_is_answered() {
    let fake = fake();
    let settings = TableSettings::default()
        .concurrency(2)
        .buffer_records(50)
        .request_timeout(secs(2))
        .deadline(secs(30));
    let table = open_with(&fake, settings).await;
    fake.inject(Fault::never_answer().always());
    let callers = (0..200).map(|n| {
        let table = table.clone();
        tokio::spawn(async move { table.put(&row(format!("k{n}"), n)).confirm().await })
    });
    let callers: Vec<_> = callers.collect();
    // Each has 30 s from its acceptance on; four buffers' worth, and the last attempt's time-out.
    let ended = tokio::time::timeout(secs(4 * 33), join_all(callers)).await;
    for outcome in ended.expect("nobody hangs") {
        let outcome = outcome.expect("no panic").expect("accepted");
        assert!(
            matches!(
                outcome,
                Outcome::Rejected {
                    reason: RejectReason::DeadlineExceeded { .. },
                    ..
                }
            ),
            "{outcome:?}"
        );
    }
    // It is not broken by it.
    fake.heal();
    let outcome = table.put(&row("a", 1)).confirm().await.expect("accepted");
    assert!(outcome.is_written());
    table.close().await.expect("nothing is left");
    assert_eq!(fake.item_count(TABLE), 1);
    assert_no_room_taken(&table);
}
