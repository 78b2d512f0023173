//! Writes that are written, superseded or rejected.

use super::*;

#[tokio::test(start_paused = true)]
async fn puts_updates_and_deletes_are_written() {
    let fake = fake();
    let table = open(&fake).await;
    let put = table.put(&row("a", 1)).await.unwrap();
    let update = table.update(&id("a"), "SET m = :m").value(":m", "x");
    let update = update.await.unwrap();
    assert!(put.await.is_written());
    assert!(update.await.is_written());
    assert_eq!(stored(&fake, "a").unwrap().len(), 3);
    // A delete takes any record that holds the key.
    let deleted = table.delete(&row("a", 99)).confirm().await.unwrap();
    assert!(deleted.is_written());
    assert_eq!(stored(&fake, "a"), None);
    let again = table.delete(&row("a", 99)).confirm().await.unwrap();
    assert!(again.is_written(), "deleting nothing is no error");
    table.close().await.unwrap();
    let stats = table.stats();
    assert_eq!((stats.written, stats.rejected), (4, 0));
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn a_queued_write_is_superseded_by_a_newer_one_where_that_is_switched_on() {
    let fake = fake();
    fake.inject(on_writes(Fault::delay_before(Duration::from_secs(1))));
    let table = open_with(&fake, TableSettings::default().coalesce(true)).await;
    let first = table.put(&row("a", 1)).await.unwrap();
    settle().await;
    let second = table.put(&row("a", 2)).await.unwrap();
    let other = table.put(&row("b", 2)).await.unwrap();
    let third = table.put(&row("a", 3)).await.unwrap();
    assert!(first.await.is_written(), "in flight, so not to be replaced");
    let second = second.await;
    assert!(matches!(second, Outcome::Superseded), "{second:?}");
    assert!(!second.may_have_applied());
    assert!(second.into_result().is_ok());
    assert!(third.await.is_written());
    assert!(other.await.is_written());
    assert_eq!(stored_n(&fake, "a"), Some(3));
    assert!(fake.applied().iter().all(|write| {
        write.attribute("n") != Some(aws_sdk_dynamodb::types::AttributeValue::N("2".into()))
            || write.key()["pk"].as_s().unwrap() == "b"
    }));
    table.close().await.unwrap();
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn without_coalescing_every_value_is_written() {
    let fake = fake();
    let table = open(&fake).await;
    for n in 0..10 {
        drop(table.put(&row("a", n)).await.unwrap());
    }
    table.flush().await.unwrap();
    assert_eq!(fake.applied().len(), 10);
    assert!(fake.overlaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_condition_shows_the_item_in_place() {
    let fake = fake();
    let table = open(&fake).await;
    drop(table.put(&row("a", 1)).await.unwrap());
    let put = table.put(&row("a", 2)).condition(NEW);
    let outcome = put.confirm().await.unwrap();
    let Outcome::ConditionFailed {
        existing: Some(existing),
        ..
    } = &outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        existing.deserialize::<crate::setup::Row>().unwrap(),
        row("a", 1)
    );
    assert!(!outcome.may_have_applied());
    let update = table.update(&id("b"), "SET n = :n").value(":n", &1);
    let outcome = update.condition("attribute_exists(pk)").confirm().await;
    let outcome = outcome.unwrap();
    assert!(
        matches!(outcome, Outcome::ConditionFailed { existing: None, .. }),
        "{outcome:?}"
    );
    let delete = table.delete(&id("a")).condition("n = :n").value(":n", &9);
    let outcome = delete.confirm().await.unwrap();
    assert!(matches!(
        outcome,
        Outcome::ConditionFailed {
            existing: Some(_),
            ..
        }
    ));
    assert_eq!(stored_n(&fake, "a"), Some(1));
    table.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_comes_back_with_the_reason_and_its_neighbours_are_written() {
    let fake = fake();
    fake.inject(Fault::poison(is_pk("k7")));
    let table = open(&fake).await;
    let mut receipts = Vec::new();
    for n in 0..25 {
        receipts.push(table.put(&row(format!("k{n}"), n)).await.unwrap());
    }
    for (n, receipt) in receipts.into_iter().enumerate() {
        let outcome = receipt.await;
        if n != 7 {
            assert!(outcome.is_written(), "{n}: {outcome:?}");
            continue;
        }
        let Outcome::Rejected { reason, record, .. } = outcome else {
            panic!("{outcome:?}");
        };
        let RejectReason::Refused { error, .. } = &reason else {
            panic!("{reason:?}");
        };
        assert_eq!(error.code(), "ValidationException");
        assert_eq!(reason.service_error().unwrap().code(), error.code());
        assert!(!reason.may_have_applied());
        assert_eq!((record.table(), record.kind()), (TABLE, WriteKind::Put));
        let item = record.item().unwrap();
        assert_eq!(
            item.deserialize::<crate::setup::Row>().unwrap(),
            row("k7", 7)
        );
    }
    table.close().await.unwrap();
    assert_eq!(fake.item_count(TABLE), 24);
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_record_alone_is_rejected_and_later_writes_of_its_key_go_on() {
    let fake = fake();
    let table = open(&fake).await;
    // The first of all may be refused for what else they ask.
    for _ in 0..2 {
        assert!(
            table
                .put(&row("a", 0))
                .confirm()
                .await
                .unwrap()
                .is_written()
        );
        settle().await;
    }
    fake.inject(
        Fault::validation("no")
            .on(Operation::BatchWriteItem)
            .times(2),
    );
    let bad = table.put(&row("a", 1)).await.unwrap();
    let good = table.put(&row("a", 2)).await.unwrap();
    assert!(matches!(bad.await, Outcome::Rejected { .. }));
    assert!(good.await.is_written());
    assert_eq!(stored_n(&fake, "a"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_rejects_with_what_is_known() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(Fault::throttled(Throttle::ProvisionedThroughput).always());
    let put = table.put(&row("a", 1)).deadline(Duration::from_secs(3));
    let outcome = put.confirm().await.unwrap();
    let Outcome::Rejected {
        reason:
            RejectReason::DeadlineExceeded {
                attempts,
                may_have_applied,
                last,
                ..
            },
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert!(attempts > 1);
    assert!(!may_have_applied);
    assert_eq!(
        last.unwrap().code(),
        "ProvisionedThroughputExceededException"
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_that_are_used_up_reject() {
    let fake = fake();
    let policy = dynamodb_connector::retry::RetryPolicy::default().max_attempts(3);
    let table = open_with(&fake, TableSettings::default().retry(policy)).await;
    fake.inject(Fault::internal_error().after_applying().always());
    let outcome = table.put(&row("a", 1)).confirm().await.unwrap();
    let Outcome::Rejected {
        reason: RejectReason::AttemptsExhausted { attempts, last, .. },
        ..
    } = &outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!((*attempts, last.code()), (3, "InternalServerError"));
    assert!(outcome.may_have_applied());
    assert_eq!(stored_n(&fake, "a"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn abort_hands_back_what_has_no_outcome() {
    let fake = fake();
    let table = open_with(&fake, one_by_one()).await;
    fake.inject(on_writes(Fault::never_answer().after_applying()));
    let sent = table.put(&row("a", 1)).await.unwrap();
    settle().await;
    let queued = table.put(&row("a", 2)).await.unwrap();
    let handed_back = table.abort().await;
    assert_eq!(handed_back.len(), 2);
    let sent = sent.await;
    let Outcome::Unwritten {
        may_have_applied: true,
        record: Some(record),
        ..
    } = &sent
    else {
        panic!("{sent:?}");
    };
    assert_eq!(record.kind(), WriteKind::Put);
    assert!(matches!(
        queued.await,
        Outcome::Unwritten {
            may_have_applied: false,
            record: Some(_),
            ..
        }
    ));
    let error = sent.into_result().unwrap_err();
    assert!(error.outcome().may_have_applied());
    assert!(matches!(error.into_outcome(), Outcome::Unwritten { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_version_guard_keeps_the_newer_item() {
    let fake = fake();
    let table = open(&fake).await;
    let guarded = |n: u64| table.put(&row("a", n)).newer_by("n");
    assert!(guarded(5).confirm().await.unwrap().is_written());
    for old in [4, 5] {
        let outcome = guarded(old).confirm().await.unwrap();
        assert!(
            matches!(
                outcome,
                Outcome::ConditionFailed {
                    existing: Some(_),
                    ..
                }
            ),
            "{old}: {outcome:?}"
        );
    }
    assert!(guarded(6).confirm().await.unwrap().is_written());
    // After a lost answer our own item is in the way.
    fake.inject(on_writes(Fault::close_after()));
    assert!(guarded(7).confirm().await.unwrap().is_written());
    assert_eq!(stored_n(&fake, "a"), Some(7));
    // Together with a condition of the caller's.
    let both = guarded(8).condition("n = :seven").value(":seven", &7);
    assert!(both.confirm().await.unwrap().is_written());

    let missing = table.put(&row("a", 1)).newer_by("version");
    let missing = missing.await.unwrap_err();
    assert!(missing.to_string().contains("\"version\""), "{missing}");
    let delete = table.delete(&row("a", 1)).newer_by("n").await;
    assert!(delete.unwrap_err().to_string().contains("not for a delete"));
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn placeholders_are_checked_before_anything_is_sent() {
    let fake = fake();
    let table = open(&fake).await;
    for wrong in [
        table.put(&row("a", 1)).condition("n = :n").value("n", &1),
        table
            .put(&row("a", 1))
            .condition("n = :n")
            .value(":n", &1)
            .value(":n", &2),
        table.put(&row("a", 1)).condition("#n = :n").name("n", "n"),
        table.put(&row("a", 1)).condition("x".repeat(4097)),
    ] {
        let error = wrong.await.unwrap_err();
        assert!(matches!(error, SubmitError::Invalid { .. }), "{error:?}");
    }
    assert!(fake.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_receipt_keeps_its_outcome() {
    let fake = fake();
    let table = open(&fake).await;
    let mut receipt = table.put(&row("a", 1)).await.unwrap();
    assert!(receipt.try_outcome().is_none());
    table.flush().await.unwrap();
    for _ in 0..2 {
        let outcome = receipt.try_outcome().expect("it is there");
        assert!(outcome.is_written(), "{outcome:?}");
    }
    assert!(receipt.await.is_written());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_breaks_a_limit_is_refused_at_submit() {
    #[derive(serde::Serialize)]
    struct NoKey {
        n: u64,
    }
    let fake: FaultyDynamoDb = fake();
    let table = open(&fake).await;
    let error = table.put(&large("a", 409_600)).await.unwrap_err();
    assert!(error.is_record() && !error.is_retryable());
    let text = error.to_string();
    assert!(text.contains("409600") && text.contains("`text`"), "{text}");
    assert!(table.put(&row("", 1)).await.unwrap_err().is_record());
    assert!(table.put(&NoKey { n: 1 }).await.unwrap_err().is_record());
    assert!(table.delete(&NoKey { n: 1 }).await.unwrap_err().is_record());
    let long = table.put(&row("k".repeat(2049), 1)).await.unwrap_err();
    assert!(long.to_string().contains("2049"), "{long}");
    assert!(fake.requests().is_empty());
    assert_no_room_taken(&table);
    // The largest that goes, goes.
    let most = 409_600 - "pk".len() - "a".len() - "text".len();
    let outcome = table.put(&large("a", most)).confirm().await.unwrap();
    assert!(outcome.is_written());
}

#[tokio::test(start_paused = true)]
async fn every_accepted_write_is_counted_under_one_outcome() {
    let fake = fake();
    fake.inject(Fault::poison(is_pk("k3")));
    let sink = builder(&fake, TableSettings::default().coalesce(true));
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    let mut accepted = 0;
    for n in 0..300 {
        let put = table.put(&row(format!("k{}", n % 7), n));
        drop(match n % 11 {
            0 => put.condition(NEW).await.unwrap(),
            _ => put.await.unwrap(),
        });
        accepted += 1;
    }
    let _ = table.flush().await;
    let stats = table.stats();
    let told = stats.written
        + stats.superseded
        + stats.condition_failed
        + stats.rejected
        + stats.unwritten;
    assert_eq!(told, accepted, "{stats:?}");
    assert_no_room_taken(&table);
    assert!(fake.overlaps().is_empty());
}
