//! Late requests, tokens and clocks.

use super::*;

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
    assert_eq!(fake.max_in_flight(), 2);
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
