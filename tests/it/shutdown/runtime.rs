//! The runtime goes: every receipt, caller in line, adapter and drain hears of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::future::IntoFuture as _;
use std::time::Duration;

use dynamodb_connector::sink::{
    DrainError, Outcome, Receipt, RecordSink, RecordSinkError, Submit, SubmitError, TableSink,
};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb};
use futures::{FutureExt as _, SinkExt as _};
use tokio::runtime::{Builder, Runtime};

use crate::setup::{
    Row, TABLE, builder, fake, id, is_pk, one_by_one, open, open_with, row, settle,
};

/// Waits on another runtime than the sink's. The bound is there to fail in place of hanging.
fn elsewhere<F: Future>(future: F) -> F::Output {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let waited = tokio::time::timeout(Duration::from_secs(60), future).await;
        waited.expect("nobody may wait for ever")
    })
}

fn one_thread() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

fn two_threads() -> Runtime {
    let mut threads = Builder::new_multi_thread();
    threads.worker_threads(2).enable_all().build().unwrap()
}

fn is_gone(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Unwritten {
            may_have_applied: true,
            record: None,
            ..
        }
    )
}

/// All who may wait on a sink: a receipt of each state, a caller in line, an adapter, those who drain.
struct Waiting {
    table: TableSink,
    written: Receipt,
    unread: Receipt,
    outstanding: Vec<Receipt>,
    in_line: Submit,
    adapter: RecordSink<Row>,
}

async fn waiting(fake: &FaultyDynamoDb) -> Waiting {
    let table = open_with(fake, one_by_one().buffer_records(5).max_key_share(1.0)).await;
    let mut written = table.put(&row("written", 1)).await.unwrap();
    table.flush().await.unwrap();
    assert!(written.try_outcome().is_some());
    let unread = table.put(&row("unread", 1)).await.unwrap();
    table.flush().await.unwrap();
    fake.inject(Fault::never_answer().always());
    // The first is in flight, the second waits behind it on its key, the others in the queue.
    let mut outstanding = Vec::new();
    for pk in ["in flight", "in flight", "queued"] {
        outstanding.push(table.put(&row(pk, 1)).await.unwrap());
    }
    let add = table.update(&id("queued"), "ADD n :one").value(":one", &1);
    outstanding.push(add.await.unwrap());
    let mut adapter = table.records();
    adapter.feed(row("of the adapter", 1)).await.unwrap();
    assert!(adapter.flush().now_or_never().is_none());
    let mut in_line = table.put(&row("in line", 1)).into_future();
    assert!((&mut in_line).now_or_never().is_none());
    Waiting {
        table,
        written,
        unread,
        outstanding,
        in_line,
        adapter,
    }
}

fn assert_that_all_hear(waiting: Waiting) {
    let Waiting {
        table,
        written,
        unread,
        outstanding,
        in_line,
        mut adapter,
    } = waiting;
    assert!(elsewhere(written).is_written(), "what was told stays told");
    assert!(elsewhere(unread).is_written(), "whether it was read or not");
    for receipt in outstanding {
        let outcome = elsewhere(receipt);
        assert!(is_gone(&outcome), "{outcome:?}");
    }
    let refused = elsewhere(in_line).unwrap_err();
    assert!(matches!(refused, SubmitError::Gone), "{refused:?}");
    let lost = elsewhere(adapter.flush()).unwrap_err();
    assert!(
        matches!(lost, RecordSinkError::Drain(DrainError::Gone)),
        "{lost:?}"
    );
    let lost = elsewhere(adapter.send(row("z", 1))).unwrap_err();
    assert!(
        matches!(lost, RecordSinkError::Submit(SubmitError::Gone)),
        "{lost:?}"
    );
    for error in [
        elsewhere(table.flush()).unwrap_err(),
        elsewhere(table.snapshot()).unwrap_err(),
        elsewhere(table.close()).unwrap_err(),
    ] {
        assert!(matches!(error, DrainError::Gone), "{error:?}");
    }
    assert!(elsewhere(table.abort()).is_empty());
}

#[test]
fn nobody_waits_for_ever_on_a_runtime_that_is_dropped() {
    for runtime in [one_thread(), two_threads()] {
        let fake = fake();
        let waiting = runtime.block_on(waiting(&fake));
        drop(runtime);
        assert_that_all_hear(waiting);
    }
}

#[test]
fn nobody_waits_for_ever_on_a_runtime_that_is_shut_down_in_the_background() {
    for runtime in [one_thread(), two_threads()] {
        let fake = fake();
        let waiting = runtime.block_on(waiting(&fake));
        runtime.shutdown_background();
        assert_that_all_hear(waiting);
    }
}

#[test]
fn nobody_waits_for_ever_on_a_runtime_that_is_shut_down_within_a_time() {
    for runtime in [one_thread(), two_threads()] {
        let fake = fake();
        let waiting = runtime.block_on(waiting(&fake));
        // The time is for blocking tasks; tasks that wait are dropped at once.
        runtime.shutdown_timeout(Duration::from_secs(30));
        assert_that_all_hear(waiting);
    }
}

#[test]
fn those_who_wait_already_are_woken_when_the_runtime_goes() {
    let fake = fake();
    let runtime = two_threads();
    let waiting = runtime.block_on(waiting(&fake));
    let (started, all_started) = std::sync::mpsc::channel();
    let heard = std::thread::scope(|scope| {
        let mut heard = Vec::new();
        for receipt in waiting.outstanding {
            let started = started.clone();
            heard.push(scope.spawn(move || {
                elsewhere(async move {
                    let mut receipt = receipt;
                    assert!((&mut receipt).now_or_never().is_none());
                    started.send(()).unwrap();
                    is_gone(&receipt.await)
                })
            }));
        }
        let mut in_line = waiting.in_line;
        let told = started.clone();
        heard.push(scope.spawn(move || {
            elsewhere(async move {
                assert!((&mut in_line).now_or_never().is_none());
                told.send(()).unwrap();
                matches!(in_line.await, Err(SubmitError::Gone))
            })
        }));
        let table = waiting.table;
        heard.push(scope.spawn(move || {
            elsewhere(async move {
                let mut flush = Box::pin(table.flush());
                assert!(flush.as_mut().now_or_never().is_none());
                started.send(()).unwrap();
                matches!(flush.await, Err(DrainError::Gone))
            })
        }));
        for _ in 0..heard.len() {
            all_started.recv().unwrap();
        }
        drop(runtime);
        heard.into_iter().all(|heard| heard.join().unwrap())
    });
    assert!(heard);
}

#[test]
fn a_dead_letter_whose_handler_goes_with_the_runtime_is_told_to_its_receipt() {
    let fake = fake();
    let runtime = one_thread();
    let told = runtime.block_on(async {
        let sink = builder(&fake, one_by_one()).dead_letters(|_| std::future::pending());
        let table = sink.open().await.unwrap().table(TABLE).unwrap();
        fake.inject(Fault::poison(is_pk("bad")));
        let mut receipt = table.put(&row("bad", 1)).await.unwrap();
        settle().await;
        assert!(receipt.try_outcome().is_none(), "the handler has it");
        (receipt,)
    });
    drop(runtime);
    assert!(is_gone(&elsewhere(told.0)));
}

/// One that was given up, so that nobody has heard how it ended.
#[test]
fn a_close_that_the_runtime_cut_short_does_not_pass_for_one_that_drained() {
    let fake = fake();
    fake.inject(Fault::never_answer().always());
    let runtime = one_thread();
    let table = runtime.block_on(async {
        let table = open(&fake).await;
        drop(table.put(&row("a", 1)).await.unwrap());
        assert!(table.close().now_or_never().is_none());
        settle().await;
        table
    });
    drop(runtime);
    for error in [
        elsewhere(table.close()).unwrap_err(),
        elsewhere(table.flush()).unwrap_err(),
    ] {
        assert!(matches!(error, DrainError::Gone), "{error:?}");
        assert!(error.may_have_applied());
    }
}

/// The worker was spawned and never ran.
#[test]
fn a_runtime_that_goes_as_soon_as_the_table_is_open_leaves_nobody_waiting() {
    let fake = fake();
    let runtime = one_thread();
    let table = runtime.block_on(open(&fake));
    drop(runtime);
    elsewhere(async {
        let refused = table.put(&row("a", 1)).await;
        assert!(matches!(refused, Err(SubmitError::Gone)), "{refused:?}");
        for drained in [table.flush().await, table.close().await] {
            assert!(matches!(drained, Err(DrainError::Gone)), "{drained:?}");
        }
        let snapshot = table.snapshot().await;
        assert!(matches!(snapshot, Err(DrainError::Gone)), "{snapshot:?}");
        assert!(table.abort().await.is_empty());
    });
}
