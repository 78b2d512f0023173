//! Tasks, handles and receipts go: the writes go on, and their failures are reported to whoever is left.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::sink::{Outcome, SubmitError};
use dynamodb_connector::test_util::{Fault, Operation};
use futures::{FutureExt as _, SinkExt as _};
use tokio::runtime::Handle;

use crate::setup::{
    TABLE, builder, fake, id, is_pk, one_by_one, open, open_with, row, settle, stored_n,
};

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
    let behind = tokio::time::timeout(Duration::from_secs(600), behind);
    let behind = behind.await.expect("those in line before it are gone");
    assert!(behind.unwrap().unwrap().is_written());
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

/// Time is paused: this takes none, and ends where a worker stays for ever.
async fn all_have_ended() {
    let ended = async {
        while tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(600), ended);
    ended.await.expect("a worker stays");
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
        kept.lock().push(letter);
        async { Ok(()) }
    });
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    fake.inject(Fault::poison(is_pk("heard")));
    fake.inject(Fault::poison(is_pk("dropped")));
    let heard = table.put(&row("heard", 1)).await.unwrap();
    drop(table.put(&row("dropped", 1)).await.unwrap());
    drop(table);
    assert!(matches!(heard.await, Outcome::Rejected { .. }));
    all_have_ended().await;
    assert_eq!(letters.lock().len(), 2);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
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
    for last in ["handle", "receipt", "adapter"] {
        let fake = fake();
        let table = open(&fake).await;
        fake.inject(Fault::poison(is_pk("bad")));
        if last == "handle" {
            drop(table.put(&row("bad", 1)).await.unwrap());
            drop(table);
        } else if last == "receipt" {
            let unread = table.put(&row("bad", 1)).await.unwrap();
            table.close().await.unwrap();
            drop(unread);
        } else {
            let mut adapter = table.records();
            adapter.feed(row("bad", 1)).await.unwrap();
            // Brings it in; how it ended is told by the next call, which does not come.
            assert!(adapter.flush().now_or_never().is_none());
            table.close().await.unwrap();
            drop(adapter);
        }
        all_have_ended().await;
        let log = std::mem::take(&mut *log.0.lock());
        let log = String::from_utf8(log).unwrap();
        let reports = log.lines().filter(|line| line.contains("writes failed"));
        assert_eq!(reports.count(), 1, "{last}: {log}");
        assert!(log.contains("writes=1"), "{last}: {log}");
    }
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
