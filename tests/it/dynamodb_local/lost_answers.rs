//! A write that the server carried out and whose answer was lost ends as what it is.

use dynamodb_connector::sink::{DynamoDbSink, Outcome, TableSettings, TableSink};

use super::lossy::Lossy;
use super::{Local, pk};
use crate::conformance::harness::{client_for, n};
use crate::setup::{id, row};

/// A sink whose requests of this operation lose their answers so many times.
async fn lossy(local: &Local, operation: &'static str, answers: usize) -> (Lossy, TableSink) {
    let proxy = Lossy::start(&local.url, operation, answers).await;
    let sink = DynamoDbSink::builder(&client_for(proxy.url()))
        .table(&local.name, TableSettings::default())
        .seed(7);
    let sink = sink.open().await.expect("opened");
    (proxy, sink.table(&local.name).expect("it was added"))
}

#[tokio::test]
async fn a_conditional_put_finds_its_own_item() {
    let Some(local) = Local::new("lost_answers::a_conditional_put_finds_its_own_item").await else {
        return;
    };
    let (proxy, table) = lossy(&local, "putitem", 2).await;
    let new = table
        .put(&row("a", 1))
        .condition("attribute_not_exists(pk)");
    assert!(new.confirm().await.unwrap().is_written());
    assert_eq!(proxy.left(), 0);
    let newer = table.put(&row("a", 2)).newer_by("n");
    assert!(newer.confirm().await.unwrap().is_written());
    let older = table.put(&row("a", 1)).newer_by("n").confirm().await;
    assert!(matches!(older.unwrap(), Outcome::ConditionFailed { .. }));
    table.close().await.unwrap();
    local.end().await;
}

#[tokio::test]
async fn exactly_once_is_applied_once_by_its_token() {
    let Some(local) = Local::new("lost_answers::exactly_once_is_applied_once_by_its_token").await
    else {
        return;
    };
    let (proxy, table) = lossy(&local, "transactwriteitems", 5).await;
    for _ in 0..3 {
        let add = table.update(&id("a"), "ADD n :one").value(":one", &1);
        let outcome = add.exactly_once().confirm().await.unwrap();
        assert!(outcome.is_written(), "{outcome:?}");
    }
    assert_eq!(proxy.left(), 0);
    assert_eq!(local.get(pk("a")).await.unwrap()["n"], n("3"));
    table.close().await.unwrap();
    local.end().await;
}

#[tokio::test]
async fn a_plain_addition_is_unknown_and_not_sent_again() {
    let Some(local) =
        Local::new("lost_answers::a_plain_addition_is_unknown_and_not_sent_again").await
    else {
        return;
    };
    let (proxy, table) = lossy(&local, "updateitem", 1).await;
    let add = table.update(&id("a"), "ADD n :one").value(":one", &1);
    let outcome = add.confirm().await.unwrap();
    let Outcome::Unknown { record, .. } = &outcome else {
        panic!("{outcome:?}");
    };
    assert!(record.parts()[0].expressions().contains("ADD n :one"));
    assert_eq!(proxy.left(), 0);
    assert_eq!(local.get(pk("a")).await.unwrap()["n"], n("1"));
    table.close().await.unwrap();
    local.end().await;
}

#[tokio::test]
async fn batches_are_sent_again_and_keep_their_order() {
    let Some(local) = Local::new("lost_answers::batches_are_sent_again_and_keep_their_order").await
    else {
        return;
    };
    let (proxy, table) = lossy(&local, "batchwriteitem", 8).await;
    let mut receipts = Vec::new();
    for n in 0..300 {
        let put = table.put(&row(format!("k{}", n % 30), n));
        receipts.push(put.await.unwrap());
    }
    super::all_written(receipts).await;
    assert_eq!(proxy.left(), 0);
    for key in 0..30 {
        let found = local.get(pk(format!("k{key}"))).await.unwrap();
        assert_eq!(found["n"], n(&(270 + key).to_string()));
    }
    table.close().await.unwrap();
    local.end().await;
}
