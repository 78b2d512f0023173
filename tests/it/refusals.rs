//! Refusals that no record causes: the sink goes on, and says what lasts.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use dynamodb_connector::Health;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::sink::{
    DrainError, DynamoDbSink, LimitedBy, OpenError, Outcome, RejectReason, TableSettings, TableSink,
};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation, Throttle};
use dynamodb_connector::{IndexSpec, TableSpec};

use crate::setup::{Log, TABLE, builder, fake, id, is_pk, on_writes, opened, row, writes_sent};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn put_all(table: &TableSink, count: u64) -> Vec<Outcome> {
    let mut receipts = Vec::new();
    for n in 0..count {
        receipts.push(table.put(&row(format!("k{n}"), n)).await.unwrap());
    }
    futures::future::join_all(receipts).await
}

#[tokio::test(start_paused = true)]
async fn a_blip_of_any_kind_loses_nothing() {
    for fault in [
        Fault::unrecognized_client(),
        Fault::resource_not_found(),
        Fault::invalid_signature(),
        Fault::access_denied(),
        Fault::expired_token(),
        Fault::answer(403, ""),
        Fault::answer(404, "<html>nothing here</html>"),
        Fault::answer(405, ""),
        Fault::bad_gateway(),
        Fault::garbage_body(),
        Fault::error(400, "ReplicaUnavailableException", "not now"),
        Fault::error(400, "KMSDisabledException", "not now"),
        Fault::error(400, "BrandNewException", "not now"),
        Fault::answer(200, "{}"),
        Fault::answer(200, r#"{"status":"ok"}"#),
        Fault::answer(
            200,
            r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}"#,
        ),
        Fault::answer(
            200,
            r#"{"UnprocessedItems":{},"__type":"InternalServerError"}"#,
        ),
    ] {
        let told = format!("{fault:?}");
        let (fake, table) = opened().await;
        // A single answer, of a single record, and all of a second.
        fake.inject(on_writes(fault.clone()));
        assert!(put_all(&table, 1).await[0].is_written(), "{told}");
        fake.inject(fault.always());
        let writes = tokio::spawn({
            let table = table.clone();
            async move { put_all(&table, 100).await }
        });
        tokio::time::sleep(secs(1)).await;
        fake.heal();
        let outcomes = writes.await.unwrap();
        assert!(outcomes.iter().all(Outcome::is_written), "{told}");
        assert_eq!(fake.item_count(TABLE), 100, "{told}");
        tokio::time::sleep(secs(1)).await;
        assert!(table.health().is_healthy(), "{told}");
        table.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_record_and_a_description_that_fails_for_long_do_not_end_the_table() {
    for fault in [
        Fault::internal_error(),
        Fault::throttled(Throttle::Throttling),
    ] {
        let (fake, table) = opened().await;
        fake.inject(fault.on(Operation::DescribeTable).always());
        fake.inject(Fault::poison(is_pk("bad")));
        let bad = table.put(&row("bad", 1)).await.unwrap();
        tokio::time::sleep(secs(300)).await;
        let outcomes = put_all(&table, 312).await;
        assert!(outcomes.iter().all(Outcome::is_written));
        let outcome = bad.await;
        assert!(
            matches!(
                outcome,
                Outcome::Rejected {
                    reason: RejectReason::Refused { .. },
                    ..
                }
            ),
            "{outcome:?}"
        );
        table.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_denied_or_unknown_leaves_puts_going() {
    for fault in [
        Fault::access_denied(),
        Fault::error(400, "UnknownOperationException", ""),
    ] {
        let (fake, table) = opened().await;
        fake.inject(fault.on(Operation::UpdateItem).always());
        let update = || {
            let update = table.update(&id("a"), "SET n = :n");
            update.value(":n", &1)
        };
        let first = update().await.unwrap();
        for n in 0..100 {
            assert!(
                put_all(&table, 5).await.iter().all(Outcome::is_written),
                "{n}"
            );
            tokio::time::sleep(secs(1)).await;
        }
        let outcome = first.await;
        let Outcome::Unwritten {
            may_have_applied: false,
            record: Some(record),
            cause: Some(cause),
            ..
        } = &outcome
        else {
            panic!("{outcome:?}");
        };
        assert_eq!(record.table(), TABLE);
        let text = outcome.to_string();
        assert!(
            text.contains(TABLE) && text.contains(cause.code()),
            "{text}"
        );
        // The next ones are handed back at once, until it is tried again.
        for _ in 0..2 {
            let outcome = update().confirm().await.unwrap();
            assert!(matches!(outcome, Outcome::Unwritten { .. }), "{outcome:?}");
        }
        let updates = fake.requests();
        let updates = updates
            .iter()
            .filter(|r| r.operation() == Some(Operation::UpdateItem));
        assert!(updates.count() < 20);
        fake.heal();
        tokio::time::sleep(secs(31)).await;
        assert!(update().confirm().await.unwrap().is_written());
        table.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn one_tenants_key_that_is_denied_is_rejected_and_its_neighbors_are_written() {
    let (fake, table) = opened().await;
    fake.inject(Fault::access_denied().on_key(is_pk("foreign")).always());
    let foreign = table.put(&row("foreign", 1)).await.unwrap();
    let mut others = 0;
    for _ in 0..100 {
        others += put_all(&table, 5)
            .await
            .iter()
            .filter(|o| o.is_written())
            .count();
        tokio::time::sleep(secs(1)).await;
    }
    assert_eq!(others, 500);
    let outcome = foreign.await;
    assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
    table.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn verdicts_on_records_are_no_failures() {
    let (log, _subscriber) = Log::subscribe("dynamodb_connector=info");
    let (_fake, table) = opened().await;
    for n in 0..50 {
        let put = table
            .put(&row("a", n))
            .condition("attribute_not_exists(pk)");
        let outcome = put.confirm().await.unwrap();
        assert_eq!(outcome.is_written(), n == 0);
        tokio::time::sleep(secs(1)).await;
    }
    assert_eq!(log.lines("WARN"), [""; 0]);
    let stats = table.stats();
    assert_eq!((stats.failed_requests, stats.last_error), (0, None));
    assert!(table.health().is_healthy());
    table.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_table_that_ends_says_so_at_error_with_its_cause() {
    let (log, _subscriber) = Log::subscribe("dynamodb_connector=info");
    let (fake, table) = opened().await;
    fake.inject(Fault::access_denied().always());
    let outcomes = put_all(&table, 100).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Unwritten { .. }))
    );
    let errors = log.lines("ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("AccessDeniedException") && errors[0].contains(TABLE));
    let health = table.health();
    assert!(matches!(health, Health::Ended { .. }), "{health}");
    // Four batches each few seconds, and all their writes by themselves in the end.
    assert!(writes_sent(&fake) < 400, "{}", writes_sent(&fake));
    assert!(matches!(
        table.close().await,
        Err(DrainError::Failed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_and_callers_in_line_are_what_limits() {
    let fake = fake();
    let sink = builder(
        &fake,
        TableSettings::default()
            .buffer_records(1)
            .max_batch_items(1),
    )
    .dead_letters(|_| std::future::pending())
    .open()
    .await
    .unwrap();
    let table = sink.table(TABLE).unwrap();
    assert_eq!(table.stats().limited_by, LimitedBy::Nothing);
    fake.inject(Fault::poison(is_pk("bad")));
    drop(table.put(&row("bad", 1)).await.unwrap());
    let caller = tokio::spawn({
        let table = table.clone();
        async move { table.put(&row("a", 1)).await }
    });
    tokio::time::sleep(secs(5)).await;
    let limited = table.stats().limited_by;
    assert!(
        matches!(limited, LimitedBy::DeadLetters { writes: 1, .. }),
        "{limited}"
    );
    caller.abort();
}

#[tokio::test(start_paused = true)]
async fn opening_waits_for_a_table_that_is_created_and_names_what_it_cannot_wait_for() {
    let (log, _subscriber) = Log::subscribe("dynamodb_connector=info");
    let fake = FaultyDynamoDb::new();
    fake.create_tables_slowly(secs(20));
    let key = AttributeDefinition::builder()
        .attribute_name("pk")
        .attribute_type(ScalarAttributeType::S);
    let hash = KeySchemaElement::builder()
        .attribute_name("pk")
        .key_type(KeyType::Hash);
    let create = fake.client().create_table().table_name(TABLE);
    let create = create.attribute_definitions(key.build().unwrap());
    let create = create.key_schema(hash.build().unwrap());
    let create = create.billing_mode(BillingMode::PayPerRequest);
    create.send().await.unwrap();
    let table = TableSink::open(&fake.client(), TABLE).await.unwrap();
    assert!(
        table
            .put(&row("a", 1))
            .confirm()
            .await
            .unwrap()
            .is_written()
    );
    assert_eq!(log.lines("being created").len(), 1);

    // What the service throttles or fails is tried for longer than a moment.
    for fault in [
        Fault::throttled(Throttle::Throttling),
        Fault::internal_error(),
    ] {
        fake.inject(fault.on(Operation::DescribeTable).always());
        let opening = tokio::spawn({
            let client = fake.client();
            async move { TableSink::open(&client, TABLE).await }
        });
        tokio::time::sleep(secs(8)).await;
        fake.heal();
        opening.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_does_not_open_says_what_to_do_by_the_cause() {
    let fake = fake();
    for (fault, remedy) in [
        (Fault::access_denied(), "dynamodb:DescribeTable"),
        (Fault::resource_not_found(), "region"),
        (Fault::expired_token(), "credentials"),
        (Fault::unrecognized_client(), "credentials"),
        (Fault::close_before(), "endpoint"),
        (Fault::answer(404, ""), "endpoint"),
        (Fault::throttled(Throttle::Throttling), "try again later"),
    ] {
        let told = format!("{fault:?}");
        fake.inject(fault.on(Operation::DescribeTable).always());
        let error = TableSink::open(&fake.client(), TABLE).await.unwrap_err();
        assert!(matches!(error, OpenError::Describe { .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains(remedy) && text.contains(TABLE),
            "{told}: {text}"
        );
        let rights = text.contains("dynamodb:DescribeTable");
        assert_eq!(rights, remedy.contains("Describe"), "{told}: {text}");
        fake.heal();
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_that_is_dropped_is_checked_no_more_once_that_is_described() {
    let fake = FaultyDynamoDb::new();
    let with_index =
        TableSpec::new(TABLE).index(IndexSpec::global("by_n").partition("n", KeyKind::String));
    fake.create_table(with_index);
    let settings = TableSettings::default().refresh(secs(1));
    let sink = DynamoDbSink::builder(&fake.client()).table(TABLE, settings);
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    let error = table.put(&row("a", 1)).await.unwrap_err();
    assert!(
        error.is_record(),
        "a number where the index has a string: {error}"
    );
    fake.alter_table(TableSpec::new(TABLE));
    let id = id("b");
    assert!(table.put(&id).confirm().await.unwrap().is_written());
    tokio::time::sleep(secs(2)).await;
    assert!(table.put(&id).confirm().await.unwrap().is_written());
    tokio::time::sleep(secs(2)).await;
    assert!(table.shape().indexes()[0].is_dropped());
    assert!(
        table
            .put(&row("a", 1))
            .confirm()
            .await
            .unwrap()
            .is_written()
    );
    table.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_services_words_are_shown_where_they_quote_no_item() {
    let reserved =
        "Invalid UpdateExpression: Attribute name is a reserved keyword; reserved keyword: status";
    let quoting = "One or more parameter values were invalid: the value hush is odd";
    for (message, show, shown) in [
        (reserved, false, true),
        (quoting, false, false),
        (quoting, true, true),
    ] {
        let fake = fake();
        let sink = builder(&fake, TableSettings::default()).show_service_messages(show);
        let table = sink.open().await.unwrap().table(TABLE).unwrap();
        fake.inject(on_writes(Fault::validation(message)).always());
        let update = table.update(&id("a"), "SET n = :n").value(":n", &1);
        let outcome = update.confirm().await.unwrap();
        let text = outcome.to_string();
        assert_eq!(text.contains(message), shown, "{text}");
        assert_eq!(text.contains("withheld"), !shown, "{text}");
        table.close().await.unwrap();
    }
}
