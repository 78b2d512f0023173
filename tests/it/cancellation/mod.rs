//! Every public async call, dropped at every point where it waits.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use dynamodb_connector::sink::{Outcome, TableSink};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb};
use futures::future::poll_fn;
use futures::{FutureExt, SinkExt};

use crate::setup::{
    TABLE, assert_no_room_taken, fake, one_by_one, open, open_with, row, settle, stored,
};

/// Polls a future this often and then drops it: `None` where it had not completed by then.
async fn dropped_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A table of one place in the buffer, taken by a slow write.
async fn full(fake: &FaultyDynamoDb) -> TableSink {
    fake.inject(Fault::delay_before(Duration::from_secs(1)).always());
    let table = open_with(fake, one_by_one().buffer_records(1)).await;
    drop(table.put(&row("first", 0)).await.unwrap());
    table
}

/// Neighbours go on, and nothing of the buffer stays taken.
async fn goes_on(fake: &FaultyDynamoDb, table: &TableSink) {
    for n in 0..3 {
        let outcome = table.put(&row(format!("after{n}"), n)).confirm().await;
        assert!(outcome.unwrap().is_written());
    }
    tokio::time::timeout(Duration::from_secs(600), table.close())
        .await
        .expect("not stuck")
        .unwrap();
    assert_no_room_taken(table);
    assert!(stored(fake, "first").is_some());
    assert!(stored(fake, "after2").is_some());
}

const MOST_POLLS: usize = 100;

#[tokio::test(start_paused = true)]
async fn a_put_that_is_dropped_is_either_not_submitted_or_carried_out() {
    for polls in 0..MOST_POLLS {
        let fake = fake();
        let table = full(&fake).await;
        let neighbour = table.clone();
        let neighbour =
            tokio::spawn(async move { neighbour.put(&row("n", 1)).confirm().await.unwrap() });
        settle().await;
        let receipt = dropped_after(polls, table.put(&row("a", 1)).into_future()).await;
        let accepted = receipt.is_some();
        drop(receipt);
        assert!(neighbour.await.unwrap().is_written());
        goes_on(&fake, &table).await;
        assert_eq!(
            stored(&fake, "a").is_some(),
            accepted,
            "after {polls} polls"
        );
        if accepted {
            assert!(polls > 1, "it had to wait");
            return;
        }
    }
    panic!("it never completed");
}

#[tokio::test(start_paused = true)]
async fn a_confirm_that_is_dropped_holds_nothing_up() {
    for polls in 0..MOST_POLLS {
        let fake = fake();
        let table = full(&fake).await;
        let confirmed = dropped_after(polls, table.put(&row("a", 1)).confirm()).await;
        goes_on(&fake, &table).await;
        if let Some(outcome) = confirmed {
            assert!(outcome.unwrap().is_written());
            assert!(stored(&fake, "a").is_some());
            return;
        }
    }
    panic!("it never completed");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_dropped_holds_nothing_up() {
    for polls in 0..MOST_POLLS {
        let fake = fake();
        let table = full(&fake).await;
        let both = table.transaction().add(table.put(&row("a", 1)));
        let both = both.add(table.put(&row("b", 1)));
        let confirmed = dropped_after(polls, both.confirm()).await;
        goes_on(&fake, &table).await;
        assert_eq!(stored(&fake, "a").is_some(), stored(&fake, "b").is_some());
        if confirmed.is_some() {
            return;
        }
    }
    panic!("it never completed");
}

#[tokio::test(start_paused = true)]
async fn a_flush_or_snapshot_that_is_dropped_holds_nothing_up() {
    let mut completed = (false, false);
    for polls in 0..MOST_POLLS {
        let fake = fake();
        let table = full(&fake).await;
        completed.0 |= dropped_after(polls, table.flush()).await.is_some();
        completed.1 |= dropped_after(polls, table.snapshot()).await.is_some();
        goes_on(&fake, &table).await;
        if completed == (true, true) {
            return;
        }
    }
    panic!("they never completed");
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_dropped_closes_once_it_was_polled() {
    for polls in 0..MOST_POLLS {
        let fake = fake();
        let table = full(&fake).await;
        let closed = dropped_after(polls, table.close()).await;
        if polls == 0 {
            goes_on(&fake, &table).await;
            continue;
        }
        assert!(table.put(&row("late", 1)).await.is_err());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(stored(&fake, "first").is_some());
        assert_no_room_taken(&table);
        if closed.is_some() {
            return;
        }
    }
    panic!("it never completed");
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_is_dropped_aborts_once_it_was_polled() {
    for polls in 1..MOST_POLLS {
        let fake = fake();
        fake.inject(Fault::never_answer().always());
        let table = open_with(&fake, one_by_one()).await;
        let receipt = table.put(&row("a", 1)).await.unwrap();
        let aborted = dropped_after(polls, table.abort()).await;
        assert!(matches!(
            receipt.await,
            Outcome::Unwritten {
                record: Some(_),
                ..
            }
        ));
        settle().await;
        assert_no_room_taken(&table);
        if let Some(handed_back) = aborted {
            assert_eq!(handed_back.len(), 1);
            return;
        }
    }
    panic!("it never completed");
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_is_polled_and_dropped_does_not_take_its_write_back() {
    for polls in 0..MOST_POLLS {
        let fake = fake();
        let table = full(&fake).await;
        let receipt = table.put(&row("a", 1)).await.unwrap();
        let outcome = dropped_after(polls, receipt).await;
        goes_on(&fake, &table).await;
        assert!(stored(&fake, "a").is_some());
        if outcome.is_some() {
            return;
        }
    }
    panic!("it never completed");
}

#[tokio::test(start_paused = true)]
async fn an_open_that_is_dropped_starts_nothing() {
    for polls in 0..MOST_POLLS {
        let fake = fake();
        fake.inject(Fault::delay_before(Duration::from_secs(1)));
        fake.inject(Fault::internal_error());
        let client = fake.client();
        let opened = dropped_after(polls, TableSink::open(&client, TABLE)).await;
        settle().await;
        assert_eq!(fake.in_flight(), 0);
        if let Some(table) = opened {
            let table = table.unwrap();
            assert!(
                table
                    .put(&row("a", 1))
                    .confirm()
                    .await
                    .unwrap()
                    .is_written()
            );
            return;
        }
    }
    panic!("it never completed");
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_is_dropped_can_be_done_again() {
    let source = fake();
    source.inject(Fault::never_answer().always());
    let table = open_with(&source, one_by_one()).await;
    for n in 0..4 {
        drop(table.put(&row(format!("k{n}"), n)).await.unwrap());
    }
    let snapshot = table.snapshot().await.unwrap();
    assert_eq!(snapshot.len(), 4);
    for polls in 0..MOST_POLLS {
        let fake = fake();
        let table = full(&fake).await;
        let restored = dropped_after(polls, table.restore(&snapshot)).await;
        goes_on(&fake, &table).await;
        let fresh = open(&fake).await;
        drop(fresh.restore(&snapshot).await.unwrap());
        fresh.close().await.unwrap();
        assert!((0..4).all(|n| stored(&fake, &format!("k{n}")).is_some()));
        if restored.is_some() {
            return;
        }
    }
    panic!("it never completed");
}

#[tokio::test(start_paused = true)]
async fn sends_of_an_adapter_that_are_dropped_hold_nothing_up() {
    let mut completed = 0;
    for polls in 0..MOST_POLLS {
        let fake = fake();
        let table = full(&fake).await;
        let mut sink = table.records();
        for n in 0..3 {
            let sent = dropped_after(polls, sink.send(row(format!("k{n}"), n))).await;
            if let Some(sent) = sent {
                sent.unwrap();
                assert!(stored(&fake, &format!("k{n}")).is_some());
                completed += 1;
            }
        }
        let closed = dropped_after(polls, sink.close()).await;
        drop(sink);
        goes_on(&fake, &table).await;
        if completed >= 3 && closed.is_some() {
            assert!(poll_fn(|_| Poll::Ready(())).now_or_never().is_some());
            return;
        }
    }
    panic!("they never completed");
}
