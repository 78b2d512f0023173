//! Transactions.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_transaction_is_all_or_nothing() {
    let fake = fake();
    let table = open(&fake).await;
    let outcome = table
        .transaction()
        .add(table.put(&row("a", 1)).condition(NEW))
        .add(table.update(&id("b"), "ADD n :n").value(":n", &2))
        .add(table.delete(&id("c")))
        .add(table.check(&id("d"), NEW))
        .confirm();
    assert!(outcome.await.unwrap().is_written());
    assert_eq!(
        (stored_n(&fake, "a"), stored_n(&fake, "b")),
        (Some(1), Some(2))
    );
    let outcome = table
        .transaction()
        .add(table.put(&row("x", 1)))
        .add(table.put(&row("a", 9)).condition(NEW))
        .confirm();
    let outcome = outcome.await.unwrap();
    let Outcome::ConditionFailed {
        existing: Some(existing),
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        existing.deserialize::<crate::setup::Row>().unwrap(),
        row("a", 1)
    );
    assert_eq!(stored(&fake, "x"), None);
    table.close().await.unwrap();
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_whose_answer_was_lost_is_applied_once() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(on_writes(Fault::close_after()));
    let receipt = table
        .transaction()
        .add(table.update(&id("a"), "ADD n :n").value(":n", &1))
        .add(table.update(&id("b"), "ADD n :n").value(":n", &1))
        .await;
    assert!(receipt.unwrap().await.is_written());
    assert_eq!(
        (stored_n(&fake, "a"), stored_n(&fake, "b")),
        (Some(1), Some(1))
    );
    assert_eq!(fake.applied().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_keeps_to_the_limits() {
    let fake = fake();
    fake.create_table(TableSpec::new("others"));
    let table = open(&fake).await;
    let refused = |error: SubmitError, says: &str| {
        assert!(error.is_record(), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    };
    let of = |count: usize| {
        (0..count).fold(table.transaction(), |transaction, n| {
            transaction.add(table.put(&row(format!("k{n}"), 1)))
        })
    };
    refused(of(0).await.unwrap_err(), "0 writes, 1 to 100");
    refused(of(101).await.unwrap_err(), "101 writes, 1 to 100");
    assert!(of(100).confirm().await.unwrap().is_written());
    assert_eq!(fake.item_count(TABLE), 100);

    let twice = table.transaction().add(table.put(&row("a", 1)));
    let twice = twice.add(table.delete(&id("a")));
    refused(twice.await.unwrap_err(), "the key of an earlier one");
    let bare = table
        .transaction()
        .add(table.put(&row("a", 1)).deadline(Duration::from_secs(1)));
    refused(bare.await.unwrap_err(), "has a deadline");
    let once = table.update(&id("a"), "ADD n :n").value(":n", &1);
    let once = table.transaction().add(once.exactly_once());
    refused(once.await.unwrap_err(), "exactly once as a whole");
    let other = DynamoDbSink::builder(&fake.client())
        .table("others", TableSettings::default())
        .open();
    let other = other.await.unwrap().table("others").unwrap();
    let mixed = table.transaction().add(other.put(&row("a", 1)));
    refused(mixed.await.unwrap_err(), "\"others\"");
    let check = table.check(&id("a"), NEW).await.unwrap_err();
    refused(check, "only in a transaction");
    // A mistake in one part is the whole's.
    let part = table.transaction().add(table.put(&vec![1]));
    refused(part.await.unwrap_err(), "must be a struct or a map");

    let of_bytes = |last: usize| {
        let all = (0..10).fold(table.transaction(), |transaction, n| {
            transaction.add(table.put(&large(format!("l{n}"), 400_000)))
        });
        all.add(table.put(&large("last", last)))
    };
    // Ten of 400,000 bytes and their names leave 194,224 bytes of 4 MiB.
    let ten = 10 * (400_000 + "pk".len() + "l0".len() + "text".len());
    let rest = 4 * 1024 * 1024 - ten - "pklasttext".len();
    refused(of_bytes(rest + 1).await.unwrap_err(), "4194305 bytes");
    assert!(of_bytes(rest).confirm().await.unwrap().is_written());
    assert_no_room_taken(&table);
}
