//! The section of transactions, with the guarantee.

use std::time::Duration;

use super::*;
use crate::pipeline::Guarantee;

/// Returns a file with these lines in the section.
fn file(section: &str) -> SettingsFile {
    let text = format!("[kafka]\nbootstrap_servers = \"b:1\"\n[kafka.transaction]\n{section}\n");
    SettingsFile::from_toml(&text).expect("TOML")
}

#[test]
fn the_section_is_read_as_transactions() {
    let file = file(
        r#"
        application = "billing"
        instance = "billing-0"
        transaction_timeout = "20s"
        guarantee.exactly_once.commit_interval = "500ms"
        "#,
    );
    file.validate().expect("no mistake");
    let settings = TransactionSettings::new("billing")
        .instance("billing-0")
        .transaction_timeout(Duration::from_secs(20));
    let commit_interval = Duration::from_millis(500);
    let expected = KafkaTransactions::new(&KafkaSettings::new("b:1"), settings)
        .guarantee(Guarantee::ExactlyOnce { commit_interval });
    assert_eq!(file.kafka_transactions().expect("valid"), expected);
}

#[test]
fn a_guarantee_is_a_name_and_may_have_an_interval() {
    let of = |guarantee: &str| {
        let file = file(&format!("application = \"a\"\n{guarantee}"));
        file.kafka_transactions().expect("valid")
    };
    let kafka = KafkaSettings::new("b:1");
    let default = KafkaTransactions::new(&kafka, TransactionSettings::new("a"));
    for exactly_once in [
        "",
        "guarantee = \"exactly_once\"",
        "guarantee.exactly_once = {}",
        "guarantee.exactly_once.commit_interval = \"1s\"",
    ] {
        assert_eq!(of(exactly_once), default, "{exactly_once}");
    }
    let at_least_once = default.clone().guarantee(Guarantee::AtLeastOnce);
    assert_eq!(of("guarantee = \"at_least_once\""), at_least_once);
    assert_ne!(at_least_once, default);
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::default()] {
        let json = serde_json::to_string(&guarantee).expect("written");
        let read: Guarantee = serde_json::from_str(&json).expect("read");
        assert_eq!(read, guarantee);
    }
}

#[test]
fn a_mistake_names_field_value_and_range() {
    let duration = "expected a duration with a unit, such as \"250ms\", \"2s\" or \"1m 30s\"";
    let integer = format!("invalid type: integer `5`, {duration}");
    let cases = [
        ("instance = \"i\"", "application is not set".to_owned()),
        (
            "transaction_timeout = 5",
            format!("transaction_timeout: {integer}, allowed 1s to 15m"),
        ),
        (
            "timeout = \"5s\"",
            "timeout: unknown field `timeout`, expected one of `application`, `instance`, `transaction_timeout`"
                .to_owned(),
        ),
        (
            "guarantee = \"once\"",
            "guarantee: unknown variant `once`, expected `at_least_once` or `exactly_once`".to_owned(),
        ),
        (
            "guarantee.exactly_once.commit_interval = 5",
            format!(
                "guarantee.exactly_once.commit_interval: {integer}, allowed 10ms to a third of transaction_timeout"
            ),
        ),
        (
            "guarantee.exactly_once.interval = \"1s\"",
            "guarantee.exactly_once.interval: unknown field `interval`, expected `commit_interval`".to_owned(),
        ),
        (
            "guarantee.exactly_once.commit_interval = \"4s\"",
            "commit_interval is 4s, allowed 10ms to 3s 333ms, a third of transaction_timeout".to_owned(),
        ),
    ];
    for (section, expected) in cases {
        let application = if section.starts_with("instance") {
            ""
        } else {
            "application = \"a\"\n"
        };
        let file = file(&format!("{application}{section}"));
        let error = file.validate().expect_err(section);
        assert_eq!(error.to_string(), format!("kafka.transaction: {expected}"));
    }
}

#[test]
fn a_mistake_in_the_guarantee_names_the_file() {
    let mut file = file("application = \"a\"\nguarantee = 7");
    file.path = Some("app.toml".into());
    let error = file.kafka_transactions().expect_err("no guarantee");
    let shown = error.to_string();
    let expected =
        "settings file \"app.toml\": kafka.transaction: guarantee: invalid type: integer `7`";
    assert!(shown.starts_with(expected), "{shown}");
}
