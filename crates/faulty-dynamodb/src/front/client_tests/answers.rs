//! Answers as the service gives them, and the faults that strike them.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_batch_is_written_described_and_read() {
    let fake = fake();
    let client = fake.client();
    let table = client
        .describe_table()
        .table_name("decisions")
        .send()
        .await
        .expect("a table");
    assert_eq!(
        table
            .table()
            .and_then(aws_sdk_dynamodb::types::TableDescription::item_count),
        Some(0)
    );
    let writes = vec![put("a"), put("b")];
    let answer = client
        .batch_write_item()
        .request_items("decisions", writes)
        .send()
        .await;
    assert!(
        answer
            .expect("written")
            .unprocessed_items()
            .is_some_and(std::collections::HashMap::is_empty)
    );
    let read = client
        .get_item()
        .table_name("decisions")
        .key("pk", s("a"))
        .send()
        .await;
    assert_eq!(
        read.expect("read").item().and_then(|item| item.get("pk")),
        Some(&s("a"))
    );
    assert_eq!(fake.item_count("decisions"), 2);
    let applied = fake.applied();
    assert_eq!(
        applied
            .iter()
            .map(AppliedWrite::sequence)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(applied[0].key().get("pk"), Some(&s("a")));
    assert_eq!(
        applied[0].attribute("v"),
        Some(AttributeValue::N("1".into()))
    );
    let request = &fake.requests()[1];
    assert_eq!(
        (request.items(), request.applied(), request.status()),
        (2, 2, Some(200))
    );
    assert_eq!(request.tables(), ["decisions"]);
    assert!(
        request
            .header("x-amz-target")
            .is_some_and(|target| target.ends_with("BatchWriteItem"))
    );
}

#[tokio::test(start_paused = true)]
async fn scripted_faults_strike_in_order_what_they_are_meant_for() {
    let fake = fake();
    let client = fake.client();
    fake.inject(Fault::internal_error().skip(1).times(2));
    fake.inject(Fault::access_denied().on(Operation::DescribeTable));
    fake.inject(Fault::expired_token().table("others"));
    fake.inject(Fault::poison(|key| key["pk"] == s("bad")));
    assert_eq!(write(&client, "a").await, Ok(()));
    assert_eq!(write(&client, "a").await, err("InternalServerError"));
    assert_eq!(write(&client, "bad").await, err("InternalServerError"));
    assert_eq!(write(&client, "bad").await, err("ValidationException"));
    assert_eq!(write(&client, "bad").await, err("ValidationException"));
    assert_eq!(write(&client, "a").await, Ok(()));
    assert_eq!(fake.waiting_faults(), 3);
    let describe = client.describe_table().table_name("decisions").send().await;
    assert_eq!(
        describe.expect_err("a refusal").code(),
        Some("AccessDeniedException")
    );
    fake.heal();
    assert_eq!(write(&client, "bad").await, Ok(()));
    assert_eq!(fake.requests()[1].fault(), Some("InternalServerError"));
    assert_eq!(fake.requests()[1].error_code(), Some("InternalServerError"));
}

#[tokio::test(start_paused = true)]
async fn every_refusal_has_its_name_and_applies_nothing() {
    let cases = [
        (
            Fault::throttled(Throttle::ProvisionedThroughput),
            "ProvisionedThroughputExceededException",
        ),
        (
            Fault::throttled(Throttle::Throttling),
            "ThrottlingException",
        ),
        (
            Fault::throttled(Throttle::RequestLimit),
            "RequestLimitExceeded",
        ),
        (Fault::service_unavailable(), "ServiceUnavailable"),
        (
            Fault::replicated_write_conflict(),
            "ReplicatedWriteConflictException",
        ),
        (
            Fault::transaction_conflict(),
            "TransactionConflictException",
        ),
        (
            Fault::transaction_in_progress(),
            "TransactionInProgressException",
        ),
        (Fault::expired_token(), "ExpiredTokenException"),
        (Fault::unrecognized_client(), "UnrecognizedClientException"),
        (Fault::invalid_signature(), "InvalidSignatureException"),
        (Fault::request_time_too_skewed(), "RequestTimeTooSkewed"),
        (Fault::validation("no"), "ValidationException"),
        (Fault::error(400, "Whatever", "no"), "Whatever"),
        (Fault::too_large(), "413"),
        (Fault::bad_gateway(), "502"),
        (Fault::close_before(), "dispatch"),
    ];
    let fake = fake();
    let client = fake.client();
    for (fault, name) in cases {
        fake.inject(fault);
        assert_eq!(write(&client, "a").await, err(name));
        assert_eq!(fake.item_count("decisions"), 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_tells_its_reasons() {
    let fake = fake();
    for throttle in [
        Throttle::ProvisionedThroughput,
        Throttle::Throttling,
        Throttle::RequestLimit,
    ] {
        let fault = Fault::throttled(throttle);
        fake.inject(fault.reason("TableWriteProvisionedThroughputExceeded", "arn:decisions"));
        let batch = fake
            .client()
            .batch_write_item()
            .request_items("decisions", vec![put("a")]);
        let reasons = match batch
            .send()
            .await
            .expect_err("throttled")
            .into_service_error()
        {
            BatchWriteItemError::ProvisionedThroughputExceededException(error) => {
                error.throttling_reasons().to_vec()
            }
            BatchWriteItemError::RequestLimitExceeded(error) => error.throttling_reasons().to_vec(),
            BatchWriteItemError::ThrottlingException(error) => error.throttling_reasons().to_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            reasons[0].reason(),
            Some("TableWriteProvisionedThroughputExceeded")
        );
        assert_eq!(reasons[0].resource(), Some("arn:decisions"));
    }
}

#[tokio::test(start_paused = true)]
async fn unprocessed_writes_come_back_and_are_not_applied() {
    let cases = [
        (Fault::unprocessed_all(), 3),
        (Fault::unprocessed_count(2), 2),
        (Fault::unprocessed_ratio(1.0), 3),
        (Fault::unprocessed_keys(|key| key["pk"] == s("b")), 1),
    ];
    for (fault, left) in cases {
        let fake = fake();
        fake.inject(fault);
        let writes = vec![put("a"), put("b"), put("c")];
        let batch = fake
            .client()
            .batch_write_item()
            .request_items("decisions", writes);
        let answer = batch.send().await.expect("answered");
        let unprocessed = answer.unprocessed_items.unwrap_or_default();
        assert_eq!(unprocessed["decisions"].len(), left);
        assert_eq!(fake.item_count("decisions"), 3 - left);
        assert_eq!(fake.requests()[0].unprocessed(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn lost_and_spoilt_answers_hide_applied_writes() {
    let cases = [
        (Fault::close_after(), "dispatch"),
        (Fault::garbage_body(), "response"),
        (Fault::truncated_body(), "response"),
        (
            Fault::internal_error().after_applying(),
            "InternalServerError",
        ),
    ];
    for (fault, name) in cases {
        let fake = fake();
        fake.inject(fault);
        assert_eq!(write(&fake.client(), "a").await, err(name));
        assert_eq!(fake.item_count("decisions"), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_answers_take_tokios_time() {
    let fake = fake();
    let client = fake.client();
    fake.inject(Fault::delay_before(Duration::from_secs(3)));
    let giving_up = tokio::time::timeout(Duration::from_secs(1), write(&client, "a")).await;
    assert!(giving_up.is_err());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        fake.item_count("decisions"),
        0,
        "given up before it was applied"
    );
    assert_eq!(fake.requests()[0].outcome(), RequestOutcome::GivenUp);

    fake.inject(Fault::delay_after(Duration::from_secs(3)));
    let giving_up = tokio::time::timeout(Duration::from_secs(1), write(&client, "a")).await;
    assert!(giving_up.is_err());
    assert_eq!(
        fake.item_count("decisions"),
        1,
        "applied before it was given up"
    );
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_history() {
    let history = async |seed| {
        let fake = fake();
        let client = fake.client();
        let slow = Duration::from_millis(1)..=Duration::from_millis(200);
        let plan = FaultPlan::seeded(seed)
            .throttle(0.2)
            .close_after(0.2)
            .garbage(0.1);
        fake.fault_plan(plan.delay(0.5, slow.clone()).apply_late(0.1, slow));
        let mut outcomes = Vec::new();
        for at in 0..60 {
            outcomes.push(write(&client, &at.to_string()).await);
        }
        let times: Vec<_> = fake
            .requests()
            .iter()
            .map(|r| r.ended().unwrap_or_default())
            .collect();
        (
            outcomes,
            times
                .windows(2)
                .map(|pair| pair[1] - pair[0])
                .collect::<Vec<_>>(),
        )
    };
    let first = history(42).await;
    assert_eq!(first, history(42).await);
    assert_ne!(first, history(43).await);
    assert!(first.0.contains(&Ok(())) && first.0.contains(&err("dispatch")));
}
