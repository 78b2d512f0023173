//! Tables that fail.

use super::*;

/// Fills a table, spoils it, and gives what its writes came to.
async fn spoiled(
    fake: &FaultyDynamoDb,
    spoil: impl Fn(&FaultyDynamoDb),
) -> (TableSink, DrainError) {
    let table = open_with(fake, TableSettings::default().concurrency(2)).await;
    drop(table.put(&row("before", 1)).await.unwrap());
    table.flush().await.unwrap();
    spoil(fake);
    let mut receipts = Vec::new();
    for n in 0..60 {
        receipts.push(table.put(&row(format!("k{n}"), n)).await.unwrap());
    }
    // The failure of one whose receipt is dropped is in the error.
    drop(receipts.pop());
    let error = table.flush().await.unwrap_err();
    assert_eq!(error.outcomes().len(), 1, "{error:?}");
    assert_eq!(key_of(&error.outcomes()[0]), "k59");
    for receipt in receipts {
        let outcome = receipt.await;
        assert!(
            matches!(
                outcome,
                Outcome::Unwritten {
                    may_have_applied: false,
                    record: Some(_),
                    cause: Some(_),
                    ..
                }
            ),
            "{outcome:?}"
        );
    }
    let refused = table.put(&row("after", 1)).await.unwrap_err();
    assert!(
        matches!(&refused, SubmitError::Failed { table, .. } if table == TABLE),
        "{refused:?}"
    );
    assert_eq!(table.stats().rejected, 0);
    assert_no_room_taken(&table);
    (table, error)
}

fn failure(error: &DrainError) -> &dynamodb_connector::ServiceError {
    match error {
        DrainError::Failed { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_deleted_is_fatal_and_all_is_handed_back() {
    let fake = fake();
    let (table, error) = spoiled(&fake, |fake| {
        assert!(fake.delete_table(TABLE));
    })
    .await;
    assert_eq!(failure(&error).code(), "ResourceNotFoundException");
    let closed = table.close().await.unwrap_err();
    assert_eq!(failure(&closed).code(), "ResourceNotFoundException");
    assert!(closed.outcomes().is_empty(), "each is reported once");
}

#[tokio::test(start_paused = true)]
async fn keys_that_change_are_fatal_and_nothing_is_rejected() {
    let fake = fake();
    let (_, error) = spoiled(&fake, |fake| {
        fake.alter_table(TableSpec::new(TABLE).partition("id", KeyKind::String));
    })
    .await;
    assert_eq!(failure(&error).code(), "TableKeysChanged");
}

#[tokio::test(start_paused = true)]
async fn access_that_is_denied_is_fatal() {
    let fake = fake();
    let (_, error) = spoiled(&fake, |fake| {
        fake.inject(Fault::access_denied().always());
    })
    .await;
    assert_eq!(failure(&error).code(), "AccessDeniedException");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_stay_expired_give_up_after_a_while() {
    let fake = fake();
    let before = tokio::time::Instant::now();
    let (_, error) = spoiled(&fake, |fake| {
        fake.inject(Fault::expired_token().always());
    })
    .await;
    assert!(failure(&error).is_credentials());
    let took = before.elapsed();
    assert!(took >= Duration::from_secs(30), "{took:?}");
    assert!(took < Duration::from_secs(90), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_renewed_in_time_lose_nothing() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(Fault::expired_token().always());
    let receipt = table.put(&row("a", 1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    fake.heal();
    assert!(receipt.await.is_written());
}

#[tokio::test(start_paused = true)]
async fn a_second_expiry_has_a_grace_of_its_own() {
    for proof in [false, true] {
        let fake = fake();
        let table = open(&fake).await;
        drop(table.put(&row("a", 1)).await.unwrap());
        table.flush().await.unwrap();
        for _ in 0..2 {
            fake.inject(on_writes(Fault::expired_token()));
            if proof {
                // A failed condition proves the credentials as well as a success does.
                let put = table
                    .put(&row("a", 2))
                    .condition("attribute_not_exists(pk)");
                let outcome = put.confirm().await.unwrap();
                assert!(
                    matches!(outcome, Outcome::ConditionFailed { .. }),
                    "{outcome:?}"
                );
            } else {
                let outcome = table.put(&row("b", 1)).confirm().await.unwrap();
                assert!(outcome.is_written());
            }
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        table.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_when_the_table_failed_keeps_its_answer() {
    let fake = fake();
    let settings = TableSettings::default().concurrency(2).max_batch_items(1);
    let settings = settings.request_timeout(Duration::from_secs(120));
    let table = open_with(&fake, settings).await;
    fake.inject(Fault::access_denied().on_key(is_pk("denied")).always());
    let denied = table.put(&row("denied", 1)).await.unwrap();
    // It is sent when the other has failed for nearly as long as it may, and is answered after that.
    tokio::time::sleep(Duration::from_secs(25)).await;
    fake.inject(Fault::delay_after(Duration::from_secs(60)).on_key(is_pk("slow")));
    let slow = table.put(&row("slow", 1)).await.unwrap();
    assert!(matches!(
        denied.await,
        Outcome::Unwritten {
            may_have_applied: false,
            ..
        }
    ));
    assert!(slow.await.is_written());
    assert!(matches!(
        table.close().await,
        Err(DrainError::Failed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn one_table_that_fails_leaves_the_others_alone() {
    let fake = fake();
    fake.create_table(TableSpec::new("others"));
    let sink = DynamoDbSink::builder(&fake.client())
        .table(TABLE, TableSettings::default())
        .table("others", TableSettings::default())
        .open();
    let sink = sink.await.unwrap();
    fake.delete_table(TABLE);
    let failed = sink.table(TABLE).unwrap();
    let failed = failed.put(&row("a", 1)).confirm().await.unwrap();
    assert!(matches!(failed, Outcome::Unwritten { .. }));
    let others = sink.table("others").unwrap();
    let puts = (0..50).map(|n| others.put(&row(format!("k{n}"), n)).confirm());
    for outcome in join_all(puts).await {
        assert!(outcome.unwrap().is_written());
    }
    assert!(matches!(
        sink.flush().await,
        Err(DrainError::Failed { table, .. }) if table == TABLE
    ));
    let handed_back = sink.abort().await;
    assert!(handed_back.is_empty());
}
