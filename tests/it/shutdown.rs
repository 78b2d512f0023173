//! What goes away while writes are outstanding: the runtime, the tasks that submit, the handles, the receipts.
//!
//! Nobody waits for ever, and no failure vanishes but where everyone who could hear of it is gone.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do"
)]

use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynamodb_connector::sink::{
    DrainError, Outcome, Receipt, RecordSink, RecordSinkError, Submit, SubmitError, TableSink,
};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};
use futures::{FutureExt as _, SinkExt as _};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::setup::{
    Row, TABLE, builder, fake, id, is_pk, one_by_one, open, open_with, row, settle, stored_n,
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
            record: None
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
    let receipt = runtime.block_on(async {
        let sink = builder(&fake, one_by_one()).dead_letters(|_| std::future::pending());
        let table = sink.open().await.unwrap().table(TABLE).unwrap();
        fake.inject(Fault::poison(is_pk("bad")));
        let mut receipt = table.put(&row("bad", 1)).await.unwrap();
        settle().await;
        assert!(receipt.try_outcome().is_none(), "the handler has it");
        receipt
    });
    drop(runtime);
    assert!(is_gone(&elsewhere(receipt)));
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

#[tokio::test(start_paused = true)]
async fn tasks_that_are_aborted_take_nothing_back_and_hold_nobody_up() {
    let fake = fake();
    let table = open_with(&fake, one_by_one().buffer_records(1)).await;
    fake.inject(Fault::delay_before(Duration::from_secs(1)).always());
    let confirms = tokio::spawn({
        let table = table.clone();
        async move { table.put(&row("accepted", 1)).confirm().await }
    });
    settle().await;
    let in_line = tokio::spawn({
        let table = table.clone();
        async move { table.put(&row("in line", 1)).confirm().await }
    });
    settle().await;
    let behind = tokio::spawn({
        let table = table.clone();
        async move { table.put(&row("behind", 1)).confirm().await }
    });
    let flushes = tokio::spawn({
        let table = table.clone();
        async move { table.flush().await }
    });
    settle().await;
    assert_eq!(table.stats().waiting_callers, 2);
    for task in [&confirms, &in_line] {
        task.abort();
    }
    flushes.abort();
    assert!(behind.await.unwrap().unwrap().is_written());
    table.flush().await.unwrap();
    assert_eq!(stored_n(&fake, "accepted"), Some(1));
    assert_eq!(stored_n(&fake, "in line"), None);
    let closes = tokio::spawn({
        let table = table.clone();
        async move { table.close().await }
    });
    settle().await;
    closes.abort();
    assert!(matches!(
        table.put(&row("late", 1)).await,
        Err(SubmitError::Closed)
    ));
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_confirm_that_is_dropped_is_reported() {
    for arrives_first in [false, true] {
        let fake = fake();
        let table = open(&fake).await;
        fake.inject(Fault::close_after().on(Operation::UpdateItem));
        let add = table.update(&id("a"), "ADD n :one").value(":one", &1);
        let mut confirm = Box::pin(add.confirm());
        assert!(confirm.as_mut().now_or_never().is_none());
        if arrives_first {
            // The answer comes, and nobody looks.
            settle().await;
            assert_eq!(table.stats().rejected, 1);
        }
        drop(confirm);
        let error = table.flush().await.unwrap_err();
        assert!(
            matches!(error.outcomes(), [Outcome::Unknown { .. }]),
            "{error:?}"
        );
    }
}

/// The tasks of this runtime: those that a sink leaves behind are among them.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn a_sink_without_handles_ends_once_nothing_is_outstanding() {
    let fake = fake();
    assert_eq!(tasks(), 0);
    let idle = open(&fake).await;
    settle().await;
    assert_eq!(tasks(), 1);
    drop(idle);
    settle().await;
    assert_eq!(tasks(), 0, "its worker waits for nobody");

    let table = open(&fake).await;
    fake.inject(Fault::delay_before(Duration::from_secs(5)).always());
    let receipts = [
        table.put(&row("a", 1)).await.unwrap(),
        table.put(&row("a", 2)).await.unwrap(),
    ];
    let other = table.clone();
    drop(table);
    settle().await;
    drop(other);
    settle().await;
    assert!(tasks() > 0, "it has work to do");
    for receipt in receipts {
        assert!(receipt.await.is_written());
    }
    settle().await;
    assert_eq!(tasks(), 0);
    assert_eq!(stored_n(&fake, "a"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn without_handles_failures_reach_receipts_and_the_dead_letter_handler() {
    let fake = fake();
    let letters = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&letters);
    let sink = builder(&fake, one_by_one()).dead_letters(move |letter| {
        kept.lock().unwrap().push(letter);
        async { Ok(()) }
    });
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    fake.inject(Fault::poison(is_pk("heard")));
    fake.inject(Fault::poison(is_pk("dropped")));
    let heard = table.put(&row("heard", 1)).await.unwrap();
    drop(table.put(&row("dropped", 1)).await.unwrap());
    drop(table);
    assert!(matches!(heard.await, Outcome::Rejected { .. }));
    while tasks() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(letters.lock().unwrap().len(), 2);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn with_all_who_could_hear_gone_a_failure_is_logged() {
    // With one dispatcher alone, tracing asks the thread that reaches a callsite first whether it is
    // of interest; that may be another test's.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let log = Log::default();
    let out = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || out.clone())
        .finish();
    let _subscriber = tracing::subscriber::set_default(subscriber);
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(Fault::poison(is_pk("bad")));
    drop(table.put(&row("bad", 1)).await.unwrap());
    drop(table);
    while tasks() > 0 {
        tokio::task::yield_now().await;
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("nobody is left to hear of them"), "{log}");
    assert!(log.contains("writes=1"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn the_failure_behind_a_dropped_receipt_is_reported_by_flush_or_close() {
    for closing in [false, true] {
        let fake = fake();
        let table = open(&fake).await;
        fake.inject(Fault::poison(is_pk("bad")));
        drop(table.put(&row("bad", 1)).await.unwrap());
        drop(table.put(&row("good", 1)).await.unwrap());
        let error = if closing {
            table.close().await.unwrap_err()
        } else {
            table.flush().await.unwrap_err()
        };
        assert!(
            matches!(error.outcomes(), [Outcome::Rejected { .. }]),
            "{error:?}"
        );
        assert_eq!(stored_n(&fake, "good"), Some(1));
    }
}

/// The outcome had arrived, and nobody had looked.
#[tokio::test(start_paused = true)]
async fn a_failure_that_its_receipt_held_unread_is_reported_when_that_is_dropped() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(Fault::poison(is_pk("bad")));
    let receipt = table.put(&row("bad", 1)).await.unwrap();
    let mut read = table.put(&row("bad", 2)).await.unwrap();
    table.flush().await.expect("receipts are held of both");
    assert!(matches!(read.try_outcome(), Some(Outcome::Rejected { .. })));
    drop(read);
    drop(receipt);
    let error = table.close().await.unwrap_err();
    assert_eq!(error.outcomes().len(), 1, "{error:?}");
}
