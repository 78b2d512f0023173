//! Faults, journal and clock through the AWS SDK, in process and over HTTP.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, PutRequest, TransactWriteItem, Update, WriteRequest,
};
use dynamodb_table_spec::KeyKind;

use crate::*;

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn put(pk: &str) -> WriteRequest {
    let put = PutRequest::builder()
        .item("pk", s(pk))
        .item("v", AttributeValue::N("1.0".into()));
    WriteRequest::builder()
        .put_request(put.build().expect("an item"))
        .build()
}

fn fake() -> FaultyDynamoDb {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new("decisions"));
    fake
}

/// Writes one item; the exception's name where there is one, `dispatch`, `timeout` or `response`
/// for the SDK's other kinds of failure.
async fn write(client: &Client, pk: &str) -> Result<(), String> {
    let put = client
        .put_item()
        .table_name("decisions")
        .item("pk", s(pk))
        .send()
        .await;
    put.map(drop).map_err(|error| match error.code() {
        Some(code) => code.to_owned(),
        None => match &error {
            aws_sdk_dynamodb::error::SdkError::DispatchFailure(_) => "dispatch".to_owned(),
            aws_sdk_dynamodb::error::SdkError::TimeoutError(_) => "timeout".to_owned(),
            other => match other
                .raw_response()
                .map(|response| response.status().as_u16())
            {
                Some(200) | None => "response".to_owned(),
                Some(status) => status.to_string(),
            },
        },
    })
}

fn err(text: &str) -> Result<(), String> {
    Err(text.to_owned())
}

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
async fn a_late_request_is_applied_after_its_sender_has_gone() {
    let fake = fake();
    fake.inject(Fault::apply_late(Duration::from_secs(30)));
    let client = fake.client();
    let giving_up = tokio::time::timeout(Duration::from_secs(1), write(&client, "a")).await;
    assert!(giving_up.is_err());
    assert_eq!((fake.item_count("decisions"), fake.in_flight()), (0, 0));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(fake.item_count("decisions"), 1);
    assert_eq!(fake.applied()[0].request(), 1);
    assert_eq!(fake.requests()[0].outcome(), RequestOutcome::GivenUp);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_runs_into_the_read_timeout() {
    let fake = fake();
    let timeouts = aws_sdk_dynamodb::config::timeout::TimeoutConfig::builder()
        .read_timeout(Duration::from_secs(2))
        .build();
    let client = Client::from_conf(fake.config_builder().timeout_config(timeouts).build());
    fake.inject(Fault::never_answer());
    assert_eq!(write(&client, "a").await, err("dispatch"));
    assert_eq!(fake.item_count("decisions"), 0);
    fake.inject(Fault::never_answer().after_applying());
    assert_eq!(write(&client, "a").await, err("dispatch"));
    assert_eq!(fake.item_count("decisions"), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_that_share_a_key_are_seen() {
    let fake = fake();
    let client = fake.client();
    fake.inject(Fault::delay_after(Duration::from_secs(1)));
    let (one, two) = tokio::join!(write(&client, "a"), write(&client, "a"));
    assert_eq!((one, two), (Ok(()), Ok(())));
    assert_eq!(write(&client, "a").await, Ok(()));
    let overlaps = fake.overlaps();
    assert_eq!(overlaps.len(), 1);
    assert_eq!(overlaps[0].requests(), (1, 2));
    assert_eq!(fake.most_in_flight(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_journal_is_taken_in_parts_and_loses_nothing() {
    let fake = fake();
    let client = fake.client();
    assert_eq!(write(&client, "a").await, Ok(()));
    fake.inject(Fault::apply_late(Duration::from_secs(9)));
    fake.inject(Fault::delay_after(Duration::from_secs(60)));
    let late = write(&client, "b");
    let given_up = tokio::time::timeout(Duration::from_secs(1), late).await;
    assert!(given_up.is_err());
    let slow = tokio::spawn(async move { write(&client, "c").await });
    tokio::time::sleep(Duration::from_secs(1)).await;

    let pks = |writes: Vec<AppliedWrite>| -> Vec<String> {
        let pk = |write: AppliedWrite| write.key()["pk"].as_s().expect("a string").clone();
        writes.into_iter().map(pk).collect()
    };
    let ended = |fake: &FaultyDynamoDb| -> Vec<(u64, RequestOutcome, usize)> {
        let taken = fake.take_requests().into_iter();
        taken
            .map(|r| (r.number(), r.outcome(), r.applied()))
            .collect()
    };
    assert_eq!(pks(fake.take_applied()), ["a", "c"]);
    let first = [
        (1, RequestOutcome::Answered(200), 1),
        (2, RequestOutcome::GivenUp, 0),
    ];
    assert_eq!(ended(&fake), first, "the third is not answered yet");
    assert_eq!(slow.await.expect("no panic"), Ok(()));
    assert_eq!(pks(fake.take_applied()), ["b"], "late, and not lost");
    assert_eq!(ended(&fake), [(3, RequestOutcome::Answered(200), 1)]);
    assert!(fake.applied().is_empty() && fake.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_forgotten_after_ten_minutes() {
    let fake = fake();
    let client = fake.client();
    let send = async || {
        let update = Update::builder().table_name("decisions").key("pk", s("a"));
        let update = update
            .update_expression("ADD v :one")
            .expression_attribute_values(":one", AttributeValue::N("1".into()));
        let action = TransactWriteItem::builder().update(update.build().expect("complete"));
        let send = client.transact_write_items().transact_items(action.build());
        send.client_request_token("token")
            .send()
            .await
            .expect("applied");
        fake.item("decisions", [("pk", s("a"))]).expect("an item")["v"].clone()
    };
    assert_eq!(send().await, AttributeValue::N("1".into()));
    tokio::time::sleep(Duration::from_secs(599)).await;
    assert_eq!(send().await, AttributeValue::N("1".into()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(send().await, AttributeValue::N("2".into()));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_is_told_and_checked() {
    let fake = fake();
    fake.check_clock(Some(Duration::from_mins(15)));
    assert_eq!(write(&fake.client(), "a").await, Ok(()));
    fake.set_clock_behind(Duration::from_hours(1));
    let put = fake
        .client()
        .put_item()
        .table_name("decisions")
        .item("pk", s("a"))
        .send()
        .await;
    let error = put.expect_err("a refusal");
    assert_eq!(error.code(), Some("InvalidSignatureException"));
    let date = error
        .raw_response()
        .and_then(|response| response.headers().get("date"));
    assert!(date.is_some_and(|date| date.ends_with("GMT")));
}

#[tokio::test(start_paused = true)]
async fn a_table_may_change_under_its_users() {
    let fake = fake();
    let client = fake.client();
    assert_eq!(write(&client, "a").await, Ok(()));
    fake.alter_table(TableSpec::new("decisions").partition("id", KeyKind::String));
    assert_eq!(write(&client, "a").await, err("ValidationException"));
    assert!(fake.delete_table("decisions"));
    assert_eq!(write(&client, "a").await, err("ResourceNotFoundException"));
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

#[tokio::test]
async fn the_server_keeps_connections_breaks_them_and_stops() {
    let fake = fake();
    let server = fake.serve().await.expect("a server");
    let client = server.client();
    assert_eq!(write(&client, "a").await, Ok(()));
    let cases = [
        (Fault::close_before(), "dispatch"),
        (Fault::close_after(), "dispatch"),
        (Fault::truncated_body(), "response"),
        (Fault::garbage_body(), "response"),
        (Fault::bad_gateway(), "502"),
        (Fault::too_large(), "413"),
        (
            Fault::throttled(Throttle::Throttling),
            "ThrottlingException",
        ),
    ];
    for (fault, name) in cases {
        fake.inject(fault);
        assert_eq!(write(&client, "a").await, err(name));
    }
    assert_eq!(write(&client, "a").await, Ok(()));
    let url = server.endpoint_url();
    assert!(url.starts_with("http://127.0.0.1:"));
    server.shutdown().await;
    assert_eq!(write(&client, "a").await, err("dispatch"));
}

#[tokio::test]
async fn the_server_sees_that_its_client_has_gone() {
    let fake = fake();
    let server = fake.serve().await.expect("a server");
    fake.inject(Fault::never_answer());
    let client = server.client();
    let arrived = async {
        while fake.in_flight() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        outcome = write(&client, "a") => panic!("answered: {outcome:?}"),
        () = arrived => {}
    }
    let gone = async {
        while fake.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the connection's end");
    assert_eq!(fake.requests()[0].outcome(), RequestOutcome::GivenUp);
    server.shutdown().await;
}

#[tokio::test]
async fn the_server_survives_any_body() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let fake = fake();
    let server = fake.serve().await.expect("a server");
    let bodies: [&[u8]; 8] = [
        b"",
        b"{nope",
        b"[]",
        b"null",
        b"{\"TableName\":7}",
        b"\xff\xfe",
        br#"{"TableName":"others","Item":[]}"#,
        br#"{"TableName":"others","Item":{"pk":{"S":"a"},"x":"str"}}"#,
    ];
    for operation in Operation::ALL
        .iter()
        .map(|operation| operation.name())
        .chain(["Bogus"])
    {
        for body in bodies.iter().filter(|_| operation != "ListTables") {
            let mut socket = tokio::net::TcpStream::connect(server.address())
                .await
                .expect("connected");
            let head = format!(
                "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\
                 x-amz-target: DynamoDB_20120810.{operation}\r\nauthorization: AWS4-HMAC-SHA256 \
                 Credential=a, SignedHeaders=b, Signature=c\r\n\r\n",
                body.len()
            );
            socket.write_all(head.as_bytes()).await.expect("sent");
            socket.write_all(body).await.expect("sent");
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await.expect("read");
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 400"), "{operation} {answer}");
            assert!(answer.contains("__type"), "{operation} {answer}");
        }
    }
    server.shutdown().await;
}
