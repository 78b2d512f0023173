//! What goes wrong with a table is said plainly, names no contents, and loses no record.

use std::collections::BTreeSet;

use dynamodb_connector::ServiceError;
use dynamodb_connector::item::{KeyKind, KeySchema};
use dynamodb_connector::sink::{
    DrainError, DynamoDbSink, OpenError, Outcome, RejectReason, SubmitError, TableSettings,
    TableSink,
};

use super::{Local, item, pk};
use crate::conformance::harness::{n, s};
use crate::setup::{Row, row};

fn missing_table(error: &ServiceError) {
    assert_eq!(error.code(), "ResourceNotFoundException", "{error}");
    assert_eq!(error.status(), Some(400));
    let text = error.to_string();
    assert!(text.contains("non-existent table"), "{text}");
}

#[tokio::test]
async fn a_table_that_is_deleted_under_way_is_fatal_and_hands_every_record_back() {
    let Some(local) = Local::new(
        "errors::a_table_that_is_deleted_under_way_is_fatal_and_hands_every_record_back",
    )
    .await
    else {
        return;
    };
    let settings = TableSettings::default().buffer_records(200);
    let table = local.open_with(settings).await;
    // Waits for room every 200 writes, until the table is gone; the last one is refused.
    let writer = {
        let table = table.clone();
        tokio::spawn(async move {
            let mut receipts = Vec::new();
            for n in 0.. {
                match table.put(&row(format!("k{n}"), n)).await {
                    Ok(receipt) => receipts.push((n, receipt)),
                    Err(error) => return (receipts, error),
                }
            }
            unreachable!("it goes on for ever");
        })
    };
    while table.stats().written < 500 {
        tokio::task::yield_now().await;
    }
    let Local { client, name, .. } = local;
    client
        .delete_table()
        .table_name(&name)
        .send()
        .await
        .unwrap();
    let (receipts, error) = writer.await.unwrap();
    let SubmitError::Failed { error, .. } = error else {
        panic!("{error:?}");
    };
    missing_table(&error);
    let (mut written, mut handed_back) = (0, BTreeSet::new());
    for (n, receipt) in receipts {
        match receipt.await {
            Outcome::Written => written += 1,
            Outcome::Unwritten {
                record: Some(record),
                ..
            } => {
                let found: Row = record.item().unwrap().deserialize().unwrap();
                assert_eq!(found, row(format!("k{n}"), n));
                assert_eq!(record.table(), name);
                handed_back.insert(n);
            }
            outcome => panic!("{n}: {outcome:?}"),
        }
    }
    assert!(written >= 500 && !handed_back.is_empty());
    let stats = table.stats();
    assert_eq!(stats.written, written);
    assert_eq!(stats.unwritten, handed_back.len() as u64);
    let error = table.flush().await.unwrap_err();
    let DrainError::Failed { error, .. } = &error else {
        panic!("{error:?}");
    };
    missing_table(error);
}

/// The index is not told to the sink, so only the server sees that its key is of the wrong type; it refuses the
/// whole batch for that.
#[tokio::test]
async fn a_record_that_only_the_server_can_refuse_is_found_among_its_neighbours() {
    let Some(local) = Local::new(
        "errors::a_record_that_only_the_server_can_refuse_is_found_among_its_neighbours",
    )
    .await
    else {
        return;
    };
    let sink = DynamoDbSink::builder(&local.client)
        .table(&local.name, TableSettings::default().concurrency(1))
        .keys(&local.name, KeySchema::new("pk", KeyKind::String));
    let table = sink.open().await.unwrap().table(&local.name).unwrap();
    let bad = [3, 4, 41];
    let mut receipts = Vec::new();
    for place in 0..50 {
        let key = s(format!("k{place}"));
        let g = if bad.contains(&place) {
            n("7731")
        } else {
            s("group")
        };
        let put = table.put_item(&item([("pk", key), ("g", g)]));
        receipts.push(put.await.unwrap());
    }
    for (place, receipt) in receipts.into_iter().enumerate() {
        let outcome = receipt.await;
        if !bad.contains(&place) {
            assert!(outcome.is_written(), "{place}: {outcome:?}");
            continue;
        }
        let text = format!("{outcome} {outcome:?}");
        assert!(!text.contains("7731"), "it shows the contents: {text}");
        let Outcome::Rejected { reason, record, .. } = outcome else {
            panic!("{place}: {outcome:?}");
        };
        let RejectReason::Refused { error, .. } = &reason else {
            panic!("{place}: {reason:?}");
        };
        assert_eq!(error.code(), "ValidationException");
        let found = record.item().unwrap().to_attributes().unwrap();
        assert_eq!(found["g"], n("7731"));
    }
    assert_eq!(local.items().await.len(), 47);
    let stats = table.stats();
    assert_eq!((stats.written, stats.rejected), (47, 3));
    table.close().await.unwrap();
    local.end().await;
}

/// Told by the sink which of its kinds of write the server refuses alone.
#[tokio::test]
async fn an_update_that_does_not_fit_the_item_is_rejected_and_its_key_goes_on() {
    let Some(local) =
        Local::new("errors::an_update_that_does_not_fit_the_item_is_rejected_and_its_key_goes_on")
            .await
    else {
        return;
    };
    let table = local.open().await;
    let key = item([("pk", s("a"))]);
    let text = item([("pk", s("a")), ("n", s("no number"))]);
    let put = table.put_item(&text).await.unwrap();
    let add = table.update(
        &std::collections::HashMap::from([("pk", "a")]),
        "ADD n :one",
    );
    let add = add.value(":one", &1).await.unwrap();
    let after = table.put(&row("a", 2)).await.unwrap();
    assert!(put.await.is_written());
    let outcome = add.await;
    let Outcome::Rejected { reason, .. } = &outcome else {
        panic!("{outcome:?}");
    };
    let error = reason.service_error().unwrap();
    assert_eq!(error.code(), "ValidationException");
    assert!(!reason.may_have_applied());
    assert!(after.await.is_written());
    assert_eq!(local.get(key).await.unwrap()["n"], n("2"));
    table.close().await.unwrap();
    local.end().await;
}

#[tokio::test]
async fn a_table_that_does_not_exist_is_named() {
    let Some(local) = Local::new("errors::a_table_that_does_not_exist_is_named").await else {
        return;
    };
    let error = TableSink::open(&local.client, "no-such-table")
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("\"no-such-table\""), "{text}");
    assert!(text.contains("ResourceNotFoundException"), "{text}");
    assert!(!text.contains("AKIDLOCAL"), "{text}");
    let OpenError::Describe { error, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.code(), "ResourceNotFoundException");

    // With the keys given, the first write finds out.
    let sink = DynamoDbSink::builder(&local.client)
        .table("no-such-table", TableSettings::default())
        .keys("no-such-table", KeySchema::new("pk", KeyKind::String));
    let table = sink.open().await.unwrap().table("no-such-table").unwrap();
    let outcome = table.put(&row("a", 1)).confirm().await.unwrap();
    let Outcome::Unwritten {
        may_have_applied: false,
        record: Some(record),
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    let found: Row = record.item().unwrap().deserialize().unwrap();
    assert_eq!(found, row("a", 1));
    let error = table.close().await.unwrap_err();
    assert!(error.to_string().contains("\"no-such-table\" has failed"));
    let DrainError::Failed { error, .. } = &error else {
        panic!("{error:?}");
    };
    missing_table(error);
    assert_eq!(local.get(pk("a")).await, None);
    local.end().await;
}
