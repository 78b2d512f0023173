//! Transactions are applied whole or not at all.

use dynamodb_connector::sink::{Outcome, SubmitError};
use futures::future::join_all;

use super::{Local, pk};
use crate::conformance::harness::n;
use crate::setup::{id, row};

#[tokio::test]
async fn a_hundred_writes_are_applied_together_and_one_more_is_refused() {
    let Some(local) =
        Local::new("transactions::a_hundred_writes_are_applied_together_and_one_more_is_refused")
            .await
    else {
        return;
    };
    let table = local.open().await;
    let of = |count: u64| {
        (0..count).fold(table.transaction(), |transaction, place| {
            transaction.add(table.put(&row(format!("k{place}"), place)))
        })
    };
    let error = of(101).await.unwrap_err();
    assert!(matches!(&error, SubmitError::Invalid { .. }), "{error}");
    assert_eq!(local.items().await, []);
    let outcome = of(100).confirm().await.unwrap();
    assert!(outcome.is_written(), "{outcome:?}");
    assert_eq!(local.items().await.len(), 100);
    table.close().await.unwrap();
    local.end().await;
}

#[tokio::test]
async fn a_check_that_fails_leaves_all_as_it_was_and_shows_the_item() {
    let Some(local) =
        Local::new("transactions::a_check_that_fails_leaves_all_as_it_was_and_shows_the_item")
            .await
    else {
        return;
    };
    let table = local.open().await;
    assert!(
        table
            .put(&row("a", 1))
            .confirm()
            .await
            .unwrap()
            .is_written()
    );
    let outcome = table
        .transaction()
        .add(table.put(&row("new", 1)))
        .add(table.check(&id("a"), "n > :n").value(":n", &1))
        .add(table.delete(&id("b")))
        .confirm()
        .await
        .unwrap();
    let Outcome::ConditionFailed { existing, .. } = outcome else {
        panic!("{outcome:?}");
    };
    let existing = existing.expect("the item of the check");
    assert_eq!(
        existing.deserialize::<crate::setup::Row>().unwrap(),
        row("a", 1)
    );
    assert_eq!(local.get(pk("new")).await, None);
    table.close().await.unwrap();
    local.end().await;
}

#[tokio::test]
async fn a_counter_that_many_tasks_add_to_counts_each_of_them() {
    let Some(local) =
        Local::new("transactions::a_counter_that_many_tasks_add_to_counts_each_of_them").await
    else {
        return;
    };
    let table = local.open().await;
    let adds = (0..200).map(|place| {
        let table = &table;
        async move {
            let add = table.update(&id("n"), "ADD n :one").value(":one", &1);
            // Beside writes of other keys, which ride in batches.
            let put = table.put(&row(format!("k{place}"), place)).await.unwrap();
            let outcome = add.exactly_once().confirm().await.unwrap();
            assert!(outcome.is_written(), "{outcome:?}");
            assert!(put.await.is_written());
        }
    });
    join_all(adds).await;
    assert_eq!(local.get(pk("n")).await.unwrap()["n"], n("200"));
    assert_eq!(local.items().await.len(), 201);
    table.close().await.unwrap();
    local.end().await;
}
