//! What opening refuses, and how tables are opened.

#![expect(
    clippy::disallowed_methods,
    reason = "virtual time is what is measured in"
)]

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use dynamodb_connector::TableSpec;
use dynamodb_connector::TransportKind;
#[cfg(feature = "kafka")]
use dynamodb_connector::kafka::{KafkaSettings, KafkaSink, KafkaSource, KafkaSourceSettings};
use dynamodb_connector::sink::{
    CapacityMode, DynamoDbSink, DynamoDbSinkSettings, OpenError, SubmitError, TableSettings,
    TableSink,
};
#[cfg(feature = "streams")]
use dynamodb_connector::streams::StreamsSource;
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};

use crate::setup::{Log, TABLE, fake, keys, on_writes, open_with, row, settle};

#[tokio::test(start_paused = true)]
async fn a_sink_needs_tables_that_make_sense() {
    let fake = fake();
    let client = fake.client();
    let plain = TableSettings::default;
    let none = DynamoDbSink::builder(&client).open().await.unwrap_err();
    assert!(matches!(none, OpenError::NoTable));
    let twice = DynamoDbSink::builder(&client)
        .table(TABLE, plain())
        .table(TABLE, plain());
    let twice = twice.open().await.unwrap_err();
    assert!(matches!(&twice, OpenError::Duplicate { table, .. } if table == TABLE));
    // Which of the two has the settings is not known.
    let arn = format!("arn:aws:dynamodb:eu-west-1:123456789012:table/{TABLE}");
    let in_file = |name: &str| DynamoDbSinkSettings::default().table(name, plain());
    let builder = || DynamoDbSink::builder(&client);
    for both in [
        builder().table(&arn, plain()).settings(in_file(TABLE)),
        builder().settings(in_file(&arn)).table(TABLE, plain()),
        builder().table(TABLE, plain()).table(&arn, plain()),
    ] {
        let error = both.open().await.unwrap_err();
        assert!(
            matches!(&error, OpenError::NameAndArn { table, arn: other, .. } if table == TABLE && *other == arn),
            "{error}"
        );
    }
    let strange = DynamoDbSink::builder(&client)
        .table(TABLE, plain())
        .keys("others", keys());
    let strange = strange.open().await.unwrap_err();
    assert!(matches!(&strange, OpenError::KeysWithoutTable { table, .. } if table == "others"));
    let keyed = DynamoDbSink::builder(&client)
        .table(TABLE, plain())
        .keys(TABLE, keys())
        .keys(TABLE, keys());
    let keyed = keyed.open().await.unwrap_err();
    assert!(matches!(&keyed, OpenError::KeysTwice { table, .. } if table == TABLE));
    let wrong = DynamoDbSink::builder(&client).table(TABLE, plain().max_batch_items(26));
    let wrong = wrong.open().await.unwrap_err();
    assert!(
        wrong.to_string().contains("max_batch_items is 26"),
        "{wrong}"
    );
    assert!(
        fake.requests().is_empty(),
        "all of it is known without asking"
    );
}

#[tokio::test(start_paused = true)]
async fn a_table_that_cannot_be_described_names_both_ways_out() {
    let fake = fake();
    fake.inject(Fault::access_denied().on(Operation::DescribeTable).always());
    let error = TableSink::open(&fake.client(), TABLE).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("dynamodb:DescribeTable"), "{text}");
    assert!(text.contains("`keys`") && text.contains(TABLE), "{text}");
    fake.heal();
    let missing = TableSink::open(&fake.client(), "missing")
        .await
        .unwrap_err();
    let OpenError::Describe { table, error, .. } = &missing else {
        panic!("{missing:?}");
    };
    assert_eq!(
        (table.as_str(), error.code()),
        ("missing", "ResourceNotFoundException")
    );
    // What may pass is tried again.
    fake.inject(
        Fault::internal_error()
            .on(Operation::DescribeTable)
            .times(3),
    );
    TableSink::open(&fake.client(), TABLE).await.unwrap();
}

fn described(fake: &FaultyDynamoDb) -> usize {
    let requests = fake.requests();
    let described = requests
        .iter()
        .filter(|request| request.operation() == Some(Operation::DescribeTable));
    described.count()
}

#[tokio::test(start_paused = true)]
async fn with_keys_given_opening_waits_for_no_description() {
    for kind in [
        TransportKind::Auto,
        TransportKind::Direct,
        TransportKind::Sdk,
    ] {
        let fake = fake();
        // Neither does anything else.
        fake.inject(Fault::never_answer().on(Operation::DescribeTable).always());
        let before = tokio::time::Instant::now();
        let sink = DynamoDbSink::builder(&fake.client())
            .table(TABLE, TableSettings::default())
            .keys(TABLE, keys())
            .transport(kind)
            .open();
        let table = sink.await.unwrap().table(TABLE).unwrap();
        settle().await;
        assert!(fake.requests().is_empty(), "nothing was submitted");
        for n in 0..3 {
            let outcome = table.put(&row("a", n)).confirm().await.unwrap();
            assert!(outcome.is_written(), "{kind:?}");
        }
        fake.inject(on_writes(Fault::close_after()));
        let put = table
            .put(&row("b", 1))
            .condition("attribute_not_exists(pk)");
        assert!(put.confirm().await.unwrap().is_written(), "{kind:?}");
        table.close().await.unwrap();
        assert!(before.elapsed() < Duration::from_secs(1), "{kind:?}");
        assert_eq!(described(&fake), 1, "{kind:?}: for its capacity");
    }
}

#[tokio::test(start_paused = true)]
async fn a_description_that_is_denied_is_said_once_however_often_it_is_asked_for() {
    let (log, _subscriber) = Log::subscribe("dynamodb_connector=debug");
    let fake = fake();
    fake.inject(Fault::access_denied().on(Operation::DescribeTable).always());
    let settings = TableSettings::default().refresh(Duration::from_secs(1));
    let table = open_with(&fake, settings).await;
    for second in 0..100 {
        // Refusals are a reason to ask sooner.
        fake.inject(Fault::unprocessed_count(1));
        for n in 0..3 {
            drop(table.put(&row(format!("k{n}"), second)).await.unwrap());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    table.close().await.expect("all written");
    assert_eq!(fake.item_count(TABLE), 3);
    assert!(described(&fake) > 10, "the denial may be a blip");
    let warnings = log.lines("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let warning = &warnings[0];
    assert!(warning.contains("dynamodb:DescribeTable"), "{warning}");
    assert!(warning.contains(TABLE), "{warning}");
    assert_eq!(table.stats().mode, CapacityMode::Unknown);
}

#[tokio::test(start_paused = true)]
async fn many_tables_stand_behind_one_handle_each_with_its_settings() {
    let fake = fake();
    fake.create_table(TableSpec::new("others"));
    let settings = DynamoDbSinkSettings::from_toml(
        r#"
        [defaults]
        linger = "2ms"
        [tables.decisions]
        max_batch_items = 1
        [tables.others]
        max_batch_items = 10
        "#,
    )
    .unwrap();
    let sink = DynamoDbSink::builder(&fake.client())
        .settings(settings)
        .open()
        .await
        .unwrap();
    assert_eq!(sink.tables().count(), 2);
    for table in sink.tables() {
        for n in 0..10 {
            drop(table.put(&row(format!("k{n}"), n)).await.unwrap());
        }
    }
    sink.close().await.unwrap();
    for request in fake
        .requests()
        .iter()
        .filter(|r| r.operation() == Some(Operation::BatchWriteItem))
    {
        let most = if request.tables() == [TABLE] { 1 } else { 10 };
        assert!(request.items() <= most);
    }
    assert_eq!(
        (fake.item_count(TABLE), fake.item_count("others")),
        (10, 10)
    );
    assert!(matches!(sink.table("third"), Err(SubmitError::UnknownTable(name)) if name == "third"));
}

#[tokio::test(start_paused = true)]
async fn settings_replace_each_other_and_what_the_builder_names_goes_over_them() {
    let fake = fake();
    fake.create_table(TableSpec::new("others"));
    let read = |toml| DynamoDbSinkSettings::from_toml(toml).expect("valid");
    let names = |sink: &DynamoDbSink| {
        let mut names: Vec<_> = sink.tables().map(|table| table.name().to_owned()).collect();
        names.sort();
        names
    };
    let builder = || DynamoDbSink::builder(&fake.client());
    // This concurrency is refused beside the other settings' limit.
    let first = read("max_requests = 8\n[tables.decisions]\nconcurrency = 8");
    let second = || read("max_requests = 4\n[tables.others]\nconcurrency = 4");

    let replaced = builder().settings(first).settings(second());
    let sink = replaced.open().await.expect("nothing is left of the first");
    assert_eq!(names(&sink), ["others"]);

    // Over the settings, whichever was called first.
    let own = || TableSettings::default().concurrency(6);
    let before = builder().table("others", own()).max_requests(6);
    let after = builder().settings(second());
    for builder in [
        before.settings(second()),
        after.table("others", own()).max_requests(6),
    ] {
        let sink = builder.open().await.expect("6 of 6 requests");
        assert_eq!(names(&sink), ["others"]);
    }
    let beside = builder()
        .settings(second())
        .table(TABLE, TableSettings::default().concurrency(1));
    let sink = beside.open().await.expect("two tables");
    assert_eq!(names(&sink), [TABLE, "others"]);
}

/// Refuses to compile where a builder, or the future of its opening, is tied to one thread.
#[test]
fn what_is_opened_may_move_to_another_thread() {
    fn opens<C, F: Future + Send>(_: impl Fn(C) -> F) {}
    opens(|client: Client| DynamoDbSink::builder(&client).open());
    #[cfg(feature = "streams")]
    opens(
        |(client, streams): (Client, aws_sdk_dynamodbstreams::Client)| {
            StreamsSource::builder(&client, &streams, TABLE).open()
        },
    );
    #[cfg(feature = "kafka")]
    {
        opens(|kafka: KafkaSettings| KafkaSink::builder(&kafka).open());
        opens(|(kafka, settings): (KafkaSettings, KafkaSourceSettings)| {
            KafkaSource::builder(&kafka).settings(settings).open()
        });
    }
}
