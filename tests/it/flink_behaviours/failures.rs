//! Writes that are sent again, and writes that are not.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_retryable_error_retries_every_entry() {
    let errors = [
        Fault::internal_error(),
        Fault::service_unavailable(),
        Fault::throttled(Throttle::ProvisionedThroughput),
        Fault::throttled(Throttle::Throttling),
        Fault::throttled(Throttle::RequestLimit),
        Fault::close_before(),
        Fault::bad_gateway(),
        Fault::replicated_write_conflict(),
    ];
    for error in errors {
        let fake = service();
        let told = format!("{error:?}");
        fake.inject(error.on(Operation::BatchWriteItem));
        let table = open(&fake, settings()).await;
        let receipts = (0..25).map(|n| put(&table, &format!("k{n}"), n)).collect();
        all_written(receipts).await;
        assert_eq!(sizes(&fake), [25, 25], "{told}");
        assert_eq!(fake.item_count(TABLE), 25);
    }
}

#[tokio::test(start_paused = true)]
async fn a_partial_failure_sends_again_only_what_failed() {
    let fake = service();
    fake.inject(Fault::unprocessed_keys(|key| {
        ["k3", "k7"].iter().any(|pk| key["pk"] == s(pk))
    }));
    let table = open(&fake, settings()).await;
    let receipts = (0..10).map(|n| put(&table, &format!("k{n}"), n)).collect();
    all_written(receipts).await;
    assert_eq!(sizes(&fake), [10, 2]);
    let again: Vec<_> = applied(&fake)
        .into_iter()
        .skip(8)
        .filter_map(|(_, n)| n)
        .collect();
    assert_eq!(again, ["3", "7"]);
}

#[tokio::test(start_paused = true)]
async fn unprocessed_items_are_always_sent_again() {
    let fake = service();
    fake.inject(Fault::unprocessed_all().times(200));
    // However few failures are allowed: want of capacity is none.
    let retry = dynamodb_connector::retry::RetryPolicy::default().max_attempts(1);
    let table = open(&fake, settings().retry(retry)).await;
    let receipts = (0..10).map(|n| put(&table, &format!("k{n}"), n)).collect();
    all_written(receipts).await;
    assert_eq!(fake.waiting_faults(), 0);
    assert_eq!(fake.applied().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_vanishes_is_not_retried_for_ever() {
    let fake = service();
    let table = open(&fake, settings()).await;
    assert!(put(&table, "a", 1).await.is_written());
    fake.delete_table(TABLE);
    fake.clear_journal();
    let outcome = put(&table, "a", 2).await;
    assert!(
        matches!(
            outcome,
            Outcome::Unwritten {
                may_have_applied: false,
                record: Some(_),
                ..
            }
        ),
        "{outcome:?}"
    );
    assert!(fake.requests().len() < 40, "30 s of them, spread out");
    let refused = table.put(&item("a", 3)).await;
    assert!(
        matches!(refused, Err(SubmitError::Failed { .. })),
        "{refused:?}"
    );
    assert!(matches!(
        table.close().await,
        Err(DrainError::Failed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_failed_condition_is_not_retried() {
    let fake = service();
    let table = open(&fake, settings()).await;
    assert!(put(&table, "a", 1).await.is_written());
    fake.clear_journal();
    let outcome = table
        .put(&item("a", 2))
        .condition("attribute_not_exists(pk)")
        .confirm()
        .await
        .expect("accepted");
    let Outcome::ConditionFailed {
        existing: Some(existing),
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        existing.to_attributes().expect("an item")["n"],
        AttributeValue::N("1".into())
    );
    assert_eq!(fake.requests().len(), 1);
    table.close().await.expect("no failure of the sink");
}

#[tokio::test(start_paused = true)]
async fn a_validation_error_is_tried_once_more_and_no_further() {
    let fake = service();
    fake.inject(Fault::poison(|key| key["pk"] == s("bad")));
    let table = open(&fake, settings()).await;
    // The first of all may be refused for what else it asks.
    assert!(put(&table, "good", 0).await.is_written());
    fake.clear_journal();
    let outcome = put(&table, "bad", 1).await;
    assert!(
        matches!(
            &outcome,
            Outcome::Rejected {
                reason: RejectReason::Refused { .. },
                ..
            }
        ),
        "{outcome:?}"
    );
    assert_eq!(sizes(&fake), [1, 1], "it may have been an outage");
    // Among others it is found out in halves, and none of them is failed by it.
    let bad = put(&table, "bad", 2);
    let good = (0..24).map(|n| put(&table, &format!("k{n}"), n)).collect();
    all_written(good).await;
    assert!(matches!(bad.await, Outcome::Rejected { .. }));
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_not_retried_for_ever() {
    for error in [Fault::unrecognized_client(), Fault::access_denied()] {
        let fake = service();
        let table = open(&fake, settings()).await;
        fake.clear_journal();
        fake.inject(error.always());
        let outcome = put(&table, "a", 1).await;
        assert!(matches!(
            outcome,
            Outcome::Unwritten {
                may_have_applied: false,
                ..
            }
        ));
        assert!(fake.requests().len() < 40, "30 s of them, spread out");
        assert!(matches!(
            table.flush().await,
            Err(DrainError::Failed { .. })
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_are_not_retried_for_ever() {
    let fake = service();
    let table = open(&fake, settings()).await;
    fake.inject(Fault::expired_token().always());
    let outcome = tokio::time::timeout(Duration::from_secs(120), put(&table, "a", 1)).await;
    let outcome = outcome.expect("it ends");
    assert!(
        matches!(
            outcome,
            Outcome::Unwritten {
                may_have_applied: false,
                ..
            }
        ),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_write_is_handed_back_and_not_retried() {
    let fake = service();
    let table = open(&fake, settings().concurrency(1).max_batch_items(1)).await;
    fake.inject(Fault::never_answer().always());
    let sent = put(&table, "a", 1);
    let queued = put(&table, "b", 2);
    tokio::time::sleep(ms(100)).await;
    let before = fake.requests().len();
    let handed_back = table.abort().await;
    assert_eq!(handed_back.len(), 2);
    assert!(matches!(
        sent.await,
        Outcome::Unwritten {
            may_have_applied: true,
            record: Some(_),
            ..
        }
    ));
    assert!(matches!(
        queued.await,
        Outcome::Unwritten {
            may_have_applied: false,
            record: Some(_),
            ..
        }
    ));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(fake.requests().len(), before);
}

#[tokio::test(start_paused = true)]
async fn an_item_of_500_kb_is_refused_with_attribute_size_and_limit() {
    let fake = service();
    let table = open(&fake, settings()).await;
    let refused = table
        .put(&json!({ "pk": "a", "blob": "x".repeat(500_000) }))
        .await;
    let error = refused.expect_err("too large");
    assert!(error.is_record());
    let told = error.to_string();
    for part in [TABLE, "500007", "409600", "blob"] {
        assert!(told.contains(part), "{told} doesn't tell {part}");
    }
    assert!(batches(&fake).is_empty());
    // The next record is not its victim.
    assert!(put(&table, "a", 1).await.is_written());
}

#[tokio::test(start_paused = true)]
async fn a_missing_table_fails_to_open() {
    let fake = FaultyDynamoDb::new();
    let refused = TableSink::open(&fake.client(), "nowhere")
        .await
        .expect_err("no such table");
    assert!(matches!(refused, OpenError::Describe { .. }));
    assert!(refused.to_string().contains("nowhere"), "{refused}");
    assert_eq!(fake.requests().len(), 1);
}
