//! A file of all settings, and mistakes in each of its sections.

use std::fmt::Debug;
use std::time::Duration;

use super::*;
use crate::retry::RetryPolicy;
use crate::sink::TableSettings;
#[cfg(feature = "streams")]
use crate::streams::SnapshotSettings;

const ALL: &str = r#"
    [sink.tables.decisions]
    linger = "5ms"
    [streams]
    lease_table = "billing"
    worker = "eu-1"
    start = "2026-01-31T08:00:00Z"
    failover = "5s"
    snapshot.segments = 8
    [kafka]
    bootstrap_servers = "b:1"
    properties.compression.type = "lz4"
    [kafka.sink]
    linger = "20ms"
    [kafka.source]
    group = "g"
    topics = ["a", "b"]
    max_outstanding_bytes = "1MiB"
    [kafka.transaction]
    application = "billing"
    instance = "billing-0"
    transaction_timeout = "20s"
    guarantee.exactly_once.commit_interval = "500ms"
    [pipeline]
    name = "billing"
    stop_timeout = "2s"
"#;

fn file(toml: &str) -> SettingsFile {
    SettingsFile::from_toml(toml).expect("TOML")
}

#[test]
fn each_section_is_read_as_its_type() {
    let file = file(ALL);
    file.validate().expect("no mistake");
    let sink = file.sink().expect("valid");
    let linger = TableSettings::default().linger(Duration::from_millis(5));
    assert_eq!(*sink.for_table("decisions"), linger);
    #[cfg(feature = "streams")]
    assert_eq!(
        file.streams().expect("valid"),
        StreamsSettings::default()
            .lease_table("billing")
            .worker("eu-1")
            .start(crate::streams::StartPosition::AtTimestamp(
                std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_846_400)
            ))
            .failover(Duration::from_secs(5))
            .snapshot(SnapshotSettings::default().segments(8))
    );
    #[cfg(feature = "kafka")]
    {
        let kafka = KafkaSettings::new("b:1").set("compression.type", "lz4");
        assert_eq!(file.kafka().expect("valid"), kafka);
        let to = KafkaSinkSettings::default().linger(Duration::from_millis(20));
        assert_eq!(file.kafka_sink().expect("valid"), to);
        let from = KafkaSourceSettings::new("g", ["a", "b"]).max_outstanding_bytes(1 << 20);
        assert_eq!(file.kafka_source().expect("valid"), from);
    }
    #[cfg(feature = "pipeline")]
    assert_eq!(
        file.pipeline().expect("valid"),
        PipelineSettings::default()
            .name("billing")
            .stop_timeout(Duration::from_secs(2))
    );
}

#[test]
fn a_section_that_is_missing_has_its_defaults() {
    let file = file("");
    file.validate().expect("nothing is wrong in nothing");
    assert_eq!(file.sink().expect("valid"), DynamoDbSinkSettings::default());
    #[cfg(feature = "streams")]
    assert_eq!(file.streams().expect("valid"), StreamsSettings::default());
    #[cfg(feature = "kafka")]
    assert_eq!(
        file.kafka_sink().expect("valid"),
        KafkaSinkSettings::default()
    );
    #[cfg(feature = "pipeline")]
    assert_eq!(file.pipeline().expect("valid"), PipelineSettings::default());
}

#[test]
fn a_mistake_names_section_field_value_and_range() {
    let duration = "expected a duration with a unit, such as \"250ms\", \"2s\" or \"1m 30s\"";
    let integer = format!("invalid type: integer `5`, {duration}");
    let cases = [
        ("sink = 7", "sink: is no table of settings".to_owned()),
        (
            "sink.max_requests = 0",
            "sink: max_requests is 0, allowed 1 to 1000000".to_owned(),
        ),
        (
            "sink.tables.a.linger = 5",
            format!("table \"a\": linger: {integer}, allowed 0s to 1m"),
        ),
        #[cfg(feature = "streams")]
        (
            "streams.failover = \"5ms\"",
            "streams: failover is 5ms, allowed 1s to 10m".to_owned(),
        ),
        #[cfg(feature = "streams")]
        (
            "streams.max_age = true",
            format!(
                "streams: max_age: invalid type: boolean `true`, {duration}, or \"none\", allowed 1m to 1day"
            ),
        ),
        #[cfg(feature = "streams")]
        (
            "streams.snapshot.settling = 5",
            format!("streams: snapshot.settling: {integer}, allowed 0s to 1m"),
        ),
        #[cfg(feature = "kafka")]
        (
            "kafka.sink.linger = 5",
            "kafka: bootstrap_servers is not set".to_owned(),
        ),
        #[cfg(feature = "kafka")]
        (
            "kafka = { bootstrap_servers = \"b:1\", sink.linger = 5 }",
            format!("kafka.sink: linger: {integer}, allowed 0s to 15m"),
        ),
        #[cfg(feature = "kafka")]
        (
            "kafka = { bootstrap_servers = \"b:1\", properties.\"compresion.type\" = \"lz4\" }",
            "kafka property \"compresion.type\": No such configuration property: \"compresion.type\"".to_owned(),
        ),
        #[cfg(feature = "kafka")]
        (
            "kafka = { bootstrap_servers = \"b:1\", source.topics = [\"a\"] }",
            "kafka.source: group is not set".to_owned(),
        ),
        #[cfg(feature = "kafka")]
        (
            "kafka = { bootstrap_servers = \"b:1\", source = { group = \"g\", topics = [\"^a\"] } }",
            "kafka.source: topics is \"^a\", allowed the name of each topic, and no pattern".to_owned(),
        ),
        #[cfg(feature = "pipeline")]
        (
            "pipeline.max_in_flight = -1",
            "pipeline: max_in_flight: invalid value: integer `-1`, expected usize, allowed 1 to 1000000".to_owned(),
        ),
        (
            "sinks = {}",
            "settings: sinks: is no section, expected one of kafka, pipeline, sink, streams".to_owned(),
        ),
    ];
    for (toml, expected) in cases {
        let error = file(toml).validate().expect_err(toml);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_section_of_the_programs_own_is_named() {
    let file = file("app.region = \"eu-west-1\"").own("app");
    file.validate().expect("named");
    let file = SettingsFile {
        own: BTreeSet::new(),
        ..file
    };
    file.sink().expect_err("not named");
}

#[test]
fn a_mistake_in_a_file_names_the_file() {
    let file = SettingsFile::from_path("Cargo.toml").expect("TOML");
    let error = file.sink().expect_err("no settings");
    let shown = error.to_string();
    assert!(
        shown.starts_with("settings file \"Cargo.toml\": settings: "),
        "{shown}"
    );
    assert_eq!(error.path(), Some(Path::new("Cargo.toml")));
    assert_eq!(error.place(), Some(&SettingsPlace::Whole));
}

#[cfg(feature = "kafka")]
#[test]
fn no_secret_is_shown() {
    for toml in [
        "kafka = \"hunter2\"",
        "kafka = [\"hunter2\"]",
        "kafka.properties = \"sasl.password=hunter2\"",
        "kafka.bootstrap_servers = [\"hunter2\"]",
        "kafka = { bootstrap_servers = \"b:1\", properties.\"sasl.password\" = [\"hunter2\"] }",
        "kafka = { bootstrap_servers = \"b:1\", properties.\"sasl.pasword\" = \"hunter2\" }",
        "kafka = { bootstrap_servers = \"b:1\", password = \"hunter2\" }",
        "kafka.sink = \"hunter2\"",
    ] {
        let file = file(toml);
        let error = file.validate().expect_err(toml);
        let shown = format!("{error} {error:?} {file:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    for (text, error) in [
        (
            "password = \"hunter2",
            SettingsFile::from_toml("password = \"hunter2"),
        ),
        (
            "password = hunter2",
            SettingsFile::from_toml("password = hunter2"),
        ),
        (
            "{\"a\": hunter2}",
            SettingsFile::from_json("{\"a\": hunter2}"),
        ),
    ] {
        let shown = error.expect_err(text).to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

/// TOML and JSON of one type, and its fields that are not as by default.
fn read_alike<T: Section + PartialEq + Debug>(toml: &str, json: &str) {
    let toml = T::read(parse_toml(toml).expect("TOML")).expect("valid");
    let json = T::read(parse_json(json).expect("JSON")).expect("valid");
    assert_eq!(toml, json);
    toml.check().expect("what was read was checked");
}

#[test]
fn every_type_is_read_from_toml_and_json_alike() {
    read_alike::<TableSettings>(
        "linger = \"5ms\"\nretry.max_attempts = 7",
        r#"{"linger": "5ms", "retry": {"max_attempts": 7}}"#,
    );
    read_alike::<RetryPolicy>(
        "initial_backoff = \"5ms\"\nbudget.burst = 7",
        r#"{"initial_backoff": "5ms", "budget": {"burst": 7}}"#,
    );
    #[cfg(feature = "streams")]
    read_alike::<SnapshotSettings>(
        "segments = 2\nhold_bytes = \"1MiB\"",
        r#"{"segments": 2, "hold_bytes": "1MiB"}"#,
    );
    read_alike::<DynamoDbSinkSettings>(
        "defaults.linger = \"5ms\"",
        r#"{"defaults": {"linger": "5ms"}}"#,
    );
    #[cfg(feature = "streams")]
    read_alike::<StreamsSettings>("poll = \"1s\"", r#"{"poll": "1s"}"#);
    #[cfg(feature = "kafka")]
    {
        read_alike::<KafkaSettings>(
            "bootstrap_servers = \"b:1\"\nproperties.client.id = \"me\"",
            r#"{"bootstrap_servers": "b:1", "properties": {"client.id": "me"}}"#,
        );
        read_alike::<KafkaSinkSettings>("linger = \"1s\"", r#"{"linger": "1s"}"#);
        read_alike::<KafkaSourceSettings>(
            "group = \"g\"\ntopics = [\"a\"]",
            r#"{"group": "g", "topics": ["a"]}"#,
        );
    }
    #[cfg(feature = "pipeline")]
    read_alike::<PipelineSettings>("max_in_flight = 5", r#"{"max_in_flight": 5}"#);
}

#[test]
fn a_mistake_in_a_part_by_itself_names_the_part_once() {
    let duration = "expected a duration with a unit, such as \"250ms\", \"2s\" or \"1m 30s\"";
    let integer = format!("invalid type: integer `5`, {duration}");
    let table = |toml| TableSettings::from_toml(toml).map(drop);
    let retry = |toml| RetryPolicy::from_toml(toml).map(drop);
    let mut cases = vec![
        (
            table("max_batch_items = 26"),
            "table: max_batch_items is 26, allowed 1 to 25".to_owned(),
        ),
        (
            table("retry.multiplier = 11.0"),
            "table: retry.multiplier is 11, allowed 1.1 to 10".to_owned(),
        ),
        (
            table("linger = 5"),
            format!("table: linger: {integer}, allowed 0s to 1m"),
        ),
        (
            retry("max_attempts = 0"),
            "retry: max_attempts is 0, allowed 1 to 10000".to_owned(),
        ),
        (
            retry("budget.burst = 0"),
            "retry: budget.burst is 0, allowed 1 to 100000".to_owned(),
        ),
        (
            retry("max_backoff = \"20ms\""),
            "retry: max_backoff is 20ms, allowed 50ms (initial_backoff) to 5m".to_owned(),
        ),
        (
            retry("max_backoff = 5"),
            format!("retry: max_backoff: {integer}, allowed 1ms to 5m"),
        ),
    ];
    #[cfg(feature = "streams")]
    {
        let snapshot = |toml| SnapshotSettings::from_toml(toml).map(drop);
        cases.extend([
            (
                snapshot("segments = 0"),
                "snapshot: segments is 0, allowed 1 to 64".to_owned(),
            ),
            (
                snapshot("settling = 5"),
                format!("snapshot: settling: {integer}, allowed 0s to 1m"),
            ),
        ]);
    }
    for (result, expected) in cases {
        assert_eq!(result.expect_err(&expected).to_string(), expected);
    }
}
