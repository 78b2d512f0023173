//! A table as a `futures::Sink`, and raw items and requests.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest};
use dynamodb_connector::sink::{
    DrainError, Outcome, RecordSinkError, SubmitError, TableSettings, TableSink,
};
use dynamodb_connector::test_util::{Fault, FaultPlan};
use futures::{FutureExt, SinkExt, StreamExt, stream};

use crate::setup::{
    Id, Row, TABLE, assert_no_room_taken, builder, fake, id, is_pk, large, on_writes, one_by_one,
    open, open_with, row, settle, stored, stored_n,
};

#[tokio::test(start_paused = true)]
async fn five_thousand_records_are_forwarded() {
    let fake = fake();
    fake.fault_plan(FaultPlan::seeded(3).unprocessed(0.1).throttle(0.05));
    let table = open_with(&fake, TableSettings::default().buffer_records(100)).await;
    let records = stream::iter((0..5_000).map(|n| Ok(row(format!("k{}", n % 1_000), n))));
    records.forward(table.records()).await.unwrap();
    // The adapter is closed and has flushed; the table is open.
    assert_eq!(fake.item_count(TABLE), 1_000);
    for n in 0..1_000 {
        assert_eq!(stored_n(&fake, &format!("k{n}")), Some(4_000 + n));
    }
    assert_eq!(table.stats().written, 5_000);
    assert!(fake.overlaps().is_empty());
    assert!(
        table
            .put(&row("z", 1))
            .confirm()
            .await
            .unwrap()
            .is_written()
    );
    table.close().await.unwrap();
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn at_most_one_record_is_parked_beyond_the_bound() {
    let fake = fake();
    fake.inject(Fault::never_answer().always());
    let settings = one_by_one().buffer_records(3).max_key_share(1.0);
    let table = open_with(&fake, settings).await;
    let mut sink = table.records::<Row>();
    let mut sent = 0;
    while futures::future::poll_fn(|cx| sink.poll_ready_unpin(cx))
        .now_or_never()
        .is_some_and(|ready| ready.is_ok())
    {
        sink.start_send_unpin(row(format!("k{sent}"), sent))
            .unwrap();
        sent += 1;
    }
    assert_eq!(sent, 4, "three in the buffer and one parked");
    let stats = table.stats();
    assert_eq!((stats.buffered_records, stats.waiting_callers), (3, 1));
    drop(sink);
    assert_eq!(table.stats().waiting_callers, 0);
    assert_eq!(table.abort().await.len(), 3);
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_breaks_a_limit_is_refused_at_once_and_the_adapter_goes_on() {
    let fake = fake();
    let table = open(&fake).await;
    let mut sink = table.records();
    let error = sink.send(large("a", 500_000)).await.unwrap_err();
    let RecordSinkError::Submit(error) = error else {
        panic!("{error:?}");
    };
    assert!(error.is_record());
    sink.send(large("b", 5)).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(fake.item_count(TABLE), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_record_surfaces_at_the_next_ready_flush_or_close() {
    let fake = fake();
    fake.inject(Fault::poison(is_pk("bad")));
    for at in ["ready", "flush", "close"] {
        let table = open(&fake).await;
        let mut sink = table.records();
        sink.feed(row("good", 1)).await.unwrap();
        sink.feed(row("bad", 1)).await.unwrap();
        let error = match at {
            "ready" => {
                sink.feed(row("good", 2)).await.unwrap();
                tokio::time::sleep(Duration::from_secs(5)).await;
                sink.feed(row("good", 3)).await.unwrap_err()
            }
            "flush" => sink.flush().await.unwrap_err(),
            _ => sink.close().await.unwrap_err(),
        };
        let RecordSinkError::NotWritten { outcomes, .. } = error else {
            panic!("{at}: {error:?}");
        };
        assert!(
            matches!(outcomes[..], [Outcome::Rejected { .. }]),
            "{at}: {outcomes:?}"
        );
        sink.flush().await.expect("told once");
        table.close().await.expect("told once");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_of_a_dropped_adapter_are_reported_by_the_table() {
    let fake = fake();
    fake.inject(Fault::poison(|key| {
        key["pk"].as_s().is_ok_and(|pk| pk.starts_with("bad"))
    }));
    // Dropped before they fail, and after.
    for after in [false, true] {
        let table = open(&fake).await;
        let mut sink = table.records();
        for n in 0..7 {
            sink.feed(row(format!("bad{n}"), n)).await.unwrap();
        }
        futures::future::poll_fn(|cx| sink.poll_ready_unpin(cx))
            .await
            .unwrap();
        if after {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        drop(sink);
        let error = table.close().await.unwrap_err();
        assert_eq!(error.outcomes().len(), 7, "after: {after}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_dead_letter_handler_failures_are_its_business() {
    let fake = fake();
    fake.inject(Fault::poison(is_pk("bad")));
    let sink = builder(&fake, TableSettings::default()).dead_letters(|_| async { Ok(()) });
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    let mut sink = table.records();
    sink.send(row("bad", 1)).await.unwrap();
    sink.close().await.unwrap();
    table.close().await.unwrap();

    let sink =
        builder(&fake, TableSettings::default()).dead_letters(|_| async { Err("no".into()) });
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    let mut sink = table.records();
    sink.feed(row("bad", 1)).await.unwrap();
    let error = sink.flush().await.unwrap_err();
    let RecordSinkError::Drain(DrainError::Stopped { outcomes, .. }) = error else {
        panic!("the handler did not take it: {error:?}");
    };
    assert!(matches!(outcomes[..], [Outcome::Rejected { .. }]));
    assert!(matches!(
        sink.feed(row("good", 1)).await,
        Ok(()) | Err(RecordSinkError::Submit(SubmitError::Stopped(_)))
    ));
}

#[tokio::test(start_paused = true)]
async fn failed_conditions_are_no_failures() {
    let fake = fake();
    let table = open(&fake).await;
    let mut sink = table.writes(|table: &TableSink, record: &Row| {
        table.put(record).condition("attribute_not_exists(pk)")
    });
    for n in 0..3 {
        sink.send(row("a", n)).await.unwrap();
    }
    sink.close().await.unwrap();
    assert_eq!(stored_n(&fake, "a"), Some(0));
    assert_eq!(table.stats().condition_failed, 2);
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_was_given_up_does_not_stand_for_the_next() {
    let fake = fake();
    let table = open_with(&fake, one_by_one()).await;
    fake.inject(on_writes(Fault::delay_before(Duration::from_secs(10))));
    fake.inject(on_writes(Fault::delay_before(Duration::from_secs(100))));
    let mut sink = table.records();
    sink.feed(row("a", 1)).await.unwrap();
    let gave_up = tokio::time::timeout(Duration::from_secs(1), sink.flush()).await;
    assert!(gave_up.is_err());
    sink.feed(row("b", 1)).await.unwrap();
    sink.flush().await.unwrap();
    assert!(stored(&fake, "b").is_some(), "flushed means written");
}

#[tokio::test(start_paused = true)]
async fn closing_leaves_other_handles_open() {
    let fake = fake();
    let table = open(&fake).await;
    let (mut one, mut two) = (table.records(), table.records());
    one.feed(row("a", 1)).await.unwrap();
    two.feed(row("b", 1)).await.unwrap();
    one.close().await.unwrap();
    two.send(row("c", 1)).await.unwrap();
    let put = table.put(&row("d", 1)).confirm().await.unwrap();
    assert!(put.is_written());
    two.close().await.unwrap();
    assert_eq!(fake.item_count(TABLE), 4);
    table.close().await.unwrap();
    let error = one.send(row("e", 1)).await.unwrap_err();
    assert!(
        matches!(
            error,
            RecordSinkError::Submit(SubmitError::Closed)
                | RecordSinkError::Drain(DrainError::Closed)
        ),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_adapter_of_any_write_deletes() {
    let fake = fake();
    let table = open(&fake).await;
    let rows = stream::iter((0..200).map(|n| Ok(row(format!("k{n}"), n))));
    rows.forward(table.records()).await.unwrap();
    let keys = stream::iter((0..150).map(|n| Ok(id(format!("k{n}")))));
    let deletes = table.writes(|table: &TableSink, key: &Id| table.delete(key));
    keys.forward(deletes).await.unwrap();
    assert_eq!(fake.item_count(TABLE), 50);
}

#[tokio::test(start_paused = true)]
async fn several_adapters_share_one_order_of_a_key() {
    let fake = fake();
    let table = open(&fake).await;
    let (mut one, mut two) = (table.records(), table.records());
    for n in 0..50 {
        let sink = if n % 2 == 0 { &mut one } else { &mut two };
        sink.feed(row("a", n)).await.unwrap();
        futures::future::poll_fn(|cx| sink.poll_ready_unpin(cx))
            .await
            .unwrap();
    }
    table.flush().await.unwrap();
    assert_eq!(stored_n(&fake, "a"), Some(49));
    let order: Vec<u64> = fake
        .applied()
        .iter()
        .map(|w| w.attribute("n").unwrap().as_n().unwrap().parse().unwrap())
        .collect();
    assert_eq!(order, (0..50).collect::<Vec<_>>());
}

fn item(pk: &str) -> HashMap<String, AttributeValue> {
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(pk.to_owned())),
        ("n".to_owned(), AttributeValue::N("1.50".to_owned())),
    ])
}

#[tokio::test(start_paused = true)]
async fn raw_items_and_requests_go_too() {
    let fake = fake();
    let table = open(&fake).await;
    let put = table.put_item(&item("a")).confirm().await.unwrap();
    assert!(put.is_written());
    let stored_a = stored(&fake, "a").unwrap();
    assert_eq!(stored_a["n"], AttributeValue::N("1.5".to_owned()));
    let put = PutRequest::builder().set_item(Some(item("b"))).build();
    let put = WriteRequest::builder().put_request(put.unwrap()).build();
    assert!(
        table
            .write_request(&put)
            .confirm()
            .await
            .unwrap()
            .is_written()
    );
    let delete = DeleteRequest::builder().set_key(Some(item("a"))).build();
    let delete = delete.unwrap();
    let request = WriteRequest::builder()
        .delete_request(delete.clone())
        .build();
    let outcome = table.write_request(&request).confirm().await.unwrap();
    assert!(outcome.is_written());
    let outcome = table.delete_item(&item("b")).confirm().await.unwrap();
    assert!(outcome.is_written());
    assert_eq!(fake.item_count(TABLE), 0);

    let both = WriteRequest::builder()
        .set_put_request(put.put_request)
        .delete_request(delete)
        .build();
    let neither = WriteRequest::builder().build();
    for (request, says) in [(both, "both"), (neither, "neither")] {
        let error = table.write_request(&request).await.unwrap_err();
        assert!(matches!(error, SubmitError::Invalid { .. }));
        assert!(error.to_string().contains(says), "{error}");
    }
    let mut keyless = item("a");
    keyless.remove("pk");
    let error = table.put_item(&keyless).await.unwrap_err();
    assert!(error.to_string().contains("`pk`"), "{error}");
    settle().await;
    assert_no_room_taken(&table);
}
