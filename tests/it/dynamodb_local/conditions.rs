//! Conditions are judged by the server, and what it found comes back.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use dynamodb_connector::sink::Outcome;

use super::{Local, pk};
use crate::setup::{Row, id, row};

const NEW: &str = "attribute_not_exists(pk)";

fn existing(outcome: Outcome) -> Option<Row> {
    let Outcome::ConditionFailed { existing, .. } = outcome else {
        panic!("{outcome:?}");
    };
    existing.map(|item| item.deserialize().unwrap())
}

#[tokio::test]
async fn a_condition_that_fails_changes_nothing_and_shows_the_item() {
    let Some(local) =
        Local::new("conditions::a_condition_that_fails_changes_nothing_and_shows_the_item").await
    else {
        return;
    };
    let table = local.open().await;
    let first = table.put(&row("a", 1)).condition(NEW).confirm().await;
    assert!(first.unwrap().is_written());
    let put = table.put(&row("a", 2)).condition(NEW).confirm().await;
    assert_eq!(existing(put.unwrap()), Some(row("a", 1)));
    let update = table.update(&id("a"), "SET n = :new").value(":new", &3);
    let update = update
        .condition("#n = :old")
        .name("#n", "n")
        .value(":old", &2);
    assert_eq!(existing(update.confirm().await.unwrap()), Some(row("a", 1)));
    let delete = table.delete(&id("a")).condition("n > :n").value(":n", &1);
    assert_eq!(existing(delete.confirm().await.unwrap()), Some(row("a", 1)));
    let missing = table.delete(&id("b")).condition("attribute_exists(pk)");
    assert_eq!(existing(missing.confirm().await.unwrap()), None);
    let update = table.update(&id("a"), "SET n = :new").value(":new", &3);
    let update = update.condition("n = :old").value(":old", &1);
    assert!(update.confirm().await.unwrap().is_written());
    assert_eq!(table.stats().condition_failed, 4);
    let found = local.get(pk("a")).await.unwrap();
    assert_eq!(
        serde_dynamo::from_item::<_, Row>(found).unwrap(),
        row("a", 3)
    );
    table.close().await.unwrap();
    local.end().await;
}

/// Two sinks that know nothing of each other, one with old values and one with new ones.
#[tokio::test]
async fn a_version_guard_keeps_the_newest_whoever_writes_it() {
    let Some(local) =
        Local::new("conditions::a_version_guard_keeps_the_newest_whoever_writes_it").await
    else {
        return;
    };
    let (one, other) = (local.open().await, local.open().await);
    let mut receipts = Vec::new();
    for n in 0..100_u64 {
        let key = format!("k{}", n % 7);
        // Each has half of the versions, and the second the newer ones first.
        receipts.push((n, one.put(&row(&key, n)).newer_by("n").await.unwrap()));
        let n = 199 - n;
        let key = format!("k{}", n % 7);
        receipts.push((n, other.put(&row(&key, n)).newer_by("n").await.unwrap()));
    }
    let mut written = 0;
    for (n, receipt) in receipts {
        match receipt.await {
            Outcome::Written => written += 1,
            outcome => {
                let found = existing(outcome).expect("there is a newer one");
                assert!(found.n > n, "{n} was refused for {}", found.n);
            }
        }
    }
    assert!(written >= 7);
    for key in 0..7 {
        let newest = (0..200).rev().find(|n| n % 7 == key).unwrap();
        let found = local.get(pk(format!("k{key}"))).await.unwrap();
        let found: Row = serde_dynamo::from_item(found).unwrap();
        assert_eq!(found.n, newest);
    }
    one.close().await.unwrap();
    other.close().await.unwrap();
    local.end().await;
}
